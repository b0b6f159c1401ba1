// The API as its own description lists it.
import { useMemo } from "preact/hooks";
import { useAnswer } from "../hooks";
import { operations } from "../logic/openapi";
import { serverAddress } from "../service";
import { Empty, Panel } from "./panel";

export function ApiPanel() {
  const answer = useAnswer<unknown>(serverAddress("openapi.json"), "openapi", 0);
  const list = useMemo(() => operations(answer.data), [answer.data]);
  return (
    <Panel
      title="API" class="api" note="everything on these pages can be asked for"
      tools={
        <span class="files">
          <a href={serverAddress("openapi.json")}>OpenAPI description</a>
          <a href="metrics">Prometheus metrics</a>
          <a href="healthz">liveness</a>
          <a href="readyz">readiness</a>
        </span>
      }
    >
      {list.length === 0 ? <Empty>{answer.error ?? (answer.data === null ? "Loading…" : "The description lists nothing.")}</Empty> : (
        <ul class="operations">
          {list.map(({ method, path, summary }) => (
            <li key={`${method} ${path}`}>
              <span class="tag">{method}</span>
              <span class="mono">{path}</span>
              <span class="muted">{summary}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
