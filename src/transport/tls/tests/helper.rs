//! The helper over real threads: what comes back, in which order, and what a shard does meanwhile.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustls::server::ClientHello;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};

use crate::transport::stream::Stream;
use crate::transport::tls::handshake::{self, Chosen, Computes, Terms};
use crate::transport::tls::helper::*;
use crate::transport::tls::places::{Limits, Places};
use crate::transport::tls::tests::configurations::{name, pair};
use crate::uring::{Engine, Listening, pause, probe, run, spawn};

const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: usize = 8;

fn engines() -> impl Iterator<Item = Engine> {
    let all = [Engine::Epoll, Engine::IoUring, Engine::TokioUring];
    all.into_iter().filter(|&engine| probe(engine).is_ok())
}

#[test]
fn handshakes_are_carried_on_elsewhere_and_come_back() {
    for (engine, version) in engines().flat_map(|engine| [(engine, &TLS12), (engine, &TLS13)]) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (server, client) = pair(version);
        let clients: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let client = Arc::clone(&client);
                thread::spawn(move || {
                    let socket = std::net::TcpStream::connect(address).unwrap();
                    let session = ClientConnection::new(client, name()).unwrap();
                    let mut stream = StreamOwned::new(session, socket);
                    stream.write_all(b"question").unwrap();
                    let mut answer = [0; 6];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"answer");
                })
            })
            .collect();
        run(engine, 64, async {
            let listening = Listening::adopt(listener.into()).unwrap();
            let (places, served) = (Rc::new(Places::default()), Rc::new(Cell::new(0)));
            for _ in 0..ROUNDS {
                let socket = loop {
                    if let Some(accepted) = listening.accept().unwrap() {
                        break accepted.socket;
                    }
                    pause(Duration::from_millis(1)).await;
                };
                let (places, server) = (Rc::clone(&places), Arc::clone(&server));
                let served = Rc::clone(&served);
                spawn(async move {
                    let limits = Limits { count: ROUNDS, per_second: 0 };
                    let place = places.place(&socket, limits).await.unwrap();
                    let choose = async |_: &ClientHello<'_>| {
                        Ok(Chosen { config: server, signs: Computes::Elsewhere })
                    };
                    let terms = Terms { place: &place, time: PATIENCE, small_records: false };
                    let plain = Stream::plain(socket);
                    let (stream, facts) =
                        handshake::accept(&plain, Vec::new(), choose, terms).await.unwrap();
                    assert_eq!(facts.version, version.version);
                    assert_eq!(stream.recv_any().await.unwrap(), b"question");
                    stream.send(b"answer".to_vec(), 0, true).await.0.unwrap();
                    served.set(served.get() + 1);
                });
            }
            while served.get() < ROUNDS {
                pause(Duration::from_millis(1)).await;
            }
        })
        .unwrap();
        for client in clients {
            client.join().unwrap();
        }
    }
}

#[test]
fn a_hello_that_rustls_refuses_is_refused_with_its_alert() {
    let (server, _) = pair(&TLS13);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let helper = Helper::default();
        for _ in 0..3 {
            let mut session = Session::server(Arc::clone(&server)).unwrap();
            // A hello of one byte.
            let mut bytes = vec![22, 3, 1, 0, 5, 1, 0, 0, 1, 7];
            let opened = helper.open(&mut session, &mut bytes).await.unwrap();
            assert!(opened.is_err());
            assert_eq!(session.take_control().first(), Some(&21), "an alert");
        }
    });
}

#[test]
fn the_thread_has_the_cores_of_the_process() {
    let all = sched_getaffinity(Pid::this()).unwrap();
    let seen = thread::spawn(move || {
        let mut one = CpuSet::new();
        one.set((0..CpuSet::count()).find(|core| all.is_set(*core) == Ok(true)).unwrap()).unwrap();
        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
        thread::spawn(|| {
            leave_the_core();
            sched_getaffinity(Pid::from_raw(0)).unwrap()
        })
        .join()
        .unwrap()
    });
    assert_eq!(seen.join().unwrap(), all);
}
