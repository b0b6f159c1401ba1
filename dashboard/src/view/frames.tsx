import type { Frame } from "../api";
import { basename } from "../logic/format";

/** A stack, innermost frame first. */
export function Frames({ frames, truncated = false }: { frames: readonly Frame[]; truncated?: boolean }) {
  return (
    <ol class="frames">
      {frames.map((frame, index) => (
        <li key={index} class={frame.kernel ? "kernel" : undefined}>
          <span class="mono">{frame.function}</span>{" "}
          <span class="muted mono" title={`${frame.image} at 0x${frame.address.toString(16)}`}>
            {frame.file
              ? `${frame.file}${frame.line === null ? "" : `:${frame.line}`}`
              : frame.kernel ? "" : basename(frame.image)}
          </span>
          {frame.inlined && <span class="tag">inlined</span>}
          {frame.kernel && <span class="tag">kernel</span>}
        </li>
      ))}
      {truncated && <li class="muted">The walk ended here; outer frames are missing.</li>}
    </ol>
  );
}
