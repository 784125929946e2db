//! The thread on which the demo's instances live.
//!
//! Owns: one thread with a runtime of its own, apart from the balancer's shards, so that the
//! instances are as separate from the balancer as two programs would be. It ends when dropped.
//! Tested through `instance_tests.rs` and `tests/demo.rs`.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::configuration::Application;
use super::instance;

/// Ids of the instances, which are also their target ids in the balancer's configuration.
pub const INSTANCE_IDS: [&str; 2] = ["a", "b"];

/// The running instances.
#[derive(Debug)]
pub struct Instances {
    /// Id and address of each.
    pub addresses: Vec<(&'static str, SocketAddr)>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Instances {
    /// Starts one instance per id of [`INSTANCE_IDS`], each on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the thread, its runtime or a port cannot be had.
    pub fn start(application: Application) -> io::Result<Instances> {
        let (stop, stopped) = oneshot::channel();
        let (report, reported) = mpsc::channel();
        let thread = thread::Builder::new().name("demo-instances".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            runtime.block_on(async {
                // Whoever waits for the report may have given up; the thread then ends with it.
                let _ = report.send(start_all(application).await);
                let _ = stopped.await;
            });
        })?;
        let died = || io::Error::other("the thread of the demo's instances died");
        let addresses = reported.recv().map_err(|_| died())??;
        Ok(Instances { addresses, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed by its own thread.
            let _ = thread.join();
        }
    }
}

async fn start_all(application: Application) -> io::Result<Vec<(&'static str, SocketAddr)>> {
    let mut addresses = Vec::new();
    for (number, id) in INSTANCE_IDS.into_iter().enumerate() {
        addresses.push((id, instance::start(application, id, number).await?));
    }
    Ok(addresses)
}
