// Values over time as a table, newest first.
import { useMemo, useState } from "preact/hooks";
import { count, stamp } from "../logic/format";
import { label, shown, unitOf } from "../logic/series";
import type { Sample } from "../service";
import { Panel } from "./panel";

/** Rows drawn at once; more on demand. */
const PAGE = 100;

export function SamplesTable({ samples, names, title }: { samples: readonly Sample[]; names: readonly string[]; title: string }) {
  const [most, setMost] = useState(PAGE);
  const rows = useMemo(() => samples.slice(-most).reverse(), [samples, most]);
  const units = names.map(unitOf);
  return (
    <Panel title={title} note="newest first" class="samples">
      <div class="scroll tall" tabIndex={0} role="region" aria-label={`${title} as a table`}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="first">Time</th>
              {names.map((name) => <th key={name} scope="col" title={name}>{label(name)}</th>)}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ time, value }) => (
              <tr key={time}>
                <th scope="row" class="first">{stamp(Date.parse(time) * 1e6)}</th>
                {names.map((name, index) => {
                  const figure = value[name];
                  return <td key={name}>{figure === undefined ? "–" : shown(figure, units[index] ?? "count")}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {samples.length > rows.length && (
        <p class="more-rows">
          <button type="button" class="plain" onClick={() => { setMost(most + PAGE * 5); }}>
            Show more: {count(samples.length - rows.length)} rows are not shown
          </button>
        </p>
      )}
    </Panel>
  );
}
