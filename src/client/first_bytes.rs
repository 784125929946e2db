//! The first bytes of a connection: received one receive after the other, within the time for a head, where what they
//! are must be known before anybody serves them. Tested by the black-box suite.

use std::rc::Rc;

use super::connection::{Connection, Spoken};
use super::h1::{self, Next};
use super::h2;
use crate::snapshot::Listener;
use crate::time::alarms::Waits;
use crate::time::clock::Millis;
use crate::time::stop::LAST_REQUEST;

/// When the first bytes must be whole.
pub fn deadline(connection: &Connection, listener: &Listener) -> Millis {
    let local = &connection.clients.local;
    let deadline = local.clock.deadline(listener.timeouts.head);
    match local.stop.has_begun() {
        true => deadline.min(local.clock.deadline(LAST_REQUEST)),
        false => deadline,
    }
}

/// One receive behind `bytes`. Returns how many bytes came, 0 at the end, and whether the time was up. A stop need not
/// wait for it, since no request has begun.
pub async fn receive(
    connection: &Connection,
    deadline: Millis,
    bytes: &mut Vec<u8>,
) -> (usize, bool) {
    let Connection { client, alarm, .. } = connection;
    if bytes.capacity() == 0 {
        let receive = client.recv_any();
        let (result, expired) =
            alarm.bound_waiting(deadline, Waits::Fresh, receive, || client.end()).await;
        *bytes = result.unwrap_or_default();
        return (bytes.len(), expired);
    }
    let receive = client.recv(std::mem::take(bytes));
    let ((result, received), expired) =
        alarm.bound_waiting(deadline, Waits::Fresh, receive, || client.end()).await;
    *bytes = received;
    (result.unwrap_or(0), expired)
}

/// Receives behind `bytes` until they say which version of HTTP the client speaks, and serves it.
pub async fn serve(connection: Rc<Connection>, mut bytes: Vec<u8>) -> Next {
    let Some(deadline) = latest(&connection) else { return Next::Close };
    while connection.spoken(&bytes) == Spoken::NotSaid {
        let (count, _) = receive(&connection, deadline, &mut bytes).await;
        if count == 0 {
            // A part of a preface that nothing follows is a part of a request.
            return Box::pin(h1::serve(connection, bytes)).await;
        }
    }
    match connection.spoken(&bytes) {
        Spoken::Http2 => Box::pin(h2::serve::serve(connection, bytes)).await,
        Spoken::Http1 | Spoken::NotSaid => Box::pin(h1::serve(connection, bytes)).await,
    }
}

fn latest(connection: &Connection) -> Option<Millis> {
    let (view, position) = connection.view()?;
    Some(deadline(connection, view.listeners.get(position)?))
}
