// The answers about the service beside its calls. Mirrors monigo-userspace/src/service.

import { sessionQuery } from "./api";

export interface ServiceInfo {
  service_name: string;
  service_start_time: string;
  language: string;
  runtime_version: string | null;
  go_version: string | null;
  process_id: number | null;
  process_ids: number[];
  retention_period: string;
  storage_type: string;
  storage_on_disk_bytes: number | null;
  host: string;
  monigo_version: string;
  /** IANA name; null for the viewer's own. */
  time_zone: string | null;
}

export interface IoFigures {
  read_bytes: number;
  written_bytes: number;
  read_bytes_per_second: number;
  written_bytes_per_second: number;
  covers: string;
}

export interface Io {
  service: IoFigures | null;
  system: IoFigures | null;
}

export interface Health {
  percent: number;
  healthy: boolean;
  message: string;
  icon_msg: string;
  breaches: string[];
}

export interface MemStatsRecord {
  record_name: string;
  record_description: string;
  record_value: number;
  record_unit: string;
}

/** `service` means the traced processes together, `system` the host. */
export interface Metrics {
  time: string;
  core_statistics: {
    goroutines: number | null;
    threads: number;
    processes: number;
    open_files: number | null;
    uptime: string;
    uptime_seconds: number;
  };
  load_statistics: {
    service_cpu_load_percent: number;
    system_cpu_load_percent: number;
    service_memory_load_percent: number;
    system_memory_load_percent: number;
    overall_load_of_service_percent: number;
    system_disk_load_percent: number | null;
  };
  cpu_statistics: {
    total_cores: number;
    total_logical_cores: number;
    cores_limit: number;
    cores_used_by_system: number;
    cores_used_by_service: number;
  };
  memory_statistics: {
    total_system_memory_bytes: number;
    memory_used_by_system_bytes: number;
    available_memory_bytes: number;
    memory_used_by_service_bytes: number;
    memory_limit_bytes: number | null;
    stack_memory_usage_bytes: number | null;
    gc_pause_total_ns: number | null;
    gc_pause_last_ns: number | null;
  };
  mem_stats_records: MemStatsRecord[];
  disk_io: Io;
  network_io: Io;
  health: { system_health: Health; service_health: Health };
  /** What is missing, and why. */
  remarks: string[];
}

export interface RoutineGroup {
  /** Hash of state and stack; the same in every look. */
  signature: string;
  state: string;
  wait_reason: string;
  count: number;
  blocked_minutes: number | null;
  growth: number;
  stale: boolean;
  growing: boolean;
  /** Innermost first. */
  call_stack: string[];
  created_by: string;
  ids: number[];
  /** Of up to 20 threads. */
  names: string[];
}

export interface Routines {
  kind: "goroutines" | "threads";
  time: string;
  number_of_goroutines: number;
  remarks: string[];
  groups: RoutineGroup[];
}

export interface ExporterStatus {
  name: string;
  endpoint: string;
  state: "idle" | "ok" | "retrying" | "open" | "half_open";
  sent: number;
  dropped: number;
  queued: number;
  last_success: string | null;
  last_error: string | null;
  last_error_time: string | null;
}

/** Values of series at one time. */
export interface Sample {
  time: string;
  value: Record<string, number>;
}

/** Where this API is; a server that has it elsewhere says so in the page. */
const base = document.querySelector<HTMLMetaElement>("meta[name=monigo-api]")?.content || "monigo/api/v1";

/** Address of a question about the service, relative to the page. */
export function serviceAddress(path: string): string {
  return `${base}/${path}${sessionQuery()}`;
}

/** Address of what is about no session: the list of them, the description of the API. */
export function serverAddress(path: string): string {
  return `${base}/${path}`;
}

/** The body of a question for series between two Unix times in ms. */
export function seriesBody(names: readonly string[], fromMs: number, toMs: number, points: number): string {
  return JSON.stringify({ field_name: names, ...between(fromMs, toMs), points });
}

/** The body of a question for a report. */
export function reportBody(topic: string, fromMs: number, toMs: number, points: number): string {
  return JSON.stringify({ topic, ...between(fromMs, toMs), points });
}

function between(fromMs: number, toMs: number): { start_time: string; end_time: string } {
  return { start_time: new Date(fromMs).toISOString(), end_time: new Date(toMs).toISOString() };
}
