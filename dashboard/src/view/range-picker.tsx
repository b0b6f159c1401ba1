// Chooses the part of the time: presets up to the latest data, everything, or between two times.
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useView } from "../context";
import { clock, moment, stamp } from "../logic/format";
import { isBetween, presetLabel, presets, type Range } from "../logic/range";
import { inputText, offsetText, parseInput, zoneText } from "../logic/zone";
import { Segments } from "./segments";
import { ZoneSelect } from "./zone-choice";

type Preset = (typeof presets)[number];

export function RangePicker() {
  const { range, navigate } = useView();
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const between = isBetween(range) ? range : null;

  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: Event): void => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open]);

  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div class="range" ref={box}>
      <Segments<Preset>
        label="Time window" chosen={between ? null : range as Preset}
        choose={(preset) => { navigate({ range: preset }); }}
        options={presets.map((preset) => [preset, presetLabel(preset)] as const)}
      />
      <select
        class="presets" aria-label="Time window" value={between ? "between" : String(range)}
        onChange={(event) => {
          const preset = presets.find((each) => String(each) === event.currentTarget.value);
          if (preset !== undefined) navigate({ range: preset });
          else setOpen(true);
        }}
      >
        {presets.map((preset) => <option key={preset} value={String(preset)}>{preset === "all" ? "All" : `Last ${presetLabel(preset)}`}</option>)}
        <option value="between">Between…</option>
      </select>
      <button
        type="button" class={between ? "plain chosen" : "plain"} ref={button} aria-expanded={open} aria-controls={id}
        onClick={() => { setOpen(!open); }}
      >
        {between ? label(between) : "From … to"}
      </button>
      {open && <Between id={id} close={close} choose={(chosen) => { navigate({ range: chosen }); close(); }} />}
    </div>
  );
}

/** `10:02:10 – 10:05:00`, with dates where they tell something. */
function label({ fromMs, toMs }: { fromMs: number; toMs: number }): string {
  const from = moment(fromMs * 1e6, (toMs - fromMs) * 1e6);
  const to = stamp(toMs * 1e6);
  const sameDay = stamp(fromMs * 1e6).slice(0, 10) === to.slice(0, 10);
  return `${from} – ${sameDay ? clock(toMs * 1e6) : to}`;
}

function Between({ id, close, choose }: { id: string; close(): void; choose(range: Range): void }) {
  const { bounds, zone } = useView();
  const [times, setTimes] = useState(() => bounds);
  const [texts, setTexts] = useState({ from: "", to: "" });
  const first = useRef<HTMLInputElement>(null);
  // Another zone shows the same times by other clocks. With the render: what is typed is not overwritten.
  useLayoutEffect(() => {
    setTexts({ from: inputText(times.fromMs), to: inputText(times.toMs) });
  }, [zone.name]);
  useLayoutEffect(() => { first.current?.focus(); }, []);
  const type = (which: "from" | "to", text: string): void => {
    setTexts((old) => ({ ...old, [which]: text }));
    const ms = parseInput(text);
    if (ms !== null) setTimes((old) => ({ ...old, [which === "from" ? "fromMs" : "toMs"]: ms }));
  };
  const [from, to] = [parseInput(texts.from), parseInput(texts.to)];
  const problem = from === null || to === null ? "Both times are needed." : from >= to ? "The start must be before the end." : null;
  return (
    <form
      class="between" id={id} aria-label="Time window between two times" noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (problem === null && from !== null && to !== null) choose({ fromMs: from, toMs: to });
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        close();
      }}
    >
      <label>
        From
        <input
          type="datetime-local" step="1" ref={first} value={texts.from} aria-invalid={problem !== null}
          onInput={(event) => { type("from", event.currentTarget.value); }}
        />
      </label>
      <label>
        To
        <input
          type="datetime-local" step="1" value={texts.to} aria-invalid={problem !== null}
          onInput={(event) => { type("to", event.currentTarget.value); }}
        />
      </label>
      <label>
        Zone
        <ZoneSelect />
      </label>
      <p class={problem ? "error" : "muted"} role="status">
        {problem ?? `${zoneText(from ?? 0)}${offsetText(from ?? 0) === offsetText(to ?? 0) ? "" : `, at the end ${offsetText(to ?? 0)}`}`}
      </p>
      <div class="ends">
        <button type="submit" class="plain" disabled={problem !== null}>Show</button>
        <button type="button" class="plain" onClick={close}>Cancel</button>
      </div>
    </form>
  );
}
