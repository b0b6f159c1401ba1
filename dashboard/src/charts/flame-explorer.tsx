// A flame graph to explore: its tools, its readout and the canvas. Knows nothing of where the
// stacks come from, so that a saved page can show it, too.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { FlameNode } from "../api";
import type { Theme } from "../hooks";
import { find, layout, search as searchFrames, type FlameLayout } from "../logic/flame";
import { percent, weight as weigh } from "../logic/format";
import { weights, type Weight } from "../logic/route";
import { Panel } from "../view/panel";
import { FlameCanvas } from "./flame-canvas";

interface Props {
  title: string;
  root: FlameNode | null;
  error: string | null;
  weight: Weight;
  /** Weights to choose from. */
  offered?: readonly Weight[];
  choose(weight: Weight): void;
  search: string;
  setSearch(text: string): void;
  /** Names of the traced functions. */
  traced: ReadonlySet<string>;
  theme: Theme;
  /** Shown when there are no stacks. */
  empty: ComponentChildren;
  /** Before the tools. */
  more?: ComponentChildren;
  /** Behind the tools. */
  files?: ComponentChildren;
}

export function FlameExplorer(props: Props) {
  const { title, root, error, weight, offered, choose, search, setSearch, traced, theme, empty, more, files } = props;
  const [upwards, setUpwards] = useState(false);
  const [zoom, setZoom] = useState<string[]>([]);
  const [chosen, setChosen] = useState<string[] | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  useEffect(() => { setZoom([]); }, [weight]);

  const graph = useMemo(() => (root ? layout(root) : null), [root]);
  const frames = graph?.frames ?? [];
  const zoomed = useMemo(() => find(frames, zoom), [frames, zoom]);
  const focused = useMemo(() => (chosen ? find(frames, chosen) : null), [frames, chosen]);
  const matches = useMemo(() => searchFrames(frames, search), [frames, search]);
  const shown = pointed ?? focused ?? zoomed;

  return (
    <Panel
      title={title} class="flame" error={error}
      note={`width is ${widths[weight].meaning}`}
      tools={
        <>
          {more}
          <Weights weight={weight} offered={offered ?? weights} choose={choose} />
          <button type="button" class="plain" aria-pressed={upwards} onClick={() => { setUpwards(!upwards); }}>
            Flip
          </button>
          <button type="button" class="plain" disabled={zoomed === 0} onClick={() => { setZoom([]); }} data-reset>
            Reset zoom
          </button>
          <input
            type="search" placeholder="Search" aria-label="Search frames" value={search}
            onInput={(event) => { setSearch(event.currentTarget.value); }}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.preventDefault();
              setSearch("");
              event.currentTarget.blur();
            }}
          />
          {files && <span class="files">{files}</span>}
        </>
      }
    >
      {graph && graph.total === 0 ? empty : (
        <>
          <p class="readout flame-readout" role="status">
            {graph && <Readout graph={graph} index={shown} weight={weight} />}
          </p>
          {search && graph && (
            <p class="matched" role="status" data-matched={matches.count}>
              {matches.count === 0
                ? "No frame matches"
                : `${matches.count} ${matches.count === 1 ? "frame matches" : "frames match"}: ${percent(matches.share)} of the whole`}
            </p>
          )}
          {graph && (
            <FlameCanvas
              graph={graph} zoomed={zoomed} focused={focused} pointed={pointed} hits={search ? matches.hit : null}
              traced={traced} upwards={upwards} theme={theme} zoom={setZoom} focus={setChosen} point={setPointed}
              clearSearch={() => { setSearch(""); }}
            />
          )}
        </>
      )}
    </Panel>
  );
}

const widths: Record<Weight, { label: string; meaning: string }> = {
  wall: { label: "Wall", meaning: "wall-clock time by who called, estimated from recorded calls" },
  calls: { label: "Calls", meaning: "number of calls, estimated from recorded calls" },
  time: { label: "On + off CPU", meaning: "time inside the functions by what they did, sampled" },
  cpu: { label: "On CPU", meaning: "time running inside the functions, sampled" },
  offcpu: { label: "Off CPU", meaning: "time waited inside the functions, sampled" },
};

function Weights({ weight, offered, choose }: { weight: Weight; offered: readonly Weight[]; choose(weight: Weight): void }) {
  return (
    <div class="segments" role="group" aria-label="Width of a frame">
      {offered.map((each) => (
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
