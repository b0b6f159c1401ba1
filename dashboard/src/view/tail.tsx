// What slow calls did that fast ones did not.
import { useMemo, useState } from "preact/hooks";
import { address, type Cause, type Frame, type Tail } from "../api";
import { useView } from "../context";
import { Difference } from "../charts/difference";
import { useAnswer } from "../hooks";
import { kindOf, looks } from "../logic/activity";
import { pieces } from "../logic/difference";
import { count, duration, percent, signed } from "../logic/format";
import { tailParams } from "../logic/selection";
import { Frames } from "./frames";
import { Empty, Panel } from "./panel";

const keyOf = (cause: Cause): string => cause.sentence.replace(/^\d+% /, "");

export function TailPanel({ id }: { id: number }) {
  const { route, window: params, version, theme, functions } = useView();
  const asked = { function: id, ...tailParams(params, route.selection) };
  const answer = useAnswer<Tail>(address("tail", asked), `${id} ${JSON.stringify(route.selection)}`, version, 3000);
  const [chosen, setChosen] = useState<string | null>(null);
  const tail = answer.data;
  const cause = tail?.causes.find((each) => keyOf(each) === chosen) ?? null;
  const traced = useMemo(() => new Set(functions?.map((row) => row.name)), [functions]);
  return (
    <Panel
      title="Why slow calls are slow" class="tail" error={tail ? answer.error : null}
      note={tail && <Groups tail={tail} />}
      tools={tail && tail.causes.length > 0 && <span class="files"><a href={address("tail.svg", asked)} download>SVG</a></span>}
    >
      {!tail && answer.error && <Empty>{answer.error}</Empty>}
      {!tail && !answer.error && <Empty>Comparing slow calls with fast ones…</Empty>}
      {tail && (
        <>
          <Extra tail={tail} />
          <ol class="causes" aria-label="What slow calls spend more time on">
            {tail.causes.map((each) => {
              const key = keyOf(each);
              const open = key === chosen;
              return (
                <li key={key}>
                  <CauseRow cause={each} open={open} toggle={() => { setChosen(open ? null : key); }} />
                  {open && <HeaviestStack cause={each} />}
                </li>
              );
            })}
            {tail.unattributed_ns > 0 && tail.extra_ns > 0 && (
              <li>
                <div class="cause rest">
                  <Share share={tail.unattributed_ns / tail.extra_ns} kind="unattributed" />
                  <span class="sentence muted">is in no sample, so its cause is not known</span>
                  <span class="times">{signed(tail.unattributed_ns)}</span>
                </div>
              </li>
            )}
          </ol>
          {tail.notes.length > 0 && <ul class="notes muted">{tail.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
          {tail.slow.samples + tail.fast.samples > 0 && (
            <Difference
              tree={tail.tree} sides={{ after: "a slow call", before: "a fast one" }} cause={cause} clear={() => { setChosen(null); }}
              traced={traced} theme={theme}
            />
          )}
        </>
      )}
    </Panel>
  );
}

function Groups({ tail: { slow, fast, slower_than_ns: above, faster_than_ns: below } }: { tail: Tail }) {
  return (
    <>
      {count(slow.recorded)} recorded of {duration(above)} and longer against {count(fast.recorded)} below {duration(below)}
    </>
  );
}

/** The two means, as bars of one scale. */
function Extra({ tail: { slow, fast, extra_ns: extra } }: { tail: Tail }) {
  const most = Math.max(slow.mean_ns, fast.mean_ns, 1);
  const side = (name: string, ns: number, more: number) => (
    <div class="mean">
      <span class="muted">{name}</span>
      <span class="mean-bar" aria-hidden="true">
        <span style={{ width: `${((ns - more) / most) * 100}%` }} />
        {more > 0 && <span class="extra" style={{ width: `${(more / most) * 100}%` }} />}
      </span>
      <span><b>{duration(ns)}</b>{more > 0 && <span class="muted">, {signed(more)}</span>}</span>
    </div>
  );
  return (
    <div class="means">
      {side("A slow call takes", slow.mean_ns, Math.min(extra, slow.mean_ns))}
      {side("A fast call takes", fast.mean_ns, 0)}
    </div>
  );
}

function CauseRow({ cause, open, toggle }: { cause: Cause; open: boolean; toggle(): void }) {
  return (
    <button type="button" class="cause" aria-expanded={open} onClick={toggle} title="Show it in the graph, and its heaviest stack">
      <Share share={cause.share} kind={kindOf(cause.activity, cause.wait)} />
      <span class="sentence">
        {pieces(cause.sentence).map((piece, index) => (piece.code ? <code key={index}>{piece.text}</code> : piece.text))}
      </span>
      <span class="times">
        {duration(cause.slow_ns)} <span class="muted">a slow call, {duration(cause.fast_ns)} a fast one</span>
      </span>
    </button>
  );
}

function Share({ share, kind }: { share: number; kind: keyof typeof looks }) {
  return (
    <>
      <span class="share-bar" aria-hidden="true">
        <span class={`part-${kind}`} style={{ width: `${Math.min(share, 1) * 100}%` }} />
      </span>
      <b class="share">{percent(share)}</b>
    </>
  );
}

function HeaviestStack({ cause }: { cause: Cause }) {
  const answer = useAnswer<Frame[]>(
    cause.stack === null ? null : address(`stack/${cause.stack}`), String(cause.stack), 0,
  );
  return (
    <div class="cause-stack">
      <p class="muted">
        {count(cause.samples)} {cause.samples === 1 ? "sample" : "samples"} in slow calls
        {cause.stack === null ? "; no stack was taken." : "; the heaviest stack:"}
      </p>
      {answer.error && <p class="error">{answer.error}</p>}
      {answer.data && <Frames frames={answer.data} />}
    </div>
  );
}
