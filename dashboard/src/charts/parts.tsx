import { address, type Breakdown, type TimeParts } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { duration, percent } from "../logic/format";
import { describe, partsOf } from "../logic/parts";
import { Panel } from "../view/panel";

/** Where the time of a function went. Nothing when nothing was sampled. */
export function Parts({ id }: { id: number }) {
  const { window: params, version } = useView();
  const answer = useAnswer<Breakdown[]>(address("breakdown", params), "breakdown", version, 2000);
  const breakdown = answer.data?.find((candidate) => candidate.function === id);
  if (!breakdown || breakdown.total.wall === 0) return null;
  const { own, total } = breakdown;
  const nested = own.wall > 0 && own.wall !== total.wall;
  return (
    <Panel title="Where the time went" note="calls are timed, what happened inside is sampled" class="parts" error={answer.error}>
      <Bar name={nested ? "Traced callees included" : null} times={total} />
      {nested && <Bar name="Without traced callees" times={own} />}
    </Panel>
  );
}

function Bar({ name, times }: { name: string | null; times: TimeParts }) {
  const parts = partsOf(times);
  return (
    <div class="parts-of">
      {name && <p class="muted">{name}, {duration(times.wall)}</p>}
      <div class="parts-bar" role="img" aria-label={describe(parts, percent)}>
        {parts.map((part) => (
          <span key={part.key} class={`part-${part.key}`} style={{ flexGrow: part.ns }} title={`${part.label} ${percent(part.share)}`} />
        ))}
      </div>
      <ul class="parts-legend">
        {parts.map((part) => (
          <li key={part.key}>
            <span class={`swatch part-${part.key}`} aria-hidden="true" />
            {part.label} <strong>{percent(part.share)}</strong> <span class="muted">{duration(part.ns)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
