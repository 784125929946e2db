//! How a response is sent to its client, and whether another request may follow.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::client::clients::tests::{clients, snapshot};
use crate::client::connection::Arrival;
use crate::exchange::caller::{Origin, Peer, PortText};
use crate::exchange::doubles::poll;
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method};
use crate::http1::head::{Parsed, parse_response};
use crate::transport::pending::PendingSend;
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Knobs};
use crate::uring::{Shutdown, Socket};

const ASKED: Asked = Asked { version: Version::Http11, persistent: true, may_listen: true };

/// One connection, and its client's end.
struct World {
    connection: Connection,
    far: Socket,
}

fn play(settings: &str, main: impl AsyncFnOnce(&World)) {
    simulated::run(0, Knobs::default(), async {
        let (_, clients) = clients(snapshot(&[("web", settings)]));
        let (near, far) = simulated::pair();
        let origin = Origin { listener_name: "web".into(), port: 80, port_text: PortText::new() };
        let client = Stream::plain(near);
        let arrival = Arrival { client, origin: Rc::new(origin), peer: Peer::new(None) };
        let connection = Connection::new(clients, arrival);
        main(&World { connection, far }).await;
    });
}

impl World {
    /// A response to a request with the properties `asked`.
    fn response<T>(
        &self,
        asked: Asked,
        ahead: &mut Ahead,
        look: impl FnOnce(&mut Response<'_>) -> T,
    ) -> T {
        let timers = Timers::new(&self.connection.alarm, &self.connection.clients.local.clock);
        let (view, position) = self.connection.view().unwrap();
        let listener = &view.listeners[position];
        look(&mut Response::new(&self.connection, listener, &timers, asked, ahead))
    }

    /// Everything that has arrived at the client.
    async fn arrived(&self) -> String {
        simulated::wait(Duration::from_millis(1)).await;
        let mut all = Vec::new();
        while self.far.is_readable() {
            let (result, buffer) = self.far.recv(Vec::with_capacity(4096)).await;
            if result.unwrap() == 0 {
                break;
            }
            all.extend_from_slice(&buffer);
            simulated::wait(Duration::from_millis(1)).await;
        }
        String::from_utf8(all).unwrap()
    }

    async fn at(&self, ms: u64) {
        let local = &self.connection.clients.local;
        simulated::wait(Duration::from_micros(ms * 1000 - local.clock.read_us())).await;
        local.clock.tick();
        local.alarms.scan(local.clock.now_ms());
    }
}

/// Passes a target's head to a response.
fn respond(response: &mut Response<'_>, text: &str, may_keep: bool) {
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 8192,
        field_count: 100,
    };
    let mut fields = Fields::new();
    let parsed = parse_response(text.as_bytes(), &limits, Method::Get, &mut fields);
    let Ok(Parsed::Complete((head, _))) = parsed else { panic!("no head: {text:?}") };
    response.respond(&head, &ResponseEdits::default(), may_keep);
}

const EXACT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 200 OK\r\n\r\n";

#[test]
fn a_connection_is_kept_as_its_version_and_the_framing_allow() {
    let old = Asked { version: Version::Http10, ..ASKED };
    let closes = Asked { persistent: false, ..ASKED };
    for (asked, head, may_keep, keeps, has) in [
        (ASKED, EXACT, true, true, "Content-Length: 3"),
        (ASKED, UNKNOWN, true, true, "Transfer-Encoding: chunked"),
        (ASKED, EXACT, false, false, "Connection: close"),
        (closes, EXACT, true, false, "Connection: close"),
        (old, EXACT, true, true, "Connection: keep-alive"),
        (old, UNKNOWN, true, false, "Connection: close"),
        (ASKED, "HTTP/1.1 204 N\r\n\r\n", true, true, "204"),
        (ASKED, "HTTP/1.1 103 E\r\n\r\n", false, true, "103"),
    ] {
        play("", async |world| {
            world.response(asked, &mut Ahead::default(), |response| {
                respond(response, head, may_keep);
                assert_eq!(response.keep, keeps, "{asked:?}, {head:?}");
                let text = String::from_utf8_lossy(&response.out).into_owned();
                assert!(text.contains(has), "{text:?}");
            });
        });
    }
}

#[test]
fn a_connection_that_may_not_go_on_says_so() {
    play("limits.requests_per_connection = 1", async |world| {
        let keeps = || {
            world.response(ASKED, &mut Ahead::default(), |response| {
                respond(response, EXACT, true);
                response.keep
            })
        };
        assert!(keeps());
        world.connection.requests.set(1);
        assert!(!keeps());
        world.connection.requests.set(0);
        world.connection.clients.local.stop.begin();
        assert!(!keeps());
    });
}

#[test]
fn a_client_of_http_1_0_is_sent_no_interim_head() {
    play("", async |world| {
        let old = Asked { version: Version::Http10, ..ASKED };
        world.response(old, &mut Ahead::default(), |response| {
            respond(response, "HTTP/1.1 103 E\r\n\r\n", true);
            assert!(response.out.is_empty());
        });
    });
}

