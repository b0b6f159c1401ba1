// The service as a whole: health, identity, figures of now, and how they came about.
import { useMemo } from "preact/hooks";
import { address, type SeriesPoint } from "../api";
import { SeriesPanel, type ChartSpec } from "../charts/series-chart";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { routinesName } from "../logic/names";
import { rangeText, restOf } from "../logic/range";
import { seriesBody, serviceAddress, type Metrics, type Sample } from "../service";
import { HealthPanel } from "./health";
import { Identity } from "./identity";
import { Records } from "./records";
import { Tiles } from "./tiles";

/** Time between two looks at the resources, ms. */
const METRICS_LOOK = 2000;
const POINTS = 240;
const HEIGHT = 150;

function charts(language: string): readonly ChartSpec[] {
  return [
    {
      title: "Load of the service", unit: "percent", note: "% of what it may use",
      lines: [["overall_load_of_service", "overall"], ["service_cpu_load", "CPU"], ["service_memory_load", "memory"]],
    },
    {
      title: "Load of the host", unit: "percent", note: "% of what there is",
      lines: [["system_cpu_load", "CPU"], ["system_memory_load", "memory"], ["system_disk_load", "disk space"]],
    },
    {
      title: "CPU", unit: "cores", note: "CPUs in use",
      lines: [["cores_used_by_service", "service"], ["cores_used_by_system", "host"]],
    },
    {
      title: "Memory of the service", unit: "bytes", note: "bytes",
      lines: [
        ["memory_used_by_service", "used"], ["heap_alloc_by_service", "heap"], ["heap_alloc_by_system", "heap from the system"],
        ["stack_memory_usage", "stacks"],
      ],
    },
    {
      title: "Disk", unit: "bytes/s", note: "bytes per second",
      lines: [
        ["disk_read_bytes_per_second", "read"], ["disk_written_bytes_per_second", "written"],
        ["system_disk_read_bytes_per_second", "read by the host"], ["system_disk_written_bytes_per_second", "written by the host"],
      ],
    },
    {
      title: "Network", unit: "bytes/s", note: "bytes per second",
      lines: [["bytes_received_per_second", "received"], ["bytes_sent_per_second", "sent"]],
    },
    {
      title: "Health over time", unit: "percent", note: "score, 100 is idle", least: 100,
      lines: [["service_health_percent", "service"], ["system_health_percent", "system"]],
    },
    {
      title: language === "go" ? "Goroutines and threads" : routinesName(language), unit: "count",
      lines: [["goroutines", "goroutines"], ["threads", "threads"], ["open_files", "open files"]],
    },
  ];
}

export function OverviewPage() {
  const { overview, range, bounds, clock, version } = useView();
  const metrics = useAnswer<Metrics>(serviceAddress("metrics"), "metrics", clock, METRICS_LOOK);
  const specs = useMemo(() => charts(overview.language), [overview.language]);
  const names = useMemo(() => specs.flatMap(({ lines }) => lines.map(([name]) => name)), [specs]);
  const series = useAnswer<Sample[]>(
    serviceAddress("service-metrics"), rangeText(range), version, restOf(bounds),
    seriesBody(names, bounds.fromMs, bounds.toMs, POINTS),
  );
  return (
    <>
      <h1 class="hidden">Overview</h1>
      <div class="pair top-pair">
        <HealthPanel metrics={metrics.data} error={metrics.error} />
        <Identity />
      </div>
      <Tiles metrics={metrics.data} error={metrics.error} />
      {metrics.data && metrics.data.remarks.length > 0 && (
        <ul class="remarks">{metrics.data.remarks.map((remark) => <li key={remark}>{remark}</li>)}</ul>
      )}
      <div class="charts">
        <Calls />
        {specs.map((spec) => (
          <SeriesPanel
            key={spec.title} spec={spec} samples={series.data} error={series.error}
            empty={series.data?.length === 0 ? "Nothing was measured in this time window." : "Not measured for this target."}
            height={HEIGHT}
          />
        ))}
      </div>
      {metrics.data && metrics.data.mem_stats_records.length > 0 && <Records records={metrics.data.mem_stats_records} />}
    </>
  );
}

const callsSpec: ChartSpec = { title: "Calls", unit: "per_second", note: "of all traced functions, per second", lines: [["calls", "calls"]] };

function Calls() {
  const { range, bounds, window: params, version } = useView();
  const answer = useAnswer<SeriesPoint[]>(address("series", { points: POINTS, ...params }), rangeText(range), version, restOf(bounds));
  const samples = useMemo(() => answer.data?.map((point): Sample => ({
    time: new Date((point.at_ns + point.step_ns / 2) / 1e6).toISOString(), value: { calls: point.calls / (point.step_ns / 1e9) },
  })) ?? null, [answer.data]);
  return <SeriesPanel spec={callsSpec} samples={samples} error={answer.error} empty="No call completed in this time window." height={HEIGHT} />;
}
