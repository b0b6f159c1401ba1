// Who is watched, and by what.
import { useView } from "../context";
import { bytes, duration, stamp } from "../logic/format";
import { languageName } from "../logic/names";
import { zoneText } from "../logic/zone";
import { Empty, Panel } from "./panel";

export function Identity() {
  const { overview, service } = useView();
  const info = service.data;
  if (!info) {
    return (
      <Panel title="Service" error={null} class="identity">
        <Empty>{service.error ?? "Loading…"}</Empty>
      </Panel>
    );
  }
  const start = Date.parse(info.service_start_time);
  const pids = info.process_ids;
  const facts: readonly (readonly [string, string])[] = [
    ["Language", [languageName(info.language), info.go_version ?? info.runtime_version].filter(Boolean).join(", ")],
    [pids.length > 1 ? "Processes" : "Process", pids.length > 0 ? pids.slice(0, 6).join(", ") + (pids.length > 6 ? " …" : "") : "none lives"],
    ["Started", Number.isFinite(start) ? stamp(start * 1e6) : "–"],
    ["Recording since", `${stamp(overview.started_ns)}${overview.ended_ns === null ? "" : `, for ${duration(overview.ended_ns - overview.started_ns)}`}`],
    ["Host", info.host],
    ["Storage", [info.storage_type, info.storage_on_disk_bytes === null ? "" : bytes(info.storage_on_disk_bytes)].filter(Boolean).join(", ")],
    ["Kept for", info.retention_period],
    ["Times in", zoneText(overview.last_flush_ns === null ? Date.now() : overview.last_flush_ns / 1e6)],
    ["monigo", info.monigo_version],
  ];
  return (
    <Panel title={info.service_name} note={<span class="mono">{overview.target}</span>} error={service.error} class="identity">
      <dl class="lines">
        {facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value || "–"}</dd></div>)}
      </dl>
    </Panel>
  );
}
