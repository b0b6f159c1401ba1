// Interactive flame graph: the panel around it, its tools and its readout.
import { useMemo, useState } from "preact/hooks";
import { address, type FlameNode } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { find, layout, search, type FlameLayout } from "../logic/flame";
import { percent, weight as weigh } from "../logic/format";
import { weights, type Weight } from "../logic/route";
import { Empty, Panel } from "../view/panel";
import { FlameCanvas } from "./flame-canvas";

export function Flamegraph({ id }: { id: number | null }) {
  const { route, navigate, window: params, version, functions } = useView();
  const answer = useAnswer<FlameNode>(
    address("flame", { function: id, weight: route.weight, ...params }), `${id} ${route.weight}`, version, 2000,
  );
  const [upwards, setUpwards] = useState(false);
  const [zoom, setZoom] = useState<string[]>([]);
  const [chosen, setChosen] = useState<string[] | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);

  const graph = useMemo(() => (answer.data ? layout(answer.data) : null), [answer.data]);
  const frames = graph?.frames ?? [];
  const zoomed = useMemo(() => find(frames, zoom), [frames, zoom]);
  const focused = useMemo(() => (chosen ? find(frames, chosen) : null), [frames, chosen]);
  const matches = useMemo(() => search(frames, route.search), [frames, route.search]);
  const traced = useMemo(() => new Set(functions?.map((row) => row.name)), [functions]);
  const shown = pointed ?? focused ?? zoomed;
  const files = { function: id, weight: route.weight, ...params };

  return (
    <Panel
      title="Flame graph" class="flame" error={answer.error}
      note={`width is ${widths[route.weight].meaning}`}
      tools={
        <>
          <Weights weight={route.weight} choose={(weight) => { navigate({ weight }); setZoom([]); }} />
          <button type="button" class="plain" aria-pressed={upwards} onClick={() => { setUpwards(!upwards); }}>
            Flip
          </button>
          <button type="button" class="plain" disabled={zoomed === 0} onClick={() => { setZoom([]); }} data-reset>
            Reset zoom
          </button>
          <input
            type="search" placeholder="Search" aria-label="Search frames" value={route.search}
            onInput={(event) => { navigate({ search: event.currentTarget.value }); }}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.preventDefault();
              navigate({ search: "" });
              event.currentTarget.blur();
            }}
          />
          <span class="files">
            <a href={address("flamegraph.svg", files)} download>SVG</a>
            <a href={address("flamegraph.folded", files)} download>folded</a>
          </span>
        </>
      }
    >
      {graph && graph.total === 0 ? (
        <Empty>
          No stack was recorded in this time window. Stacks come from a sample of the calls; <code>--stacks off</code> records none.
        </Empty>
      ) : (
        <>
          <p class="readout flame-readout" role="status">
            {graph && <Readout graph={graph} index={shown} weight={route.weight} />}
          </p>
          {route.search && graph && (
            <p class="matched" role="status" data-matched={matches.count}>
              {matches.count === 0
                ? "No frame matches"
                : `${matches.count} ${matches.count === 1 ? "frame matches" : "frames match"}: ${percent(matches.share)} of the whole`}
            </p>
          )}
          {graph && (
            <FlameCanvas
              graph={graph} zoomed={zoomed} focused={focused} pointed={pointed} hits={route.search ? matches.hit : null}
              traced={traced} upwards={upwards} zoom={setZoom} focus={setChosen} point={setPointed}
              clearSearch={() => { navigate({ search: "" }); }}
            />
          )}
        </>
      )}
    </Panel>
  );
}

const widths: Record<Weight, { label: string; meaning: string }> = {
  wall: { label: "Time", meaning: "wall-clock time, estimated from recorded calls" },
  calls: { label: "Calls", meaning: "number of calls, estimated from recorded calls" },
  cpu: { label: "On CPU", meaning: "time running inside the functions, sampled" },
  offcpu: { label: "Off CPU", meaning: "time threads waited inside the functions, sampled; none for Go" },
};

function Weights({ weight, choose }: { weight: Weight; choose(weight: Weight): void }) {
  return (
    <div class="segments" role="group" aria-label="Width of a frame">
      {weights.map((each) => (
        <button type="button" key={each} aria-pressed={weight === each} onClick={() => { choose(each); }}>
          {widths[each].label}
        </button>
      ))}
    </div>
  );
}

function Readout({ graph, index, weight }: { graph: FlameLayout; index: number; weight: Weight }) {
  const frame = graph.frames[index];
  if (!frame) return null;
  const caller = graph.frames[frame.parent];
  return (
    <>
      <span class="mono strong line">{frame.node.name}</span>
      <span class="line">
        {weigh(frame.node.value, weight)}, {percent(frame.end - frame.start)} of all
        {caller && frame.parent > 0 && `, ${percent(frame.node.value / Math.max(caller.node.value, 1))} of its caller`}
        {frame.parent >= 0 && `, self ${percent(frame.self / Math.max(frame.node.value, 1))}`}
        {" "}<span class="mono detail">{frame.node.detail}</span>
      </span>
    </>
  );
}
