//! Options that are settings too: each wins over the environment and the configuration file.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};
use figment::value::Value;
use serde::Serialize;

use super::{Format, TraceArgs};
use crate::config::{FlagValue, LogFormat, LogLevel, ZoneName};

/// What is not about tracing.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Configuration file (default: `MONIGO_CONFIG`, else /etc/monigo/monigo.toml if it exists)
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Name of the service in views and exports (default: the target's file name)
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub service_name: Option<String>,
    /// Zone that views show times in, for example Europe/Berlin (default: the viewer's own)
    #[arg(long, value_name = "ZONE", help_heading = "Settings")]
    pub time_zone: Option<ZoneName>,
    /// Least level of what is logged on stderr (default: warn); -v is the same as info
    #[arg(long, value_enum, value_name = "LEVEL", help_heading = "Settings")]
    pub log_level: Option<LogLevel>,
    /// How log lines look (default: text)
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Settings")]
    pub log_format: Option<LogFormat>,
    /// Post events to the URL in this file
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub webhook_url_file: Option<PathBuf>,
}

/// Health.
#[derive(Clone, Debug, Default, Args)]
pub struct HealthArgs {
    /// CPU limit of service and host in percent (default: 95)
    #[arg(long, value_name = "PERCENT", help_heading = "Health")]
    pub max_cpu: Option<f64>,
    /// Memory limit of service and host in percent (default: 95)
    #[arg(long, value_name = "PERCENT", help_heading = "Health")]
    pub max_memory: Option<f64>,
    /// Goroutines that are healthy (default: 100)
    #[arg(long, value_name = "N", help_heading = "Health")]
    pub max_goroutines: Option<u64>,
    /// Threads that are healthy, for languages other than Go (default: 100)
    #[arg(long, value_name = "N", help_heading = "Health")]
    pub max_threads: Option<u64>,
    /// Latency objective, for example \"main.handle p99 < 50ms\"; repeatable
    #[arg(long = "objective", value_name = "OBJECTIVE", help_heading = "Health")]
    pub objectives: Vec<String>,
}

/// The server of dashboard and API.
#[derive(Clone, Debug, Default, Args)]
pub struct ListenArgs {
    /// Address the dashboard listens on (default: 127.0.0.1); others than loopback demand authentication
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    pub listen: Option<IpAddr>,
    /// Port of the dashboard; 0 picks a free one (default: 8080)
    #[arg(long, help_heading = "Server")]
    pub port: Option<u16>,
    /// Path of the API (default: /monigo/api/v1)
    #[arg(long, value_name = "PATH", help_heading = "Server")]
    pub base_path: Option<String>,
    /// Answer anyone who reaches an address other than loopback, without authentication
    #[arg(long, help_heading = "Server")]
    pub insecure: bool,
    /// File with the token that requests must carry
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub token_file: Option<PathBuf>,
    /// File with lines NAME:HASH for HTTP Basic
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub users_file: Option<PathBuf>,
    /// File with API keys, one a line
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub api_keys_file: Option<PathBuf>,
    /// Answer only this address or network; repeatable
    #[arg(long = "allow", value_name = "NETWORK", help_heading = "Server")]
    pub allow: Vec<String>,
    /// Believe X-Forwarded-For of this proxy; repeatable
    #[arg(
        long = "trusted-proxy",
        value_name = "NETWORK",
        help_heading = "Server"
    )]
    pub trusted_proxies: Vec<String>,
    /// Certificate chain for TLS, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Server"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key for TLS, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Server"
    )]
    pub tls_key: Option<PathBuf>,
}

/// `monigo agent`.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// What is not about tracing.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Keep the measurements in this DuckDB file
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// No dashboard and no API
    #[arg(long)]
    pub headless: bool,
    /// The server.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Go on as this user, with what privileges tracing needs
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Where symbols come from.
    #[command(flatten)]
    pub symbols: super::SymbolArgs,
    /// What of the kernel to use.
    #[command(flatten)]
    pub features: super::FeatureArgs,
}

