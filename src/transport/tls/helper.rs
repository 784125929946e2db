//! A thread beside a shard, for handshakes whose signature takes long.
//!
//! rustls signs while it opens a hello. An RSA signature takes a millisecond, in which the shard would serve nobody: so
//! the whole session goes to the helper, and comes back with what it has to say; unless nobody else is served, since
//! a change of threads makes the signature half as dear again. The helper has no core of its own: the scheduler finds
//! it one that is idle, and where there is none it offers its core to the shards again and again. It begins with the
//! first handshake that needs it. Where it cannot, the shard computes. Tested beside it.

use std::cell::OnceCell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use nix::sched::{sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustls::Error;
use tokio::sync::oneshot;

use super::session::Session;
use crate::uring::{Courtesy, buffers};

/// A session, the received bytes that it is to open, and whether it could.
struct Opened {
    session: Session,
    bytes: Vec<u8>,
    result: Result<(), Error>,
}

struct Job {
    session: Session,
    bytes: Vec<u8>,
    back: oneshot::Sender<Opened>,
}

/// The helper of one shard. Its jobs are limited by those who bring them: one at a time.
#[derive(Default)]
pub struct Helper {
    /// `None` where there can be no thread.
    jobs: OnceCell<Option<Sender<Job>>>,
}

/// The helper has panicked over the session, which is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

impl Helper {
    /// Has `session` open `bytes`. When this is dropped before, the session is dropped by the helper.
    ///
    /// # Errors
    /// [`Lost`]; within it, as [`Session::open`].
    pub async fn open(
        &self,
        session: &mut Session,
        bytes: &mut Vec<u8>,
    ) -> Result<Result<(), Error>, Lost> {
        let Some(jobs) = self.jobs.get_or_init(begin) else {
            return Ok(session.open(bytes, None));
        };
        let (back, opened) = oneshot::channel();
        let job = Job { session: session.take(), bytes: std::mem::take(bytes), back };
        if let Err(mpsc::SendError(job)) = jobs.send(job) {
            // It has panicked before.
            (*session, *bytes) = (job.session, job.bytes);
            return Ok(session.open(bytes, None));
        }
        let opened = opened.await.map_err(|_| Lost)?;
        (*session, *bytes) = (opened.session, opened.bytes);
        Ok(opened.result)
    }
}

/// Begins the thread; it ends with the shard.
fn begin() -> Option<Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    let large_bytes = buffers::large_bytes();
    let begun = thread::Builder::new().name("tls-helper".to_owned()).spawn(move || {
        leave_the_core();
        // Buffers come from the shard and go back to it.
        buffers::configure(large_bytes, 0);
        help(&jobs);
    });
    if let Err(error) = &begun {
        tracing::warn!(%error, "no thread for RSA signatures: shards make them themselves");
    }
    begun.is_ok().then_some(sender)
}

fn help(jobs: &Receiver<Job>) {
    for Job { mut session, mut bytes, back } in jobs {
        let courtesy = Courtesy::begin();
        let result = session.open(&mut bytes, None);
        drop(courtesy);
        // Who is not there any more wants it no longer.
        let _ = back.send(Opened { session, bytes, result });
    }
}

/// A thread begins on the core of the one that made it; this gives it those of the process.
fn leave_the_core() {
    let process = sched_getaffinity(Pid::this());
    let left = process.and_then(|cores| sched_setaffinity(Pid::from_raw(0), &cores));
    if let Err(error) = left {
        tracing::warn!(%error, "a thread for RSA signatures stays on the core of its shard");
    }
}

#[cfg(test)]
#[path = "tests/helper.rs"]
mod tests;
