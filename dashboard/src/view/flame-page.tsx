// Flame graphs of all functions, or of one.
import { Flamegraph } from "../charts/flamegraph";
import { useView } from "../context";
import { format, home, opened } from "../logic/route";
import { everything } from "../logic/selection";
import { SelectionBar } from "./selection-bar";
import { Stacks } from "./stacks";

export function FlamePage({ id }: { id: number | null }) {
  const { functions, route, navigate } = useView();
  const named = [...(functions ?? [])].sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
  const row = named.find((each) => each.id === id);
  const choose = (text: string): void => {
    navigate({ fn: text === "" ? null : Number(text), selection: everything, root: home.root }, "push");
  };
  return (
    <>
      <h1 class="hidden">Flame graphs</h1>
      <div class="bar-of-tools">
        <label>
          Stacks of{" "}
          <select class="wide" value={id ?? ""} onChange={(event) => { choose(event.currentTarget.value); }}>
            <option value="">all functions</option>
            {named.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
            {id !== null && !row && <option value={id}>Function {id}</option>}
          </select>
        </label>
        {id !== null && (
          <a
            href={format({ ...route, ...opened(id) })}
            onClick={(event) => {
              if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
              event.preventDefault();
              navigate({ ...opened(id), selection: route.selection }, "push");
            }}
          >
            Latency and causes of this function
          </a>
        )}
      </div>
      {id !== null && <SelectionBar id={id} />}
      <Flamegraph id={id} />
      <Stacks id={id} />
    </>
  );
}
