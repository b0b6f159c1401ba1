//! Every setting with what it means: for the template, for environment variables, and for reloading.

/// How a value is read from an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Texts, separated by commas.
    List,
    /// `name=value`, separated by commas.
    Map,
    /// Only in a file.
    Tables,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Dotted path.
    pub key: &'static str,
    /// How it is read from the environment.
    pub kind: Kind,
    /// Takes effect while monigo runs, when the file changes.
    pub reloads: bool,
    /// One or two sentences for the template.
    pub about: &'static str,
    /// TOML of a value, where the default is none.
    pub example: &'static str,
}

impl Setting {
    /// Name of its environment variable; `None` for tables.
    pub fn variable(&self) -> Option<String> {
        let name = || format!("MONIGO_{}", self.key.to_uppercase().replace('.', "_"));
        (self.kind != Tables).then(name)
    }

    /// The setting at `key`, or that `key` is a part of.
    pub fn of(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| {
            key.strip_prefix(setting.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// What a section is about.
pub const SECTIONS: [(&str, &str); 11] = [
    ("service", "What is watched."),
    ("listen", "The server of dashboard and API."),
    ("auth", "Whom the server answers."),
    ("tls", "Encryption of the server."),
    ("storage", "Where measurements are kept."),
    ("trace", "How functions are measured."),
    ("health", "When a service counts as healthy."),
    ("otlp", "Export to an OpenTelemetry collector."),
    ("webhook", "Events sent as HTTP requests."),
    ("log", "What monigo writes on stderr."),
    ("agent", "What `monigo agent` traces."),
];

const fn fixed(
    key: &'static str,
    kind: Kind,
    about: &'static str,
    example: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        reloads: false,
        about,
        example,
    }
}

const fn live(
    key: &'static str,
    kind: Kind,
    about: &'static str,
    example: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        reloads: true,
        about,
        example,
    }
}

use Kind::{Bool, List, Number, Tables, Text};

/// All settings, by section.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    fixed("service.name", Text, "Name in views and exports; without one, the target's file name.", "\"shop\""),
    live("service.time_zone", Text, "Zone that views show times in, by its IANA name; without one, the viewer's own. Stored times are UTC.", "\"Europe/Berlin\""),
    fixed("service.headless", Bool, "No terminal interface and no dashboard.", ""),

    fixed("listen.address", Text, "Address; others than loopback demand authentication.", ""),
    fixed("listen.port", Number, "Port; 0 picks a free one. A port that is taken is an error.", ""),
    fixed("listen.base_path", Text, "Path of the API.", ""),
    fixed("listen.insecure", Bool, "Answer anyone who reaches an address other than loopback, without authentication.", ""),
    fixed("listen.allowed_hosts", List, "Host names under which the server may be asked.", ""),
    fixed("listen.cors_origins", List, "Origins whose pages may read the API, for example \"https://grafana.example.org\".", ""),
    fixed("listen.trusted_proxies", List, "Networks of proxies whose X-Forwarded-For is believed.", ""),
    fixed("listen.requests_per_second", Number, "Requests a second that one client may make in the long run; 0 for no limit.", ""),
    fixed("listen.burst", Number, "Requests that one client may make at once.", ""),
    fixed("listen.max_connections", Number, "Connections that are open at a time.", ""),
    fixed("listen.max_connections_per_client", Number, "Of them, those of one client, a trusted proxy apart; 0 for no limit.", ""),
    fixed("listen.max_body", Text, "Longest body of a request.", ""),
    fixed("listen.body_timeout", Text, "Time that the body of a request may take to arrive.", ""),
    fixed("listen.request_timeout", Text, "Time that a request may take to arrive and its answer to begin.", ""),
    fixed("listen.idle_timeout", Text, "Time after which a connection on which nothing happens, or whose client takes nothing of its answer, is closed.", ""),

    fixed("auth.users_file", Text, "File with lines `name:hash` for HTTP Basic.", "\"/etc/monigo/users\""),
    fixed("auth.api_keys_file", Text, "File with one key a line for the header X-API-Key.", "\"/etc/monigo/keys\""),
    fixed("auth.api_key", Text, "Such a key; better in the environment than here.", "\"\""),
    fixed("auth.token_file", Text, "File with the token for `Authorization: Bearer` and for the dashboard's address.", "\"/etc/monigo/token\""),
    fixed("auth.token", Text, "That token; better in the environment than here.", "\"\""),
    fixed("auth.allow", List, "Addresses and networks that are answered; empty for all.", ""),

    fixed("tls.cert_file", Text, "Certificate chain, PEM.", "\"/etc/monigo/cert.pem\""),
    fixed("tls.key_file", Text, "Its private key, PEM.", "\"/etc/monigo/key.pem\""),

    fixed("storage.type", Text, "disk or memory; without it, disk if there is a path.", ""),
    fixed("storage.path", Text, "The DuckDB file, for disk.", "\"/var/lib/monigo/monigo.duckdb\""),
    live("storage.retention", Text, "Measurements older than this are deleted: 12h, 7d, 1w, 3month.", ""),
    live("storage.detail_retention", Text, "Single calls and samples older than this are deleted; without it, like the rest.", "\"1d\""),
    live("storage.max_size", Text, "Size of the database beyond which the oldest measurements are deleted, at least 64MiB; without it, no limit on disk and 512MiB in memory.", "\"2GiB\""),
    live("storage.sync_frequency", Text, "Time between writes, 100ms to 10m.", ""),
    live("storage.downsample_after", Text, "Intervals older than this are merged to coarser ones.", ""),
    live("storage.downsample_to", Text, "How long those are.", ""),

    live("trace.sampling_rate", Number, "1 call in this many is recorded in full; without it, as the rate of calls allows.", "100"),
    live("trace.max_overhead", Text, "What the probes may take of one CPU from each traced process, or off.", ""),
    fixed("trace.latency", Text, "exact: time every call; windows: count every call, and time those in short windows.", ""),
    fixed("trace.stacks", Text, "auto, fp, dwarf or off.", ""),
    fixed("trace.exit_probe", Text, "auto, ret or uretprobe.", ""),
    fixed("trace.cpu_hz", Number, "Looks a second at what each CPU runs inside traced functions; 0 for none.", ""),
    fixed("trace.off_cpu", Bool, "Record what threads wait for inside traced functions.", ""),

    live("health.max_cpu", Number, "CPU limit, percent.", ""),
    live("health.max_memory", Number, "Memory limit, percent.", ""),
    live("health.max_goroutines", Number, "Goroutines of a Go service.", ""),
    live("health.max_threads", Number, "Threads of other services.", ""),
    live("health.objectives", List, "Latency objectives by function, for example \"main.handle p99 < 50ms\".", ""),

    fixed("otlp.endpoint", Text, "Where metrics and recorded calls are sent as OTLP; none for nowhere. Headers come from a file or from OTEL_EXPORTER_OTLP_HEADERS.", "\"https://collector.example.org:4317\""),
    fixed("otlp.protocol", Text, "grpc or http.", ""),
    fixed("otlp.plaintext", Bool, "Send without TLS; only then may the endpoint begin with http://.", ""),
    fixed("otlp.ca_file", Text, "Certificates, PEM, that are trusted instead of those of Mozilla's root program.", "\"/etc/monigo/ca.pem\""),
    fixed("otlp.headers_file", Text, "File with lines `name: value` that are sent with each request.", "\"/etc/monigo/otlp-headers\""),
    fixed("otlp.interval", Text, "Time between two exports.", ""),
    fixed("otlp.timeout", Text, "Longest wait for an answer.", ""),
    fixed("otlp.queue", Number, "Requests that wait while the receiver cannot be reached; beyond it the oldest is given up.", ""),
    fixed("otlp.metrics", Bool, "Whether metrics are sent.", ""),
    fixed("otlp.spans", Bool, "Whether recorded calls are sent, as spans.", ""),
    fixed("otlp.profiles", Bool, "Whether stacks are sent, as profiles; a signal that is experimental, and that not every receiver takes.", ""),

    live("webhook.url", Text, "Where events are posted, as JSON. https, or http to this host.", "\"https://hooks.example.org/monigo\""),
    live("webhook.url_file", Text, "File with the URL instead.", "\"/etc/monigo/webhook-url\""),
    live("webhook.events", List, "Which are sent: start, attach, detach, loss, health, reload, failure, stop; empty for all.", ""),
    live("webhook.token", Text, "Token for `Authorization: Bearer`; better in the environment than here.", "\"\""),
    live("webhook.token_file", Text, "File with that token.", "\"/etc/monigo/webhook-token\""),
    live("webhook.ca_file", Text, "Certificates, PEM, that are trusted instead of those of Mozilla's root program.", "\"/etc/monigo/ca.pem\""),
    live("webhook.insecure", Bool, "Send over plain HTTP to another host.", ""),
    live("webhook.timeout", Text, "Longest wait for an answer.", ""),
    live("webhook.retry", Text, "Wait before the second attempt; doubled for each further one, up to 5 minutes.", ""),
    live("webhook.attempts", Number, "Attempts before an event is given up.", ""),
    live("webhook.per_minute", Number, "Most requests per minute.", ""),
    live("webhook.queue", Number, "Events that wait; beyond it the oldest is given up.", ""),

    live("log.level", Text, "error, warn, info, debug or trace. The variable MONIGO_LOG takes a filter instead.", ""),
    fixed("log.format", Text, "text for people, json for programs: one object a line.", ""),

    live("agent.watch", Text, "Time between looks for processes that started, ended or were replaced.", ""),
    live("agent.targets", Tables, "Each with one of path, name, pid, cgroup and container, with functions, and with settings of [trace] of its own.", AGENT_EXAMPLE),
];

const AGENT_EXAMPLE: &str = "\
[[agent.targets]]
path = \"/usr/bin/app\"        # or name, pid, cgroup, container
functions = [\"handle_request\"]
all = false                  # every function that the patterns match
label = \"app\"                # what events call it
sampling_rate = 100          # as in [trace], for this target";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_and_variables_are_unambiguous() {
        let keys: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        let variables: Vec<String> = SETTINGS.iter().filter_map(Setting::variable).collect();
        let distinct: BTreeSet<&String> = variables.iter().collect();
        assert_eq!(distinct.len(), variables.len());
        // These mean something else.
        for taken in ["MONIGO_LOG", "MONIGO_CONFIG"] {
            assert!(!variables.iter().any(|name| name == taken), "{taken}");
        }
    }

    #[test]
    fn sections_stand_together() {
        let mut order: Vec<&str> = SETTINGS
            .iter()
            .map(|setting| setting.key.split('.').next().unwrap())
            .collect();
        order.dedup();
        let sections = SECTIONS.iter().map(|(name, _)| *name);
        let known: Vec<&str> = sections.filter(|name| order.contains(name)).collect();
        assert_eq!(order, known);
    }

    #[test]
    fn parts_belong_to_their_setting() {
        assert_eq!(
            Setting::of("agent.targets.0.name").unwrap().key,
            "agent.targets"
        );
        assert_eq!(Setting::of("log.level").unwrap().key, "log.level");
        assert!(Setting::of("log.levels").is_none());
    }
}
