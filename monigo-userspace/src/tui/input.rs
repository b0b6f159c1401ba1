//! Keys. Each changes the state and tells what has to be asked again.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{App, Column, FlamePane, Focus, Overlay, Step, Tab};
use crate::query::FunctionRow;

/// What a key changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// What is drawn of the data at hand.
    Screen,
    /// The selected function or what is shown of it.
    Detail,
    /// The window of all figures.
    Everything,
    /// A stack is to be looked up.
    Stack,
    /// What happened during a call is to be looked up.
    Story,
    /// Functions to trace are to be looked for.
    Discover,
    /// The selected function of the discovery is to be traced.
    Trace,
    /// The user wants to leave.
    Quit,
}

/// Does what `key` means now.
pub fn handle(app: &mut App, key: KeyEvent) -> Change {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && key.code == KeyCode::Char('c') {
        return Change::Quit;
    }
    if app.table.editing {
        return edit_filter(app, key.code, control);
    }
    if control {
        return Change::Nothing;
    }
    if app.overlay.is_some() {
        return overlay(app, key.code);
    }
    let in_flame = app.focus == Focus::Detail && app.detail.tab == Tab::Flame;
    if in_flame && let Some(change) = flame(&mut app.detail.flame, key.code) {
        return change;
    }
    anywhere(app, key.code)
        .or_else(|| match app.focus {
            Focus::Table => in_table(app, key.code),
            Focus::Detail => in_detail(app, key.code),
        })
        .unwrap_or(Change::Nothing)
}

/// How far a key scrolls: negative is up.
fn movement(code: KeyCode, page: usize) -> Option<isize> {
    let page = isize::try_from(page.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -page,
        KeyCode::PageDown => page,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return None,
    })
}

fn scroll(position: usize, by: isize, length: usize) -> usize {
    position
        .saturating_add_signed(by)
        .min(length.saturating_sub(1))
}

fn open(app: &mut App, overlay: Overlay) -> Change {
    let lookup = matches!(
        &overlay,
        Overlay::Stack {
            id: Some(_),
            frames: None,
            ..
        }
    );
    app.overlay = Some(overlay);
    app.overlay_scroll = 0;
    if lookup {
        Change::Stack
    } else if matches!(&app.overlay, Some(Overlay::Story { .. })) {
        Change::Story
    } else {
        Change::Screen
    }
}

fn anywhere(app: &mut App, code: KeyCode) -> Option<Change> {
    Some(match code {
        KeyCode::Char('q') => Change::Quit,
        KeyCode::Char('?') | KeyCode::F(1) => open(app, Overlay::Help),
        KeyCode::Char('w') => open(app, Overlay::Warnings),
        KeyCode::Char('i') if app.selected().is_some_and(FunctionRow::has_instances) => {
            open(app, Overlay::Instances)
        }
        KeyCode::Char('d') => {
            open(app, Overlay::Discovery);
            let fresh = app.discovery.ranking().is_none() && !app.discovery.state.running;
            if app.discovery.available && fresh {
                Change::Discover
            } else {
                Change::Screen
            }
        }
        KeyCode::Char('p' | ' ') => {
            app.toggle_pause();
            Change::Screen
        }
        KeyCode::Char('t') => {
            app.span = app.span.next();
            Change::Everything
        }
        KeyCode::Char('z') => {
            app.zoom = !app.zoom;
            Change::Detail
        }
        KeyCode::Char('/') => {
            app.table.editing = true;
            app.focus = Focus::Table;
            Change::Screen
        }
        KeyCode::Char('<' | ',') => {
            let column = app.table.sort.step(-1);
            app.table.sort_by(column);
            Change::Screen
        }
        KeyCode::Char('>' | '.') => {
            let column = app.table.sort.step(1);
            app.table.sort_by(column);
            Change::Screen
        }
        KeyCode::Char('r') => {
            app.table.descending = !app.table.descending;
            Change::Screen
        }
        KeyCode::Char('n') => {
            app.table.sort_by(Column::Name);
            Change::Screen
        }
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => open_tab(app, app.detail.tab.step(1)),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => {
            open_tab(app, app.detail.tab.step(-1))
        }
        KeyCode::Char(digit @ '1'..='6') => open_tab(app, Tab::ALL[digit as usize - '1' as usize]),
        KeyCode::Char('L') => {
            app.detail.log_bars = !app.detail.log_bars;
            Change::Screen
        }
        KeyCode::Char('m') => {
            app.detail.unit = app.detail.unit.next();
            app.detail.scroll_home();
            Change::Detail
        }
        _ => return None,
    })
}

fn open_tab(app: &mut App, tab: Tab) -> Change {
    app.detail.open(tab);
    if app.zoom {
        app.focus = Focus::Detail;
    }
    Change::Detail
}

fn in_table(app: &mut App, code: KeyCode) -> Option<Change> {
    if let Some(by) = movement(code, app.measured.table_rows) {
        if app.table.select_by(&app.functions, by) {
            app.detail.scroll_home();
            return Some(Change::Detail);
        }
        return Some(Change::Nothing);
    }
    match code {
        KeyCode::Enter if app.table.selected.is_some() => {
            app.focus = Focus::Detail;
            Some(Change::Detail)
        }
        KeyCode::Esc => {
            app.zoom = false;
            app.table.filter.clear();
            app.reselect();
            Some(Change::Detail)
        }
        _ => None,
    }
}

