//! A commented configuration file with every setting.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Config,
    catalogue::{Kind, SECTIONS, SETTINGS, Setting},
    load,
};

/// The text of a file that says what all settings are and changes none of them.
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of monigo. Every setting is here with its default, commented out.\n\
         # Options of the command line win over MONIGO_* variables, and those over this file.\n\
         # `monigo config check` finds mistakes, `monigo config show` prints what is in force.\n\
         # Settings marked (*) take effect as soon as the file is changed; the others need a restart.\n",
    );
    let defaults = load::values(&Config::default());
    for (section, about) in SECTIONS {
        let inside = |setting: &&Setting| setting.key.split('.').next() == Some(section);
        if !SETTINGS.iter().any(|setting| inside(&setting)) {
            continue;
        }
        let _ = write!(text, "\n# {about}\n[{section}]\n");
        for setting in SETTINGS.iter().filter(inside) {
            let default = defaults.iter().find(|(key, _)| *key == setting.key);
            let default = default.and_then(|(_, value)| toml(value));
            describe(&mut text, setting, default.as_deref());
        }
    }
    text
}

fn describe(text: &mut String, setting: &Setting, default: Option<&str>) {
    let mark = if setting.reloads { " (*)" } else { "" };
    let _ = writeln!(text, "# {}{mark}", setting.about);
    if let Some(variable) = setting.variable() {
        let _ = writeln!(text, "# {variable}");
    }
    if setting.kind == Kind::Tables {
        for line in setting.example.lines() {
            let _ = writeln!(text, "#{line}");
        }
        return;
    }
    let name = setting.key.split_once('.').map_or("", |(_, name)| name);
    if let Some(default) = default {
        let _ = writeln!(text, "#{name} = {default}");
        return;
    }
    let _ = writeln!(text, "# Not set by default, for example:");
    let _ = writeln!(text, "#{name} = {}", setting.example);
}

/// A value as TOML on one line; `None` for none.
pub(super) fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        // TOML's basic strings have JSON's escapes.
        Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .filter_map(|(name, value)| {
                    Some(format!("{} = {}", Value::from(name.as_str()), toml(value)?))
                })
                .collect();
            if pairs.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    })
}
