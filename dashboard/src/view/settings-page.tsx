// The configuration in force and where each value comes from, where data is sent, and how to ask for it.
import { useMemo, useState } from "preact/hooks";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { filteredSections, sections } from "../logic/settings";
import { serviceAddress } from "../service";
import { ApiPanel } from "./api-panel";
import { Exporters } from "./exporters";
import { Empty, Panel } from "./panel";
import { Segments } from "./segments";
import { ZoneSelect } from "./zone-choice";

const LOOK = 5000;

export function SettingsPage() {
  const { service, zone } = useView();
  const unknown = zone.configured === null ? service.data?.time_zone : null;
  return (
    <>
      <h1 class="hidden">Settings and exporters</h1>
      <Exporters />
      <Settings />
      <ApiPanel />
      <Panel title="This view">
        <p class="line-of-tools"><label>Times in <ZoneSelect /></label></p>
        {unknown && <p class="error">This browser does not know the configured zone “{unknown}”.</p>}
        <p class="muted">Times are stored and sent in UTC. The choice is kept in this browser.</p>
      </Panel>
    </>
  );
}

const origins: Record<string, string> = {
  default: "default", file: "file", environment: "environment", flag: "command line",
};

function Settings() {
  const { route, navigate, clock } = useView();
  const [changed, setChanged] = useState(false);
  const answer = useAnswer<unknown>(serviceAddress("settings"), "settings", clock, LOOK);
  const all = useMemo(() => sections(answer.data), [answer.data]);
  const shown = filteredSections(all, route.filter, changed);
  return (
    <Panel
      title="Settings" note="in force, with where each comes from" error={answer.data ? answer.error : null} class="settings"
      tools={
        <>
          <Segments<string>
            label="Which settings" chosen={changed ? "changed" : "all"} choose={(which) => { setChanged(which === "changed"); }}
            options={[["all", "All"], ["changed", "Not default"]]}
          />
          <input
            type="search" placeholder="Filter  /" aria-label="Filter settings" value={route.filter}
            onInput={(event) => { navigate({ filter: event.currentTarget.value }); }}
          />
        </>
      }
    >
      {all.length === 0 && <Empty>{answer.error ?? (answer.waiting ? "Loading…" : "This recording names no settings.")}</Empty>}
      {all.length > 0 && shown.length === 0 && (
        <Empty>{route.filter ? `No setting matches “${route.filter}”.` : "Every setting is the default."}</Empty>
      )}
      <div class="sections">
        {shown.map(({ name, settings }) => (
          <section key={name} aria-label={name || "general"}>
            {name && <h3 class="mono">{name}</h3>}
            <dl>
              {settings.map((setting) => (
                <div key={setting.name}>
                  <dt class="mono">{setting.name}</dt>
                  <dd>
                    <span class="value">{setting.value}</span>
                    {setting.source && <span class={`tag source ${setting.source}`}>{origins[setting.source] ?? setting.source}</span>}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Panel>
  );
}
