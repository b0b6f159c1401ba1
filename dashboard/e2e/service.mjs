// Made-up answers about a service, for states that a real one is not in on demand: leaks, breaches, broken
// receivers, another language, parts that are not available.

const health = (percent, message, breaches = []) => ({
  percent,
  healthy: breaches.length === 0,
  message,
  icon_msg: breaches.length === 0
    ? "Service usage is within limits: CPU Usage 38% / max 95%, Memory Usage 41% / max 95%, Goroutines 212 / max 1000"
    : "Service usage exceeds allowed limits: CPU Usage 97.3% / max 95%, Memory Usage 41% / max 95%, Goroutines 1212 / max 1000",
  breaches,
});

const io = (read, written, covers) => ({
  read_bytes: 7_340_032, written_bytes: 91_226_112, read_bytes_per_second: read, written_bytes_per_second: written, covers,
});

export const info = {
  service_name: "orders", service_start_time: "2026-11-27T04:12:09Z", language: "go", runtime_version: "go1.24.11", go_version: "go1.24.11",
  process_id: 4242, process_ids: [4242, 4377], retention_period: "7d", storage_type: "disk", storage_on_disk_bytes: 48_234_496,
  host: "shop-7", monigo_version: "0.1.0", time_zone: null,
};

export const metrics = {
  time: "2026-11-28T13:00:00Z",
  core_statistics: { goroutines: 212, threads: 14, processes: 2, open_files: 87, uptime: "1d 09h", uptime_seconds: 118_800 },
  load_statistics: {
    service_cpu_load_percent: 38.2, system_cpu_load_percent: 52.6, service_memory_load_percent: 41.3, system_memory_load_percent: 63.1,
    overall_load_of_service_percent: 39.8, system_disk_load_percent: 71,
  },
  cpu_statistics: { total_cores: 4, total_logical_cores: 8, cores_limit: 2, cores_used_by_system: 4.21, cores_used_by_service: 0.764 },
  memory_statistics: {
    total_system_memory_bytes: 16_777_216_000, memory_used_by_system_bytes: 10_586_423_000, available_memory_bytes: 6_190_793_000,
    memory_used_by_service_bytes: 221_249_536, memory_limit_bytes: 536_870_912, stack_memory_usage_bytes: 1_409_024,
    gc_pause_total_ns: 81_200_000, gc_pause_last_ns: 92_000,
  },
  mem_stats_records: [
    { record_name: "HeapAlloc", record_description: "Objects on the heap that are allocated and not freed.", record_value: 88_412_160, record_unit: "bytes" },
    { record_name: "HeapSys", record_description: "Memory that the heap has from the operating system.", record_value: 131_072_000, record_unit: "bytes" },
    { record_name: "NumGC", record_description: "Garbage collections that ended.", record_value: 1412, record_unit: "count" },
    { record_name: "PauseTotalNs", record_description: "Garbage collection pauses in total since the start.", record_value: 81_200_000, record_unit: "ns" },
    { record_name: "GCCPUFraction", record_description: "CPU time that garbage collection took.", record_value: 1.3, record_unit: "percent" },
  ],
  disk_io: { service: io(0, 18_432, "processes 4242, 4377"), system: io(4096, 409_600, "block devices of the host") },
  network_io: { service: io(212_992, 655_360, "network namespace of process 4242"), system: null },
  health: { service_health: health(72.4, "Satisfactory"), system_health: health(91.8, "Excellent") },
  remarks: [],
};

export const sick = {
  ...metrics,
  health: {
    service_health: health(31.2, "Poor", ["CPU: 97.3% of 2 CPUs, the limit is 95%", "Goroutines: 1,212, the limit is 1,000", "main.(*Service).ProcessOrder: p99 is 81.2 ms, the objective is 50 ms"]),
    system_health: health(64, "Fair"),
  },
};