#[test]
fn content_of_no_known_length_is_chunked_for_who_knows_chunks() {
    for (version, content) in [
        (Version::Http11, "3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Sum: 1\r\n\r\n"),
        (Version::Http10, "abcdef"),
    ] {
        play("", async |world| {
            let mut ahead = Ahead::default();
            let timers =
                Timers::new(&world.connection.alarm, &world.connection.clients.local.clock);
            let (view, position) = world.connection.view().unwrap();
            let listener = &view.listeners[position];
            let asked = Asked { version, ..ASKED };
            let mut response =
                Response::new(&world.connection, listener, &timers, asked, &mut ahead);
            respond(&mut response, UNKNOWN, true);
            response.append(Along { bytes: b"abc", end: None });
            assert_eq!(response.flush(false).await, Ok(Flushed::Taken));
            let mut buffer = vec![0; crate::exchange::content::ROOM];
            buffer.extend_from_slice(b"def");
            let piece = Piece { buffer, from: crate::exchange::content::ROOM };
            response.send(piece, Some(b"X-Sum: 1\r\n")).await.unwrap();
            let sent = response.sent;
            let text = world.arrived().await;
            assert_eq!(text.split_once("\r\n\r\n").unwrap().1, content);
            assert_eq!(sent, text.len() as u64);
        });
    }
}

#[test]
fn only_a_small_response_that_is_whole_may_still_be_on_its_way() {
    let large = "x".repeat(LAZY_SEND_BYTES);
    for (content, is_whole, flushed) in [
        ("abc", true, Flushed::OnItsWay),
        ("abc", false, Flushed::Taken),
        (large.as_str(), true, Flushed::Taken),
    ] {
        play("", async |world| {
            let mut ahead = Ahead::default();
            let timers =
                Timers::new(&world.connection.alarm, &world.connection.clients.local.clock);
            let (view, position) = world.connection.view().unwrap();
            let listener = &view.listeners[position];
            let mut response =
                Response::new(&world.connection, listener, &timers, ASKED, &mut ahead);
            let length = content.len();
            respond(
                &mut response,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
                true,
            );
            response.append(Along { bytes: content.as_bytes(), end: is_whole.then_some(b"") });
            assert_eq!(response.flush(is_whole).await, Ok(flushed));
            let is_ahead = !matches!(response.ahead.last, PendingSend::None);
            assert_eq!(is_ahead, flushed == Flushed::OnItsWay);
            let sent = response.sent;
            let text = world.arrived().await;
            assert!(text.ends_with(content));
            assert_eq!(sent, text.len() as u64);
        });
    }
}

#[test]
fn a_client_is_listened_to_where_nothing_else_of_it_is_to_come() {
    play("", async |world| {
        let unread = Asked { may_listen: false, ..ASKED };
        let mut ahead = Ahead::default();
        world.response(unread, &mut ahead, |response| {
            response.listen();
            assert!(!response.is_told() && response.ahead.next.is_none());
            assert_eq!(response.told(), Presence::There);
        });
        world.response(ASKED, &mut ahead, |response| {
            response.listen();
            assert!(response.is_told());
        });
        world.far.shutdown(Shutdown::Write);
        simulated::wait(Duration::from_millis(1)).await;
        world.response(ASKED, &mut ahead, |response| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert_eq!(response.poll_presence(&mut cx), Some(Presence::Ended));
            assert_eq!((response.told(), response.is_told()), (Presence::Ended, false));
        });
    });
}

#[test]
fn the_system_is_asked_about_a_client_whose_bytes_are_unread() {
    play("", async |world| {
        let mut ahead = Ahead::default();
        let look = |ahead: &mut Ahead| world.response(ASKED, ahead, |response| response.look());
        world.far.send(b"unread".to_vec(), 0, true).await.0.unwrap();
        assert_eq!(look(&mut ahead), Presence::There);
        world.far.shutdown(Shutdown::Write);
        simulated::wait(Duration::from_millis(1)).await;
        assert_eq!(look(&mut ahead), Presence::Ended);
    });
}

#[test]
fn what_is_on_its_way_is_waited_for_as_long_as_a_client_may_take_nothing() {
    play("timeouts.send_idle = \"2s\"", async |world| {
        // More than the buffers of both sides hold.
        let mut last = PendingSend::None;
        last.begin(&world.connection.client, vec![0; 1_000_000]);
        let mut ahead = Ahead { last, ..Ahead::default() };
        let timers = Timers::new(&world.connection.alarm, &world.connection.clients.local.clock);
        let (view, position) = world.connection.view().unwrap();
        let listener = &view.listeners[position];
        let mut response = Response::new(&world.connection, listener, &timers, ASKED, &mut ahead);
        let mut finish = Box::pin(response.finish());
        assert!(poll(&mut finish).is_pending());
        world.at(1999).await;
        assert!(poll(&mut finish).is_pending());
        world.at(2000).await;
        if poll(&mut finish).is_pending() {
            // An aborted send is seen to have ended a moment later.
            world.at(2010).await;
            assert_eq!(poll(&mut finish), Poll::Ready(()));
        }
        drop(finish);
        assert_eq!(world.far.presence(), crate::uring::Presence::Reset);
    });
}

#[test]
fn a_client_that_is_gone_takes_no_more() {
    play("", async |world| {
        world.far.abort();
        simulated::wait(Duration::from_millis(1)).await;
        let mut ahead = Ahead::default();
        let timers = Timers::new(&world.connection.alarm, &world.connection.clients.local.clock);
        let (view, position) = world.connection.view().unwrap();
        let listener = &view.listeners[position];
        let mut response = Response::new(&world.connection, listener, &timers, ASKED, &mut ahead);
        respond(&mut response, EXACT, true);
        assert!(response.flush(false).await.is_err());
    });
}
