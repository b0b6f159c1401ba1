import { address, type StackRow } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { count, measured, percent, weight as weigh } from "../logic/format";
import type { Weight } from "../logic/route";
import { Frames } from "./frames";
import { Empty, Name, Panel } from "./panel";

const notes: Record<Weight, string> = {
  wall: "by time, estimated",
  calls: "by calls, estimated",
  cpu: "by time running, sampled",
  offcpu: "by time waiting, sampled",
};

/** The heaviest distinct stacks. */
export function Stacks({ id }: { id: number | null }) {
  const { route, window: params, version, functions } = useView();
  const answer = useAnswer<StackRow[]>(
    address("stacks", { function: id, weight: route.weight, limit: 15, ...params }),
    `${id} ${route.weight}`, version, 2000,
  );
  // Of several functions together no floor is the right one.
  const floor = functions?.find((row) => row.id === id)?.probe.floor_ns ?? 0;
  const stacks = answer.data ?? [];
  const total = stacks.reduce((sum, stack) => sum + stack.weight, 0);
  return (
    <Panel
      title="Hottest stacks" class="stacks" error={answer.error}
      note={notes[route.weight]}
    >
      {answer.data && stacks.length === 0 && <Empty>No stack was recorded in this time window.</Empty>}
      <div class="short">
        {stacks.map((stack) => (
          <details key={stack.id}>
            <summary>
              <span class="share">
                <span class="bar" aria-hidden="true">
                  <span style={{ width: `${(stack.weight / Math.max(stacks[0]?.weight ?? 1, 1)) * 100}%` }} />
                </span>
                {percent(stack.weight / Math.max(total, 1))}
              </span>
              <span class="what">
                <Name>{stack.frames[0]?.function ?? "[no frames]"}</Name>
                <span class="muted">
                  {weigh(stack.weight, route.weight)}
                  {route.weight === "wall" && `, ${count(stack.calls)} calls`}
                  {stack.calls > 0 && `, mean ${measured(stack.mean_ns, floor)}`}
                </span>
              </span>
            </summary>
            <Frames frames={stack.frames} truncated={stack.truncated} />
          </details>
        ))}
      </div>
    </Panel>
  );
}
