import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { splitName } from "../logic/names";

interface Props {
  title: string;
  /** Beside the title. */
  note?: ComponentChildren;
  /** At the end of the title's line. */
  tools?: ComponentChildren;
  error?: string | null;
  class?: string;
  children: ComponentChildren;
}

/** A titled part of the page. */
export function Panel({ title, note, tools, error, class: extra, children }: Props) {
  const id = useId();
  return (
    <section class={extra ? `panel ${extra}` : "panel"} aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {note && <span class="muted note">{note}</span>}
        {tools && <div class="tools">{tools}</div>}
      </div>
      {error && <p class="error" role="alert">Not up to date: {error}</p>}
      {children}
    </section>
  );
}

/** Says why there is nothing to see. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** A function name that loses its middle, not its telling end, when there is no room. */
export function Name({ children }: { children: string }) {
  const [head, tail] = splitName(children);
  return (
    <span class="name" title={children}>
      {head && <span class="name-head">{head}</span>}
      <span class="name-tail">{tail}</span>
    </span>
  );
}
