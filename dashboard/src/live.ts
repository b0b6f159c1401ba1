// The stream of flushes: one EventSource, reconnected for ever, with a watch on its silence.
import type { LiveStatus } from "./api";

export type Connection = "connecting" | "open" | "lost";

export interface LiveEvents {
  connection(state: Connection): void;
  flush(): void;
  status(status: LiveStatus): void;
  ended(): void;
}

/** The server pings every 5 s; silence longer than this is a lost connection. */
const SILENCE_MS = 15_000;
const RETRY_MS = 1_500;

/** Listens until the returned function is called. */
export function listen(url: string, events: LiveEvents): () => void {
  let source: EventSource | null = null;
  let silence = 0;
  let retry = 0;

  const heard = (): void => {
    window.clearTimeout(silence);
    silence = window.setTimeout(lose, SILENCE_MS);
    events.connection("open");
  };
  const lose = (): void => {
    source?.close();
    window.clearTimeout(silence);
    window.clearTimeout(retry);
    events.connection("lost");
    retry = window.setTimeout(connect, RETRY_MS);
  };
  const connect = (): void => {
    source = new EventSource(url);
    source.onopen = heard;
    source.onerror = lose;
    source.addEventListener("ping", heard);
    source.addEventListener("flush", () => {
      heard();
      events.flush();
    });
    source.addEventListener("status", (event) => {
      heard();
      events.status(JSON.parse((event as MessageEvent<string>).data) as LiveStatus);
    });
    source.addEventListener("ended", () => {
      heard();
      events.ended();
    });
  };

  connect();
  return () => {
    source?.close();
    window.clearTimeout(silence);
    window.clearTimeout(retry);
  };
}
