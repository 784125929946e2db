//! An operator over a configuration in a text, with a data plane that always says the same.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use limpet::control::admin::actor::Peer;
use limpet::control::admin::guard::Access;
use limpet::control::admin::{self, Operator};
use limpet::control::config;
use limpet::control::drain::Drains;
use limpet::control::health::HealthBoard;
use limpet::control::keys;
use limpet::control::metrics::{
    CertificateFacts, ConfigFacts, LogCounts, Machine, Plane, Sampler, Sources,
};
use limpet::control::runtime::Control;
use limpet::snapshot::Bind;
use limpet::telemetry::counters::Counters;
use limpet::telemetry::handshakes::Handshakes;
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

/// A data plane that always says the same.
struct Still;

impl Machine for Still {
    fn engine(&self) -> &'static str {
        "epoll"
    }
    fn shard_count(&self) -> usize {
        2
    }
    fn connections(&self) -> usize {
        4
    }
    fn shard_connections(&self, _: usize) -> usize {
        2
    }
    fn busy(&self, _: usize) -> Duration {
        Duration::ZERO
    }
    fn log(&self) -> LogCounts {
        LogCounts { lines_written: 3, lines_dropped: 2, lines_failed: 1 }
    }
}

impl Plane for Still {
    fn config(&self) -> ConfigFacts {
        ConfigFacts::default()
    }
    fn certificates(&self) -> CertificateFacts {
        CertificateFacts::default()
    }

    fn refused_requests(&self) -> [(&'static str, u64); 4] {
        limpet::control::refusals::Refusals::default().counts()
    }
    fn admin_handshakes(&self) -> Handshakes {
        Handshakes::default()
    }
    fn group_sessions(&self, _: &str) -> Option<u64> {
        None
    }
    fn target_sessions(&self, _: &str, _: &str) -> Option<u64> {
        None
    }
}

/// The service with what stands behind it.
pub struct Api {
    pub router: Router,
    pub control: Arc<Control>,
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
        let parsed = config::parse_complete(text.to_owned(), "limpet.toml").unwrap();
        let ring = keys::for_inspection(&parsed.file).unwrap();
        let access = Access::of(&parsed.file.admin);
        let control = Arc::new(Control::new(parsed, path, ring).unwrap());
        let sources = Arc::new(Sources {
            published: control.published(),
            counters: Arc::new(Counters::new(2)),
            machine: Arc::new(Still),
            plane: Arc::new(Still),
            started_unix_ms: 1,
        });
        let sampler = Arc::new(Sampler::new(Arc::clone(&sources)));
        let now = Instant::now();
        for second in 0..3 {
            sampler.tick(now + Duration::from_secs(second), second * 1000);
        }
        let operator = Operator {
            control: Arc::clone(&control),
            board: Arc::new(HealthBoard::default()),
            drains: Arc::new(Drains::new(Arc::clone(&control))),
            sampler,
            sources,
            addresses: Box::new(|| vec![("web".into(), Bind::Tcp(([127, 0, 0, 1], 8080).into()))]),
            demo_urls: Vec::new(),
            started: now,
        };
        let router = admin::router(Arc::new(operator), access);
        Api { router, control, peer: Peer::Tcp(([127, 0, 0, 1], 5000).into()) }
    }

    /// Asked over the Unix socket, which allows everything.
    pub fn on_socket(mut self) -> Api {
        self.peer = Peer::Unix { uid: Some(0), pid: Some(1) };
        self
    }

    /// Sends what is given and nothing else.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Reply {
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
