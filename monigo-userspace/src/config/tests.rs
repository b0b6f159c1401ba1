use std::{fs, path::Path};

use super::*;

fn sources(file: Option<&Path>, variables: &[(&str, &str)], flags: Vec<FlagValue>) -> Sources {
    let variables = variables.iter();
    Sources {
        file: file.map(Path::to_owned),
        variables: variables
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        flags,
    }
}

fn flag(key: &'static str, flag: &'static str, value: &str) -> FlagValue {
    FlagValue {
        key,
        flag,
        value: value.into(),
    }
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(&path, "[storage]\nretention = \"2d\"\n").unwrap();
    let file = Some(path.as_path());
    let variable: &[(&str, &str)] = &[("MONIGO_STORAGE_RETENTION", "3d")];
    let option = || vec![flag("storage.retention", "--retention", "4d")];
    let table = [
        (sources(None, &[], vec![]), "7d", "default"),
        (sources(file, &[], vec![]), "2d", "file"),
        (sources(None, variable, vec![]), "3d", "environment"),
        (sources(file, variable, vec![]), "3d", "environment"),
        (sources(None, &[], option()), "4d", "flag"),
        (sources(file, &[], option()), "4d", "flag"),
        (sources(None, variable, option()), "4d", "flag"),
        (sources(file, variable, option()), "4d", "flag"),
    ];
    for (sources, value, kind) in table {
        let loaded = sources.load().unwrap();
        assert_eq!(loaded.config.storage.retention.to_string(), value);
        assert_eq!(loaded.source("storage.retention").kind(), kind);
        assert_eq!(loaded.tree()["storage"]["retention"]["value"], value);
        assert_eq!(loaded.tree()["storage"]["retention"]["source"], kind);
    }
}

#[test]
fn everything_wrong_is_found_at_once_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    fs::write(
        &path,
        "[storage]\nretention = \"soon\"\n\n[trace]\ncpu_hz = 20000\nmax_overhed = \"5%\"\n\n\
         [[agent.targets]]\nname = \"a\"\npid = 5\nfunctions = [\"f\"]\n",
    )
    .unwrap();
    let variables = [
        ("MONIGO_LISTEN_PORT", "eighty"),
        ("MONIGO_LOG_LEVEL", "loud"),
    ];
    let flags = vec![flag("service.time_zone", "--time-zone", "Mars/Olympus")];
    let error = sources(Some(&path), &variables, flags).load().unwrap_err();
    let text = error
        .to_string()
        .replace(folder.path().to_str().unwrap(), "");
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "/m.toml:2: storage.retention: write a number",
        "/m.toml:5: trace.cpu_hz: it must be between 0 and 10000",
        "/m.toml:6: trace.max_overhed: no setting has this name; did you mean max_overhead?",
        "/m.toml:8: agent.targets.0: it names processes in several ways",
        "MONIGO_LISTEN_PORT: listen.port: it is the text \"eighty\", and should be a whole number",
        "MONIGO_LOG_LEVEL: log.level: 'loud' is none of error, warn",
        "--time-zone: service.time_zone: this host knows no time zone 'Mars/Olympus'",
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\ninstead of\n{start}");
    }
}

#[test]
fn a_file_that_is_missing_is_blamed_on_the_setting_that_names_it() {
    for (variable, key) in [
        ("MONIGO_OTLP_CA_FILE", "otlp.ca_file"),
        ("MONIGO_OTLP_HEADERS_FILE", "otlp.headers_file"),
    ] {
        let variables = [
            ("MONIGO_OTLP_ENDPOINT", "https://collector.example:4317"),
            (variable, "/nonexistent/file"),
        ];
        let error = sources(None, &variables, vec![]).load().unwrap_err();
        let start = format!("{variable}: {key}: /nonexistent/file: ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

#[test]
fn the_catalogue_has_every_setting() {
    let whole = serde_json::to_value(Config::default()).unwrap();
    let mut keys = Vec::new();
    for (section, settings) in whole.as_object().unwrap() {
        for name in settings.as_object().unwrap().keys() {
            keys.push(format!("{section}.{name}"));
        }
    }
    let mut known: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    known.sort_unstable();
    keys.sort_unstable();
    assert_eq!(known, keys);
}

#[test]
fn the_template_changes_nothing_and_its_lines_are_valid() {
    let text = template();
    let read = |text: String| {
        let mut layers = Layers::default();
        layers.add_file(ConfigFile::parse(Path::new("m.toml"), &text).unwrap());
        layers.extract::<Config>()
    };
    assert_eq!(read(text.clone()), (Some(Config::default()), vec![]));
    // With every default and example in force.
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let (config, problems) = read(uncommented.clone());
    assert_eq!(problems, [], "{uncommented}");
    let config = config.unwrap();
    assert_eq!(config.agent.targets.len(), 1);
    // The files of the examples are not there, which a check rightly says.
    let others: Vec<_> = config
        .check()
        .into_iter()
        .filter(|(_, problem)| !problem.contains("No such file"))
        .collect();
    assert_eq!(others, []);
    for setting in SETTINGS {
        assert!(text.contains(setting.about), "{}", setting.key);
    }
}

#[test]
fn secrets_are_not_shown() {
    let variables = [
        ("MONIGO_AUTH_TOKEN", "hunter2"),
        ("MONIGO_AUTH_API_KEY", "hunter2"),
        ("MONIGO_WEBHOOK_TOKEN", "hunter2"),
        ("MONIGO_WEBHOOK_URL", "https://example.org/hunter2"),
    ];
    let loaded = sources(None, &variables, vec![]).load().unwrap();
    assert_eq!(
        loaded.config.webhook.token.as_ref().unwrap().expose(),
        "hunter2"
    );
    let shown = format!("{loaded}{:?}{}", loaded.config, loaded.tree());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("MONIGO_AUTH_TOKEN"), "{shown}");
}

#[test]
fn what_is_shown_can_be_read_back() {
    let variables = [
        ("MONIGO_SERVICE_NAME", "the \"shop\""),
        ("MONIGO_AUTH_ALLOW", "10.0.0.0/8,::1/128"),
    ];
    let loaded = sources(None, &variables, vec![]).load().unwrap();
    let mut layers = Layers::default();
    layers.add_file(ConfigFile::parse(Path::new("m.toml"), &loaded.to_string()).unwrap());
    assert_eq!(layers.extract::<Config>(), (Some(loaded.config), vec![]));
}

#[test]
fn a_path_means_disk() {
    let variables = [("MONIGO_STORAGE_PATH", "/tmp/x.duckdb")];
    let loaded = sources(None, &variables, vec![]).load().unwrap();
    assert_eq!(loaded.config.storage.kind, crate::store::StorageKind::Disk);
    let variables = [("MONIGO_STORAGE_TYPE", "disk")];
    let error = sources(None, &variables, vec![])
        .load()
        .unwrap_err()
        .to_string();
    assert!(error.contains("storage.path"), "{error}");
}
