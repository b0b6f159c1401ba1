//! Ctrl-C and its relatives.

use crossbeam_channel::Sender;
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    cli::{interrupts, operation},
    collect::Command,
};

/// Exit status of a program ended by Ctrl-C, as shells report it.
const INTERRUPTED: i32 = 130;

/// The first SIGINT, SIGTERM or SIGHUP ends the recording with its summary, the next one ends
/// monigo as soon as no probe is being put in or taken out. The kernel removes what is left. One that
/// came before counts as the first.
///
/// If a hang-up is to have the configuration read again, `reload` says so.
pub fn stop_on_signal(runtime: &Handle, commands: &Sender<Command>, reload: bool) {
    let _guard = runtime.enter();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    for kind in kinds {
        match signal(kind) {
            Ok(stream) if reload && kind == SignalKind::hangup() => {
                runtime.spawn(reload_on(stream));
            }
            Ok(stream) => {
                runtime.spawn(watch(stream, commands.clone()));
            }
            Err(error) => tracing::warn!("signals cannot be handled: {error}"),
        }
    }
    if interrupts::ending() || (interrupts::hung_up() && !reload) {
        let _ = commands.send(Command::Stop);
    } else if interrupts::hung_up() {
        operation::ask_to_reload();
    }
}

async fn reload_on(mut signals: Signal) {
    while signals.recv().await.is_some() {
        operation::ask_to_reload();
    }
}

async fn watch(mut signals: Signal, commands: Sender<Command>) {
    let mut asked = false;
    while signals.recv().await.is_some() {
        if asked {
            // Not at once: probes that are being removed would stay.
            tokio::task::block_in_place(crate::probe::settle);
            std::process::exit(INTERRUPTED);
        }
        asked = true;
        // The collector may have ended already.
        let _ = commands.send(Command::Stop);
    }
}
