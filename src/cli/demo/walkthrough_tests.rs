//! The walk-through judged against stand-ins for the balancer: one that does what it should, and
//! ones that each do one thing wrong.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use axum::extract::{Request as AxumRequest, State};
use axum::http::{HeaderValue, header};
use axum::response::Response as AxumResponse;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::cli::demo::configuration::Application;
use crate::cli::demo::instances::Instances;
use crate::cli::demo::walkthrough::*;

/// What a stand-in does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every request goes to the first instance.
    NeverAlternates,
    /// The edit is accepted and has no effect.
    EditWithoutEffect,
    /// The edit is refused.
    EditRefused,
    /// The edit takes effect by a restart, which ends every connection.
    RestartsOnEdit,
    /// A user is moved after this many sticky requests.
    MovesAfter(usize),
    /// Once sticky, everybody is sent to the first instance.
    StickyIsNotSpread,
}

/// Forwards each request on a connection of its own; sticky by a cookie that names the instance.
#[derive(Debug)]
struct StandIn {
    fault: Fault,
    targets: Vec<SocketAddr>,
    turn: AtomicUsize,
    sticky: AtomicBool,
    sticky_requests: AtomicUsize,
}

impl StandIn {
    fn pick(&self, bound: Option<usize>) -> usize {
        let sticky = self.sticky.load(Ordering::SeqCst);
        if let (true, Some(index)) = (sticky, bound) {
            let request = self.sticky_requests.fetch_add(1, Ordering::SeqCst);
            return match self.fault {
                Fault::MovesAfter(count) if request >= count => 1 - index,
                _ => index,
            };
        }
        match self.fault {
            Fault::NeverAlternates => 0,
            Fault::StickyIsNotSpread if sticky => 0,
            _ => self.turn.fetch_add(1, Ordering::SeqCst) % self.targets.len(),
        }
    }
}

async fn forward(State(stand_in): State<Arc<StandIn>>, request: AxumRequest) -> AxumResponse {
    let cookies = request.headers().get(header::COOKIE).and_then(|value| value.to_str().ok());
    let bound = cookies
        .and_then(|value| value.split("; ").find_map(|pair| pair.strip_prefix("stand_in=")))
        .and_then(|index| index.parse().ok());
    let index = stand_in.pick(bound);
    let stream = TcpStream::connect(stand_in.targets[index]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = AxumResponse::from_parts(head, body.into());
    if stand_in.sticky.load(Ordering::SeqCst) {
        let cookie = HeaderValue::try_from(format!("stand_in={index}; Path=/")).unwrap();
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A thread that serves a stand-in; every connection of it ends when it is dropped.
#[derive(Debug)]
struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(listener: &TcpListener, stand_in: Arc<StandIn>) -> Server {
        let listener = listener.try_clone().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = runtime();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = axum::Router::new().fallback(forward).with_state(stand_in);
                tokio::spawn(async move { axum::serve(listener, router).await });
                let _ = stopped.await;
            });
        });
        Server { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join);
    }
}

/// The operator of a stand-in.
#[derive(Debug)]
struct Console {
    stand_in: Arc<StandIn>,
    listener: TcpListener,
    server: Mutex<Option<Server>>,
}

impl Operator for Console {
    fn enable_stickiness(&self) -> Result<(), String> {
        match self.stand_in.fault {
            Fault::EditRefused => return Err("refused by the stand-in".to_owned()),
            Fault::EditWithoutEffect => return Ok(()),
            Fault::RestartsOnEdit => {
                let mut server = self.server.lock().unwrap();
                drop(server.take());
                *server = Some(Server::start(&self.listener, self.stand_in.clone()));
            }
            _ => {}
        }
        self.stand_in.sticky.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Performs the story against a stand-in; returns whether it was as told, and what was printed.
fn perform_with(fault: Fault) -> (bool, String) {
    let instances = Instances::start(Application::Pages).unwrap();
    let stand_in = Arc::new(StandIn {
        fault,
        targets: instances.addresses.iter().map(|(_, address)| *address).collect(),
        turn: AtomicUsize::new(0),
        sticky: AtomicBool::new(false),
        sticky_requests: AtomicUsize::new(0),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Mutex::new(Some(Server::start(&listener, stand_in.clone())));
    let console = Console { stand_in, listener, server };
    let mut out = Vec::new();
    let told =
        runtime().block_on(perform(Pages::at(Place::plain(address)), &console, &mut out)).unwrap();
    (told, String::from_utf8(out).unwrap())
}

/// The number of the step that failed.
fn failed_step(fault: Fault) -> usize {
    let (told, text) = perform_with(fault);
    assert!(!told, "{text}");
    assert_eq!(text.matches('✗').count(), 1, "{text}");
    assert!(text.ends_with("This step was not as told.\n"), "{text}");
    text.matches('✓').count() + 1
}

#[test]
fn a_balancer_that_does_as_told_passes_every_step() {
    let (told, text) = perform_with(Fault::None);
    assert!(told, "{text}");
    assert_eq!(text.matches('✓').count(), TITLES.len(), "{text}");
    assert!(text.ends_with("Every step was as told.\n"), "{text}");
}

#[test]
fn visits_that_do_not_alternate_fail_the_first_step() {
    assert_eq!(failed_step(Fault::NeverAlternates), 1);
}

#[test]
fn an_edit_that_is_refused_fails_its_step() {
    assert_eq!(failed_step(Fault::EditRefused), 4);
}

#[test]
fn an_edit_that_restarts_the_balancer_is_noticed_by_the_idle_connection() {
    assert_eq!(failed_step(Fault::RestartsOnEdit), 5);
}

#[test]
fn an_edit_without_effect_fails_where_the_cookie_is_missing() {
    assert_eq!(failed_step(Fault::EditWithoutEffect), 6);
}

#[test]
fn a_session_that_moves_is_noticed_however_late() {
    assert_eq!(failed_step(Fault::MovesAfter(0)), 7);
    assert_eq!(failed_step(Fault::MovesAfter(49)), 7);
    assert_eq!(failed_step(Fault::MovesAfter(50)), 8);
    assert_eq!(failed_step(Fault::MovesAfter(179)), 8);
}

#[test]
fn stickiness_that_sends_everybody_to_one_instance_is_noticed() {
    assert_eq!(failed_step(Fault::StickyIsNotSpread), 9);
}
