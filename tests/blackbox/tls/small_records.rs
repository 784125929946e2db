//! The sizes of the records in which content comes.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::support::tls::{self, NAME};
use crate::support::wire::DEADLINE;
use crate::support::{Limpet, Target, config, group, listener, pause};

const CONTENT_BYTES: usize = 200_000;
/// A record of 1400 bytes of data, with what TLS 1.3 adds (RFC 8446 §5.2).
const SMALL: usize = 1400 + 1 + 16;

/// A client that sees records.
struct Watcher {
    socket: TcpStream,
    connection: ClientConnection,
}

impl Watcher {
    fn connect(limpet: &Limpet) -> Watcher {
        let socket = TcpStream::connect(limpet.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut connection = ClientConnection::new(tls::client(), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut &socket).unwrap();
        }
        Watcher { socket, connection }
    }

    /// The sizes of the records of data that a response comes in.
    fn get(&mut self) -> Vec<usize> {
        let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        std::io::Write::write_all(&mut self.connection.writer(), request.as_bytes()).unwrap();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket).unwrap();
        }
        let (mut sizes, mut data) = (Vec::new(), Vec::new());
        while !data.ends_with(b"end") {
            let mut record = vec![0; 5];
            self.socket.read_exact(&mut record).unwrap();
            let size = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + size, 0);
            self.socket.read_exact(&mut record[5..]).unwrap();
            let mut rest = &*record;
            while !rest.is_empty() {
                self.connection.read_tls(&mut rest).unwrap();
                let state = self.connection.process_new_packets().unwrap();
                let mut part = vec![0; state.plaintext_bytes_to_read()];
                self.connection.reader().read_exact(&mut part).unwrap();
                data.extend_from_slice(&part);
                // A ticket is no data.
                if !part.is_empty() {
                    sizes.push(size);
                }
            }
        }
        sizes
    }
}

fn target() -> Target {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {CONTENT_BYTES}\r\n\r\n");
    response.push_str(&"x".repeat(CONTENT_BYTES - 3));
    response.push_str("end");
    Target::fixed(response)
}

fn start(target: &Target, small: bool) -> Limpet {
    let web = listener("web").tls().set("tls.small_records", small);
    config().listener(web).group(group("app").target("a", target)).start()
}

/// How many records at the beginning are small, and the size of the largest behind them.
fn beginning(sizes: &[usize]) -> (usize, usize) {
    let count = sizes.iter().take_while(|size| **size <= SMALL).count();
    (count, sizes[count..].iter().copied().max().unwrap_or_default())
}

#[test]
fn a_response_begins_with_small_records_where_the_file_asks_for_them() {
    let target = target();
    let limpet = start(&target, true);
    let mut watcher = Watcher::connect(&limpet);
    let sizes = watcher.get();
    let (small, largest) = beginning(&sizes);
    assert!(small >= 47 && largest > 10 * SMALL, "{sizes:?}");
    let begun: usize = sizes[..47].iter().map(|size| size - 17).sum();
    assert!(begun <= 47 * 1400, "{begun}");

    // Another behind it is no beginning; behind a second of silence there is one.
    let sizes = watcher.get();
    assert!(beginning(&sizes).0 < 10, "{sizes:?}");
    pause(Duration::from_millis(1300));
    let sizes = watcher.get();
    assert!(beginning(&sizes).0 >= 47, "{sizes:?}");
}

#[test]
fn records_are_as_large_as_their_data_where_nobody_asks() {
    let target = target();
    let limpet = start(&target, false);
    let sizes = Watcher::connect(&limpet).get();
    let (small, largest) = beginning(&sizes);
    assert!(small < 10 && largest > 10 * SMALL, "{sizes:?}");
}
