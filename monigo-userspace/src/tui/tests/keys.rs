//! What keys do.

use ratatui::crossterm::event::{
    KeyCode::{self, Char},
    KeyEvent, KeyModifiers,
};

use super::fixture::{answer, answer_detail, few, function, many, press, screen, type_in};
use crate::query::Root;
use crate::tui::{
    input::{self, Change},
    state::{Column, Focus, Overlay, Span, Tab, Unit},
};

#[test]
fn the_selection_moves_and_stops_at_the_ends() {
    let mut app = few();
    assert_eq!(app.table.selected, Some(0));
    assert_eq!(press(&mut app, &[KeyCode::Up]), [Change::Nothing]);
    // By total time: 0, 1, 2, then 3 without calls.
    assert_eq!(press(&mut app, &[KeyCode::Down]), [Change::Detail]);
    assert_eq!(app.table.selected, Some(1));
    press(&mut app, &[KeyCode::End]);
    assert_eq!(app.table.selected, Some(3));
    press(&mut app, &[Char('k')]);
    assert_eq!(app.table.selected, Some(2));
    press(&mut app, &[KeyCode::Home]);
    assert_eq!(app.table.selected, Some(0));
}

#[test]
fn pages_follow_the_height_of_the_table() {
    let mut app = many();
    screen(&mut app, 80, 24);
    press(&mut app, &[KeyCode::PageDown]);
    let order = app.table.visible(&app.functions);
    let at = order
        .iter()
        .position(|&row| Some(app.functions[row].id) == app.table.selected);
    assert_eq!(at, Some(app.measured.table_rows - 1));
}

#[test]
fn the_selection_stays_with_its_function() {
    let mut app = few();
    press(&mut app, &[KeyCode::Down]);
    let mut rows = app.functions.clone();
    rows[1].latency_ns.total = u64::MAX / 4;
    answer(&mut app, rows);
    assert_eq!(app.table.selected, Some(1));
    assert_eq!(app.table.visible(&app.functions)[0], 1);
    // A function that is gone gives the selection to the first.
    answer(&mut app, vec![function(9, "other", 1, 1)]);
    assert_eq!(app.table.selected, Some(9));
}

#[test]
fn every_column_sorts() {
    let mut app = few();
    let mut seen = Vec::new();
    for _ in Column::ALL {
        press(&mut app, &[Char('>')]);
        seen.push(app.table.sort);
        let order = app.table.visible(&app.functions);
        press(&mut app, &[Char('r')]);
        let mut reversed = app.table.visible(&app.functions);
        reversed.reverse();
        assert_eq!(order, reversed, "{:?}", app.table.sort);
    }
    for column in Column::ALL {
        assert!(seen.contains(&column), "{column:?}");
    }
    press(&mut app, &[Char('n')]);
    let names: Vec<&str> = app
        .table
        .visible(&app.functions)
        .iter()
        .map(|&row| app.functions[row].name.as_str())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    press(&mut app, &[Char('<')]);
    assert_eq!(app.table.sort, Column::Share);
}

#[test]
fn the_filter_narrows_while_typing() {
    let mut app = few();
    press(&mut app, &[Char('/')]);
    type_in(&mut app, "PROC");
    assert_eq!(app.table.visible(&app.functions), [] as [usize; 0]);
    assert_eq!(app.table.selected, None);
    press(&mut app, &[KeyCode::Backspace; 4]);
    // `q` and `p` are letters here.
    type_in(&mut app, "proc");
    assert_eq!(app.table.visible(&app.functions), [0, 1]);
    type_in(&mut app, "esso");
    assert_eq!(app.table.visible(&app.functions), [0]);
    assert_eq!(app.table.selected, Some(0));
    press(&mut app, &[KeyCode::Enter]);
    assert!(!app.table.editing);
    assert_eq!(app.table.filter, "processo");
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!(app.table.filter, "");
    assert_eq!(app.table.visible(&app.functions).len(), 4);
}

#[test]
fn escape_and_backspace_leave_the_filter() {
    let mut app = few();
    type_in(&mut app, "/x");
    press(&mut app, &[KeyCode::Esc]);
    assert!(!app.table.editing && app.table.filter.is_empty());
    type_in(&mut app, "/x");
    press(&mut app, &[KeyCode::Backspace, KeyCode::Backspace]);
    assert!(!app.table.editing);
}

#[test]
fn tabs_go_in_a_circle() {
    let mut app = few();
    press(&mut app, &[KeyCode::Tab]);
    assert_eq!(app.detail.tab, Tab::Time);
    press(&mut app, &[KeyCode::BackTab, KeyCode::BackTab]);
    assert_eq!(app.detail.tab, Tab::Why);
    press(&mut app, &[KeyCode::BackTab, KeyCode::BackTab]);
    assert_eq!(app.detail.tab, Tab::Calls);
    press(&mut app, &[Char('3')]);
    assert_eq!(app.detail.tab, Tab::Stacks);
}

