// Says which calls everything below is about, and changes it.
import { useEffect, useState } from "preact/hooks";
import { address, type Bucket } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { duration, parseDuration } from "../logic/format";
import { callsText, countSelected, describe, everything, isEverything, slowest, timeParams } from "../logic/selection";
import { Segments } from "./segments";

const presets = [90, 95, 99, 99.9] as const;

export function SelectionBar({ id }: { id: number }) {
  const { route, navigate, window: params, version } = useView();
  const { selection } = route;
  const narrowed = !isEverything(selection);
  const answer = useAnswer<Bucket[]>(
    narrowed ? address(`functions/${id}/histogram`, timeParams(params, selection)) : null,
    `${id} ${JSON.stringify(selection)}`, version, 1000,
  );
  const found = answer.data ? countSelected(answer.data, selection) : null;
  const choose = (percentile: number | null): void => {
    navigate({ selection: { ...selection, slowerNs: null, fasterNs: null, percentile } });
  };
  const range = selection.slowerNs !== null || selection.fasterNs !== null;
  return (
    <section class={narrowed ? "selection narrowed" : "selection"} aria-label="Calls shown below">
      <strong>Calls shown below</strong>
      <Segments<number | null>
        label="Slowest calls only" chosen={range ? -1 : selection.percentile} choose={choose}
        options={[[null, "All"], ...presets.map((each) => [each, `Slowest ${slowest(each)}`] as const)]}
      />
      <SlowerThan
        ns={selection.fasterNs === null ? selection.slowerNs : null}
        choose={(slowerNs) => { navigate({ selection: { ...selection, slowerNs, fasterNs: null, percentile: null } }); }}
      />
      {narrowed ? (
        <span class="chip" role="status" data-selection>
          {describe(selection)}
          {selection.percentile !== null && found && found.lowNs > 0 && ` (${duration(found.lowNs)} and longer)`}
          {found && `, ${callsText(found.calls)}`}
          <button
            type="button" aria-label="Show all calls again" title="Show all calls again (Esc)"
            onClick={() => { navigate({ selection: everything }); }}
          >
            ×
          </button>
        </span>
      ) : route.page === "functions" && <span class="muted hint">Drag over the heatmap to select a time and a range of durations.</span>}
    </section>
  );
}

function SlowerThan({ ns, choose }: { ns: number | null; choose(ns: number | null): void }) {
  const [text, setText] = useState("");
  useEffect(() => { setText(ns === null ? "" : duration(ns)); }, [ns]);
  const parsed = text.trim() === "" ? null : parseDuration(text);
  const wrong = text.trim() !== "" && parsed === null;
  return (
    <form
      class="slower"
      onSubmit={(event) => {
        event.preventDefault();
        if (!wrong) choose(parsed);
      }}
    >
      <label>
        slower than{" "}
        <input
          type="text" size={8} placeholder="10 ms" value={text} aria-invalid={wrong} autocomplete="off" spellcheck={false}
          onInput={(event) => { setText(event.currentTarget.value); }}
        />
      </label>
    </form>
  );
}
