//! A server in the place of a running limpet: notes what it is asked, and answers what it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::Listener;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// One request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// "GET /v1/status"
    pub line: String,
    /// `Null` when there was no content.
    pub body: Value,
    fields: Vec<(String, String)>,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Script {
    asked: Vec<Asked>,
    /// Status and content by request line; the last one stays.
    answers: HashMap<String, VecDeque<(u16, String)>>,
}

enum Kind {
    Unix,
    Tcp,
    Tls(TlsAcceptor),
}

/// A socket whose connections have made their handshake.
struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            match self.acceptor.accept(stream).into_fallible().await {
                Ok(stream) => return (stream, address),
                // The client's request comes behind its part of the handshake: what is not read would reset the
                // connection before the reason is.
                Err((_, mut stream)) => {
                    let _ = stream.shutdown().await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Ends when it is dropped.
pub struct Fake {
    /// For `--admin`.
    pub admin: String,
    script: Arc<Mutex<Script>>,
    _running: tokio::sync::oneshot::Sender<()>,
    _home: tempfile::TempDir,
}

impl Fake {
    pub fn on_unix_socket() -> Fake {
        Fake::start(Kind::Unix)
    }

    pub fn on_tcp() -> Fake {
        Fake::start(Kind::Tcp)
    }

    /// At `https://localhost:PORT`.
    pub fn with_tls(config: ServerConfig) -> Fake {
        Fake::start(Kind::Tls(TlsAcceptor::from(Arc::new(config))))
    }

    fn start(kind: Kind) -> Fake {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let (running, ended) = tokio::sync::oneshot::channel::<()>();
        let (bound, admin) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let serving: tokio::task::JoinHandle<_> = match kind {
                    Kind::Unix => {
                        let listener = UnixListener::bind(&path).unwrap();
                        bound.send(path.to_str().unwrap().to_owned()).unwrap();
                        tokio::spawn(async move { axum::serve(listener, router).await })
                    }
                    Kind::Tcp => {
                        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                        bound.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
                        tokio::spawn(async move { axum::serve(listener, router).await })
                    }
                    Kind::Tls(acceptor) => {
                        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                        let port = listener.local_addr().unwrap().port();
                        bound.send(format!("https://localhost:{port}")).unwrap();
                        let listener = Secured { listener, acceptor };
                        tokio::spawn(async move { axum::serve(listener, router).await })
                    }
                };
                // Dropping the other end ends the wait, and with it all that is served.
                let _ = ended.await;
                serving.abort();
            });
        });
        Fake { admin: admin.recv().unwrap(), script, _running: running, _home: home }
    }

    /// What the next request of this line is answered, and all after the last.
    pub fn answers(&self, line: &str, status: u16, content: impl ToString) {
        let mut script = self.script.lock().unwrap();
        let queue = script.answers.entry(line.to_owned()).or_default();
        queue.push_back((status, content.to_string()));
    }

    /// What came since it was last asked for.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (head, content) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri);
    let content = to_bytes(content, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&content).unwrap_or_default();
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut script = script.lock().unwrap();
    script.asked.push(Asked { line: line.clone(), body, fields: fields.collect() });
    let queue = script.answers.get_mut(&line);
    let (status, content) = match queue {
        Some(queue) if queue.len() > 1 => queue.pop_front().unwrap(),
        Some(queue) => queue.front().unwrap().clone(),
        None => (404, format!(r#"{{"title":"Not in the script: {line}","status":404}}"#)),
    };
    Response::builder().status(status).body(Body::from(content)).unwrap()
}