/// `monigo config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `monigo config` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with the configuration, and where
    Check {
        /// Configuration file (default: `MONIGO_CONFIG`, else /etc/monigo/monigo.toml if it exists)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the configuration in force, and where each value comes from
    Show {
        /// Configuration file (default: `MONIGO_CONFIG`, else /etc/monigo/monigo.toml if it exists)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As TOML, or as one object
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Write a file with every setting, its meaning and its default; never over another file
    Init {
        /// The file
        #[arg(default_value = "monigo.toml")]
        file: PathBuf,
    },
}

/// Collects options that were given.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<FlagValue>);

impl Given {
    pub(super) fn add<T: Serialize>(
        &mut self,
        key: &'static str,
        flag: &'static str,
        value: Option<&T>,
    ) {
        // Everything that options hold is text, numbers or lists of those.
        if let Some(value) = value.and_then(|value| Value::serialize(value).ok()) {
            self.0.push(FlagValue { key, flag, value });
        }
    }

    fn list(&mut self, key: &'static str, flag: &'static str, values: &[String]) {
        self.add(key, flag, Some(&values).filter(|values| !values.is_empty()));
    }

    pub(super) fn switch(
        &mut self,
        key: &'static str,
        flag: &'static str,
        given: bool,
        value: bool,
    ) {
        self.add(key, flag, given.then_some(&value));
    }

    fn common(&mut self, args: &CommonArgs, verbose: u8) {
        self.add("service.name", "--service-name", args.service_name.as_ref());
        self.add("service.time_zone", "--time-zone", args.time_zone.as_ref());
        let level = LogLevel::of_verbosity(verbose);
        self.add("log.level", "-v", level.as_ref());
        self.add("log.level", "--log-level", args.log_level.as_ref());
        self.add("log.format", "--log-format", args.log_format.as_ref());
        let url = args.webhook_url_file.as_ref();
        self.add("webhook.url_file", "--webhook-url-file", url);
    }

    fn listen(&mut self, args: &ListenArgs) {
        self.add("listen.address", "--listen", args.listen.as_ref());
        self.add("listen.port", "--port", args.port.as_ref());
        self.add("listen.base_path", "--base-path", args.base_path.as_ref());
        self.switch("listen.insecure", "--insecure", args.insecure, true);
        self.add("auth.token_file", "--token-file", args.token_file.as_ref());
        self.add("auth.users_file", "--users-file", args.users_file.as_ref());
        let keys = args.api_keys_file.as_ref();
        self.add("auth.api_keys_file", "--api-keys-file", keys);
        self.list("auth.allow", "--allow", &args.allow);
        self.list(
            "listen.trusted_proxies",
            "--trusted-proxy",
            &args.trusted_proxies,
        );
        self.add("tls.cert_file", "--tls-cert", args.tls_cert.as_ref());
        self.add("tls.key_file", "--tls-key", args.tls_key.as_ref());
    }

    fn database(&mut self, path: Option<&PathBuf>) {
        self.add("storage.path", "--db", path);
        self.add("storage.type", "--db", path.map(|_| &"disk"));
    }
}

impl TraceArgs {
    /// The settings among them.
    pub fn given(&self, verbose: u8) -> Vec<FlagValue> {
        let mut given = Given::default();
        given.common(&self.common, verbose);
        given.listen(&self.listen);
        given.otlp(&self.otlp);
        given.database(self.db.as_ref());
        given.add(
            "storage.type",
            "--in-memory",
            self.in_memory.then_some(&"memory"),
        );
        given.add("storage.retention", "--retention", self.retention.as_ref());
        given.add("storage.max_size", "--max-size", self.max_size.as_ref());
        given.add("storage.sync_frequency", "--flush", self.flush.as_ref());
        given.add(
            "trace.sampling_rate",
            "--sample-rate",
            self.sample_rate.as_ref(),
        );
        given.add("trace.stacks", "--stacks", self.stacks.as_ref());
        given.add("trace.cpu_hz", "--cpu-hz", self.cpu_hz.as_ref());
        given.switch("trace.off_cpu", "--no-off-cpu", self.no_off_cpu, false);
        given.add(
            "trace.max_overhead",
            "--max-overhead",
            self.max_overhead.as_ref(),
        );
        given.add("trace.latency", "--latency", self.latency.as_ref());
        given.add("trace.exit_probe", "--exit-probe", self.exit_probe.as_ref());
        given.switch("service.headless", "--headless", self.headless, true);
        let health = &self.health;
        given.add("health.max_cpu", "--max-cpu", health.max_cpu.as_ref());
        given.add(
            "health.max_memory",
            "--max-memory",
            health.max_memory.as_ref(),
        );
        given.add(
            "health.max_goroutines",
            "--max-goroutines",
            health.max_goroutines.as_ref(),
        );
        given.add(
            "health.max_threads",
            "--max-threads",
            health.max_threads.as_ref(),
        );
        given.list("health.objectives", "--objective", &health.objectives);
        given.0
    }
}

impl AgentArgs {
    /// The settings among them.
    pub fn given(&self, verbose: u8) -> Vec<FlagValue> {
        let mut given = Given::default();
        given.common(&self.common, verbose);
        given.listen(&self.listen);
        given.database(self.db.as_ref());
        given.switch("service.headless", "--headless", self.headless, true);
        given.0
    }
}

impl super::ServeArgs {
    /// The settings among them.
    pub fn given(&self, verbose: u8) -> Vec<FlagValue> {
        let mut given = Given::default();
        given.common(&self.common, verbose);
        given.listen(&self.listen);
        given.0
    }
}
