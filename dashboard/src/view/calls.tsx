import { useEffect, useRef, useState } from "preact/hooks";
import { address, type Call, type Frame } from "../api";
import { useSelected, useView } from "../context";
import { useAnswer } from "../hooks";
import { clock, measured } from "../logic/format";
import { format } from "../logic/route";
import { Frames } from "./frames";
import { Empty, Name, Panel } from "./panel";

const LIMIT = 20;

const keyOf = (call: Call): string => `${call.start_ns}-${call.tid}-${call.duration_ns}`;

/** The slowest recorded calls; a selected one shows its stack. */
export function SlowestCalls({ id }: { id: number | null }) {
  const { version, functions } = useView();
  const { params, identity } = useSelected(id);
  const answer = useAnswer<Call[]>(
    address("calls", { function: id, limit: LIMIT, ...params }), identity, version, 1000,
  );
  const [chosen, setChosen] = useState<Call | null>(null);
  useEffect(() => { setChosen(null); }, [identity]);
  const body = useRef<HTMLTableSectionElement>(null);
  const calls = answer.data ?? [];
  // A selected call stays in sight after newer, slower ones pushed it off the list.
  const rows = chosen && !calls.some((call) => keyOf(call) === keyOf(chosen)) ? [...calls, chosen] : calls;
  const floor = (id: number): number => functions?.find((row) => row.id === id)?.probe.floor_ns ?? 0;
  const goroutines = rows.some((call) => call.goid !== null);
  const width = 5 + (goroutines ? 1 : 0) + (id === null ? 1 : 0);

  const move = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const buttons = [...(body.current?.querySelectorAll("button") ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    event.preventDefault();
  };

  return (
    <Panel title="Slowest calls" note="of those recorded in full" error={answer.data ? answer.error : null} class="calls">
      {(answer.data || answer.error) && rows.length === 0 ? (
        <Empty>{answer.error ?? "None of these calls was recorded in full."}</Empty>
      ) : (
        <div class="scroll short">
          <table>
            <thead>
              <tr>
                <th scope="col" class="first">Duration</th>
                {id === null && <th scope="col" class="left">Function</th>}
                <th scope="col">Start</th>
                <th scope="col">pid / tid</th>
                {goroutines && <th scope="col">Goroutine</th>}
                <th scope="col">CPU</th>
                <th scope="col"><span class="hidden">Timeline</span></th>
              </tr>
            </thead>
            <tbody ref={body} onKeyDown={move}>
              {rows.map((call) => {
                const key = keyOf(call);
                const open = chosen !== null && keyOf(chosen) === key;
                const toggle = (): void => { setChosen(open ? null : call); };
                return [
                  <tr key={key} class={open ? "open" : undefined} onClick={toggle}>
                    <td class="first">
                      <button type="button" aria-expanded={open} onClick={(event) => { event.stopPropagation(); toggle(); }}>
                        {measured(call.duration_ns, floor(call.function))}
                      </button>
                    </td>
                    {id === null && (
                      <td class="left">
                        <Name>{functions?.find((row) => row.id === call.function)?.name ?? `function ${call.function}`}</Name>
                      </td>
                    )}
                    <td>{clock(call.start_ns, 3)}</td>
                    <td>{call.pid} / {call.tid}</td>
                    {goroutines && <td>{call.goid ?? "–"}</td>}
                    <td>{call.cpu}</td>
                    <td>{call.key && <Timeline call={call.key} />}</td>
                  </tr>,
                  open && <tr key={`${key}-stack`} class="detail"><td colSpan={width}><CallStack id={call.stack} /></td></tr>,
                ];
              })}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

/** Opens what happened during a call. */
function Timeline({ call }: { call: string }) {
  const { route, navigate } = useView();
  return (
    <a
      href={format({ ...route, call })}
      onClick={(event) => {
        event.stopPropagation();
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        navigate({ call });
      }}
    >
      Timeline
    </a>
  );
}

function CallStack({ id }: { id: number | null }) {
  const row = useRef<HTMLDivElement>(null);
  const answer = useAnswer<Frame[]>(id === null ? null : address(`stack/${id}`), String(id), 0);
  useEffect(() => { row.current?.scrollIntoView({ block: "nearest" }); }, [answer.data]);
  return (
    <div ref={row}>
      {id === null && <Empty>This call was recorded without a stack.</Empty>}
      {answer.error && <p class="error">{answer.error}</p>}
      {answer.data && <Frames frames={answer.data} />}
    </div>
  );
}
