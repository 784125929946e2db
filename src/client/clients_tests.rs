//! The shared state of a shard's clients, and connections without a shard.

use std::future::Future;
use std::io;
use std::pin::Pin;

use crate::client::clients::*;
use crate::control::compile::compile;
use crate::control::config;
use crate::group::state::Registry;
use crate::snapshot::Snapshot;
use crate::stickiness::keyring::KeyRing;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::options::{AccessLogOptions, LogFormat, LogOutput, LogQuery};
use crate::time::Time;

/// A snapshot with listeners of these names and settings.
pub fn snapshot(listeners: &[(&str, &str)]) -> Arc<Snapshot> {
    snapshot_for("127.0.0.1:9", listeners)
}

/// As [`snapshot`], with a target at this address.
pub fn snapshot_for(target: &str, listeners: &[(&str, &str)]) -> Arc<Snapshot> {
    let mut text =
        format!("[[target_group]]\nname = \"app\"\ntarget = [{{ address = {target:?} }}]\n");
    for (at, (name, more)) in listeners.iter().enumerate() {
        let address = format!("127.0.0.1:{}", 8000 + at);
        text += &format!(
            "[[listener]]\nname = {name:?}\naddress = {address:?}\nforward = \"app\"\n{more}\n"
        );
    }
    let file = config::parse(&text, "clients.toml").unwrap();
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
    Arc::new(compile(&file, &Registry::new(), &ring, None, &[]).unwrap())
}

/// Never makes room.
struct NoRoom;

impl Room for NoRoom {
    fn is_shortage(&self, _: &io::Error) -> bool {
        false
    }

    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(async { false })
    }
}

/// Clients of a shard of their own, and where their snapshot is published.
pub fn clients(snapshot: Arc<Snapshot>) -> (Arc<Published>, Rc<Clients>) {
    let options = AccessLogOptions {
        output: LogOutput::Off,
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: LogQuery::Keep,
        buffer_bytes: 65_536,
    };
    let log = AccessLog::start(&options).unwrap().shard_writer();
    let published = Arc::new(Published::new(snapshot));
    let local = Local::new(0, Time::start(Arc::default()), log, Arc::default());
    let clients = Clients::new(Arc::clone(&published), local, Rc::new(NoRoom));
    (published, Rc::new(clients))
}

#[test]
fn who_announces_clients_is_none_of_them() {
    let lines =
        [("own", ""), ("announced", "proxy_protocol = \"any\"\nproxy_protocol_from = \"any\"")];
    let (published, clients) = clients(snapshot(&lines));
    assert!(clients.are_peers_of("own"));
    assert!(!clients.are_peers_of("announced"));
    assert!(clients.are_peers_of("nobody's"), "what is not known is counted");
    published.store(snapshot(&[("announced", "")]));
    assert!(clients.are_peers_of("announced"), "as it is published now");
}

#[test]
fn nothing_is_closed_where_nothing_is_kept() {
    let (_, clients) = clients(snapshot(&[("web", "")]));
    assert!(!clients.close_kept());
}
