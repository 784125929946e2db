//! Reports of a shard's life: that it accepts, and that it has ended.
//!
//! Each shard reports both itself, its end also when it panics, so that neither the start nor the control plane ever
//! waits for a shard that is gone. The first shard that ends without being told to ends the process: limpet never goes
//! on with a core missing. Never touches a connection. Tested below and through the server.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::Poll;

use tokio::sync::watch;

use crate::time::stop::Stop;

/// A shard that has ended without being told to, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard} has ended: {cause}")]
pub struct Ended {
    pub shard: usize,
    pub cause: String,
}

/// The report that the start awaits, once from each shard.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// The shard accepts; `thread` is its path in /proc.
    Accepts {
        shard: usize,
        thread: String,
    },
    Ended(Ended),
}

/// The end of the first shard that ended without being told to.
pub type FirstEnded = watch::Receiver<Option<Ended>>;

/// The sending end of the reports, one clone for each shard.
#[derive(Debug, Clone)]
pub struct Life {
    starting: mpsc::Sender<Told>,
    ended: Arc<watch::Sender<Option<Ended>>>,
    stop: Arc<Stop>,
}

impl Life {
    /// Returns also the receivers for the start, and for everything that asks later.
    pub fn new(stop: Arc<Stop>) -> (Life, mpsc::Receiver<Told>, FirstEnded) {
        let (starting, told) = mpsc::channel();
        let (ended, first_ended) = watch::channel(None);
        (Life { starting, ended: Arc::new(ended), stop }, told, first_ended)
    }

    /// The shard accepts.
    pub fn accepts(&self, shard: usize, thread: String) {
        // The start stops listening when another shard has failed.
        let _ = self.starting.send(Told::Accepts { shard, thread });
    }

    /// Runs a shard's life and reports its end, unless the shard ended because it was told to.
    pub fn live(&self, shard: usize, life: impl FnOnce() -> io::Result<()>) {
        let cause = match catch_unwind(AssertUnwindSafe(life)) {
            Ok(Ok(())) if self.stop.has_begun() => return,
            Ok(Ok(())) => "nobody told it to".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("it panicked: {}", words(&*panic)),
        };
        self.tell(Ended { shard, cause });
    }

    /// Reports that the shard is ending with this error.
    pub fn fails(&self, shard: usize, error: &io::Error) {
        self.tell(Ended { shard, cause: error.to_string() });
    }

    /// Runs a task that a shard cannot do without: a panic would end only the task, so it is reported as the end of the
    /// shard.
    pub async fn vital(self, shard: usize, name: &'static str, task: impl Future<Output = ()>) {
        let mut task = pin!(task);
        let polled = std::future::poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        if let Err(panic) = polled.await {
            self.tell(Ended { shard, cause: format!("{name} panicked: {}", words(&*panic)) });
        }
    }

    fn tell(&self, ended: Ended) {
        self.ended.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| ended.clone());
            is_first
        });
        let _ = self.starting.send(Told::Ended(ended));
    }
}

/// The message of a panic.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Waits until `shards` shards accept; returns their paths in /proc, in order.
///
/// # Errors
/// The first shard that ended instead.
pub fn wait_for_all(told: &mpsc::Receiver<Told>, shards: usize) -> Result<Vec<String>, Ended> {
    let mut started = Vec::with_capacity(shards);
    while started.len() < shards {
        match told.recv() {
            Ok(Told::Accepts { shard, thread }) => started.push((shard, thread)),
            Ok(Told::Ended(ended)) => return Err(ended),
            // Each shard reports at least its end.
            Err(_) => return Err(Ended { shard: started.len(), cause: "it is gone".to_owned() }),
        }
    }
    started.sort_unstable();
    Ok(started.into_iter().map(|(_, thread)| thread).collect())
}

#[cfg(test)]
mod tests {
    use crate::shard::life::*;

    fn ended(shard: usize, cause: &str) -> Ended {
        Ended { shard, cause: cause.to_owned() }
    }

    #[test]
    fn a_shard_that_ends_beside_one_that_accepts_ends_the_start() {
        let (life, told, first) = Life::new(Arc::default());
        life.accepts(1, "1/task/3".to_owned());
        // Shard 1 is still alive and can report.
        let other = life.clone();
        life.live(0, || Err(io::Error::other("no ring")));
        assert_eq!(wait_for_all(&told, 2), Err(ended(0, "no ring")));
        assert_eq!(*first.borrow(), Some(ended(0, "no ring")));
        drop(other);
    }

    #[test]
    fn places_are_in_the_order_of_shards_whoever_comes_first() {
        let (life, told, _first) = Life::new(Arc::default());
        life.accepts(1, "b".to_owned());
        life.accepts(0, "a".to_owned());
        assert_eq!(wait_for_all(&told, 2), Ok(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_panic_is_told_with_its_words_and_the_first_end_is_kept() {
        let (life, _told, first) = Life::new(Arc::default());
        life.live(3, || panic!("out of {}", "luck"));
        life.live(4, || panic!("another"));
        assert_eq!(*first.borrow(), Some(ended(3, "it panicked: out of luck")));
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_told_and_one_that_was_asked_for_is_not() {
        let stop = Arc::<Stop>::default();
        let (life, _told, first) = Life::new(Arc::clone(&stop));
        stop.begin();
        life.live(0, || Ok(()));
        assert_eq!(*first.borrow(), None);
        life.live(1, || Err(io::Error::other("a failure while it stops")));
        assert_eq!(*first.borrow(), Some(ended(1, "a failure while it stops")));

        let (life, _told, first) = Life::new(Arc::default());
        life.live(0, || Ok(()));
        assert_eq!(*first.borrow(), Some(ended(0, "nobody told it to")));
    }
}