#[test]
fn a_call_has_a_story_and_a_cause_has_a_stack() {
    let mut app = few();
    press(&mut app, &[Char('4'), KeyCode::Enter]);
    assert_eq!(press(&mut app, &[Char('s')]), [Change::Story]);
    assert!(matches!(
        app.overlay,
        Some(Overlay::Story { story: None, .. })
    ));
    press(&mut app, &[KeyCode::Esc, Char('6')]);
    assert_eq!(press(&mut app, &[KeyCode::Enter]), [Change::Stack]);
    assert!(matches!(
        app.overlay,
        Some(Overlay::Stack { id: Some(7), .. })
    ));
}

#[test]
fn the_flame_graph_has_keys_of_its_own() {
    let mut app = few();
    press(&mut app, &[Char('5'), KeyCode::Enter, KeyCode::Down]);
    let pane = &app.detail.flame;
    assert_eq!(pane.at(), 1);
    press(&mut app, &[KeyCode::Down, KeyCode::Enter]);
    assert_eq!(app.detail.flame.zoomed(), app.detail.flame.at());
    // With the callers, and without them; that is another question.
    for root in [Root::Callers, Root::Function] {
        assert_eq!(press(&mut app, &[Char('c')]), [Change::Detail]);
        assert_eq!((app.detail.root(), app.detail.flame.zoomed()), (root, 0));
        answer_detail(&mut app);
    }
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    // The whole again, then out of the pane.
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!((app.detail.flame.zoomed(), app.focus), (0, Focus::Detail));
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!(app.focus, Focus::Table);
    // What is typed into the search is no key.
    press(&mut app, &[KeyCode::Enter]);
    type_in(&mut app, "sq?");
    assert_eq!(app.detail.flame.search, "q?");
    press(&mut app, &[KeyCode::Esc]);
    assert!(app.detail.flame.search.is_empty() && !app.detail.flame.editing);
}

#[test]
fn enter_goes_deeper_and_escape_comes_back() {
    let mut app = few();
    press(&mut app, &[Char('3'), KeyCode::Enter]);
    assert_eq!(app.focus, Focus::Detail);
    press(&mut app, &[KeyCode::Down]);
    assert_eq!(app.detail.cursor, 1);
    // Its frames are at hand.
    assert_eq!(press(&mut app, &[KeyCode::Enter]), [Change::Screen]);
    assert!(matches!(
        app.overlay,
        Some(Overlay::Stack { id: Some(8), .. })
    ));
    press(&mut app, &[KeyCode::Esc]);
    assert!(app.overlay.is_none());
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!(app.focus, Focus::Table);
}

#[test]
fn the_stack_of_a_call_is_asked_for() {
    let mut app = few();
    press(&mut app, &[Char('4'), KeyCode::Enter]);
    assert_eq!(press(&mut app, &[KeyCode::Enter]), [Change::Stack]);
    press(&mut app, &[KeyCode::Esc]);
    // The fourth call has no stack.
    press(&mut app, &[KeyCode::Down; 3]);
    assert_eq!(press(&mut app, &[KeyCode::Enter]), [Change::Screen]);
    assert!(screen(&mut app, 80, 24).contains("No stack was taken for this call."));
}

#[test]
fn the_window_and_the_weight_change_the_questions() {
    let mut app = few();
    assert_eq!(press(&mut app, &[Char('t')]), [Change::Everything]);
    assert_eq!(app.span, Span::TenSeconds);
    assert_eq!(press(&mut app, &[Char('m')]), [Change::Detail]);
    assert_eq!(app.detail.unit, Unit::Calls);
}

#[test]
fn leaving() {
    let mut app = few();
    assert_eq!(press(&mut app, &[Char('q')]), [Change::Quit]);
    let control_c = KeyEvent::new(Char('c'), KeyModifiers::CONTROL);
    assert_eq!(input::handle(&mut app, control_c), Change::Quit);
    // Also while typing, and over an overlay.
    type_in(&mut app, "/");
    assert_eq!(input::handle(&mut app, control_c), Change::Quit);
    press(&mut app, &[KeyCode::Esc, Char('?')]);
    assert_eq!(press(&mut app, &[Char('q')]), [Change::Screen]);
    assert!(app.overlay.is_none());
}

#[test]
fn long_overlays_scroll_to_their_end() {
    let mut app = few();
    press(&mut app, &[Char('?')]);
    screen(&mut app, 60, 15);
    press(&mut app, &[KeyCode::End]);
    let text = screen(&mut app, 60, 15);
    assert!(text.contains("begun earlier"), "{text}");
    press(&mut app, &[KeyCode::Home]);
    assert!(screen(&mut app, 60, 15).contains("PgUp"));
}
