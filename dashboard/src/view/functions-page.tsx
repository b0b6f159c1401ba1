import { useLayoutEffect } from "preact/hooks";
import { useView } from "../context";
import { Rhythm } from "../charts/rhythm";
import { Discover } from "./discover";
import { FunctionTable } from "./function-table";
import { SlowestCalls } from "./calls";
import { Stacks } from "./stacks";

/** Last function that was opened, to put the focus back on its row. */
let opened: number | null = null;

export function remember(id: number): void {
  opened = id;
}

/** All functions together. */
export function FunctionsPage() {
  const { functions } = useView();
  const ready = functions !== null;
  useLayoutEffect(() => {
    if (!ready || opened === null) return;
    document.getElementById(`function-${opened}`)?.focus();
    opened = null;
  }, [ready]);
  return (
    <>
      <h1 class="hidden">Functions</h1>
      <FunctionTable />
      {/* Below a table whose length is known, nothing jumps. */}
      {ready && (
        <>
          <Discover />
          <Rhythm id={null} />
          <div class="pair">
            <SlowestCalls id={null} />
            <Stacks id={null} />
          </div>
        </>
      )}
    </>
  );
}
