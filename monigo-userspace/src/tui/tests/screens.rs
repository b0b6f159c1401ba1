//! What each screen looks like, at the least comfortable size and at a wide one.

use ratatui::crossterm::event::KeyCode;

use super::fixture::{
    answer_detail, few, function, instances, loaded, many, metrics, press, screen, screen_with,
    server_frames, starting, type_in, uncertain,
};
use crate::tui::{
    Phase,
    state::{Answer, App, Tab},
    view::Theme,
};

/// Compares a screen at 80×24 and at 140×40.
fn compare(name: &str, make: impl FnMut() -> App) {
    compare_at(&[(80, 24), (140, 40)], name, make);
}

fn compare_at(sizes: &[(u16, u16)], name: &str, mut make: impl FnMut() -> App) {
    for &(columns, rows) in sizes {
        let text = screen(&mut make(), columns, rows);
        for line in text.lines() {
            let width = unicode_width::UnicodeWidthStr::width(line);
            assert!(width <= columns.into(), "{width} columns: {line}");
        }
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), text);
    }
}

fn tab(tab: Tab) -> App {
    let mut app = few();
    app.detail.open(tab);
    app
}

#[test]
fn latency() {
    compare("latency", few);
}

#[test]
fn health() {
    for (name, breach) in [("health", false), ("health_breached", true)] {
        compare_at(&[(60, 15), (80, 24), (120, 36)], name, || {
            let mut app = few();
            app.accept(Answer::Metrics(metrics(breach)));
            app
        });
    }
}

#[test]
fn time() {
    compare("time", || tab(Tab::Time));
}

#[test]
fn stacks() {
    compare("stacks", || {
        let mut app = tab(Tab::Stacks);
        press(&mut app, &[KeyCode::Enter, KeyCode::Down]);
        app
    });
}

#[test]
fn flame() {
    compare("flame", || {
        let mut app = tab(Tab::Flame);
        let deeper = [KeyCode::Enter, KeyCode::Down, KeyCode::Down, KeyCode::Down];
        press(&mut app, &deeper);
        app
    });
    compare_at(&[(80, 24)], "flame_searched", || {
        let mut app = tab(Tab::Flame);
        press(&mut app, &[KeyCode::Enter]);
        type_in(&mut app, "slock");
        press(&mut app, &[KeyCode::Enter]);
        type_in(&mut app, "nf");
        press(&mut app, &[KeyCode::Enter]);
        app
    });
}

#[test]
fn why() {
    compare("why", || {
        let mut app = tab(Tab::Why);
        press(&mut app, &[KeyCode::Enter, KeyCode::Down]);
        app
    });
}

#[test]
fn calls() {
    compare("calls", || tab(Tab::Calls));
}

#[test]
fn stack_of_a_call() {
    compare("stack_of_a_call", || {
        let mut app = tab(Tab::Calls);
        press(&mut app, &[KeyCode::Enter, KeyCode::Down, KeyCode::Enter]);
        app.accept(Answer::Stack {
            id: 7,
            frames: server_frames(),
        });
        app
    });
}

#[test]
fn instances_of_a_function() {
    compare("instances", || {
        let mut app = instances();
        press(&mut app, &[KeyCode::Char('i')]);
        app
    });
    // The other function has none.
    let mut app = instances();
    press(&mut app, &[KeyCode::Down, KeyCode::Char('i')]);
    assert!(app.overlay.is_none());
}

#[test]
fn many_functions_and_long_names() {
    compare("many", many);
}

#[test]
fn uncertain_figures() {
    compare_at(&[(80, 24), (100, 24), (120, 36)], "uncertain", uncertain);
    for (down, name) in [(1, "partly_timed"), (2, "below_floor"), (4, "counted_only")] {
        let mut app = uncertain();
        app.table.sort_by(crate::tui::state::Column::Calls);
        press(&mut app, &[KeyCode::Up; 9]);
        press(&mut app, &vec![KeyCode::Down; down]);
        answer_detail(&mut app);
        insta::assert_snapshot!(name, screen(&mut app, 120, 24));
    }
}

