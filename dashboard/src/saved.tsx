// The page that `-o FILE.html` writes: one recording's flame graphs, with everything in the file.
import { render } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { FlameNode } from "./api";
import { FlameExplorer } from "./charts/flame-explorer";
import { useTheme } from "./hooks";
import { weights, type Weight } from "./logic/route";
import { Empty } from "./view/panel";
import "./style/base.css";
import "./style/charts.css";
import "./style/saved.css";

/** What monigo writes into the page; see `export::html`. */
interface Saved {
  title: string;
  subtitle: string;
  first: Weight;
  flames: Partial<Record<Weight, FlameNode>>;
  traced: string[];
}

function Page({ title, subtitle, first, flames, traced }: Saved) {
  const [theme, toggle] = useTheme();
  const [weight, choose] = useState(first);
  const [search, setSearch] = useState("");
  const names = useMemo(() => new Set(traced), [traced]);
  return (
    <>
      <header>
        <h1>{title}</h1>
        <span class="muted">{subtitle}</span>
        <button type="button" class="plain" onClick={toggle}>{theme === "dark" ? "Light" : "Dark"}</button>
      </header>
      <main>
        <FlameExplorer
          title="Flame graph" root={flames[weight] ?? null} error={null} theme={theme} traced={names}
          weight={weight} offered={weights.filter((each) => flames[each])} choose={choose}
          search={search} setSearch={setSearch} empty={<Empty>No stack was recorded.</Empty>}
        />
      </main>
    </>
  );
}

const root = document.getElementById("app");
const data = document.getElementById("data")?.textContent;
if (root && data) render(<Page {...(JSON.parse(data) as Saved)} />, root);
