//! The stream over sockets of the loopback interface, on every engine, against rustls' own buffered client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

use super::configurations::{self, accept, name};
use super::session::VERSIONS;
use crate::transport::stream::Stream;
use crate::transport::tls::handshake::connect;
use crate::uring::{self, ConnectAddress, Engine, Listening, Socket, buffers, probe, run};

const PATIENCE: Duration = Duration::from_secs(20);
const LARGE_BYTES: usize = 1024 * 1024;

type TlsClient = rustls::StreamOwned<ClientConnection, TcpStream>;

fn engines() -> impl Iterator<Item = Engine> {
    [Engine::Epoll, Engine::IoUring, Engine::TokioUring]
        .into_iter()
        .filter(|&engine| probe(engine).is_ok())
}

/// Serves one connection by `serve` on each engine, for `client` on a thread of its own.
fn play<F: Future<Output = ()>>(
    version: &'static SupportedProtocolVersion,
    client: fn(&mut TlsClient),
    serve: impl Fn(Stream) -> F,
) {
    for engine in engines() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (server, client_config) = configurations::pair(version);
        let client = thread::spawn(move || client(&mut connected(address, client_config)));
        run(engine, 64, async {
            let socket = accepted(listener).await;
            let (stream, _) = accept(socket, Vec::new(), |_| Ok(server), PATIENCE).await.unwrap();
            serve(stream).await;
            // The last records go out beside this task.
            uring::pause(Duration::from_millis(50)).await;
            while !client.is_finished() {
                uring::pause(Duration::from_millis(5)).await;
            }
        })
        .unwrap();
        client.join().unwrap();
    }
}

async fn accepted(listener: TcpListener) -> Socket {
    let listening = Listening::adopt(listener.into()).unwrap();
    loop {
        if let Some(accepted) = listening.accept().unwrap() {
            return accepted.socket;
        }
        uring::pause(Duration::from_millis(1)).await;
    }
}

fn connected(address: SocketAddr, config: Arc<ClientConfig>) -> TlsClient {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    rustls::StreamOwned::new(ClientConnection::new(config, name()).unwrap(), socket)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn small_requests_are_answered_one_after_another() {
    fn client(stream: &mut TlsClient) {
        for number in 0..50_u8 {
            stream.write_all(&[number; 120]).unwrap();
            let mut answer = [0; 250];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [number; 250]);
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    for version in VERSIONS {
        play(version, client, |stream| async move {
            loop {
                let request = stream.recv_any().await.unwrap();
                let Some(&number) = request.first() else { break };
                assert_eq!(request, [number; 120]);
                buffers::give_back(request);
                let (sent, _) = stream.send(vec![number; 250], 0, true).await;
                assert_eq!(sent.unwrap(), 250);
            }
        });
    }
}

#[test]
fn a_mebibyte_goes_each_way_at_once_in_any_pieces() {
    fn client(stream: &mut TlsClient) {
        let (data, mut heard) = (pattern(LARGE_BYTES), Vec::new());
        for part in data.chunks(100_000) {
            stream.write_all(part).unwrap();
            let mut answer = vec![0; part.len()];
            stream.read_exact(&mut answer).unwrap();
            heard.extend(answer);
        }
        assert!(heard == data);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest == data);
    }
    let serve = |stream: Stream| async move {
        loop {
            let (count, bytes) = stream.recv(buffers::large()).await;
            if count.unwrap() == 0 {
                break;
            }
            let mut from = 0;
            let mut bytes = bytes;
            while from < bytes.len() {
                let (sent, back) = stream.send(bytes, from, false).await;
                from += sent.unwrap();
                bytes = back;
            }
            buffers::give_back(bytes);
        }
        // The client has closed its direction, and still hears.
        let (sent, _) = stream.send(pattern(LARGE_BYTES), 0, true).await;
        assert_eq!(sent.unwrap(), LARGE_BYTES);
    };
    for version in VERSIONS {
        play(version, client, serve);
    }
}

#[test]
fn a_stream_that_is_aborted_is_no_clean_end_for_its_peer() {
    fn client(stream: &mut TlsClient) {
        stream.write_all(b"hello").unwrap();
        assert!(stream.read(&mut [0; 8]).is_err());
    }
    play(&TLS13, client, |stream| async move {
        assert_eq!(stream.recv_any().await.unwrap(), b"hello");
        stream.abort();
    });
}

#[test]
fn a_peer_that_leaves_without_a_word_has_cut_its_data() {
    fn client(stream: &mut TlsClient) {
        stream.write_all(b"hello").unwrap();
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        // The server says its end all the same.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    play(&TLS13, client, |stream| async move {
        assert_eq!(stream.recv_any().await.unwrap(), b"hello");
        let cut = stream.recv_any().await.unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn two_streams_of_this_side_speak_with_each_other() {
    for (engine, version) in engines().flat_map(|engine| VERSIONS.map(|version| (engine, version)))
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (server, client) = configurations::pair(version);
        run(engine, 64, async {
            let far = async {
                let connect_to = uring::connect(&ConnectAddress::Tcp(address), PATIENCE).unwrap();
                let socket = connect_to.await.unwrap();
                let (stream, _) = connect(socket, client, name(), PATIENCE).await.unwrap();
                let (sent, _) = stream.send(pattern(LARGE_BYTES), 0, true).await;
                assert_eq!(sent.unwrap(), LARGE_BYTES);
                stream.end_sending();
                assert_eq!(stream.recv_any().await.unwrap(), b"thanks");
            };
            let near = async {
                let socket = accepted(listener).await;
                let (stream, _) =
                    accept(socket, Vec::new(), |_| Ok(server), PATIENCE).await.unwrap();
                let mut heard = Vec::new();
                loop {
                    let bytes = stream.recv_any().await.unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    heard.extend_from_slice(&bytes);
                    buffers::give_back(bytes);
                }
                assert!(heard == pattern(LARGE_BYTES));
                stream.send(b"thanks".to_vec(), 0, true).await.0.unwrap();
            };
            super::stream::both(near, far).await;
            uring::pause(Duration::from_millis(50)).await;
        })
        .unwrap();
    }
}
