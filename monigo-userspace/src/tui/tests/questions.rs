//! What is asked when, and what becomes of the answers.

use std::{sync::Arc, time::Duration};

use ratatui::crossterm::event::KeyCode::{self, Char};

use super::fixture::{START_NS, asked, few, function, overview, press, screen, starting};
use crate::{
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame,
        FunctionRow, Heatmap, Overview, QueryError, Selection, SeriesPoint, Source, StackRow,
        Story, Table, Tail, TailQuestion, Window,
    },
    tui::{
        state::{Answer, App, DetailKey, Part, Parts},
        worker::Worker,
    },
};

fn done(app: &mut App, serial: u64) {
    app.accept(Answer::Done {
        serial,
        failed: false,
    });
}

#[test]
fn first_the_table_then_the_detail_of_its_first_row() {
    let mut app = starting();
    assert_eq!(asked(&mut app), Some(Parts::TABLE));
    assert_eq!(asked(&mut app), None, "one question at a time");
    app.accept(Answer::of_session(overview()));
    app.accept(Answer::Functions {
        span: app.span,
        rows: vec![function(5, "f", 1, 1)],
    });
    assert_eq!(asked(&mut app), None);
    done(&mut app, 1);
    let question = app.next_question().expect("the detail is missing");
    assert_eq!(question.parts, Parts::HISTOGRAM);
    assert_eq!(question.function, Some(5));
    done(&mut app, 2);
    assert_eq!(asked(&mut app), None);
}

#[test]
fn only_what_is_on_screen_is_asked() {
    let mut app = few();
    let _ = asked(&mut app);
    for (key, parts) in [
        ('1', Parts::HISTOGRAM),
        ('2', Parts::SERIES),
        ('3', Parts::STACKS),
        ('4', Parts::CALLS),
    ] {
        let mut app = few();
        let _ = asked(&mut app);
        done(&mut app, 1);
        press(&mut app, &[Char(key)]);
        app.flushed();
        assert_eq!(asked(&mut app), Some(Parts::TABLE | parts));
    }
    // On a wide screen both charts are.
    let mut app = few();
    screen(&mut app, 140, 40);
    app.flushed();
    let charts = Parts::HISTOGRAM | Parts::SERIES;
    assert_eq!(asked(&mut app), Some(Parts::TABLE | charts));
}

#[test]
fn a_paused_screen_asks_nothing_by_itself() {
    let mut app = few();
    let _ = asked(&mut app);
    done(&mut app, 1);
    press(&mut app, &[Char('p')]);
    app.flushed();
    assert_eq!(asked(&mut app), None);
    // What the user opens meanwhile ends where the picture stands.
    app.want_detail();
    let question = app.next_question().expect("nothing asked");
    let flushed = START_NS + 90_000_000_000;
    assert_eq!(question.window.to_ns, Some(flushed + 1));
    assert!(!question.parts.has(Parts::TABLE));
    done(&mut app, 2);
    press(&mut app, &[Char(' ')]);
    let question = app.next_question().expect("nothing asked");
    assert!(question.parts.has(Parts::TABLE));
    assert_eq!(question.window, Window::default());
}

#[test]
fn windows_end_at_the_last_flush() {
    let mut app = few();
    press(&mut app, &[Char('t')]);
    let flushed = START_NS + 90_000_000_000;
    assert_eq!(
        app.window(),
        Window {
            from_ns: Some(flushed + 1 - 10_000_000_000),
            to_ns: None
        }
    );
}

#[test]
fn answers_about_something_else_are_not_shown() {
    let mut app = few();
    let stale = DetailKey {
        function: 0,
        span: app.span,
        unit: app.detail.unit,
        root: app.detail.root(),
    };
    press(&mut app, &[KeyCode::Down]);
    app.accept(Answer::Part {
        key: stale,
        part: Part::Histogram(Vec::new()),
    });
    let current = DetailKey {
        function: 1,
        ..stale
    };
    assert!(app.detail.histogram(current).is_none());
    assert!(screen(&mut app, 80, 24).contains("reading…"));
    // A table over another window neither.
    press(&mut app, &[Char('t')]);
    app.accept(Answer::Functions {
        span: crate::tui::state::Span::All,
        rows: Vec::new(),
    });
    assert_eq!(app.functions.len(), 4);
}

