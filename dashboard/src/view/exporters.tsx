// Where data is sent, and whether it arrives.
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { count, stamp } from "../logic/format";
import { serviceAddress, type ExporterStatus } from "../service";
import { Empty, Panel } from "./panel";

const LOOK = 2000;

const states: Record<ExporterStatus["state"], { word: string; tone: string; meaning: string }> = {
  idle: { word: "idle", tone: "quiet", meaning: "Nothing was to be sent so far." },
  ok: { word: "sending", tone: "good", meaning: "The last attempt succeeded." },
  retrying: { word: "retrying", tone: "fair", meaning: "The last attempt failed and is repeated." },
  open: { word: "broken off", tone: "bad", meaning: "Too many attempts failed; nothing is attempted for a while." },
  half_open: { word: "trying again", tone: "fair", meaning: "One attempt decides whether sending goes on." },
};

function when(time: string | null): string {
  return time === null ? "never" : stamp(Date.parse(time) * 1e6);
}

export function Exporters() {
  const { clock } = useView();
  const answer = useAnswer<ExporterStatus[]>(serviceAddress("exporters"), "exporters", clock, LOOK);
  const exporters = answer.data ?? [];
  return (
    <Panel title="Exporters" note="where data is sent" error={answer.data ? answer.error : null} class="exporters">
      {exporters.length === 0 ? (
        <Empty>{answer.error ?? (answer.data ? "None is configured: data is only kept here, and can be fetched." : "Loading…")}</Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Exporters as a table">
          <table>
            <thead>
              <tr>
                <th scope="col" class="first">Name</th><th scope="col" class="left">State</th><th scope="col" class="left">Receiver</th>
                <th scope="col">Sent</th><th scope="col">Waiting</th><th scope="col">Given up</th>
                <th scope="col" class="left">Last success</th><th scope="col" class="left">Last failure</th>
              </tr>
            </thead>
            <tbody>
              {exporters.map((each) => {
                const { word, tone, meaning } = states[each.state] ?? { word: each.state, tone: "quiet", meaning: "" };
                return (
                  <tr key={`${each.name} ${each.endpoint}`} data-exporter={each.name}>
                    <th scope="row" class="first">{each.name}</th>
                    <td class="left"><span class={`condition ${tone}`} title={meaning}>{word}</span></td>
                    <td class="left mono">{each.endpoint}</td>
                    <td>{count(each.sent)}</td>
                    <td>{count(each.queued)}</td>
                    <td class={each.dropped > 0 ? "flagged" : "muted"}>{count(each.dropped)}</td>
                    <td class="left">{when(each.last_success)}</td>
                    <td class="left failure">{each.last_error === null ? <span class="muted">none</span> : `${when(each.last_error_time)}: ${each.last_error}`}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
