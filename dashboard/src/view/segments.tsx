interface Props<T> {
  label: string;
  options: readonly (readonly [T, string])[];
  /** None is pressed when null. */
  chosen: T | null;
  choose(option: T): void;
}

/** Buttons of which one is pressed. */
export function Segments<T extends string | number | null>({ label, options, chosen, choose }: Props<T>) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([option, title]) => (
        <button type="button" key={String(option)} aria-pressed={option === chosen} onClick={() => { choose(option); }}>
          {title}
        </button>
      ))}
    </div>
  );
}
