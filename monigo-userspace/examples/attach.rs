//! A service that traces itself: exact counts and latency of its own function, without a change to it.
//!
//! `sudo target/debug/examples/attach`, then open <http://127.0.0.1:8080/>. Another program is traced the same way, by
//! its path, name or process id.

use std::{error::Error, hint::black_box};

use monigo::{Monigo, query::Window};

#[inline(never)]
fn process_order(id: u64) -> u64 {
    (0..black_box(100)).fold(id, |sum, item| sum.rotate_left(3) ^ item)
}

/// Traces this process from now on.
async fn trace() -> Result<Monigo, Box<dyn Error>> {
    let this = std::process::id().to_string();
    let build = || {
        Monigo::builder()
            .attach(this)
            .function("process_order")
            .build()
    };
    Ok(tokio::task::spawn_blocking(build).await??)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monigo = trace().await?;
    let server = monigo.serve()?;
    println!("{}", server.url());
    for id in 0..10_000 {
        black_box(process_order(id));
    }
    monigo.live().flushes.clone().changed().await?;
    for function in monigo.source().functions(Window::default())? {
        println!("{}: {} calls", function.name, function.calls);
    }
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use monigo::embed::{AttachError, BuildError};

    use super::*;

    /// Needs root.
    #[tokio::test]
    async fn every_call_is_counted() {
        let monigo = trace().await.unwrap();
        for id in 0..1_000 {
            black_box(process_order(id));
        }
        let mut flushes = monigo.live().flushes.clone();
        for _ in 0..20 {
            flushes.changed().await.unwrap();
            let functions = monigo.source().functions(Window::default()).unwrap();
            if functions[0].calls == 1_000 {
                break;
            }
        }
        let functions = monigo.source().functions(Window::default()).unwrap();
        assert_eq!((functions[0].calls, functions[0].unwound), (1_000, 0));
        assert!(functions[0].name.ends_with("process_order"));
        let info = monigo.service().info();
        assert_eq!(info.process_id, Some(std::process::id()));
        tokio::task::spawn_blocking(move || drop(monigo))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn mistakes_have_types() {
        let build = |target: &str, function: &str| {
            let builder = Monigo::builder().attach(target).function(function);
            tokio::task::spawn_blocking(move || builder.build())
        };
        let error = build("/nonexistent/app", "f").await.unwrap().err();
        assert!(matches!(
            error,
            Some(BuildError::Attach { reason, .. }) if matches!(*reason, AttachError::Target(_))
        ));
        let this = std::process::id().to_string();
        let error = build(&this, "no_such_function").await.unwrap().err();
        let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("no_such_function"), "{text}");
        assert!(matches!(
            error,
            Some(BuildError::Attach { reason, .. }) if matches!(*reason, AttachError::Function(_))
        ));
    }
}
