//! Serves the dashboard over a made-up recording that keeps moving.
//!
//! `cargo run --example dashboard_demo -- --port 8080` needs no root and no target. The browser
//! tests run against it.

mod fake;
mod over_time;
mod service;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use monigo::api::{self, Content, HttpSettings, LiveState, LiveStatus};
use tokio::sync::watch;

use self::{fake::Recording, service::MadeUp};

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
    past: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let flush = Duration::from_millis(arguments.flush.max(50));
    let past = if arguments.empty { 0 } else { arguments.past };
    let recording = Arc::new(Recording::new(flush, past, arguments.empty));
    let (tick, flushes) = watch::channel(0_u64);
    let (_status_sender, status) = watch::channel(LiveStatus {
        text: if arguments.empty {
            "waiting for a process to start".to_owned()
        } else {
            "recording 1 call in 64".to_owned()
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
