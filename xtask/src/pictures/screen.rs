//! A terminal screen as SVG.

use std::{fmt::Write as _, num::NonZero};

use vt100::{Cell, Color, Parser};

/// Width and height of a cell, and the size of its text, in SVG units.
const CELL: (f64, f64) = (8.4, 17.0);
const FONT_SIZE: f64 = 14.0;
const MARGIN: f64 = 12.0;
const FOREGROUND: &str = "#d4d7dd";
const BACKGROUND: &str = "#14161a";
const PALETTE: [&str; 16] = [
    "#1c1f24", "#e5646b", "#7fc48a", "#e0b45c", "#6ea8e6", "#c18ae0", "#5fc3c7", "#d4d7dd",
    "#6b7280", "#f0868c", "#9fd9a8", "#efcb85", "#94c1f0", "#d5aeec", "#8adadd", "#f5f6f8",
];

/// Draws text with escape sequences, one line a row.
pub fn to_svg(text: &str, rows: NonZero<u16>, columns: NonZero<u16>) -> String {
    let mut parser = Parser::new(rows, columns, 0);
    parser.process(text.trim_end_matches('\n').replace('\n', "\r\n").as_bytes());
    let screen = parser.screen();
    let (rows, columns) = (rows.get(), columns.get());
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(rows) * CELL.1 + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" \
         font-size=\"{FONT_SIZE}\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(first) = screen.cell(row, column) else {
                break;
            };
            let style = Style::of(first);
            let start = column;
            let mut run = String::new();
            while let Some(cell) = screen
                .cell(row, column)
                .filter(|cell| Style::of(cell) == style)
            {
                run.push_str(if cell.has_contents() {
                    cell.contents()
                } else {
                    " "
                });
                column += 1;
            }
            style.draw(&mut svg, &run, (row, start, column - start));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[derive(PartialEq)]
struct Style {
    foreground: String,
    background: Option<String>,
    bold: bool,
    dim: bool,
}

impl Style {
    fn of(cell: &Cell) -> Self {
        let (mut foreground, mut background) = (color(cell.fgcolor()), color(cell.bgcolor()));
        if cell.inverse() {
            (foreground, background) = (
                Some(background.unwrap_or_else(|| BACKGROUND.to_owned())),
                Some(foreground.unwrap_or_else(|| FOREGROUND.to_owned())),
            );
        }
        Self {
            foreground: foreground.unwrap_or_else(|| FOREGROUND.to_owned()),
            background,
            bold: cell.bold(),
            dim: cell.dim(),
        }
    }

    fn draw(&self, svg: &mut String, text: &str, (row, column, columns): (u16, u16, u16)) {
        let x = MARGIN + f64::from(column) * CELL.0;
        let y = MARGIN + f64::from(row) * CELL.1;
        let width = f64::from(columns) * CELL.0;
        if let Some(background) = &self.background {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{background}\"/>",
                CELL.1
            );
        }
        if text.trim().is_empty() {
            return;
        }
        let escaped = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            // Renderers collapse plain spaces, and stretch what is left.
            .replace(' ', "\u{a0}");
        let bold = if self.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        let dim = if self.dim { " opacity=\"0.6\"" } else { "" };
        let baseline = y + CELL.1 * 0.78;
        // A fixed length keeps columns aligned whatever font the reader has.
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{baseline:.1}\" fill=\"{}\" textLength=\"{width:.1}\" \
             lengthAdjust=\"spacingAndGlyphs\"{bold}{dim}>{escaped}</text>",
            self.foreground
        );
    }
}

fn color(color: Color) -> Option<String> {
    match color {
        Color::Default => None,
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Idx(index) => Some(indexed(index)),
    }
}

/// The usual 256 colours: 16 named, a cube of 216, a ramp of 24.
fn indexed(index: u8) -> String {
    match index {
        0..=15 => PALETTE[usize::from(index)].to_owned(),
        16..=231 => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let cube = index - 16;
            let (red, green, blue) = (cube / 36, cube / 6 % 6, cube % 6);
            format!("#{:02x}{:02x}{:02x}", level(red), level(green), level(blue))
        }
        232..=255 => {
            let gray = 8 + 10 * (index - 232);
            format!("#{gray:02x}{gray:02x}{gray:02x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_colour_and_escapes() {
        let [Some(rows), Some(columns)] = [NonZero::new(2), NonZero::new(20)] else {
            unreachable!("constants");
        };
        let svg = to_svg(
            "\u{1b}[1;31ma<b\u{1b}[0m plain\n\u{1b}[7minverse\u{1b}[0m",
            rows,
            columns,
        );
        assert!(
            svg.contains(">a&lt;b</text>") && svg.contains(PALETTE[1]),
            "{svg}"
        );
        assert!(svg.contains("font-weight=\"bold\""));
        assert!(svg.contains(&format!("fill=\"{FOREGROUND}\"/>")), "{svg}");
        assert_eq!(indexed(196), "#ff0000");
        assert_eq!(indexed(255), "#eeeeee");
    }
}
