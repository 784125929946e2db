//! `limpet run`: balances as a file says.
//!
//! Owns: the order of start and end, and what signals do. Never: a setting that does not come from the
//! file. Tested by the black-box suite.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::start::{self, Start};
use crate::control::session_watch;
use crate::service;
use crate::shard::{Handle, Server};
use crate::snapshot::Bind;

/// Names a file that is written when every shard accepts: one line `name address` for each listener.
const READY_FILE: &str = "LIMPET_READY_FILE";

/// Runs until a signal ends it.
pub fn run(config: &Path) -> ExitCode {
    let start = match start::from_file(config) {
        Ok(start) => start,
        Err(error) => {
            eprintln!("{error}");
            return error.exit_code();
        }
    };
    match serve(&start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limpet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(start: &Start) -> Result<(), Box<dyn std::error::Error>> {
    // Signals are caught before anything accepts, so that none of them is ever lost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let mut signals = Signals::catch()?;
    let server = Server::start(start.control.published(), &start.process)?;
    let handle = server.handle();
    for (name, bound) in handle.addresses() {
        tracing::info!(listener = %name, address = %address(&bound), "listening");
    }
    tracing::info!(shards = handle.shard_count(), engine = handle.engine().name(), "ready");
    signals.handle = Some(handle.clone());
    runtime.spawn(service::watch());
    service::ready("balancing");
    if let Some(path) = std::env::var_os(READY_FILE) {
        write_ready_file(Path::new(&path), &handle)?;
    }
    runtime.block_on(async {
        loop {
            let pause = tokio::time::sleep(session_watch::EVERY);
            tokio::select! {
                () = signals.next() => break,
                () = pause => session_watch::log_new(&start.control.snapshot()),
            }
        }
    });
    let grace = start.process.grace_period;
    tracing::info!(
        connections = handle.connections(),
        ?grace,
        "stopping; a second signal ends at once"
    );
    service::stopping("finishing requests in flight");
    let stopping = std::thread::spawn(move || server.shutdown(grace));
    let is_finished = runtime.block_on(async {
        loop {
            if stopping.is_finished() {
                return true;
            }
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                () = signals.next() => return false,
                () = pause => {}
            }
        }
    });
    if !is_finished {
        tracing::warn!("ended at once by a second signal");
        std::process::exit(0);
    }
    if stopping.join().is_ok_and(|finished| !finished) {
        tracing::warn!("the grace period is over; what was still in flight was cut off");
    }
    Ok(())
}

fn address(bound: &Bind) -> String {
    match bound {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Written beside its name and renamed, so that a reader never sees half of it.
fn write_ready_file(path: &Path, handle: &Handle) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = std::fs::File::create(&unfinished)?;
    for (name, bound) in handle.addresses() {
        writeln!(file, "{name} {}", address(&bound))?;
    }
    drop(file);
    std::fs::rename(unfinished, path)
}

/// SIGTERM and SIGINT end limpet; signals that other servers give a meaning are put up with.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    /// Whose log SIGUSR1 opens anew.
    handle: Option<Handle>,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            handle: None,
        })
    }

    /// What cannot be opened anew has been warned of.
    fn reopen_log(&self) {
        if let Some(Ok(())) = self.handle.as_ref().map(Handle::reopen_log) {
            tracing::info!("the access log is opened anew");
        }
    }

    /// The next signal that asks for the end.
    async fn next(&mut self) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => "SIGHUP",
                _ = self.user_1.recv() => {
                    self.reopen_log();
                    continue;
                }
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::warn!("{name} means nothing to limpet; SIGTERM ends it");
        }
    }
}
