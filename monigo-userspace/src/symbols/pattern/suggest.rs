//! "Did you mean": names close to one that matched nothing.

use super::{
    super::{FunctionKind, Image},
    names,
};

/// Most suggestions.
const MOST: usize = 5;
/// Names less similar than this are noise.
const SIMILAR: f64 = 0.72;

/// The names closest to `pattern`, best first.
pub(super) fn suggest(image: &Image, pattern: &str) -> Vec<String> {
    let wanted = pattern.trim_matches(['/', '*', '?']).to_lowercase();
    if wanted.is_empty() {
        return Vec::new();
    }
    let wanted_last = names::last_component(&wanted).to_owned();
    let wanted_words = words(&wanted_last);
    let mut scored: Vec<(f64, String)> = Vec::new();
    for function in image.functions() {
        let imported = matches!(function.kind, FunctionKind::Imported { .. });
        let key = names::key(image, &function.linkage_name);
        if key.starts_with("core::ptr::drop_in_place") {
            continue;
        }
        let path = names::paths(image, &function.linkage_name)
            .into_iter()
            .next()
            .unwrap_or_else(|| key.clone());
        let mut score = similarity(&wanted, &wanted_last, &wanted_words, &path.to_lowercase());
        if imported {
            score -= 0.1;
        }
        if score >= SIMILAR {
            scored.push((score, key));
        }
    }
    scored.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| a.1.len().cmp(&b.1.len()))
            .then_with(|| a.1.cmp(&b.1))
    });
    let mut best: Vec<String> = Vec::new();
    for (_, name) in scored {
        if !best.contains(&name) {
            best.push(name);
        }
        if best.len() == MOST {
            break;
        }
    }
    best
}

/// 1 for the same name in other letters, less for what is further away.
fn similarity(wanted: &str, wanted_last: &str, wanted_words: &[String], path: &str) -> f64 {
    let last = names::last_component(path);
    if names::ends_with_path(path, wanted) {
        return 1.0;
    }
    let edits = strsim::normalized_damerau_levenshtein(wanted_last, last);
    let whole = if wanted == wanted_last {
        0.0
    } else {
        strsim::normalized_damerau_levenshtein(wanted, path)
    };
    let mut score = edits.max(whole);
    if wanted_last.len() >= 3 && last.contains(wanted_last) {
        // The shorter the rest, the closer.
        score = score.max(0.8 + 0.15 * wanted_last.len() as f64 / last.len() as f64);
    }
    if wanted_words.len() > 1 && wanted_words.iter().all(|word| last.contains(word.as_str())) {
        score = score.max(0.85);
    }
    score
}

/// `process_order` and `processOrder` are both `process`, `order`; single letters are left out.
fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1)
        .map(str::to_owned)
        .collect()
}
