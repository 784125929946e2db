//! An operator over a configuration in a text, with sources that say what the tests expect.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use limpet::control::admin::actor::Peer;
use limpet::control::admin::guard::Access;
use limpet::control::admin::sources::{
    DrainWish, Drains, GroupNumbers, LogLines, Machine, Note, Numbers, RuleNumbers, TargetNumbers,
    Watch,
};
use limpet::control::admin::views::{
    Drain, LastCheck, Overview, Percentiles, Point, ShardLoad, Totals,
};
use limpet::control::admin::{self, Operator};
use limpet::control::change::{Applied, By, ChangeError, Edit, Keep};
use limpet::control::config::{self, Parsed};
use limpet::control::keys;
use limpet::control::runtime::Control;
use limpet::snapshot::Bind;
use limpet::target::group::{Target, TargetGroup};
use limpet::telemetry::counters::{CounterSnapshot, Counters};
use serde_json::Value;
use tower::ServiceExt as _;

pub const CONFIG: &str = r#"# A comment that stays.
[admin]
address = "127.0.0.1:0"

[[listener]]
name = "web"
address = "127.0.0.1:0"
forward = "app"
[[listener.rule]]
name = "api"
priority = 10
when.path = ["/api/*"]
when.method = ["GET", "HEAD"]
forward = "api"

[[target_group]]
name = "app"
[target_group.stickiness]
enabled = true
duration = "1h"
[[target_group.target]]
id = "a"
address = "127.0.0.1:9001"
[[target_group.target]]
id = "b"
address = "127.0.0.1:9002"
weight = 3

[[target_group]]
name = "api"
[[target_group.target]]
address = "127.0.0.1:9003"
"#;

/// Everything that is asked of the sources, and what they say.
#[derive(Default)]
pub struct Sources {
    control: Mutex<Option<Arc<Control>>>,
    pub drains: Mutex<Vec<(String, String, DrainWish)>>,
    pub ended_ejections: Mutex<Vec<(String, String)>>,
}

impl Machine for Sources {
    fn engine(&self) -> &'static str {
        "epoll"
    }
    fn shard_count(&self) -> usize {
        2
    }
    fn addresses(&self) -> Vec<(Arc<str>, Bind)> {
        vec![("web".into(), Bind::Tcp(([127, 0, 0, 1], 8080).into()))]
    }
    fn connections(&self) -> usize {
        4
    }
    fn counters(&self) -> CounterSnapshot {
        Counters::new(2).snapshot()
    }
    fn log_lines(&self) -> LogLines {
        LogLines { written: 3, dropped: 2, failed: 1 }
    }
}

const LATENCY: Percentiles = Percentiles { p50: 1, p90: 2, p99: 3, p999: 4 };

impl Numbers for Sources {
    fn overview(&self) -> Overview {
        let point = Point {
            unix_ms: 1,
            requests_per_second: 2.5,
            responses: BTreeMap::from([("2xx", 2.5)]),
            latency_us: Some(LATENCY),
            ..Point::default()
        };
        Overview {
            now: point.clone(),
            history: vec![Point::default(), point],
            shards: vec![ShardLoad {
                index: 0,
                requests_per_second: 2.5,
                connections: 4,
                utilisation: 0.25,
            }],
            totals: Totals {
                requests: 7,
                responses: ["1xx", "2xx", "3xx", "4xx", "5xx", "none"].map(|c| (c, 1)).into(),
                retries: 0,
                bytes_in: 0,
                bytes_out: 0,
                aborted: 0,
            },
        }
    }
    fn group(&self, group: &str) -> GroupNumbers {
        GroupNumbers {
            requests_per_second: if group == "app" { 2.5 } else { 0.0 },
            requests_history: vec![0.0, 2.5],
            errors_per_second: 0.5,
            latency_us: Some(LATENCY),
            sticky: BTreeMap::from([("new", 3)]),
        }
    }
    fn target(&self, _: &str, _: &str) -> TargetNumbers {
        TargetNumbers { requests_per_second: 1.0, requests_history: vec![1.0] }
    }
    fn rule(&self, _: &str, rule: &str) -> RuleNumbers {
        RuleNumbers { requests: if rule == "api" { 9 } else { 1 }, requests_per_second: 0.5 }
    }
    fn exposition(&self) -> String {
        "# TYPE limpet_build_info gauge\nlimpet_build_info 1\n".to_owned()
    }
}

