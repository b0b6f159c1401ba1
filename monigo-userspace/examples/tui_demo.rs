//! The terminal view over made-up measurements that move: to look at it, and to test it in a
//! pseudo-terminal.
//!
//! `cargo run --example tui_demo -- [few|one|many|silent|ended|slow|failing|panic|panic-elsewhere]`

mod made_up;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use monigo::{
    query::QueryError,
    tui::{self, Phase, Status, TuiContext},
};
use tokio::sync::watch;

use self::made_up::{MadeUp, Plan, Recording, SAMPLE_EVERY, Shape};

const FLUSH: Duration = Duration::from_millis(500);
const PAST: Duration = Duration::from_secs(90);
/// Flushes after which what is to go wrong does.
const TROUBLE: usize = 3;
/// As long and as wide as names of real programs.
const NAMES: [&str; 8] = [
    "main.processOrder",
    "github.com/acme/shop/internal/orders.(*Service).Process",
    "github.com/acme/shop/internal/orders.(*Service).Validate",
    "github.com/acme/shop/internal/payment.(*Client).Charge",
    "github.com/acme/shop/internal/stock.Map[go.shape.int].Reserve",
    "main.main.func1",
    "shop::Cart::total(std::vector<shop::Item, std::allocator<shop::Item>> const&, int) const",
    "包裹::路由::選擇最近的倉庫",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scene = std::env::args().nth(1).unwrap_or_else(|| "few".to_owned());
    let is = |name: &str| scene == name;
    let functions = match scene.as_str() {
        "many" => 300,
        "one" => 1,
        _ => 4,
    };
    let recording = Arc::new(Recording::new(Plan {
        shapes: (0..functions).map(shape).collect(),
        flush: FLUSH,
        past: PAST,
        empty: is("silent"),
        before_overview: match scene.as_str() {
            "slow" => |_| {
                thread::sleep(Duration::from_secs(5));
                Ok(())
            },
            "failing" => |flushes| {
                let past = (PAST.as_nanos() / FLUSH.as_nanos()) as usize;
                if flushes > past + 2 * TROUBLE {
                    return Err(QueryError::Store("disk full".to_owned()));
                }
                Ok(())
            },
            _ => |_| Ok(()),
        },
    }));
    let (updates, receiver) = watch::channel(0);
    let (phase_sender, phase) = watch::channel(Phase::Recording);
    if is("ended") {
        recording.end();
        phase_sender.send(Phase::Ended("the target exited".to_owned()))?;
    }
    let doomed = Arc::new(AtomicBool::new(false));
    let producer = {
        let (recording, doomed) = (Arc::clone(&recording), Arc::clone(&doomed));
        let (over, panics, panics_elsewhere) = (is("ended"), is("panic"), is("panic-elsewhere"));
        move || {
            for flushes in 1.. {
                thread::sleep(FLUSH);
                if !over {
                    recording.flush();
                }
                let time_has_come = flushes >= TROUBLE as u64;
                doomed.store(panics && time_has_come, Ordering::Relaxed);
                assert!(
                    !(panics_elsewhere && time_has_come),
                    "a background thread failed on purpose"
                );
                if updates.send(flushes).is_err() {
                    return;
                }
            }
        }
    };
    thread::spawn(producer);
    let waiting = is("silent").then(|| "waiting for a process to start".to_owned());
    let context = TuiContext {
        service: Some(Arc::new(MadeUp {
            started_ns: recording.started_ns(),
            over: is("ended"),
        })),
        discoverer: None,
        updates: receiver,
        phase,
        status: Arc::new(move || {
            assert!(
                !doomed.load(Ordering::Relaxed),
                "the drawing thread failed on purpose"
            );
            Status {
                waiting: waiting.clone(),
                sample_every: Some(SAMPLE_EVERY),
                cost: Some("probes 1.3 µs a call, 0.8% of one CPU".to_owned()),
            }
        }),
    };
    let outcome = tui::run(recording, context)?;
    println!("left: {outcome:?}");
    Ok(())
}

/// The later ones are called less often, most of them for a shorter time.
fn shape(index: usize) -> Shape {
    Shape {
        name: NAMES.get(index).map_or_else(
            || {
                format!(
                    "github.com/acme/shop/internal/handlers/v{}.(*Handler{index}).ServeHTTP",
                    index % 7
                )
            },
            |name| (*name).to_owned(),
        ),
        file: format!("/src/shop/order{index}.go"),
        line: 42,
        rate: 1200.0 / (1.0 + index as f64 / 3.0),
        median_ns: 2e6 / (1.0 + (index % 9) as f64).powi(3),
        spread: 0.4,
    }
}
