//! The task of a client's connection: asleep between requests, small while it sleeps.
//!
//! ```text
//!   accepted ─▶ [PROXY header] ─▶ [TLS handshake] ─▶ waiting ──first byte──▶ busy (boxed) ──quiet for a second──▶ waiting
//!                                                       │                      │
//!                                                       └── idle limit, EOF ───┴── close ─▶ ended
//! ```
//! While it waits, its task holds this module's small future and one receive whose buffer the kernel finds only when
//! bytes arrive. Everything else that serving needs is in the boxed `busy` future, which is freed when the client falls
//! silent. Tested beside it and by the simulation.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::clients::Clients;
use super::connection::{Arrival, Connection, Spoken};
use super::first_bytes;
use super::h1::{self, Next};
use super::h2;
use super::proxy_protocol;
use super::security::{self, Secured};
use crate::proxy_protocol::ProxyProtocol;
use crate::snapshot::{Listener, View};
use crate::time::alarms::Waits;
use crate::time::clock::Millis;
use crate::time::stop::LAST_REQUEST;
use crate::transport::stream::RecvAny;
use crate::uring::buffers;

/// Serves a client until it or limpet ends the connection. It is all that a sleeping connection's task holds, besides
/// the connection.
pub struct Serving {
    connection: Rc<Connection>,
    state: State,
}

enum State {
    /// Its client is announced, or its handshake made.
    Arriving(Pin<Box<dyn Future<Output = Option<Arrived>>>>),
    /// Waits for the first bytes of a request.
    Asleep {
        receive: RecvAny,
        /// The time is up, and the receive has been made to end.
        is_up: bool,
    },
    Awake(Pin<Box<dyn Future<Output = Next>>>),
    Ended,
}

/// A connection on which requests may come.
enum Arrived {
    /// In clear; the bytes came behind a PROXY header.
    Plain(Vec<u8>),
    Secured(Box<Secured>),
}

impl Serving {
    /// Begins to serve a client; `None` when no snapshot that is kept has its listener.
    pub fn begin(clients: &Rc<Clients>, arrival: Arrival) -> Option<Serving> {
        let mut connection = Connection::new(Rc::clone(clients), arrival);
        let (view, position) = connection.view()?;
        let listener = view.listeners.get(position)?;
        connection.comes_by(listener, position);
        let connection = Rc::new(connection);
        let state = if listener.proxy_protocol == ProxyProtocol::Off && listener.tls.is_none() {
            fresh(&connection, listener)
        } else {
            State::Arriving(Box::pin(arrive(Rc::clone(&connection), view, position)))
        };
        Some(Serving { connection, state })
    }
}

impl Future for Serving {
    type Output = ();
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_served(cx));
        let Connection { clients, caller, .. } = &*self.connection;
        if let Some(alone) = caller.has_alone() {
            clients.close_kept_for(alone);
        }
        Poll::Ready(())
    }
}

impl Serving {
    #[inline]
    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Serving { connection, state } = self;
        loop {
            match state {
                State::Arriving(arriving) => {
                    let arrived = ready!(arriving.as_mut().poll(cx));
                    // With the future the connection's other holder goes.
                    *state = State::Ended;
                    let Some(next) = arrived.and_then(|arrived| arrival(connection, arrived))
                    else {
                        return Poll::Ready(());
                    };
                    *state = next;
                }
                State::Asleep { receive, is_up } => {
                    let Poll::Ready(received) = Pin::new(receive).poll(cx) else {
                        if *is_up || !connection.alarm.poll_fired(cx) {
                            return Poll::Pending;
                        }
                        if !connection.has_bytes_to_take() {
                            *is_up = true;
                            connection.client.end_receiving();
                            return Poll::Pending;
                        }
                        let State::Asleep { receive, .. } = std::mem::replace(state, State::Ended)
                        else {
                            return Poll::Ready(());
                        };
                        let leave = h1::leave(Rc::clone(connection), receive);
                        *state = State::Awake(Box::pin(leave));
                        continue;
                    };
                    let bytes = received.unwrap_or_default();
                    if bytes.is_empty() {
                        buffers::give_back(bytes);
                        return Poll::Ready(());
                    }
                    *state = awake(connection, bytes);
                }
                State::Awake(awake) => match ready!(awake.as_mut().poll(cx)) {
                    Next::Wait { receive, idle_deadline } => {
                        connection.client.rest();
                        *state = asleep(connection, receive, idle_deadline);
                    }
                    Next::Close => return Poll::Ready(()),
                },
                State::Ended => return Poll::Ready(()),
            }
        }
    }
}

