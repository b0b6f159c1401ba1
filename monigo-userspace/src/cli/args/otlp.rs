//! Options of the OTLP export. Headers hold secrets, so there is an option for their file only.

use std::path::PathBuf;

use clap::Args;

use super::settings::Given;
use crate::{config::Span, telemetry::OtlpProtocol};

/// The OTLP exporter.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "OpenTelemetry")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the command line"
)]
pub struct OtlpArgs {
    /// Send metrics and recorded calls as OTLP to this receiver, for example <https://collector.example:4317>
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// How it is spoken to (default: grpc)
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub otlp_protocol: Option<OtlpProtocol>,
    /// Send without TLS
    #[arg(long)]
    pub otlp_plaintext: bool,
    /// Certificates, PEM, that are trusted instead of those of Mozilla's root program
    #[arg(long, value_name = "FILE")]
    pub otlp_ca: Option<PathBuf>,
    /// File with lines `name: value` that are sent with each request (also `OTEL_EXPORTER_OTLP_HEADERS`)
    #[arg(long, value_name = "FILE")]
    pub otlp_headers_file: Option<PathBuf>,
    /// Time between two exports (default: 15s)
    #[arg(long, value_name = "TIME")]
    pub otlp_interval: Option<Span>,
    /// Longest wait for an answer (default: 10s)
    #[arg(long, value_name = "TIME")]
    pub otlp_timeout: Option<Span>,
    /// Requests that wait while the receiver cannot be reached (default: 64)
    #[arg(long, value_name = "N")]
    pub otlp_queue: Option<u32>,
    /// Send no metrics
    #[arg(long)]
    pub no_otlp_metrics: bool,
    /// Send no recorded calls
    #[arg(long)]
    pub no_otlp_spans: bool,
    /// Send stacks too, as profiles; a signal that is experimental, and that not every receiver takes
    #[arg(long)]
    pub otlp_profiles: bool,
}

impl Given {
    pub(super) fn otlp(&mut self, args: &OtlpArgs) {
        let (ca, headers) = (args.otlp_ca.as_ref(), args.otlp_headers_file.as_ref());
        self.add(
            "otlp.endpoint",
            "--otlp-endpoint",
            args.otlp_endpoint.as_ref(),
        );
        self.add(
            "otlp.protocol",
            "--otlp-protocol",
            args.otlp_protocol.as_ref(),
        );
        self.switch(
            "otlp.plaintext",
            "--otlp-plaintext",
            args.otlp_plaintext,
            true,
        );
        self.add("otlp.ca_file", "--otlp-ca", ca);
        self.add("otlp.headers_file", "--otlp-headers-file", headers);
        self.add(
            "otlp.interval",
            "--otlp-interval",
            args.otlp_interval.as_ref(),
        );
        self.add("otlp.timeout", "--otlp-timeout", args.otlp_timeout.as_ref());
        self.add("otlp.queue", "--otlp-queue", args.otlp_queue.as_ref());
        let (metrics, spans) = (args.no_otlp_metrics, args.no_otlp_spans);
        self.switch("otlp.metrics", "--no-otlp-metrics", metrics, false);
        self.switch("otlp.spans", "--no-otlp-spans", spans, false);
        let profiles = args.otlp_profiles;
        self.switch("otlp.profiles", "--otlp-profiles", profiles, true);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use crate::{
        cli::args::{Cli, Command},
        config::{FlagValue, Sources},
        telemetry::{OtlpProtocol, OtlpSettings},
    };

    fn flags(options: &[&str]) -> Vec<FlagValue> {
        let words = ["monigo", "attach", "x", "--fn", "f"].iter().chain(options);
        match Cli::try_parse_from(words).expect("options").command {
            Command::Attach(args) => args.trace.given(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_win_over_variables_and_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("m.toml");
        let text = "[otlp]\nendpoint = \"https://file:1\"\nqueue = 3\nspans = false\n";
        fs::write(&file, text).expect("writes");
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let loaded = Sources {
            file: Some(file.clone()),
            variables: vec![
                variable("MONIGO_OTLP_ENDPOINT", "https://variable:1"),
                variable("MONIGO_OTLP_TIMEOUT", "3s"),
            ],
            flags: flags(&["--otlp-endpoint", "option:1", "--otlp-protocol", "http"]),
        };
        let loaded = loaded.load().expect("valid");
        let of = |key| loaded.source(key).to_string();
        assert_eq!(
            loaded.config.otlp.endpoint.as_deref(),
            Some("option:1"),
            "{}",
            of("otlp.endpoint")
        );
        assert_eq!(of("otlp.endpoint"), "--otlp-endpoint");
        assert_eq!(of("otlp.protocol"), "--otlp-protocol");
        assert_eq!(of("otlp.timeout"), "MONIGO_OTLP_TIMEOUT");
        assert_eq!(of("otlp.queue"), format!("{}:3", file.display()));
        assert_eq!(of("otlp.interval"), "default");
        assert!(!loaded.config.otlp.spans);
    }

    #[test]
    fn every_setting_has_an_option() {
        let folder = tempfile::tempdir().expect("folder");
        let (ca, headers) = (folder.path().join("ca"), folder.path().join("headers"));
        fs::write(&ca, "").expect("writes");
        fs::write(&headers, "x-tenant: a\n").expect("writes");
        let given = flags(&[
            "--otlp-endpoint=http://a.example:4318",
            "--otlp-protocol=http",
            "--otlp-plaintext",
            &format!("--otlp-ca={}", ca.display()),
            &format!("--otlp-headers-file={}", headers.display()),
            "--otlp-interval=2s",
            "--otlp-timeout=3s",
            "--otlp-queue=4",
            "--no-otlp-metrics",
            "--no-otlp-spans",
            "--otlp-profiles",
        ]);
        let set = given.iter().filter(|flag| flag.key.starts_with("otlp."));
        let default = serde_json::to_value(OtlpSettings::default()).expect("an object");
        assert_eq!(set.count(), default.as_object().expect("an object").len());
        let sources = Sources {
            flags: given,
            ..Sources::default()
        };
        let otlp = sources.load().expect("valid").config.otlp;
        let whole = serde_json::to_value(&otlp).expect("an object");
        for (name, before) in default.as_object().expect("an object") {
            assert_ne!(&whole[name], before, "{name}");
        }
        assert_eq!(otlp.protocol, OtlpProtocol::Http);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_option() {
        let load = |options: &[&str]| {
            let sources = Sources {
                flags: flags(options),
                ..Sources::default()
            };
            sources.load().expect_err("wrong").to_string()
        };
        let clear = load(&["--otlp-endpoint", "http://a.example:4317"]);
        assert!(clear.starts_with("--otlp-endpoint: "), "{clear}");
        assert!(clear.contains("--otlp-plaintext"), "{clear}");
        let secret = load(&["--otlp-endpoint", "https://me:hunter2@a.example"]);
        assert!(!secret.contains("hunter2"), "{secret}");
    }
}
