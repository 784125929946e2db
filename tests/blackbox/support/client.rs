//! A client that sends exactly the bytes it is told and panics when what comes back is not HTTP.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use super::message::Response;
use super::tls;
use super::wire::{Wire, closed_kind};

#[derive(Debug)]
pub struct Client {
    pub wire: Wire,
}

/// In clear, or over TLS where every test speaks it.
fn connect(address: SocketAddr) -> std::io::Result<Wire> {
    if tls::is_everywhere() {
        Wire::connect_tls(address, tls::client(), tls::NAME)
    } else {
        Wire::connect(address)
    }
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        let wire = connect(address);
        Client { wire: wire.unwrap_or_else(|error| panic!("connect to {address}: {error}")) }
    }

    /// `None` when the connection is refused or cut at once, as one over a limit may be.
    pub fn try_connect(address: SocketAddr) -> Option<Client> {
        connect(address).ok().map(|wire| Client { wire })
    }

    /// The status of a GET, `None` when the connection is cut in place of a response.
    pub fn try_get(&mut self) -> Option<u16> {
        self.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        self.wire.read_response("GET").ok().map(|response| response.status)
    }

    /// Over TLS, for the server of this name.
    #[track_caller]
    pub fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Client {
        let wire = Wire::connect_tls(address, config, name);
        Client { wire: wire.unwrap_or_else(|error| panic!("connect to {address}: {error}")) }
    }

    #[track_caller]
    pub fn connect_unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path);
        let stream = stream.unwrap_or_else(|error| panic!("connect to {path:?}: {error}"));
        Client { wire: Wire::unix(stream).expect("socket options") }
    }

    /// Sends; a peer that has closed already is noticed by the next read instead.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let result = self.wire.send(bytes.as_ref());
        self.sent(result)
    }

    #[track_caller]
    pub fn send_split(&mut self, bytes: impl AsRef<[u8]>, splits: &[usize]) -> &mut Client {
        let result = self.wire.send_split(bytes.as_ref(), splits);
        self.sent(result)
    }

    #[track_caller]
    pub fn send_byte_by_byte(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let result = self.wire.send_byte_by_byte(bytes.as_ref());
        self.sent(result)
    }

    #[track_caller]
    fn sent(&mut self, result: std::io::Result<()>) -> &mut Client {
        match result {
            Err(error) if !closed_kind(&error) => panic!("send: {error}"),
            _ => self,
        }
    }

    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next response, read as the answer to `method`.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        self.wire.read_response(method).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// The next head only; its content is left on the wire.
    #[track_caller]
    pub fn response_head(&mut self) -> Response {
        self.wire.read_response_head("GET").unwrap_or_else(|error| panic!("no response: {error}"))
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// GET with further field lines, each with its CRLF.
    #[track_caller]
    pub fn get_with(&mut self, path: &str, lines: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: limpet.test\r\n{lines}\r\n")).response()
    }

    /// GET with a Cookie field, or without one when `cookie` is empty.
    #[track_caller]
    pub fn get_cookie(&mut self, path: &str, cookie: &str) -> Response {
        if cookie.is_empty() {
            self.get(path)
        } else {
            self.get_with(path, &format!("Cookie: {cookie}\r\n"))
        }
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, content: &[u8]) -> Response {
        let length = content.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n"
        ));
        self.send(content).response()
    }

    /// The connection ends here, and nothing came before its end.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let rest = self.read_rest();
        let text = super::message::latin1(&rest);
        assert!(rest.is_empty(), "bytes where the connection should end: {text:?}");
    }

    /// Everything up to the end of the connection, orderly or not.
    #[track_caller]
    pub fn read_rest(&mut self) -> Vec<u8> {
        self.wire.read_until_closed().unwrap_or_else(|error| panic!("not closed: {error}"))
    }

    /// The connection is still good for another exchange.
    #[track_caller]
    pub fn assert_usable(&mut self) {
        let response = self.get("/still-usable");
        assert!(response.status < 500, "{}", response.head);
    }
}