/// Tells a client that it has too many connections.
pub fn refuse(clients: &Rc<Clients>, arrival: Arrival) -> impl Future<Output = ()> + use<> {
    let connection = Connection::new(Rc::clone(clients), arrival);
    async move {
        let view = connection.view();
        let listener = view.as_ref().and_then(|(view, at)| view.listeners.get(*at));
        // Without a handshake a client under TLS can be told nothing.
        if listener.is_none_or(|listener| listener.tls.is_none()) {
            drop(view);
            h1::refuse(&connection).await;
        }
    }
}

/// Makes the state that sleeps until bytes come, or until `deadline`.
fn asleep(connection: &Connection, receive: RecvAny, deadline: Millis) -> State {
    let clock = &connection.clients.local.clock;
    let mut deadline = deadline.min(connection.expires_ms);
    let waits = if connection.requests.get() == 0 { Waits::Fresh } else { Waits::Idle };
    if connection.clients.local.stop.has_begun() {
        match waits {
            // The first request may be on its way; its answer will say that it is the last.
            Waits::Fresh => deadline = deadline.min(clock.deadline(LAST_REQUEST)),
            // Bytes that have arrived already are still read and answered.
            Waits::Idle | Waits::Busy if connection.has_bytes_to_take() => {
                deadline = clock.now_ms();
            }
            Waits::Idle | Waits::Busy => connection.client.end_receiving(),
        }
    }
    connection.alarm.set_waiting(deadline, waits);
    if connection.alarm.is_evicted() {
        // Bytes that have arrived already are still read and answered.
        connection.client.end_receiving();
    }
    State::Asleep { receive, is_up: false }
}

/// Makes the state that sleeps until a new connection's first request.
fn fresh(connection: &Connection, listener: &Listener) -> State {
    let deadline = connection.clients.local.clock.deadline(listener.timeouts.head);
    asleep(connection, connection.client.recv_any(), deadline)
}

/// Makes the state that serves the version of HTTP that the first bytes are of.
fn awake(connection: &Rc<Connection>, bytes: Vec<u8>) -> State {
    let connection = Rc::clone(connection);
    State::Awake(match connection.spoken(&bytes) {
        Spoken::Http1 => Box::pin(h1::serve(connection, bytes)),
        Spoken::Http2 => Box::pin(h2::serve::serve(connection, bytes)),
        Spoken::NotSaid => Box::pin(first_bytes::serve(connection, bytes)),
    })
}

/// Makes the state of a connection that has arrived.
fn arrival(connection: &mut Rc<Connection>, arrived: Arrived) -> Option<State> {
    match arrived {
        Arrived::Plain(bytes) if !bytes.is_empty() => {
            return Some(awake(connection, bytes));
        }
        Arrived::Plain(_) => {}
        Arrived::Secured(secured) => {
            let Secured { stream, encryption } = *secured;
            Rc::get_mut(connection)?.secure(stream, encryption);
        }
    }
    let (view, position) = connection.view()?;
    Some(fresh(connection, view.listeners.get(position)?))
}

/// Receives a balancer's PROXY header and makes the client's handshake, as the listener asks.
async fn arrive(connection: Rc<Connection>, view: View, position: usize) -> Option<Arrived> {
    // The view is held, not the listener alone: shards hold a snapshot only as a whole, so that the control plane is
    // the one to free it.
    let listener = view.listeners.get(position)?;
    let early = match listener.proxy_protocol {
        ProxyProtocol::Off => Vec::new(),
        ProxyProtocol::V1 | ProxyProtocol::V2 | ProxyProtocol::Any => {
            proxy_protocol::receive(&connection, listener).await?
        }
    };
    match &listener.tls {
        None => Some(Arrived::Plain(early)),
        Some(tls) => {
            let secured = security::secure(&connection, listener, tls, early).await?;
            Some(Arrived::Secured(Box::new(secured)))
        }
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