#[test]
fn the_cursor_stays_on_its_call() {
    let mut app = few();
    press(&mut app, &[Char('4'), KeyCode::Enter]);
    let key = DetailKey {
        function: 0,
        span: app.span,
        unit: app.detail.unit,
        root: app.detail.root(),
    };
    let calls = app.detail.calls(key).expect("no calls").to_vec();
    let slower: Vec<Call> = std::iter::once(Call {
        start_ns: START_NS - 1,
        duration_ns: u64::MAX,
        ..calls[0].clone()
    })
    .chain(calls)
    .collect();
    let answer = || Answer::Part {
        key,
        part: Part::Calls(slower.clone()),
    };
    press(&mut app, &[KeyCode::Down, KeyCode::Down]);
    app.accept(answer());
    assert_eq!(app.detail.cursor, 3);
    // The top is the top.
    press(&mut app, &[KeyCode::Home]);
    app.accept(answer());
    assert_eq!(app.detail.cursor, 0);
}

#[test]
fn late_answers_are_pointed_out() {
    let mut app = few();
    app.flushed();
    assert!(app.next_question().is_some());
    assert_eq!(app.late(), None);
    app.now.monotonic += Duration::from_secs(5);
    assert!(screen(&mut app, 80, 24).contains("5.00 s behind"));
    done(&mut app, 1);
    assert_eq!(app.late(), None);
}

/// Answers every question with an error, except for the overview.
struct Broken;

impl Source for Broken {
    fn overview(&self) -> Result<Overview, QueryError> {
        Ok(overview())
    }
    fn functions(&self, _: Window) -> Result<Vec<FunctionRow>, QueryError> {
        Err(QueryError::Store("disk full".to_owned()))
    }
    fn breakdown(&self, _: Window) -> Result<Vec<Breakdown>, QueryError> {
        Ok(Vec::new())
    }
    fn histogram(&self, function: u32, _: Window) -> Result<Vec<Bucket>, QueryError> {
        Err(QueryError::UnknownFunction(function))
    }
    fn series(&self, _: Option<u32>, _: Window, _: u32) -> Result<Vec<SeriesPoint>, QueryError> {
        panic!("not asked for")
    }
    fn heatmap(&self, _: u32, _: Window, _: u32) -> Result<Heatmap, QueryError> {
        panic!("not asked for")
    }
    fn slowest(&self, _: &Selection, _: u32) -> Result<Vec<Call>, QueryError> {
        panic!("not asked for")
    }
    fn stacks(&self, _: &Selection, _: u32) -> Result<Vec<StackRow>, QueryError> {
        panic!("not asked for")
    }
    fn stack(&self, _: u64) -> Result<Vec<Frame>, QueryError> {
        panic!("not asked for")
    }
    fn flame(&self, _: &Selection) -> Result<FlameNode, QueryError> {
        panic!("not asked for")
    }
    fn tail(&self, _: &TailQuestion) -> Result<Tail, QueryError> {
        panic!("not asked for")
    }
    fn story(&self, _: CallKey) -> Result<Story, QueryError> {
        panic!("not asked for")
    }
    fn compare(&self, _: &CompareQuestion) -> Result<Comparison, QueryError> {
        panic!("not asked for")
    }
    fn sql(&self, _: &str, _: u32) -> Result<Table, QueryError> {
        panic!("not asked for")
    }
}

#[tokio::test]
async fn failures_are_shown_and_the_rest_goes_on() {
    let mut worker = Worker::start(Arc::new(Broken), None).expect("no thread");
    let mut app = few();
    app.flushed();
    worker
        .ask(app.next_question().expect("nothing asked"))
        .expect("no worker");
    let mut failures = Vec::new();
    loop {
        let answer = worker.answer().await.expect("no worker");
        if let Answer::Failed(reason) = &answer {
            failures.push(reason.clone());
        }
        let last = matches!(answer, Answer::Done { failed: true, .. });
        app.accept(answer);
        if last {
            break;
        }
    }
    assert_eq!(
        failures,
        [
            "reading the database failed: disk full",
            "no function with id 0 in this session"
        ]
    );
    let text = screen(&mut app, 80, 24);
    assert!(text.contains("reading failed"), "{text}");
    assert!(text.contains("main.processOrder"), "{text}");
    assert!(!app.is_silent());
}