const group = (signature, count, state, wait_reason, call_stack, more = {}) => ({
  signature, state, wait_reason, count, blocked_minutes: null, growth: 0, stale: false, growing: false, call_stack,
  created_by: "main.main orders/main.go:33", ids: Array.from({ length: Math.min(count, 20) }, (_, index) => 18 + index * 3), names: [], ...more,
});

export const routines = {
  kind: "goroutines", time: "2026-11-28T13:00:00Z", number_of_goroutines: 212,
  remarks: ["3 goroutines changed while they were read and are counted without a stack"],
  groups: [
    group("9f31c0aa", 128, "waiting", "chan receive", [
      "runtime.gopark runtime/proc.go:435", "runtime.chanrecv runtime/chan.go:664", "main.(*Mailer).deliver order/mail.go:88", "main.(*Mailer).run order/mail.go:41",
    ], { growth: 96, growing: true, blocked_minutes: 47, stale: true }),
    group("12ab34cd", 64, "waiting", "IO wait", [
      "internal/poll.runtime_pollWait runtime/netpoll.go:351", "net.(*conn).Read net/net.go:194", "net/http.(*conn).serve net/http/server.go:2044",
    ], { blocked_minutes: 0, growth: -4 }),
    group("77aa0001", 12, "waiting", "select", ["runtime.gopark runtime/proc.go:435", "main.(*Worker).run order/worker.go:27"], { blocked_minutes: 1980, stale: true }),
    group("00c0ffee", 4, "waiting", "sync.Mutex.Lock", ["sync.(*Mutex).Lock sync/mutex.go:90", "main.(*Inventory).lockShelf order/inventory.go:77"]),
    group("beef0002", 3, "running", "", ["main.priceOf order/price.go:9", "main.(*Worker).drain order/worker.go:61"]),
    group("beef0003", 1, "syscall", "", ["syscall.Syscall6 syscall/asm.s:40", "main.(*Audit).append order/audit.go:64"], { ids: [5] }),
  ],
};

export const threads = {
  kind: "threads", time: "2026-11-28T13:00:00Z", number_of_goroutines: 9, remarks: [],
  groups: [
    { ...group("aa", 8, "sleeping", "futex_wait_queue", ["__futex_abstimed_wait_common", "pthread_cond_wait", "Pool::wait(std::unique_lock<std::mutex>&) pool.cpp:61"]), created_by: "", names: ["worker-1", "worker-2"] },
    { ...group("bb", 1, "running", "", ["Engine::step(double) engine.cpp:204", "main engine.cpp:311"]), created_by: "", ids: [4242] },
  ],
};

export const exporters = [
  { name: "otlp", endpoint: "https://collector.example:4317", state: "ok", sent: 184_212, dropped: 0, queued: 12, last_success: "2026-11-28T12:59:58Z", last_error: null, last_error_time: null },
  {
    name: "webhook", endpoint: "https://hooks.example/monigo", state: "open", sent: 3, dropped: 17, queued: 40, last_success: "2026-11-28T09:00:00Z",
    last_error: "hooks.example refused the connection; the next attempt is in 30 s", last_error_time: "2026-11-28T12:58:31Z",
  },
];

const leaf = (value, source = "default") => ({ value, source });

export const settings = {
  service: { name: leaf("orders", "file"), time_zone: leaf("Europe/Berlin", "environment") },
  listen: { address: leaf("127.0.0.1"), port: leaf(8080, "flag"), base_path: leaf("/monigo/api/v1") },
  storage: { type: leaf("disk"), path: leaf("/var/lib/monigo/orders.duckdb", "file"), retention: leaf("7d"), max_size: leaf("2GiB", "file"), sync_frequency: leaf("5m") },
  trace: { functions: leaf(["main.*", "encoding/json.*"], "file"), sample_rate: leaf(100), stacks: leaf("auto"), max_overhead: leaf("5%") },
  health: { max_cpu: leaf(95), max_memory: leaf(95), max_goroutines: leaf(1000, "file"), objectives: leaf(["main.(*Service).ProcessOrder p99 < 50ms"], "file") },
  otlp: { endpoint: leaf("https://collector.example:4317", "file"), headers: leaf("2 headers, values hidden", "environment") },
};

