//! `limpet run`: balances as a file says.
//!
//! Owns: the order of start and end, and what signals do. Never: a setting that does not come from the
//! file. Tested by the black-box suite.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::start::{self, Start};
use crate::control::plane::{self, ControlPlane};
use crate::control::runtime::Control;
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
    let control = Arc::clone(&start.control);
    let plane = runtime.block_on(ControlPlane::prepare(Arc::clone(&control)))?;
    let server = Server::start(start.control.published(), &start.process)?;
    let handle = server.handle();
    let admin_address = plane.admin_address();
    for (name, bound) in handle.addresses() {
        tracing::info!(listener = %name, address = %address(&bound), "listening");
    }
    if let Some(address) = admin_address {
        tracing::info!(%address, "the admin API and the console are served");
    }
    tracing::info!(shards = handle.shard_count(), engine = handle.engine().name(), "ready");
    runtime.spawn(service::watch());
    service::ready("balancing");
    let ready_file = std::env::var_os(READY_FILE).map(PathBuf::from);
    if let Some(path) = &ready_file {
        write_ready_file(path, &handle, admin_address)?;
    }
    let after_change = move |handle: &Handle| {
        if let Some(path) = &ready_file
            && let Err(error) = write_ready_file(path, handle, admin_address)
        {
            tracing::warn!(%error, "{READY_FILE} cannot be written");
        }
    };
    let end = signals.until_end(&control, &handle);
    runtime.block_on(plane.run(handle.clone(), Vec::new(), Box::new(after_change), end));
    stop(&runtime, &mut signals, server, control.file().process.grace_period);
    Ok(())
}

/// Lets what is in flight finish, until the grace period is over or another signal comes.
fn stop(runtime: &tokio::runtime::Runtime, signals: &mut Signals, server: Server, grace: Duration) {
    let connections = server.handle().connections();
    tracing::info!(connections, ?grace, "stopping; a second signal ends at once");
    service::stopping("finishing requests in flight");
    let stopping = std::thread::spawn(move || server.shutdown(grace));
    let is_finished = runtime.block_on(async {
        loop {
            if stopping.is_finished() {
                return true;
            }
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                () = signals.next_end() => return false,
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
}

fn address(bound: &Bind) -> String {
    match bound {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Written beside its name and renamed, so that a reader never sees half of it.
fn write_ready_file(path: &Path, handle: &Handle, admin: Option<SocketAddr>) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = std::fs::File::create(&unfinished)?;
    for (name, bound) in handle.addresses() {
        writeln!(file, "{name} {}", address(&bound))?;
    }
    if let Some(admin) = admin {
        // No listener can have this name.
        writeln!(file, "@admin {admin}")?;
    }
    drop(file);
    std::fs::rename(unfinished, path)
}

/// SIGTERM and SIGINT end limpet, SIGHUP loads the file again, SIGUSR1 opens the logs anew; SIGUSR2, to
/// which other servers give a meaning, is put up with.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Does what signals ask for, until one asks for the end.
    async fn until_end(&mut self, control: &Arc<Control>, handle: &Handle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => plane::reload(control, "SIGHUP").await,
                _ = self.user_1.recv() => reopen_logs(control, handle),
                _ = self.user_2.recv() => {
                    tracing::warn!("SIGUSR2 means nothing to limpet; SIGTERM ends it");
                }
            }
        }
    }

    /// The next signal that asks for the end.
    async fn next_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What cannot be opened anew is warned of, and stays as it is.
fn reopen_logs(control: &Control, handle: &Handle) {
    if let Err(error) = control.reopen_audit() {
        tracing::warn!(%error, "the audit log cannot be opened anew");
    }
    if handle.reopen_log().is_ok() {
        tracing::info!("the access log is opened anew");
    }
}
