//! Colours and characters that this terminal can show.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

use super::parts::Part;
use crate::query::Wait;

/// What the terminal can show. Only the 16 named colours are used: they are the ones a user has
/// matched to a dark or light background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    color: bool,
    unicode: bool,
}

#[allow(
    clippy::unused_self,
    reason = "views ask the theme for every style, also for those that are the same in all themes"
)]
impl Theme {
    /// A theme with or without colours and characters beyond ASCII.
    #[cfg(test)]
    pub const fn new(color: bool, unicode: bool) -> Self {
        Self { color, unicode }
    }

    /// Reads `NO_COLOR` and the locale variables by `get`.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| get(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        Self {
            color: set("NO_COLOR").is_none(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    fn ink(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    /// Text that may be overlooked.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Text to read first.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Bars and columns.
    pub fn bar(self) -> Style {
        self.ink(Color::Cyan)
    }

    /// A second kind of bar beside the first.
    pub fn second_bar(self) -> Style {
        self.ink(Color::Magenta)
    }

    /// A part of a bar, by its place in the legend.
    pub fn part(self, part: Part) -> Style {
        match part {
            Part::OnCpu => self.ink(Color::Green),
            Part::Runnable => self.ink(Color::Yellow),
            Part::Unattributed => self.dim(),
            Part::Blocked(wait) => self.ink(match wait {
                Wait::Lock => Color::Red,
                Wait::Io => Color::Blue,
                Wait::Sleep => Color::Gray,
                Wait::Channel => Color::Magenta,
                Wait::Network => Color::Cyan,
                Wait::Events => Color::LightBlue,
                Wait::Gc => Color::LightRed,
                Wait::Child => Color::LightMagenta,
                Wait::Await => Color::LightGreen,
                Wait::Other => Color::LightCyan,
            }),
        }
    }

    /// The selected row of the focused pane.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The selected row of a pane without focus.
    pub fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What the filter matched.
    pub fn matched(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::UNDERLINED)
    }

    /// Keys in the footer and the help.
    pub fn key(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.ink(Color::Green).add_modifier(Modifier::BOLD)
    }

    /// A badge that wants attention. Black on yellow can be read on any background.
    pub fn warning(self) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(Color::Yellow)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Something failed.
    pub fn bad(self) -> Style {
        self.ink(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Whether there are colours.
    pub const fn has_color(self) -> bool {
        self.color
    }

    fn block(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(color)
        } else {
            Style::new()
        }
    }

    /// A frame of a flame graph. Black can be read on all of these.
    pub fn flame(self, shade: usize) -> Style {
        const SHADES: [Color; 3] = [Color::Yellow, Color::LightRed, Color::LightYellow];
        self.block(SHADES[shade % SHADES.len()])
    }

    /// Kernel code in a flame graph.
    pub fn flame_kernel(self) -> Style {
        self.block(Color::LightBlue)
    }

    /// All that a flame graph shows.
    pub fn flame_root(self) -> Style {
        self.block(Color::Gray)
    }

    /// What is looked for in a flame graph.
    pub fn flame_match(self) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(Color::LightMagenta)
        } else {
            Style::new().add_modifier(Modifier::UNDERLINED)
        }
    }

    /// Replaces what an ASCII terminal cannot show.
    pub fn degrade(self, buffer: &mut Buffer) {
        if self.unicode {
            return;
        }
        for cell in &mut buffer.content {
            if !cell.symbol().is_ascii() {
                let replacement = ascii(cell.symbol());
                cell.set_symbol(replacement);
            }
        }
    }
}

/// The nearest ASCII to a symbol that the views use.
fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "█" | "▇" | "▆" | "▉" | "▊" | "▋" => "#",
        "▅" | "▄" | "▃" | "▌" | "▍" => "=",
        "▂" | "▁" => "_",
        "░" => ".",
        "▎" | "▏" => ":",
        "─" | "━" | "–" | "—" | "…" | "·" => "-",
        "│" | "┤" | "├" => "|",
        "▒" | "±" | "┬" | "┴" | "┼" | "╭" | "╮" | "╰" | "╯" | "└" | "┘" | "┌" | "┐" => {
            "+"
        }
        "µ" | "μ" => "u",
        "≈" => "~",
        "←" | "◂" => "<",
        "→" | "▸" | "›" => ">",
        "↑" | "▴" | "▲" => "^",
        "↓" | "▾" | "▼" => "v",
        "●" => "*",
        _ => "?",
    }
}