/** Values like a service's: waves with a name's own phase. */
function value(name, seconds) {
  const phase = [...name].reduce((sum, char) => sum + char.charCodeAt(0), 0);
  const wave = 1 + 0.3 * Math.sin(seconds / 41 + phase) + 0.1 * Math.sin(seconds / 7 + phase * 2);
  if (name.endsWith("health_percent")) return 80 * Math.min(wave, 1.2);
  if (name.endsWith("_load") || name.endsWith("of_service")) return (20 + (phase % 40)) * wave;
  if (name.includes("calls_per_second")) return 800 * wave;
  if (name.includes("per_second")) return (phase % 7) * 40_000 * wave;
  if (name.includes("total_cores")) return 4;
  if (name.includes("cores")) return (1 + (phase % 3)) * wave;
  if (/memory|alloc|bytes/.test(name)) return (phase % 9 + 1) * 2e7 * wave;
  if (name.includes("duration")) return 8e7 + seconds % 1e6;
  if (name.endsWith("p99_ns")) return 9e6 * wave;
  if (name.endsWith("_ns")) return 8e5 * wave;
  return Math.round((phase % 80 + 10) * wave);
}

const topics = {
  LoadStatistics: ["overall_load_of_service", "service_cpu_load", "service_memory_load", "system_cpu_load", "system_memory_load"],
  CPUStatistics: ["total_cores", "cores_used_by_service", "cores_used_by_system"],
  MemoryStatistics: ["total_system_memory", "memory_used_by_system", "memory_used_by_service", "available_memory", "gc_pause_duration", "stack_memory_usage"],
  NetworkIO: ["bytes_sent", "bytes_received", "bytes_sent_per_second", "bytes_received_per_second"],
  FunctionLatency: ["main.(*Service).ProcessOrder", "main.chargeCard", "main.reserveStock"].flatMap((name) =>
    ["calls_per_second", "mean_ns", "p50_ns", "p90_ns", "p99_ns"].map((figure) => `${name} ${figure}`)),
  OverallHealth: ["service_health_percent", "system_health_percent"],
};

/** At most so many steps of data in a time. */
export function samples(names, { start_time, end_time, points = 240 }) {
  const [from, to] = [Date.parse(start_time), Date.parse(end_time)];
  const step = Math.max((to - from) / points, 1000);
  const found = [];
  for (let at = from; at < to; at += step) {
    found.push({ time: new Date(at).toISOString(), value: Object.fromEntries(names.map((name) => [name, value(name, at / 1000)])) });
  }
  return found;
}

const asked = (body) => samples(body.topic ? topics[body.topic] ?? [] : body.field_name, body);

const answers = {
  "service-info": info, metrics, "go-routines-stats": routines, exporters, settings, "service-metrics": asked, reports: asked,
};

/**
 * Answers questions about the service with what is made up, `change` put over it. A function gets the body; a number
 * is a status with an error. Gives the list of bodies that were sent.
 */
export async function fake(page, change = {}) {
  const sent = [];
  await page.route("**/monigo/api/v1/*", async (route) => {
    const request = route.request();
    const name = new URL(request.url()).pathname.split("/").at(-1);
    // Which sessions there are is asked now and then, paused or not.
    if (name === "sessions") return route.continue();
    const body = request.postDataJSON();
    sent.push({ name, body });
    const answer = { ...answers, ...change }[name];
    if (answer === undefined) return route.continue();
    if (answer?.status) return route.fulfill({ status: answer.status, json: { error: { code: "made_up", message: answer.message } } });
    return route.fulfill({ json: typeof answer === "function" ? answer(body) : answer });
  });
  return sent;
}
