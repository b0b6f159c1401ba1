import { useEffect, useRef } from "preact/hooks";
import { shortcuts } from "../keys";
import { useView } from "../context";

/** Keys, and what the terms mean. */
export function Help({ open, close }: { open: boolean; close(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { overview } = useView();
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby="help-title" onClose={close}>
      <form method="dialog">
        <h2 id="help-title">Keys</h2>
        <dl class="keys">
          {shortcuts.map(([key, meaning]) => (
            <div key={key}><dt><kbd>{key}</kbd></dt><dd>{meaning}</dd></div>
          ))}
        </dl>
        <h2>Terms</h2>
        <dl class="terms">
          <dt>Calls</dt><dd>completed calls: every one is counted, in the kernel. Where ≈ stands before a figure, it is estimated from a part of the time; ± gives the 95% interval.</dd>
          <dt>p50, p90, p99</dt><dd>that share of the calls was at most this long; within 3 % of the true value.</dd>
          <dt>Total, share</dt><dd>summed duration, and its part of the sum over all traced functions. A call's time contains what it calls, so nested functions count twice.</dd>
          <dt>Self</dt><dd>the total without time in other traced functions.</dd>
          <dt>&lt; 160 ns</dt><dd>what the probes take is taken off durations; what is left below the uncertainty of that cannot be told from none.</dd>
          <dt>Unwound</dt><dd>calls ended by a panic, an exception or longjmp; they are in no latency figure.</dd>
          <dt>In flight</dt><dd>calls begun and not yet ended.</dd>
          <dt>Calls shown below</dt><dd>a region of the latency heatmap, or the slowest part of the calls: the comparison, the flame graph, the lists of calls and of stacks are about these. The link in the address bar keeps it.</dd>
          <dt>Why slow calls are slow</dt><dd>their time by what they did, less that of fast calls, from samples and waits inside recorded calls. What is in no sample is said.</dd>
          <dt>Stacks, slowest calls</dt><dd>come from calls recorded in full, a sample; weights are scaled up.</dd>
          <dt>Health</dt><dd>100 less the mean use of CPU, memory and goroutines or threads, each against its limit; above a limit, or with a latency objective missed, a service is unhealthy whatever its score.</dd>
          <dt>Live, stale, lost</dt><dd>figures follow the recording; no data came for long; monigo is not reached. Paused figures stand still while monigo goes on recording.</dd>
          <dt>Growing, stale</dt><dd>of goroutines or threads with the same stack: rose in each of the last 5 looks; one waits for more than 10 minutes.</dd>
          <dt>On CPU, off CPU</dt><dd>samples of what ran, and what threads and goroutines waited in, inside a traced function, with kernel frames.</dd>
        </dl>
        <p class="muted">
          monigo {overview.monigo_version}, Linux {overview.kernel}, recording {overview.session}
        </p>
        <button type="submit" class="plain">Close</button>
      </form>
    </dialog>
  );
}
