//! The balancer of the demo: the one place where the demo touches limpet's own insides.
//!
//! Owns: starting from a configuration's text, the edit of stickiness, the end. Never: a setting that
//! does not come from the text. Tested by `tests/demo.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::configuration::GROUP;
use super::data_plane::DataPlane;
use super::walkthrough::Operator;
use crate::cli::start;
use crate::control::change::{By, Edit, Keep};
use crate::control::plane::ControlPlane;
use crate::control::runtime::Control;

/// What reports call the demo's configuration.
const NAME: &str = "the demo's configuration";

/// A running balancer, with its control plane on a thread of its own.
#[derive(Debug)]
pub struct Balancer {
    control: Arc<Control>,
    data_plane: DataPlane,
    console: Option<SocketAddr>,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Balancer {
    /// Loads `configuration` as a file would be loaded, and starts control and data plane with it.
    ///
    /// # Errors
    /// What the loader refuses, or what the start-up says (a busy port, say).
    pub fn start(configuration: &str) -> Result<Balancer, String> {
        let start = start::from_text(configuration, NAME).map_err(|error| error.to_string())?;
        let control = Arc::clone(&start.control);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let plane = runtime.block_on(ControlPlane::prepare(Arc::clone(&control)));
        let plane = plane.map_err(|error| error.to_string())?;
        let console = plane.admin_address();
        let data_plane = DataPlane::start(&control, &start.process)?;
        let handle = data_plane.handle();
        let is_secure = control.snapshot().listeners.iter().any(|listener| listener.tls.is_some());
        let scheme = if is_secure { "https" } else { "http" };
        let urls = vec![format!("{scheme}://{}/", data_plane.address())];
        let (end, is_ended) = oneshot::channel();
        let work = move || {
            let end = async { drop(is_ended.await) };
            runtime.block_on(plane.run(handle, urls, Box::new(|_| {}), end));
        };
        let thread = thread::Builder::new().name("limpet-control".to_owned()).spawn(work);
        let thread = thread.map_err(|error| error.to_string())?;
        Ok(Balancer { control, data_plane, console, end, thread })
    }

    /// Where the balancer listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.data_plane.address()
    }

    /// Where the console is, if there is one.
    pub fn console(&self) -> Option<SocketAddr> {
        self.console
    }

    /// Whether stickiness is on, whoever has switched it.
    pub fn is_sticky(&self) -> bool {
        self.control.stickiness(GROUP).is_ok_and(|options| options.enabled)
    }

    /// Switches the target group's stickiness, as the console does.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub fn set_stickiness(&self, enabled: bool) -> Result<(), String> {
        let set = Map::from_iter([("stickiness.enabled".to_owned(), Value::Bool(enabled))]);
        let edit = Edit::SetGroup { group: GROUP.to_owned(), set };
        let by = By { actor: "demo", if_version: None };
        let applied = self.control.edit(&edit, Keep::Overlay, &by);
        applied.map(drop).map_err(|error| error.to_string())
    }

    /// Waits until a part of the data plane ends by itself; for ever, as a rule.
    pub async fn failure(&self) -> String {
        self.data_plane.handle().shard_ended().await.to_string()
    }

    /// Finishes what is in flight within the grace period, and ends.
    pub fn shutdown(self) {
        // The receiver is gone only when the thread has ended already.
        let _ = self.end.send(());
        self.data_plane.shutdown();
        if self.thread.join().is_err() {
            tracing::error!("the control plane ended by a panic");
        }
    }
}

impl Operator for Balancer {
    fn enable_stickiness(&self) -> Result<(), String> {
        self.set_stickiness(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::cli::demo::configuration::{Application, Configuration, new_secret};
    use crate::cli::demo::instance;
    use crate::group::state::Health;

    const WAIT_MAX: Duration = Duration::from_secs(60);

    /// Waits until the targets have this health, in the order of the configuration.
    #[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
    fn wait(balancer: &Balancer, expected: [Health; 2]) {
        let health = || {
            let targets = &balancer.control.snapshot().groups[0].targets;
            targets.iter().map(|target| target.state.health()).collect::<Vec<_>>()
        };
        let end = Instant::now() + WAIT_MAX;
        while health() != expected {
            assert!(Instant::now() < end, "{:?} is not {expected:?}", health());
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn an_instance_is_healthy_while_it_answers_and_unhealthy_once_it_is_gone() {
        let start = |id, number| -> (Runtime, SocketAddr) {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.unwrap();
            let address =
                runtime.block_on(instance::start(Application::Pages, id, number)).unwrap();
            (runtime, address)
        };
        let ((a, address_a), (_b, address_b)) = (start("a", 0), start("b", 1));
        let text = Configuration {
            application: Application::Pages,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            instances: &[("a", address_a), ("b", address_b)],
            sticky: false,
            access_log: false,
            console: None,
            certificate: None,
            secret: new_secret().unwrap(),
        };
        let balancer = Balancer::start(&text.to_toml()).unwrap();
        wait(&balancer, [Health::Healthy, Health::Healthy]);
        a.shutdown_background();
        wait(&balancer, [Health::Unhealthy, Health::Healthy]);
        balancer.shutdown();
    }
}