fn in_detail(app: &mut App, code: KeyCode) -> Option<Change> {
    match code {
        KeyCode::Esc | KeyCode::Backspace => {
            app.zoom = false;
            app.focus = Focus::Table;
            return Some(Change::Detail);
        }
        KeyCode::Enter => {
            return app
                .detail
                .overlay()
                .map(|overlay| open(app, overlay))
                .or(Some(Change::Nothing));
        }
        KeyCode::Char('s') if app.detail.tab == Tab::Calls => {
            return app
                .detail
                .story()
                .map(|overlay| open(app, overlay))
                .or(Some(Change::Nothing));
        }
        // In the stacks pane pages turn the frames: the list beside them is short.
        KeyCode::PageUp | KeyCode::PageDown if app.detail.tab == Tab::Stacks => {
            let by = movement(code, app.measured.frame_rows).unwrap_or(0);
            app.detail.frame_scroll = app.detail.frame_scroll.saturating_add_signed(by);
            return Some(Change::Screen);
        }
        _ => {}
    }
    let by = movement(code, app.measured.list_rows)?;
    let length = app.detail.list_len();
    let cursor = scroll(app.detail.cursor, by, length);
    if cursor == app.detail.cursor {
        return Some(Change::Nothing);
    }
    app.detail.cursor = cursor;
    app.detail.frame_scroll = 0;
    Some(Change::Screen)
}

/// Keys that mean something else in the flame graph.
fn flame(pane: &mut FlamePane, code: KeyCode) -> Option<Change> {
    if pane.editing {
        match code {
            KeyCode::Enter => pane.editing = false,
            KeyCode::Esc => {
                pane.editing = false;
                pane.search.clear();
            }
            KeyCode::Backspace => {
                pane.search.pop();
            }
            KeyCode::Char(character) => pane.search.push(character),
            _ => return Some(Change::Nothing),
        }
        return Some(Change::Screen);
    }
    let (out, inwards) = if pane.upwards {
        (Step::In, Step::Out)
    } else {
        (Step::Out, Step::In)
    };
    let step = match code {
        KeyCode::Up | KeyCode::Char('k') => Some(out),
        KeyCode::Down | KeyCode::Char('j') => Some(inwards),
        KeyCode::Left | KeyCode::Char('h') => Some(Step::Left),
        KeyCode::Right | KeyCode::Char('l') => Some(Step::Right),
        _ => None,
    };
    if let Some(step) = step {
        pane.step(step);
        return Some(Change::Screen);
    }
    match code {
        KeyCode::Enter => pane.zoom_in(),
        KeyCode::Home => pane.home(),
        KeyCode::Char('f') => pane.upwards = !pane.upwards,
        KeyCode::Char('c') => {
            pane.turn_to_callers();
            return Some(Change::Detail);
        }
        KeyCode::Char('s') => pane.editing = true,
        KeyCode::Char('n') if !pane.search.is_empty() => {
            pane.next_match();
        }
        KeyCode::Esc | KeyCode::Backspace if pane.zoom_out() => {}
        KeyCode::Esc | KeyCode::Backspace if !pane.search.is_empty() => pane.search.clear(),
        _ => return None,
    }
    Some(Change::Screen)
}

fn discovery(app: &mut App, code: KeyCode) -> Change {
    app.discovery.refused = None;
    if let Some(by) = movement(code, app.measured.overlay_rows) {
        let length = app.discovery.functions().len();
        app.discovery.selected = scroll(app.discovery.selected, by, length);
        return Change::Screen;
    }
    match code {
        KeyCode::Enter => Change::Trace,
        KeyCode::Char('d') if app.discovery.available && !app.discovery.state.running => {
            Change::Discover
        }
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Char('q') => {
            app.overlay = None;
            Change::Screen
        }
        _ => Change::Nothing,
    }
}

fn overlay(app: &mut App, code: KeyCode) -> Change {
    if matches!(app.overlay, Some(Overlay::Discovery)) {
        return discovery(app, code);
    }
    if let Some(by) = movement(code, app.measured.overlay_rows) {
        let last = app
            .measured
            .overlay_lines
            .saturating_sub(app.measured.overlay_rows);
        app.overlay_scroll = scroll(app.overlay_scroll, by, last + 1);
        return Change::Screen;
    }
    match code {
        KeyCode::Esc
        | KeyCode::Enter
        | KeyCode::Backspace
        | KeyCode::Char('q' | '?' | 'w' | 'i')
        | KeyCode::F(1) => {
            app.overlay = None;
            Change::Screen
        }
        KeyCode::Char('p' | ' ') => {
            app.toggle_pause();
            Change::Screen
        }
        _ => Change::Nothing,
    }
}

fn edit_filter(app: &mut App, code: KeyCode, control: bool) -> Change {
    match code {
        KeyCode::Enter => {
            app.table.editing = false;
            return Change::Screen;
        }
        KeyCode::Esc => {
            app.table.editing = false;
            app.table.filter.clear();
        }
        KeyCode::Backspace if app.table.filter.is_empty() => app.table.editing = false,
        KeyCode::Backspace => {
            app.table.filter.pop();
        }
        KeyCode::Char('u' | 'w') if control => app.table.filter.clear(),
        KeyCode::Char(character) if !control => app.table.filter.push(character),
        // The result can be looked through while typing.
        KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
            return in_table(app, code).unwrap_or(Change::Nothing);
        }
        _ => return Change::Nothing,
    }
    let before = app.table.selected;
    app.reselect();
    if app.table.selected == before {
        Change::Screen
    } else {
        Change::Detail
    }
}