impl Watch for Sources {
    fn note(&self, _: &TargetGroup, target: &Target) -> Option<Note> {
        (&*target.id == "a").then(|| Note {
            reason: "checks passed".to_owned(),
            since_unix_ms: Some(5),
            last_check: Some(LastCheck {
                unix_ms: 6,
                passed: true,
                status: Some(200),
                error: None,
                latency_us: 7,
            }),
            warm_share: Some(0.5),
            ..Note::default()
        })
    }
    fn end_ejection(&self, group: &str, target: &str) {
        self.ended_ejections.lock().unwrap().push((group.to_owned(), target.to_owned()));
    }
}

impl Drains for Sources {
    fn start(
        &self,
        group: &str,
        target: &str,
        wish: &DrainWish,
        keep: Keep,
        by: &By<'_>,
    ) -> Result<Applied, ChangeError> {
        let control = self.control.lock().unwrap().clone().unwrap();
        let set = [("state".to_owned(), "draining".into())].into_iter().collect();
        let edit = Edit::SetTarget { group: group.to_owned(), target: target.to_owned(), set };
        let applied = control.edit(&edit, keep, by)?;
        self.drains.lock().unwrap().push((group.to_owned(), target.to_owned(), *wish));
        Ok(applied)
    }
    fn view(&self, group: &str, target: &str) -> Option<Drain> {
        let drains = self.drains.lock().unwrap();
        let drain = drains.iter().find(|drain| drain.0 == group && drain.1 == target)?;
        Some(Drain {
            until: "delay",
            sessions_at_most: drain.2.sessions_at_most,
            started_unix_ms: 8,
            remaining_s: drain.2.deadline.map(|deadline| deadline.as_secs_f64()),
            in_flight: 0,
            tunnels: 0,
            sessions: Some(12),
            finished: false,
            reason: "waits for 12 sessions".to_owned(),
        })
    }
    fn sessions(&self, group: &TargetGroup, target: &Target) -> Option<u64> {
        (&*group.name == "app").then_some(if &*target.id == "a" { 12 } else { 30 })
    }
    fn tunnels(&self, _: &Target) -> u32 {
        2
    }
    fn sessions_error_percent(&self) -> f64 {
        3.3
    }
}

/// The service with what stands behind it.
pub struct Api {
    pub router: Router,
    pub control: Arc<Control>,
    pub sources: Arc<Sources>,
    pub peer: Peer,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"))
    }

    /// The last part of a problem's type.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        json["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

impl Api {
    pub fn new() -> Api {
        Api::of(CONFIG, None)
    }

    /// Over a file in a folder.
    pub fn in_folder(folder: &Path) -> Api {
        let path = folder.join("limpet.toml");
        std::fs::write(&path, CONFIG).unwrap();
        Api::of(CONFIG, Some(&path))
    }

    pub fn of(text: &str, path: Option<&Path>) -> Api {
        let parsed: Parsed = config::parse_complete(text.to_owned(), "limpet.toml").unwrap();
        let ring = keys::for_inspection(&parsed.file).unwrap();
        let access = Access::of(&parsed.file.admin);
        let control = Arc::new(Control::new(parsed, path, ring).unwrap());
        let sources = Arc::new(Sources::default());
        *sources.control.lock().unwrap() = Some(Arc::clone(&control));
        let operator = Operator::new(
            Arc::clone(&control),
            sources.clone(),
            sources.clone(),
            sources.clone(),
            sources.clone(),
        );
        let router = admin::router(Arc::new(operator), access);
        Api { router, control, sources, peer: Peer::Tcp(([127, 0, 0, 1], 5000).into()) }
    }

    /// Sends what is given and nothing else.
    pub async fn raw(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(self.peer.clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, text }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.raw("GET", path, &[("host", "localhost")], "").await
    }

    /// A request that changes something, as the console sends it.
    pub async fn write(&self, method: &str, path: &str, body: &str) -> Reply {
        self.write_if(method, path, body, None).await
    }

    pub async fn write_if(
        &self,
        method: &str,
        path: &str,
        body: &str,
        if_match: Option<&str>,
    ) -> Reply {
        let mut fields = vec![
            ("host", "localhost"),
            ("x-limpet-request", "1"),
            ("x-limpet-actor", "console"),
            ("content-type", "application/json"),
        ];
        fields.extend(if_match.map(|tag| ("if-match", tag)));
        self.raw(method, path, &fields, body).await
    }
}