#[test]
fn the_column_of_self_time_can_be_sorted_by() {
    let mut app = uncertain();
    assert!(!screen(&mut app, 80, 24).contains("self"));
    // It is to the right of the total.
    press(&mut app, &[KeyCode::Char('>')]);
    let text = screen(&mut app, 80, 24);
    assert!(text.contains("self▼"), "{text}");
    let mut app = few();
    assert!(
        !screen(&mut app, 200, 24).contains("self"),
        "self is the total"
    );
}

#[test]
fn filter() {
    compare("filter", || {
        let mut app = many();
        press(&mut app, &[KeyCode::Char('/')]);
        type_in(&mut app, "handler1");
        answer_detail(&mut app);
        app
    });
}

#[test]
fn help() {
    compare("help", || {
        let mut app = few();
        press(&mut app, &[KeyCode::Char('?')]);
        app
    });
}

#[test]
fn warnings() {
    compare("warnings", || {
        let mut app = few();
        app.panics = vec!["panicked at api.rs:1:1:\nno such thing".to_owned()];
        app.accept(Answer::Failed(
            "reading the database failed: disk full".to_owned(),
        ));
        press(&mut app, &[KeyCode::Char('w')]);
        app
    });
}

#[test]
fn paused() {
    compare("paused", || {
        let mut app = few();
        press(&mut app, &[KeyCode::Char('p')]);
        app
    });
}

#[test]
fn ended() {
    compare("ended", || {
        let mut app = few();
        app.phase = Phase::Ended("the target exited".to_owned());
        app
    });
}

#[test]
fn waiting_for_the_first_call() {
    compare("silent", || {
        let mut app = loaded(vec![function(0, "main.processOrder", 0, 0)]);
        app.status.waiting = Some("waiting for a process to start".to_owned());
        app
    });
}

#[test]
fn nothing_answered_yet() {
    compare("starting", starting);
}

#[test]
fn too_small() {
    insta::assert_snapshot!("too_small", screen(&mut few(), 59, 14));
    // Whatever the size, drawing does not fail.
    for columns in [1, 2, 20, 59, 60, 61, 79, 109, 110, 139, 140, 250] {
        for rows in [1, 2, 3, 7, 14, 15, 16, 24] {
            for tab in Tab::ALL {
                let mut app = many();
                app.detail.open(tab);
                screen(&mut app, columns, rows);
            }
        }
    }
}

#[test]
fn the_least_size_is_usable() {
    insta::assert_snapshot!("least", screen(&mut few(), 60, 15));
}

#[test]
fn zoom_gives_one_pane_the_screen() {
    let mut app = many();
    press(&mut app, &[KeyCode::Char('z')]);
    insta::assert_snapshot!("zoomed_table", screen(&mut app, 80, 24));
    press(&mut app, &[KeyCode::Enter]);
    insta::assert_snapshot!("zoomed_detail", screen(&mut app, 80, 24));
}

#[test]
fn ascii_terminals_get_ascii() {
    for open in Tab::ALL {
        let mut app = tab(open);
        let text = screen_with(&mut app, 80, 24, Theme::new(false, false));
        assert!(text.is_ascii(), "{text}");
        if open == Tab::Latency {
            insta::assert_snapshot!("ascii", text);
        }
    }
}

#[test]
fn the_environment_decides_on_colours_and_characters() {
    let theme = |set: &'static [(&str, &str)]| {
        Theme::from_environment(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(theme(&[]), Theme::new(true, false));
    assert_eq!(theme(&[("LANG", "en_US.UTF-8")]), Theme::new(true, true));
    assert_eq!(theme(&[("LC_CTYPE", "C.utf8")]), Theme::new(true, true));
    assert_eq!(
        theme(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]),
        Theme::new(true, false)
    );
    assert_eq!(
        theme(&[("NO_COLOR", "1"), ("LANG", "C.UTF-8")]),
        Theme::new(false, true)
    );
    assert_eq!(theme(&[("NO_COLOR", "")]), Theme::new(true, false));
}

#[test]
fn no_color_means_no_color() {
    use ratatui::{Terminal, backend::TestBackend, style::Color};

    let mut app = few();
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("infallible");
    let mut colors = |theme| {
        let frame = terminal
            .draw(|frame| crate::tui::view::draw(frame, &mut app, theme))
            .expect("infallible");
        frame
            .buffer
            .content
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(!colors(Theme::new(false, true)));
    assert!(colors(Theme::new(true, true)));
}
