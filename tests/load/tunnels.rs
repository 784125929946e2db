//! Tunnels: what opens one, and a target's end of it.

use std::io;

use crate::support::Client;
use crate::support::target::Connection;

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A client in a tunnel, whose request had `fields` too, lines of their own.
pub fn open(mut client: Client, fields: &str) -> Client {
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    ));
    assert_eq!(client.response().status, 101);
    client
}

/// Switches to a tunnel and echoes in it until the other side ends it.
pub fn echo(connection: &mut Connection) -> io::Result<()> {
    connection.send(SWITCH)?;
    loop {
        let bytes = connection.read_some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        connection.send(&bytes)?;
    }
}
