//! The orders that shards get when the listeners of a configuration change.

use crate::control::compile::compile;
use crate::control::config;
use crate::group::state::Registry;
use crate::shard::listeners::*;
use crate::stickiness::keyring::KeyRing;

const SHARDS: usize = 2;

/// A listener of a file: its name, its address, and further settings.
type Line<'a> = (&'a str, &'a str, &'a str);

fn snapshot(lines: &[Line<'_>]) -> Snapshot {
    let mut text =
        "[[target_group]]\nname = \"app\"\ntarget = [{ address = \"127.0.0.1:9\" }]\n".to_owned();
    for (name, address, more) in lines {
        text += &format!(
            "[[listener]]\nname = {name:?}\naddress = {address:?}\nforward = \"app\"\n{more}\n"
        );
    }
    let file = config::parse(&text, "listeners.toml").unwrap();
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap());
    compile(&file, &Registry::new(), &ring, None, &[]).unwrap()
}

/// Follows a snapshot. Returns the orders of each shard, which are the same for all.
fn follow(listeners: &Listeners, lines: &[Line<'_>]) -> Vec<String> {
    listeners.commit(listeners.plan(&snapshot(lines)).unwrap());
    told(listeners)
}

fn told(listeners: &Listeners) -> Vec<String> {
    let mut told: Vec<Vec<String>> = (0..SHARDS)
        .map(|shard| {
            let orders = listeners.orders(shard).unwrap();
            std::iter::from_fn(|| orders.take()).map(|order| words(&order)).collect()
        })
        .collect();
    let first = told.remove(0);
    assert!(told.iter().all(|other| *other == first), "{first:?}, but another {told:?}");
    first
}

fn words(order: &Order) -> String {
    match order {
        Order::Listen { id, name, .. } => format!("listen {} {name}", id.0),
        Order::Retire(id) => format!("retire {}", id.0),
        Order::Rename(id, name) => format!("rename {} {name}", id.0),
        Order::Adjust(id, _) => format!("adjust {}", id.0),
        Order::Panic | Order::PanicAccepting => panic!("nobody asked for it"),
    }
}

const A: Line<'_> = ("a", "127.0.0.1:0", "");
const B: Line<'_> = ("b", "127.0.0.2:0", "");

#[test]
fn what_stays_is_not_touched() {
    let listeners = Listeners::new(SHARDS);
    assert_eq!(follow(&listeners, &[A, B]), ["listen 1 a", "listen 2 b"]);
    let before = listeners.addresses();
    assert!(follow(&listeners, &[A, B]).is_empty());
    assert_eq!(listeners.addresses(), before);
}

#[test]
fn what_is_new_is_opened_and_what_is_gone_retires() {
    let listeners = Listeners::new(SHARDS);
    follow(&listeners, &[A]);
    assert_eq!(follow(&listeners, &[B]), ["listen 2 b", "retire 1"]);
    let names: Vec<_> = listeners.addresses().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b".into()]);
    // A listener that comes back is a new one.
    assert_eq!(follow(&listeners, &[B, A]), ["listen 3 a"]);
}

#[test]
fn an_address_keeps_its_socket_under_another_name() {
    let listeners = Listeners::new(SHARDS);
    follow(&listeners, &[A, B]);
    let renamed = follow(&listeners, &[("b", A.1, ""), ("a", B.1, "")]);
    assert_eq!(renamed, ["rename 1 b", "rename 2 a"], "their names are exchanged");
}

#[test]
fn other_options_are_set_on_the_socket_that_there_is() {
    let listeners = Listeners::new(SHARDS);
    follow(&listeners, &[A, B]);
    let told = follow(&listeners, &[(A.0, A.1, "socket = { backlog = 16 }"), B]);
    assert_eq!(told, ["adjust 1"]);
}

#[test]
fn a_plan_that_is_not_carried_out_changes_nothing() {
    let listeners = Listeners::new(SHARDS);
    follow(&listeners, &[A]);
    let before = listeners.addresses();
    let plan = listeners.plan(&snapshot(&[("c", A.1, "socket = { backlog = 16 }"), B])).unwrap();
    assert!(listeners.has_room(&plan));
    drop(plan);
    assert_eq!(listeners.addresses(), before);
    assert!(told(&listeners).is_empty());
    assert!(follow(&listeners, &[A]).is_empty());
}

#[test]
fn an_address_that_is_taken_is_refused_and_what_was_opened_for_the_plan_is_closed() {
    let somebody = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let theirs = somebody.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b");
    let ours = format!("unix:{}", file.display());
    let listeners = Listeners::new(SHARDS);
    follow(&listeners, &[A]);
    let lines = [A, ("b", &ours, ""), ("c", &theirs, "")];
    let refused = listeners.plan(&snapshot(&lines)).err().map(|error| error.to_string()).unwrap();
    assert!(refused.contains("\"c\"") && refused.contains(&theirs), "{refused}");
    assert!(told(&listeners).is_empty());
    assert!(!file.exists(), "the socket of a listener that was opened before is left");
    assert_eq!(follow(&listeners, &[A, ("b", &ours, "")]), ["listen 2 b"]);
    assert!(file.exists());
}
