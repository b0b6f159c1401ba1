//! Flame graphs as one page with everything in it: no server, no network.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;
use serde::Serialize;

use super::{
    OutputError,
    profile::{WEIGHTS, kind},
};
use crate::query::{FlameNode, QueryError, Selection, Source, Weight};

/// Script and style of the page, built from `dashboard/src/saved.tsx`.
#[derive(RustEmbed)]
#[folder = "../dashboard/dist/saved"]
#[allow_missing = true]
struct Page;

/// What the page shows; the shape is `Saved` in `dashboard/src/saved.tsx`.
#[derive(Debug, Serialize)]
pub struct HtmlFlames<'a> {
    /// What the flame graphs are of.
    pub title: &'a str,
    /// The recording.
    pub subtitle: &'a str,
    /// Shown first.
    pub first: Weight,
    /// By weight; those without stacks are left out.
    pub flames: BTreeMap<&'static str, FlameNode>,
    /// Names of the traced functions.
    pub traced: Vec<String>,
}

/// Name of a weight, as it is serialized.
const fn name(weight: Weight) -> &'static str {
    kind(weight).0
}

/// Asks for the flame graphs of all weights.
pub fn flames(
    source: &dyn Source,
    selection: &Selection,
) -> Result<BTreeMap<&'static str, FlameNode>, QueryError> {
    let mut flames = BTreeMap::new();
    for weight in WEIGHTS {
        let selection = Selection {
            weight,
            ..*selection
        };
        if selection.shown_weight() != weight {
            continue;
        }
        let root = source.flame(&selection)?;
        if root.value > 0 {
            flames.insert(name(weight), root);
        }
    }
    Ok(flames)
}

/// The page.
pub fn html(page: &HtmlFlames<'_>) -> Result<String, OutputError> {
    if !page.flames.contains_key(name(page.first)) {
        return Err(OutputError::nothing(page.first));
    }
    let part = |file: &str| {
        let found = Page::get(file).ok_or_else(|| {
            OutputError::Draw(
                "this monigo was built without the dashboard; `cargo xtask build` builds both"
                    .to_owned(),
            )
        })?;
        Ok::<_, OutputError>(String::from_utf8_lossy(&found.data).into_owned())
    };
    let data = serde_json::to_string(page).map_err(|error| QueryError::Store(error.to_string()))?;
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'\">\n\
         <title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<div id=\"app\"></div>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>{}</script>\n</body>\n</html>\n",
        text(&format!("monigo: {}", page.title)),
        closed(&part("page.css")?),
        inert(&data),
        closed(&part("page.js")?),
    ))
}

/// Text inside an element.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// JSON that cannot end its element, whatever a function is called.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c")
}

/// A script or style of the build that cannot end its element.
fn closed(code: &str) -> String {
    code.replace("</", "<\\/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out() {
        let node = FlameNode {
            name: "</script><script>alert(1)</script>".to_owned(),
            value: 1,
            ..FlameNode::default()
        };
        let page = HtmlFlames {
            title: "<b>&",
            subtitle: "</script>",
            first: Weight::Wall,
            flames: BTreeMap::from([("wall", node)]),
            traced: Vec::new(),
        };
        let text = html(&page).expect("the dashboard is built");
        assert_eq!(text.matches("<script").count(), 2);
        assert_eq!(text.matches("</script>").count(), 2);
        assert!(text.contains("<title>monigo: &lt;b>&amp;</title>"));
    }

    #[test]
    fn nothing_to_show_is_said() {
        let page = HtmlFlames {
            title: "",
            subtitle: "",
            first: Weight::Cpu,
            flames: BTreeMap::new(),
            traced: Vec::new(),
        };
        assert!(matches!(html(&page), Err(OutputError::NoSamples(..))));
    }
}
