// What happened during one recorded call: its timeline, in a dialog of its own.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { address, type Frame, type Story } from "../api";
import { Waterfall } from "../charts/waterfall";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { looks, type Kind } from "../logic/activity";
import { clock, duration, percent } from "../logic/format";
import { explain, keyOf, longestWaits, sums, timeline, zoomed, type Item, type Range } from "../logic/story";
import { Frames } from "./frames";
import { Empty } from "./panel";

const MOST_WAITS = 8;

/** The story that the address names. */
export function StoryDialog() {
  const { route, navigate } = useView();
  const dialog = useRef<HTMLDialogElement>(null);
  const key = route.call;
  useEffect(() => {
    if (key === null) dialog.current?.close();
    else if (!dialog.current?.open) dialog.current?.showModal();
  }, [key]);
  const close = (): void => { navigate({ call: null }); };
  return (
    <dialog
      ref={dialog} class="story" aria-labelledby="story-title" onClose={() => { if (key !== null) close(); }}
      onClick={(event) => { if (event.target === dialog.current) close(); }}
    >
      {key !== null && <StoryOf key={key} name={key} close={close} />}
    </dialog>
  );
}

function StoryOf({ name, close }: { name: string; close(): void }) {
  const { navigate, theme, functions } = useView();
  const answer = useAnswer<Story>(address(`story/${name}`), name, 0);
  const story = answer.data;
  const line = useMemo(() => (story ? timeline(story) : null), [story]);
  const [view, setView] = useState<Range | null>(null);
  const [focused, setFocused] = useState<number | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const [opened, setOpened] = useState<number | null>(null);
  const range = view ?? { from: 0, to: line?.length ?? 1 };
  const item = line?.items[pointed ?? focused ?? 0];
  const shown = opened === null ? null : line?.items[opened] ?? null;
  const outer = functions?.find((row) => row.id === story?.call.function)?.name ?? story?.function;
  const body = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => { if (story) body.current?.querySelector("canvas")?.focus(); }, [story]);
  const open = (index: number): void => { setOpened(index); };
  const zoom = (factor: number): void => {
    if (line) setView(zoomed(range, (range.from + range.to) / 2, factor, line.length));
  };
  return (
    <>
      <div class="story-head">
        <h2 id="story-title">{story ? <><span class="mono">{outer}</span> took {duration(story.call.duration_ns)}</> : "A call"}</h2>
        <span class="tools">
          <button type="button" class="plain" onClick={() => { zoom(2); }} disabled={!line || range.to - range.from >= line.length} aria-label="Zoom out">−</button>
          <button type="button" class="plain" onClick={() => { zoom(0.5); }} disabled={!line} aria-label="Zoom in">+</button>
          <a class="plain" href={address(`story/${name}/trace.json`)} download title="For ui.perfetto.dev and chrome://tracing">Perfetto trace</a>
          <button type="button" class="plain" onClick={close}>Close</button>
        </span>
      </div>
      {answer.error && <Empty>{answer.error}</Empty>}
      {!story && !answer.error && <Empty>Loading…</Empty>}
      {story && line && (
        <>
          <p class="muted where">
            <span>started {clock(story.call.start_ns, 3)}</span>
            <span>pid {story.call.pid}, thread {story.call.tid}</span>
            {story.call.goid !== null && <span>goroutine {story.call.goid}</span>}
            <span>ended on CPU {story.call.cpu}</span>
            {story.notes.map((note) => <span key={note}>{note}</span>)}
          </p>
          <Sums story={story} />
          <div ref={body}>
            <Waterfall
              line={line} range={range} setRange={setView} focused={focused} pointed={pointed}
              focus={setFocused} point={setPointed} open={open} theme={theme}
            />
          </div>
          <p class="readout flame-readout story-readout" role="status">{item && <Readout item={item} />}</p>
          <div class="story-below">
            <Waits items={line.items} chosen={opened} choose={(index) => { setFocused(index); setOpened(index); }} />
            <section aria-label="Stack">
              {shown
                ? <Opened item={shown} story={story} follow={(nested) => { navigate({ call: keyOf(name, nested) }); }} />
                : <p class="muted">Click on a bar or a sample, or press Enter on it, for its stack. Ctrl and the wheel zoom; Shift and the wheel move.</p>}
            </section>
          </div>
        </>
      )}
    </>
  );
}

function Readout({ item }: { item: Item }) {
  return (
    <>
      <span class="mono strong line">{item.label || "\u00a0"}</span>
      <span class="line">{explain(item, (kind: Kind) => looks[kind].phrase)}</span>
    </>
  );
}

/** Where the time of this call went; also the legend of the timeline. */
function Sums({ story }: { story: Story }) {
  const parts = sums(story);
  const total = Math.max(parts.reduce((sum, part) => sum + part.ns, 0), 1);
  const text = parts.map(({ kind, ns }) => `${looks[kind].label} ${percent(ns / total)}`).join(", ");
  return (
    <div class="parts-of">
      <div class="parts-bar" role="img" aria-label={text}>
        {parts.map(({ kind, ns }) => <span key={kind} class={`part-${kind}`} style={{ flexGrow: ns / total }} />)}
      </div>
      <ul class="parts-legend">
        {parts.map(({ kind, ns }) => (
          <li key={kind}>
            <span class={`swatch part-${kind}`} aria-hidden="true" />
            {looks[kind].label} <strong>{percent(ns / total)}</strong> <span class="muted">{duration(ns)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface WaitsProps {
  items: readonly Item[];
  chosen: number | null;
  choose(index: number): void;
}

function Waits({ items, chosen, choose }: WaitsProps) {
  const waits = useMemo(() => longestWaits(items, MOST_WAITS), [items]);
  return (
    <section aria-labelledby="waits-title">
      <h3 id="waits-title">Longest waits</h3>
      {waits.length === 0 && <p class="muted">None was seen.</p>}
      <ol class="waits">
        {waits.map((item) => {
          const index = items.indexOf(item);
          return (
            <li key={index}>
              <button type="button" aria-pressed={index === chosen} onClick={() => { choose(index); }}>
                <span class={`swatch part-${item.kind}`} aria-hidden="true" />
                <b>{duration(item.to - item.from)}</b> {looks[item.kind as Kind].phrase}
                {item.event?.reason && ` (${item.event.reason})`} in <span class="mono">{item.label}</span>
                {item.event?.waker && <span class="muted">, woken by {item.event.waker}</span>}
              </button>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

interface OpenedProps {
  item: Item;
  story: Story;
  follow(nested: NonNullable<Item["nested"]>): void;
}

function Opened({ item, story, follow }: OpenedProps) {
  const stack = item.event ? item.event.stack : (item.nested?.call ?? story.call).stack;
  const answer = useAnswer<Frame[]>(stack === null ? null : address(`stack/${stack}`), String(stack), 0);
  const { nested } = item;
  return (
    <>
      <h3>{item.kind === "call" ? "Called from" : `Stack while ${looks[item.kind].phrase}`}</h3>
      {nested && (
        <p>
          <button type="button" class="plain" onClick={() => { follow(nested); }}>Story of this call of {nested.function}</button>
        </p>
      )}
      {stack === null && <p class="muted">No stack was taken.</p>}
      {answer.error && <p class="error">{answer.error}</p>}
      {answer.data && <Frames frames={answer.data} />}
    </>
  );
}
