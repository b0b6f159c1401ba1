// The live flame graph of the calls that are selected.
import { useMemo } from "preact/hooks";
import { address, type FlameNode } from "../api";
import { useSelected, useView } from "../context";
import { useAnswer } from "../hooks";
import { weighed } from "../logic/route";
import { Empty } from "../view/panel";
import { Segments } from "../view/segments";
import { FlameExplorer } from "./flame-explorer";

export function Flamegraph({ id }: { id: number | null }) {
  const { route, navigate, theme, version, functions } = useView();
  const selected = useSelected(id);
  const below = id !== null && route.root === "function";
  const { offered, weight } = weighed(route);
  const params = { function: id, weight, ...(below ? { root: "function" } : {}), ...selected.params };
  const answer = useAnswer<FlameNode>(address("flame", params), `${selected.identity} ${weight} ${below}`, version, 2000);
  const traced = useMemo(() => new Set(functions?.map((row) => row.name)), [functions]);
  return (
    <FlameExplorer
      title="Flame graph" root={answer.data ?? (answer.error ? nothing : null)} error={answer.data ? answer.error : null}
      traced={traced} theme={theme} weight={weight} offered={offered} choose={(chosen) => { navigate({ weight: chosen }); }}
      search={route.search} setSearch={(search) => { navigate({ search }); }}
      empty={
        <Empty>
          {answer.error ?? (weight === "wall" || weight === "calls"
            ? <>No stack was recorded of these calls. Stacks come from a sample of the calls; <code>--stacks off</code> records none.</>
            : <>No sample was taken inside these calls. Short and rare calls need more time, or more samples: <code>--cpu-hz 999</code>.</>)}
          {below && !answer.error && (
            <>
              {" "}
              <button type="button" class="plain" onClick={() => { navigate({ root: "callers" }); }}>Show who called it</button>
            </>
          )}
        </Empty>
      }
      more={id !== null && (
        <Segments
          label="Where stacks begin" chosen={route.root} choose={(root) => { navigate({ root }); }}
          options={[["function", "From the function"], ["callers", "With callers"]]}
        />
      )}
      files={
        <>
          <a href={address("flamegraph.svg", params)} download>SVG</a>
          <a href={address("flamegraph.html", params)} download>HTML</a>
          <a href={address("flamegraph.folded", params)} download>folded</a>
          <a href={address("flamegraph.pb.gz", params)} download title="For go tool pprof">pprof</a>
          <a href={address("flamegraph.speedscope.json", params)} download>speedscope</a>
        </>
      }
    />
  );
}

const nothing: FlameNode = { name: "", detail: "", value: 0, children: [] };
