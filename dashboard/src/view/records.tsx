// Single figures of the runtime and of /proc.
import { bytes, count, duration, percentage } from "../logic/format";
import type { MemStatsRecord } from "../service";
import { Panel } from "./panel";

function shown({ record_value: value, record_unit: unit }: MemStatsRecord): string {
  switch (unit) {
    case "bytes": return bytes(value);
    case "ns": return duration(value);
    case "percent": return percentage(value);
    default: return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)));
  }
}

export function Records({ records }: { records: readonly MemStatsRecord[] }) {
  return (
    <Panel title="Figures of the runtime" note="the latest" class="records">
      <dl class="figures-grid">
        {records.map((record) => (
          <div key={record.record_name} title={record.record_description}>
            <dt>{record.record_name}<span class="muted">{record.record_description}</span></dt>
            <dd>{shown(record)}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
