// The figures of now.
import type { ComponentChildren } from "preact";
import { useView } from "../context";
import { bytes, cores, count, percentage, rate, shortCount } from "../logic/format";
import { counted, routinesName } from "../logic/names";
import { format, turned, type Page } from "../logic/route";
import type { IoFigures, Metrics } from "../service";
import { lossCauses } from "./banners";
import { usePrice } from "./header";

interface TileProps {
  title: string;
  value: string;
  /** A share between 0 and 1 as a bar. */
  share?: number | null;
  bad?: boolean;
  page?: Page;
  /** What the text below says, when it may be cut. */
  about?: string;
  children?: ComponentChildren;
}

function Tile({ title, value, share, bad = false, page, about, children }: TileProps) {
  const { route, navigate } = useView();
  return (
    <div class={bad ? "tile bad" : "tile"}>
      <h3>
        {page ? (
          <a href={format({ ...route, ...turned(page) })} onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
            event.preventDefault();
            navigate(turned(page), "push");
          }}>{title}</a>
        ) : title}
      </h3>
      <p class="figure">{value}</p>
      {share !== undefined && share !== null && (
        <span class="meter" aria-hidden="true"><span style={{ width: `${Math.min(Math.max(share, 0), 1) * 100}%` }} /></span>
      )}
      <p class="muted about" title={about}>{children}</p>
    </div>
  );
}

const perSecond = (value: number): string => `${bytes(value)}/s`;

/** What tiles are there before the first answer, so that nothing jumps. */
const awaited = ["CPU", "Memory", "", "Disk", "Network"];

export function Tiles({ metrics, error }: { metrics: Metrics | null; error: string | null }) {
  const { overview, functions } = useView();
  const price = usePrice();
  const calls = (functions ?? []).reduce((sum, row) => sum + row.rate, 0);
  const losses = overview.losses.filter((loss) => loss.count > 0);
  const lost = losses.reduce((sum, loss) => sum + loss.count, 0);
  return (
    <div class="tiles">
      {metrics && <Resources metrics={metrics} />}
      {!metrics && !error && awaited.map((title) => <Tile key={title} title={title || routinesName(overview.language)} value="–">…</Tile>)}
      <Tile title="Calls" value={rate(calls)} page="functions">
        {functions ? `of ${counted(functions.length, "traced function")}, mean of the window` : "Loading…"}
      </Tile>
      <Tile title="Probes" value={priceShare(price)}>
        {price ? price.replace(/^probes cost /, "") : "cost not measured yet"}
      </Tile>
      <Tile title="Lost" value={shortCount(lost)} bad={lost > 0}>
        {lost === 0 ? "nothing was missed" : losses.map((loss) => `${count(loss.count)} ${lossCauses[loss.cause] ?? loss.cause}`).join("; ")}
      </Tile>
    </div>
  );
}

/** The share in a sentence about cost: its first percentage. */
function priceShare(price: string): string {
  return /[<≈]?\s?\d+(?:\.\d+)?\s?%/.exec(price)?.[0].replaceAll(" ", "") ?? "–";
}

function Resources({ metrics }: { metrics: Metrics }) {
  const { overview } = useView();
  const { core_statistics: core, load_statistics: load, cpu_statistics: cpu, memory_statistics: memory } = metrics;
  const limit = memory.memory_limit_bytes ?? memory.total_system_memory_bytes;
  const routines = core.goroutines ?? core.threads;
  return (
    <>
      <Tile title="CPU" value={percentage(load.service_cpu_load_percent)} share={load.service_cpu_load_percent / 100}>
        {cores(cpu.cores_used_by_service)}{cpu.cores_limit > 0 && ` of ${cores(cpu.cores_limit)}`} CPUs; host{" "}
        {percentage(load.system_cpu_load_percent)}{cpu.total_logical_cores > 0 && ` of ${cpu.total_logical_cores}`}
      </Tile>
      <Tile title="Memory" value={bytes(memory.memory_used_by_service_bytes)} share={load.service_memory_load_percent / 100}>
        {percentage(load.service_memory_load_percent)} of {bytes(limit)}
        {memory.memory_limit_bytes === null ? "" : " (limit)"}; host {percentage(load.system_memory_load_percent)}
      </Tile>
      <Tile title={routinesName(overview.language)} value={count(routines)} page="routines">
        {core.goroutines !== null && `${counted(core.threads, "thread")}, `}{counted(core.processes, "process", "processes")}
        {core.open_files !== null && `, ${counted(core.open_files, "open file")}`}{core.uptime && `; up ${core.uptime}`}
      </Tile>
      <IoTile title="Disk" service={metrics.disk_io.service} system={metrics.disk_io.system} words={["read", "written"]} />
      <IoTile title="Network" service={metrics.network_io.service} system={metrics.network_io.system} words={["received", "sent"]} />
    </>
  );
}

interface IoProps {
  title: string;
  service: IoFigures | null;
  system: IoFigures | null;
  words: readonly [string, string];
}

function IoTile({ title, service, system, words }: IoProps) {
  const shown = service ?? system;
  if (!shown) return <Tile title={title} value="–">not readable here</Tile>;
  return (
    <Tile title={title} value={perSecond(shown.read_bytes_per_second + shown.written_bytes_per_second)} about={shown.covers}>
      {perSecond(shown.read_bytes_per_second)} {words[0]}, {perSecond(shown.written_bytes_per_second)} {words[1]};{" "}
      {shown.covers || (service ? "of the service" : "of the host")}
    </Tile>
  );
}
