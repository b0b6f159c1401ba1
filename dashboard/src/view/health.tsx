// Scores of the service and the host.
import { serverNow } from "../api";
import { stamp } from "../logic/format";
import { arc, parts, toneOf } from "../logic/health";
import type { Health, Metrics } from "../service";
import { Empty, Panel } from "./panel";

/** Figures older than this are not of now, ms. */
const OLD = 60_000;

export function HealthPanel({ metrics, error }: { metrics: Metrics | null; error: string | null }) {
  return (
    <Panel title="Health" note={metrics ? asOf(metrics) : "100 is idle"} error={metrics ? error : null} class="health">
      {!metrics ? <Empty>{error ?? "Loading…"}</Empty> : (
        <div class="gauges">
          <Gauge name="Service" health={metrics.health.service_health} />
          <Gauge name="System" health={metrics.health.system_health} />
        </div>
      )}
    </Panel>
  );
}

/** What is old says so. */
function asOf({ time }: Metrics): string {
  const ms = Date.parse(time);
  return serverNow() - ms > OLD ? `as of ${stamp(ms * 1e6)}` : "100 is idle; what exceeds its limit is unhealthy";
}

function Gauge({ name, health }: { name: string; health: Health }) {
  const tone = toneOf(health);
  const score = Math.round(health.percent);
  const { verdict, figures } = parts(health.icon_msg);
  return (
    <section class={`gauge ${tone}`} aria-label={`${name} health`}>
      <svg viewBox="0 0 100 92" role="img" aria-label={`${name} health: ${score} of 100, ${health.message}`}>
        <path class="track" d={arc(1)} />
        <path class="value" d={arc(health.percent / 100)} />
        <text x="50" y="56" class="score">{score}</text>
        <text x="50" y="86" class="name">{name}</text>
      </svg>
      <div class="verdict">
        <p class="band">
          <strong>{health.message || "not known"}</strong>
          {!health.healthy && <span class="tag unhealthy">unhealthy</span>}
        </p>
        {health.breaches.length > 0
          ? <ul class="breaches">{health.breaches.map((breach) => <li key={breach}>{breach}</li>)}</ul>
          : verdict && <p class="muted">{verdict}</p>}
        {figures.length > 0 && <ul class="figures muted">{figures.map((figure) => <li key={figure}>{figure}</li>)}</ul>}
      </div>
    </section>
  );
}
