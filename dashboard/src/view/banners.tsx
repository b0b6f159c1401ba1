import type { LiveStatus } from "../api";
import { useView } from "../context";
import { count, duration, moment } from "../logic/format";
import { usePrice } from "./header";
import { Restarted } from "./sessions";
import { useStanding, type LiveFacts } from "./standing";

interface Props {
  state: LiveFacts;
  status: LiveStatus | null;
  error: string | null;
}

/** What each cause of loss means for what is shown. */
export const lossCauses: Record<string, string> = {
  ring_full: "recorded calls dropped: the ring buffer was full",
  owners_full: "calls not seen: too many threads or goroutines",
  deep_full: "calls not seen: nested too deep",
  stack_failed: "recorded calls without a stack",
  stack_table_full: "calls and samples without a stack: too many different ones",
  off_cpu_full: "times off CPU not recorded: too many threads waited",
  goroutine_unreadable: "calls not seen: goroutine state unreadable",
};

/** Everything that qualifies the figures below: a lost connection, old data, losses, warnings. */
export function Banners({ state, status, error }: Props) {
  const { overview } = useView();
  const { standing, ageMs } = useStanding(state);
  const price = usePrice();
  const last = overview.last_flush_ns;
  const losses = overview.losses.filter((loss) => loss.count > 0);
  const lost = state.connection === "lost" && !state.ended;
  const at = last === null ? "" : moment(last, (ageMs ?? 0) * 1e6);
  return (
    <section class="banners" aria-label="Notices">
      <div role="alert">
        {lost && (
          <p class="banner danger" data-banner="lost">
            <strong>Connection lost.</strong>{" "}
            {last === null ? "Nothing was received yet." : `What you see is from ${at}.`} Reconnecting…
          </p>
        )}
        {standing === "stale" && (
          <p class="banner danger" data-banner="stale">
            <strong>No data since {at}</strong>, {duration((ageMs ?? 0) * 1e6)} ago, although monigo answers. Its log may say why.
          </p>
        )}
        {!lost && error && <p class="banner danger"><strong>Not up to date:</strong> {error}.</p>}
      </div>
      <Restarted />
      {standing === "paused" && (
        <p class="banner paused" data-banner="paused">
          <strong>Paused</strong>{last === null ? "." : ` at ${at}: figures stand still; monigo goes on recording.`}
        </p>
      )}
      {losses.length === 0 && overview.warnings.length === 1 && (
        <p class="banner warning" data-banner="warning">{overview.warnings[0]}</p>
      )}
      {(losses.length > 0 || overview.warnings.length > 1) && (
        <details class="banner warning" data-banner="losses">
          <summary>
            {losses.length > 0
              ? losses.map((loss) => `${count(loss.count)} ${lossCauses[loss.cause] ?? loss.cause}`).join(" · ")
              : `${overview.warnings.length} warnings`}
          </summary>
          <ul>{overview.warnings.map((warning) => <li key={warning}>{warning}</li>)}</ul>
        </details>
      )}
      {status?.text && <p class="status" role="status">{status.text}</p>}
      {price && <p class="status narrow">{price}</p>}
    </section>
  );
}
