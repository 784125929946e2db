use std::sync::Arc;
use std::time::Duration;

use crate::control::compile::*;
use crate::control::config::{self, file::File};
use crate::group::state::Health;
use crate::routing::actions::{Action, PathRewrite};
use crate::routing::conditions::Request;
use crate::snapshot::{Bind, EngineChoice};
use crate::telemetry::options::LogOutput;

const FILE: &str = r#"
    [access_log]
    output = "/var/log/limpet.log"
    [[listener]]
    name = "web"
    address = "127.0.0.1:8080"
    trusted_proxies = ["10.0.0.0/8", "::1"]
    forward = { groups = [{ group = "b" }], sticky = { enabled = true } }
    [listener.answers.503]
    body = "soon"
    [[listener.rule]]
    priority = 20
    when.path = ["/x/*"]
    forward = "b"
    [[listener.rule]]
    name = "first"
    priority = 10
    when = { host = ["a.example"], path = ["/a/*"], method = ["GET"], header = { X-A = ["1*"] }, query = [{ key = "k", value = "v" }], source = ["10.0.0.0/8"] }
    forward = { groups = [{ group = "b", weight = 2 }, { group = "a" }], sticky = { enabled = true, duration = "2h" } }
    rewrite = { strip_prefix = "/a", host = "inner" }
    [[target_group]]
    name = "a"
    algorithm = "hash"
    hash_on = "cookie:uid"
    stickiness = { enabled = true, duration = "10m", domain = "example.com" }
    target = [{ address = "127.0.0.1:1" }, { id = "two", address = "unix:/run/two", weight = 3, state = "draining" }]
    [[target_group]]
    name = "b"
"#;

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).unwrap())
}

fn file() -> File {
    config::parse(FILE, "test.toml").unwrap()
}

fn snapshot() -> Snapshot {
    compile(&file(), &Registry::new(), &ring(), None, &[]).unwrap()
}

#[test]
fn process_settings_have_the_meaning_of_the_file() {
    let options = process(&file());
    assert_eq!(options.shards, None);
    assert_eq!(options.engine, EngineChoice::Auto);
    assert_eq!(options.grace_period, Duration::from_secs(30));
    assert_eq!(options.content_buffer_bytes, 65_536);
    assert_eq!(options.access_log.output, LogOutput::File("/var/log/limpet.log".into()));
    assert_eq!(options.access_log.buffer_bytes, 1 << 20);
}

#[test]
fn a_listener_has_the_documented_defaults() {
    let snapshot = snapshot();
    let listener = &snapshot.listeners[0];
    assert_eq!(listener.bind, Bind::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(listener.socket.unix_mode, 0o660);
    assert_eq!(listener.timeouts.head, Duration::from_secs(10));
    assert_eq!(listener.timeouts.keep_alive, Duration::from_secs(75));
    assert_eq!(listener.timeouts.content_minimum_rate, 500);
    assert_eq!(listener.timeouts.send_minimum_rate, 500);
    assert_eq!(listener.head_limits.field_count, 128);
    assert_eq!(listener.requests_per_connection, 10_000);
    assert_eq!(listener.forwarded.request_id.as_deref(), Some("X-Request-Id"));
    assert_eq!(listener.forwarded.via, None);
    assert_eq!(listener.trusted_proxies.networks.len(), 2);
    let (status, answer) = &listener.answers[0];
    assert_eq!((*status, &*answer.body), (503, &b"soon"[..]));
}

#[test]
fn rules_stand_by_priority_with_their_stickiness_beside_them() {
    let snapshot = snapshot();
    let listener = &snapshot.listeners[0];
    let rules = listener.rules.rules();
    let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["first", "rule-20", "default"]);
    let sticky = |at: usize| listener.rule_stickiness[at].as_ref();
    assert_eq!(sticky(0).unwrap().cookie_names().0, b"limpet_first");
    assert_eq!(sticky(0).unwrap().options().duration, Duration::from_secs(7200));
    assert!(sticky(1).is_none());
    assert_eq!(sticky(2).unwrap().cookie_names().0, b"limpet_default");
    let Action::Forward(forward) = &rules[0].action else { panic!("{:?}", rules[0].action) };
    assert_eq!(forward.groups, [(1, 2), (0, 1)]);
    assert!(forward.sticky);
    assert_eq!(forward.rewrite_path, Some(PathRewrite::StripPrefix("/a".into())));
    assert_eq!(forward.rewrite_host.as_deref(), Some("inner"));
}

#[test]
fn every_kind_of_condition_is_compiled() {
    let snapshot = snapshot();
    let rules = &snapshot.listeners[0].rules;
    let field = crate::http::fields::Field::new(b"x-a", b"12", crate::http::fields::FieldId::Other);
    let request = |method: &'static [u8], source: &str| -> String {
        let request = Request {
            method,
            host: b"a.example",
            path: b"/a/b",
            query: Some(b"k=v"),
            source: source.parse().ok(),
            fields: &[field],
            tls: None,
        };
        rules.rules()[rules.find_index(&request).unwrap()].name.to_string()
    };
    assert_eq!(request(b"GET", "10.1.1.1"), "first");
    assert_eq!(request(b"PUT", "10.1.1.1"), "default");
    assert_eq!(request(b"GET", "11.1.1.1"), "default");
    assert_eq!(rules.rules()[0].conditions.len(), 6);
}

#[test]
fn groups_have_their_targets_states_and_stickiness() {
    let snapshot = snapshot();
    let group = &snapshot.groups[0];
    assert_eq!(group.options.connect_timeout, Duration::from_secs(3));
    assert_eq!(group.options.pool_idle_timeout, Duration::from_secs(4));
    assert_eq!(group.options.retries, 1);
    assert_eq!(&*group.targets[0].id, "127.0.0.1:1");
    assert_eq!(group.targets[0].state.health(), Health::Healthy);
    assert_eq!(group.targets[1].weight, 3);
    assert_eq!(group.targets[1].state.health(), Health::Draining);
    let stickiness = group.stickiness.as_ref().unwrap();
    assert_eq!(stickiness.cookie_names().0, b"limpet_a");
    assert_eq!(stickiness.options().domain.as_deref(), Some("example.com"));
    assert!(snapshot.groups[1].stickiness.is_none());
}

#[test]
fn the_files_of_the_config_folder_compile() {
    for name in ["limpet", "minimal", "edge"] {
        let path = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let mut file = File::clone(&config::load(path.as_ref()).unwrap().file);
        // Its certificates are elsewhere.
        file.listeners.iter_mut().for_each(|listener| listener.tls = None);
        compile(&file, &Registry::new(), &ring(), None, &[]).unwrap();
    }
}
