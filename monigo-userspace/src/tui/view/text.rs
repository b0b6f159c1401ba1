//! Fitting text and bars into columns.

use ratatui::text::Span;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

const ELLIPSIS: &str = "…";

/// Columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The end of `text`, after an ellipsis, in at most `columns`. The end of a function's name says
/// more than its package.
pub fn keep_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut start = text.len();
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        match left.checked_sub(width(grapheme)) {
            Some(rest) => left = rest,
            None => break,
        }
        start = at;
    }
    if columns == 0 {
        String::new()
    } else {
        format!("{ELLIPSIS}{}", &text[start..])
    }
}

/// The beginning of `text`, before an ellipsis, in at most `columns`.
pub fn keep_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut end = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        match left.checked_sub(width(grapheme)) {
            Some(rest) => left = rest,
            None => break,
        }
        end = at + grapheme.len();
    }
    if columns == 0 {
        String::new()
    } else {
        format!("{}{ELLIPSIS}", &text[..end])
    }
}

/// A function's name in at most `columns`: without parameters if that helps, then its end.
pub fn function_name(name: &str, columns: usize) -> String {
    if width(name) <= columns {
        return name.to_owned();
    }
    keep_end(&without_parameters(name), columns)
}

/// `a::b(c, d) const` becomes `a::b(…)`. Names that do not end in a parameter list stay.
fn without_parameters(name: &str) -> String {
    let body = name.strip_suffix(" const").unwrap_or(name);
    if !body.ends_with(')') {
        return name.to_owned();
    }
    let mut depth = 0_usize;
    for (at, character) in body.char_indices().rev() {
        match character {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let inside = &body[at + 1..body.len() - 1];
            return if at == 0 || width(inside) < 2 {
                name.to_owned()
            } else {
                format!("{}(…)", &body[..at])
            };
        }
    }
    name.to_owned()
}

/// The last element of a function's name, without package or parameters: for chains of callers.
pub fn short_name(name: &str) -> String {
    let name = without_parameters(name);
    name.rsplit('/').next().unwrap_or(&name).to_owned()
}

/// `file:line` with at most the last two elements of the path.
pub fn source(file: &str, line: Option<u32>) -> String {
    let tail = file
        .match_indices('/')
        .map(|(at, _)| at)
        .rev()
        .nth(1)
        .map_or(file, |at| &file[at + 1..]);
    match line {
        Some(line) => format!("{tail}:{line}"),
        None => tail.to_owned(),
    }
}

/// `text` at the right of `columns`.
pub fn right(text: &str, columns: usize) -> String {
    let pad = columns.saturating_sub(width(text));
    format!("{}{text}", " ".repeat(pad))
}

/// `text` at the left of `columns`.
pub fn left(text: &str, columns: usize) -> String {
    let pad = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(pad))
}

/// A bar that fills `fraction` of `columns` to an eighth of a column. Anything above zero is seen.
pub fn bar(fraction: f64, columns: usize) -> String {
    const PARTIAL: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if columns == 0 || fraction.is_nan() || fraction <= 0.0 {
        return String::new();
    }
    let eighths = (fraction.min(1.0) * columns as f64 * 8.0).round().max(1.0) as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(PARTIAL[eighths % 8]);
    bar
}

/// Columns that `spans` take.
pub fn spans_width(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_name_stays() {
        let name = "github.com/acme/shop/internal/orders.(*Service).Process";
        assert_eq!(function_name(name, 30), "…nal/orders.(*Service).Process");
        assert_eq!(width(&function_name(name, 30)), 30);
        assert_eq!(function_name(name, 200), name);
        assert_eq!(function_name(name, 1), "…");
        assert_eq!(function_name(name, 0), "");
    }

    #[test]
    fn parameters_go_first() {
        let name = "shop::Order::total(std::vector<int> const&, int) const";
        assert_eq!(function_name(name, 40), "shop::Order::total(…)");
        assert_eq!(function_name(name, 12), "…r::total(…)");
        assert_eq!(function_name("operator()()", 8), "…tor()()");
    }

    #[test]
    fn wide_characters_are_not_split() {
        assert_eq!(keep_end("包裹::処理する", 7), "…理する");
        assert_eq!(width(&keep_end("包裹::処理する", 6)), 5);
        assert_eq!(keep_start("包裹::処理する", 6), "包裹:…");
        assert_eq!(keep_start("abc", 3), "abc");
    }

    #[test]
    fn sources_keep_two_elements() {
        assert_eq!(source("/src/shop/orders.go", Some(7)), "shop/orders.go:7");
        assert_eq!(source("orders.go", None), "orders.go");
    }

    #[test]
    fn bars_show_the_smallest_share() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(1e-9, 10), "▏");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(7.0, 3), "███");
        assert_eq!(bar(f64::NAN, 3), "");
    }
}
