// A differential flame graph: what a call takes on one side and on the other.
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Cause, DiffNode } from "../api";
import type { Theme } from "../hooks";
import { diffFlame, framesOf, tint, tintColour, type DiffFlame } from "../logic/difference";
import { find, layout, type FlameFrame } from "../logic/flame";
import { duration, percent, signed } from "../logic/format";
import { FlameCanvas } from "./flame-canvas";

interface Props {
  tree: DiffNode;
  /** What is looked at and what it is compared with, as in `12 ms in a slow call, 3 ms in a fast one`. */
  sides: { after: string; before: string };
  /** Whose frames stand out. */
  cause?: Cause | null;
  clear?: () => void;
  traced: ReadonlySet<string>;
  theme: Theme;
}

export function Difference({ tree, sides, cause = null, clear, traced, theme }: Props) {
  const [zoom, setZoom] = useState<string[]>([]);
  const [chosen, setChosen] = useState<string[] | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const root = useMemo(() => diffFlame(tree), [tree]);
  const graph = useMemo(() => layout(root), [root]);
  const { frames } = graph;
  const hits = useMemo(() => (cause ? framesOf(frames, cause) : null), [frames, cause]);
  useEffect(() => { setZoom([]); }, [cause]);
  const zoomed = useMemo(() => find(frames, zoom), [frames, zoom]);
  const focused = useMemo(() => (chosen ? find(frames, chosen) : null), [frames, chosen]);
  const frame = frames[pointed ?? focused ?? zoomed];
  const of = (each: FlameFrame): DiffFlame => each.node as DiffFlame;
  return (
    <div class="difference">
      <div class="difference-head">
        <p class="readout flame-readout" role="status">{frame && <Readout node={of(frame)} root={root} sides={sides} />}</p>
        <Legend theme={theme} after={sides.after} />
        <button type="button" class="plain" disabled={zoomed === 0} onClick={() => { setZoom([]); }}>Reset zoom</button>
      </div>
      <FlameCanvas
        graph={graph} zoomed={zoomed} focused={focused} pointed={pointed} hits={hits?.includes(true) ? hits : null} traced={traced}
        upwards={false} theme={theme} zoom={setZoom} focus={setChosen} point={setPointed} clearSearch={() => { clear?.(); }}
        tint={(each) => tintColour(tint(of(each), root), theme === "dark")} label={`Difference of ${sides.after} and ${sides.before}`}
      />
    </div>
  );
}

function Readout({ node, root, sides }: { node: DiffFlame; root: DiffFlame; sides: Props["sides"] }) {
  const extra = root.after - root.before;
  const change = node.after - node.before;
  return (
    <>
      <span class="mono strong line">{node.name === "all" ? "A whole call" : node.name}</span>
      <span class="line">
        {duration(node.after)} in {sides.after}, {duration(node.before)} in {sides.before}: <b class={change > 0 ? "more" : "less"}>{signed(change)}</b>
        {extra > 0 && change > 0 && `, ${percent(change / extra)} of the extra time`}
        {" "}<span class="mono detail">{node.detail}</span>
      </span>
    </>
  );
}

function Legend({ theme, after }: { theme: Theme; after: string }) {
  const stops = [-1, -0.4, -0.1, 0, 0.1, 0.4, 1].map((value) => tintColour(value, theme === "dark"));
  return (
    <span class="legend muted">
      less in {after} <span class="scale" style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} /> more
    </span>
  );
}
