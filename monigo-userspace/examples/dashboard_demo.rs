//! Serves the dashboard over a made-up recording that keeps moving.
//!
//! `cargo run --example dashboard_demo -- --port 8080` needs no root and no target.

mod made_up;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use monigo::api::{self, Content, HttpSettings, LiveState, LiveStatus};
use tokio::sync::watch;

use self::made_up::{MadeUp, Plan, Recording, SAMPLE_EVERY, Shape};

/// Name, file, line, calls a second, median in ns, spread. The last is never called.
const SHAPES: [(&str, &str, u32, f64, f64, f64); 12] = [
    (
        "main.(*Service).ProcessOrder",
        "order/service.go",
        48,
        820.0,
        1.9e6,
        0.55,
    ),
    (
        "main.(*Service).chargeCard",
        "order/payment.go",
        112,
        790.0,
        9.4e5,
        0.7,
    ),
    (
        "main.(*Inventory).Reserve",
        "order/inventory.go",
        31,
        1640.0,
        1.2e5,
        0.8,
    ),
    (
        "main.(*Inventory).lockShelf",
        "order/inventory.go",
        77,
        3280.0,
        2.1e4,
        1.1,
    ),
    (
        "main.validateOrder",
        "order/validate.go",
        19,
        820.0,
        4.6e4,
        0.35,
    ),
    (
        "main.(*Cache[go.shape.string]).Get",
        "order/cache.go",
        22,
        12_400.0,
        410.0,
        0.5,
    ),
    ("main.priceOf", "order/price.go", 9, 5200.0, 880.0, 0.3),
    (
        "encoding/json.(*Decoder).Decode",
        "encoding/json/stream.go",
        49,
        820.0,
        3.1e4,
        0.4,
    ),
    (
        "main.(*Audit).append",
        "order/audit.go",
        64,
        815.0,
        1.4e4,
        1.4,
    ),
    (
        "main.sendConfirmation",
        "order/mail.go",
        15,
        12.0,
        4.8e7,
        0.5,
    ),
    (
        "main.(*Service).retryCharge",
        "order/payment.go",
        168,
        3.1,
        2.6e7,
        0.6,
    ),
    (
        "main.(*Service).rebuildIndex",
        "order/index.go",
        12,
        0.0,
        1.0e6,
        0.1,
    ),
];

/// A dashboard over made-up data.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Port; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A recording without a call, as right after attaching
    #[arg(long)]
    empty: bool,
    /// A recording that is over
    #[arg(long)]
    ended: bool,
    /// Milliseconds between flushes
    #[arg(long, default_value_t = 1000)]
    flush: u64,
    /// Seconds of made-up past
    #[arg(long, default_value_t = 300)]
    past: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let flush = Duration::from_millis(arguments.flush.max(50));
    let shape = |(name, file, line, rate, median_ns, spread): (&str, &str, _, _, _, _)| Shape {
        name: name.to_owned(),
        file: file.to_owned(),
        line,
        rate,
        median_ns,
        spread,
    };
    let recording = Arc::new(Recording::new(Plan {
        shapes: SHAPES.map(shape).into(),
        flush,
        past: Duration::from_secs(arguments.past),
        empty: arguments.empty,
        before_overview: |_| Ok(()),
    }));
    let (tick, flushes) = watch::channel(0_u64);
    let (_status_sender, status) = watch::channel(LiveStatus {
        text: if arguments.empty {
            "waiting for a process to start".to_owned()
        } else {
            format!("recording 1 call in {SAMPLE_EVERY}")
        },
        cost: "probes cost about 1.3% of one CPU, some counts are estimated (limit 5.0%)"
            .to_owned(),
        ended: arguments.ended,
        ..LiveStatus::default()
    });
    if arguments.ended {
        recording.end();
    } else {
        let recording = Arc::clone(&recording);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(flush);
            interval.tick().await;
            loop {
                interval.tick().await;
                recording.flush();
                tick.send_modify(|sequence| *sequence += 1);
            }
        });
    }
    let address = SocketAddr::new(arguments.listen, arguments.port);
    let service = MadeUp {
        started_ns: recording.started_ns(),
        over: arguments.ended,
    };
    let content = Content {
        service: Arc::new(service),
        source: recording,
        live: LiveState { flushes, status },
        discoverer: None,
    };
    let server = api::serve(api::bind(address)?, content, &HttpSettings::default())?;
    println!("{}", server.url());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
