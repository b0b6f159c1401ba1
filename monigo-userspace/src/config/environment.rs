//! Values from `MONIGO_*` variables.

use figment::value::{Dict, Value};

use super::{
    Layers, Source,
    catalogue::{Kind, SETTINGS, Setting},
};

/// Variables that are no settings: the file, the log filter, and where systemd and the tests put things.
const OTHERS: [&str; 2] = ["MONIGO_CONFIG", "MONIGO_LOG"];

/// Puts the settings among `variables` on top, and returns sentences about those whose name is like none.
///
/// Unknown names are no errors: Kubernetes gives every container variables such as `MONIGO_SERVICE_HOST` for a
/// service called monigo.
pub fn add(
    layers: &mut Layers,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<String> {
    let known: Vec<(&Setting, String)> = SETTINGS
        .iter()
        .filter_map(|setting| Some((setting, setting.variable()?)))
        .collect();
    let names: Vec<&str> = known.iter().map(|(_, name)| name.as_str()).collect();
    let mut remarks = Vec::new();
    for (name, text) in variables {
        if !name.starts_with("MONIGO_") || OTHERS.contains(&name.as_str()) {
            continue;
        }
        if let Some((setting, _)) = known.iter().find(|(_, known)| *known == name) {
            let value = parse(setting.kind, &text);
            layers.add(setting.key, value, Source::Variable(name));
            continue;
        }
        if let Some(near) = names.iter().find(|known| is_near(&name, known)) {
            remarks.push(format!(
                "{name} is no setting and is ignored; did you mean {near}?"
            ));
        }
    }
    remarks
}

/// Whether it is a slip of the pen; all names begin alike.
fn is_near(name: &str, known: &str) -> bool {
    strsim::normalized_damerau_levenshtein(name, known) > 0.85
}

/// What does not parse stays a text, which the setting's type refuses with a sentence.
fn parse(kind: Kind, text: &str) -> Value {
    let words = || {
        let words = text.split(',').map(str::trim);
        words.filter(|word| !word.is_empty())
    };
    match kind {
        Kind::Text | Kind::Tables => text.into(),
        Kind::Number => {
            let whole = text.trim().parse::<i64>().map(Value::from);
            whole
                .or_else(|_| text.trim().parse::<f64>().map(Value::from))
                .unwrap_or_else(|_| text.into())
        }
        Kind::Bool => match text.trim() {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            _ => text.into(),
        },
        Kind::List => words().map(Value::from).collect::<Vec<_>>().into(),
        Kind::Map => {
            let pairs = words().map(|word| word.split_once('=').unwrap_or((word, "")));
            pairs
                .map(|(name, value)| (name.trim().to_owned(), value.trim().into()))
                .collect::<Dict>()
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values() {
        assert_eq!(parse(Kind::Number, "7"), Value::from(7));
        assert_eq!(parse(Kind::Number, "0.5"), Value::from(0.5));
        assert_eq!(parse(Kind::Number, "many"), Value::from("many"));
        assert_eq!(parse(Kind::Text, "7"), Value::from("7"));
        assert_eq!(parse(Kind::Bool, "1"), Value::from(true));
        assert_eq!(parse(Kind::List, "a, b,"), Value::from(vec!["a", "b"]));
        let map = parse(Kind::Map, "a=b=c, d");
        let expected = [("a", "b=c"), ("d", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), Value::from(value)));
        assert_eq!(map.into_dict().unwrap(), Dict::from(expected));
    }

    #[test]
    fn only_names_that_are_nearly_right_are_remarked_on() {
        let mut layers = Layers::default();
        let variables = [
            ("MONIGO_STORAGE_RETENTOIN", "7d"),
            ("MONIGO_LOG", "debug"),
            ("MONIGO_LOG_LEVEL", "info"),
            ("MONIGO_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let remarks = add(&mut layers, variables);
        assert_eq!(
            remarks,
            [
                "MONIGO_STORAGE_RETENTOIN is no setting and is ignored; did you mean MONIGO_STORAGE_RETENTION?"
            ]
        );
        let source = layers.source("log.level");
        assert_eq!(source, Source::Variable("MONIGO_LOG_LEVEL".to_owned()));
    }
}
