//! `limpet run`: balances as a file says.
//!
//! Owns the order of start and end. All settings come from the file. Tested by the black-box suite.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::server;
use super::signals::{Caught, Signals};
use super::start::{self, Start};
use crate::control::plane::ControlPlane;
use crate::service;
use crate::shard::server::{Server, StartError};
use crate::shard::{Ended, Handle};
use crate::snapshot::{Bind, ProcessOptions, Published};

/// Names a file that is written when every shard accepts: one line `name address` for each listener.
const READY_FILE: &str = "LIMPET_READY_FILE";

/// How long requests on the other shards may take to finish when one has failed: meanwhile, new connections to the
/// missing shard are refused or wait in vain.
const GRACE_OF_A_FAILURE: Duration = Duration::from_secs(2);

/// The cause of a failed start or run.
type Failure = Box<dyn std::error::Error>;

/// Runs until a signal ends it. `caught`: the signals, which are caught before anything else.
pub fn run(config: &Path, caught: io::Result<Caught>) -> ExitCode {
    let started = caught.map_err(|error| {
        eprintln!("limpet: signals cannot be caught: {error}");
        ExitCode::FAILURE
    });
    let started = started.and_then(|caught| {
        let start = start::from_file(config).map_err(|error| {
            eprintln!("{error}");
            error.exit_code()
        })?;
        Ok((caught, start))
    });
    let (Caught { runtime, mut signals, early }, start) = match started {
        Ok(started) => started,
        Err(code) => return code,
    };
    // From here on an end has work to do, and signals are handled.
    drop(early);
    let served = serve(&runtime, &mut signals, &start);
    // Background tasks, which compute or wait for a file, have nothing left that must be finished.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limpet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(runtime: &Runtime, signals: &mut Signals, start: &Start) -> Result<(), Failure> {
    let control = &start.control;
    let opened = runtime.block_on(async {
        tokio::select! {
            opened = open(start) => opened.map(Some),
            () = signals.next_end() => Ok(None),
        }
    })?;
    let Some((plane, server)) = opened else {
        tracing::info!("ended by a signal before it was ready");
        return Ok(());
    };
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
    let ended = runtime.block_on(async {
        let (end, is_end) = oneshot::channel::<()>();
        let is_end = async { drop(is_end.await) };
        let mut work = pin!(plane.run(handle.clone(), Vec::new(), Box::new(after_change), is_end));
        tokio::select! {
            () = &mut work => return None,
            () = signals.until_end(control, &handle) => {}
            ended = handle.shard_ended() => {
                tracing::error!("{ended}; limpet does not go on without it");
                return Some(ended);
            }
        }
        drop(end);
        // Requests of the admin API in flight get a moment to finish.
        tokio::select! {
            () = work => {}
            () = signals.next_end() => end_at_once(false),
        }
        None
    });
    let mut grace = control.file().process.grace_period;
    if ended.is_some() {
        // The service manager restarts limpet only after its end.
        grace = grace.min(GRACE_OF_A_FAILURE);
    }
    let failure = stop(runtime, signals, server, grace, ended.is_some());
    match ended.or(failure) {
        Some(ended) => Err(ended.into()),
        None => Ok(()),
    }
}

/// Opens everything, and checks every target once, before anything accepts.
async fn open(start: &Start) -> Result<(ControlPlane, Server), Failure> {
    let plane = ControlPlane::prepare(Arc::clone(&start.control)).await?;
    let server = start_server(start.control.published(), start.process.clone()).await?;
    Ok((plane, server))
}

/// Starts the shards from a thread of its own: opening a file may block, as on a pipe for the access log without a
/// reader, and the control thread must go on handling signals.
async fn start_server(
    published: Arc<Published>,
    process: ProcessOptions,
) -> Result<Server, Failure> {
    let (started, is_started) = oneshot::channel::<Result<Server, StartError>>();
    let start = move || {
        // The receiver is gone only when a signal has ended the start.
        let _ = started.send(server::start(published, &process));
    };
    std::thread::Builder::new().name("start".to_owned()).spawn(start)?;
    Ok(is_started.await??)
}

/// Lets requests in flight finish, until the grace period is over or another signal comes. Returns the first failure.
fn stop(
    runtime: &Runtime,
    signals: &mut Signals,
    server: Server,
    grace: Duration,
    has_failed: bool,
) -> Option<Ended> {
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
        end_at_once(has_failed);
    }
    let stopped = stopping.join().ok()?;
    if !stopped.is_finished {
        tracing::warn!("the grace period is over; what was still in flight was cut off");
    }
    stopped.failure
}

fn end_at_once(has_failed: bool) {
    tracing::warn!("ended at once by a second signal");
    std::process::exit(i32::from(has_failed));
}

fn address(bound: &Bind) -> String {
    match bound {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Writes the file under another name and renames it, so that a reader never sees half of it.
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
