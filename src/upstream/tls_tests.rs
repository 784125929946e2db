//! Targets under TLS: what they must prove, which connections and sessions serve again, and what disturbs none.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::DefaultTimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CommonState, HandshakeKind, ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::exchange::doubles::{Shard, file, play};
use crate::exchange::target::Connecting as _;
use crate::group::state::TargetState;
use crate::group::target_group::{Manner, Way};
use crate::tls::policy::Version;
use crate::tls::target::{Naming, Sni, TargetTls, TargetTlsOptions, Verify};
use crate::transport::tls::fault::CertificateFault;
use crate::transport::tls::fault::HandshakeFault;
use crate::transport::tls::session::Session;
use crate::transport::tls::tests::configurations;
use crate::uring::simulated::{self, Answer};
use crate::uring::{Socket, spawn};

/// What a target of these tests proves, and what is asked of it.
struct Site {
    server: Arc<ServerConfig>,
    tls: Arc<TargetTls>,
}

impl Site {
    fn new() -> Site {
        Site::of(&TLS13)
    }

    fn of(version: &'static SupportedProtocolVersion) -> Site {
        let (certificate, key) = configurations::certificate();
        let authorities = vec![certificate.clone()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        server.send_tls13_tickets = 1;
        server.enable_secret_extraction = true;
        Site { server: Arc::new(server), tls: compiled(Verify::Full, authorities) }
    }
}

fn compiled(
    verify: Verify,
    authorities: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> Arc<TargetTls> {
    let options = TargetTlsOptions {
        naming: Naming::Fixed(configurations::name()),
        sni: Sni::Same,
        minimum_version: Version::Tls12,
        verify,
        authorities,
        crls: Vec::new(),
        own: None,
        alpn: Vec::new(),
    };
    Arc::new(TargetTls::new(&options, Arc::new(DefaultTimeProvider)).unwrap())
}

struct NoRoom;

impl Room for NoRoom {
    fn is_shortage(&self, _: &std::io::Error) -> bool {
        false
    }
    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(async { false })
    }
}

/// Runs `main` with the targets of a shard.
fn with(main: impl AsyncFnOnce(&Shard, &Targets<'_>)) {
    play(&file("", "", 1), async |shard| {
        let (pool, sessions) = (RefCell::new(Pool::new()), RefCell::default());
        let targets = Targets {
            local: &shard.local,
            pool: &pool,
            sessions: &sessions,
            lines: &Lines::default(),
            room: &NoRoom,
        };
        main(shard, &targets).await;
        pool.borrow_mut().drain_all(Lease::close);
    });
}

/// The shard's target, spoken to in this way.
fn target(shard: &Shard, tls: &Arc<TargetTls>) -> Target {
    shard.target(0).clone().spoken_to(Manner { tls: Some(tls.peer(None)), ..Manner::default() })
}

fn to(target: &Target) -> Destination<'_> {
    let way = Way::to(target.tls().and_then(|tls| tls.only_name()));
    Destination { target, way: Some(Box::leak(Box::new(way))) }
}

/// The target's end after its handshake.
struct Far {
    socket: Socket,
    session: Session,
    kind: Option<HandshakeKind>,
}

impl Far {
    /// Sends data under TLS, and behind it what the session has to say by itself.
    async fn says(&mut self, data: &[u8]) {
        let mut out = self.session.take_control();
        out.reserve(data.len() + 256);
        if !data.is_empty() {
            self.session.seal(data, &mut out).unwrap();
        }
        if !out.is_empty() {
            self.socket.send(out, 0, true).await.0.unwrap();
        }
    }

    /// Changes its keys, and says so.
    async fn renews_keys(&mut self) {
        self.session.update_keys();
        self.says(b"").await;
    }

    async fn ends(&mut self) {
        let mut out = Vec::with_capacity(256);
        self.session.close(&mut out).unwrap();
        self.socket.send(out, 0, true).await.0.unwrap();
    }
}

type Fars = Rc<RefCell<Vec<Far>>>;

/// Listens at the shard's target; the ends of handshakes that went well are kept.
fn listen(server: &Arc<ServerConfig>) -> Fars {
    let fars = Fars::default();
    let (server, kept) = (Arc::clone(server), Rc::clone(&fars));
    let address: SocketAddr = ([10, 0, 0, 1], 80).into();
    let accept = move |socket: Socket| {
        let (server, kept) = (Arc::clone(&server), Rc::clone(&kept));
        spawn(async move {
            let mut session = Session::server(server).unwrap();
            while session.is_handshaking() {
                let Ok(mut bytes) = socket.recv_any().await else { return };
                if bytes.is_empty() || session.open(&mut bytes, None).is_err() {
                    return;
                }
                let control = session.take_control();
                if !control.is_empty() {
                    let _ = socket.send(control, 0, true).await;
                }
            }
            let kind = session.state().and_then(CommonState::handshake_kind);
            session.take_over().unwrap();
            kept.borrow_mut().push(Far { socket, session, kind });
        });
    };
    simulated::listen(address, || Answer::Accepted { after_us: 10 }, accept);
    fars
}

async fn connect(targets: &Targets<'_>, shard: &Shard, target: &Target) -> Result<Lease, Failure> {
    let mut connecting = targets.connect(to(target), &shard.group().options).await?;
    match poll_fn(|cx| connecting.poll_connected(cx)).await? {
        Connected::Ready(_) => panic!("without a handshake"),
        Connected::Shakes => {}
    }
    match poll_fn(|cx| connecting.poll_connected(cx)).await? {
        Connected::Ready(Leased::Own(lease)) => Ok(lease),
        Connected::Ready(Leased::Stream(_)) => panic!("a stream"),
        Connected::Shakes => panic!("two handshakes"),
    }
}

/// Lets everything happen that can by now.
async fn moment() {
    simulated::wait(Duration::from_millis(10)).await;
}

/// Whether a kept connection serves again; it is kept before, as if a request had gone well on it.
async fn serves_again(targets: &Targets<'_>, target: &Target, lease: Lease, surely: bool) -> bool {
    let id = lease.id();
    assert!(targets.pool.borrow_mut().checkin(&target.state, (lease, id), NEVER, 8).is_none());
    let leased = targets.lease(to(target), surely).await;
    leased.map(|lease| targets.close(lease)).is_some()
}

#[test]
fn a_target_that_proves_itself_gets_an_encrypted_connection_and_its_sessions_are_resumed() {
    for version in [&TLS13, &TLS12] {
        with(async |shard, targets| {
            let site = Site::of(version);
            let (target, fars) = (target(shard, &site.tls), listen(&site.server));
            for is_resumed in [false, true] {
                let lease = connect(targets, shard, &target).await.unwrap();
                assert_eq!(lease.id(), to(&target).id());
                moment().await;
                let far = fars.borrow_mut().pop().unwrap();
                let kind = far.kind.unwrap();
                assert_eq!(kind == HandshakeKind::Resumed, is_resumed, "{kind:?}");
                // In TLS 1.3 its ticket comes behind the handshake.
                assert!(serves_again(targets, &target, lease, true).await);
            }
        });
    }
}

#[test]
fn a_target_that_does_not_prove_itself_gets_no_request_and_the_reason_is_told() {
    with(async |shard, targets| {
        let (site, other) = (Site::new(), Site::new());
        let (target, _fars) = (target(shard, &site.tls), listen(&other.server));
        let failed = connect(targets, shard, &target).await.err();
        let unknown = HandshakeFault::Certificate(CertificateFault::UnknownIssuer);
        assert_eq!(failed, Some(Failure::Handshake(unknown)));
        let counters = shard.local.counters.snapshot();
        assert_eq!(counters.get(Counter::TargetConnectionsOpened), 0);
    });
}

#[test]
fn a_handshake_that_is_given_up_ends_soon() {
    with(async |shard, targets| {
        let site = Site::new();
        let target = target(shard, &site.tls);
        // It takes the connection, and says nothing.
        let kept: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let silent = Rc::clone(&kept);
        let accept = move |socket| silent.borrow_mut().push(socket);
        simulated::listen(([10, 0, 0, 1], 80).into(), || Answer::Accepted { after_us: 10 }, accept);
        let mut connecting = targets.connect(to(&target), &shard.group().options).await.unwrap();
        let shakes = poll_fn(|cx| connecting.poll_connected(cx)).await.unwrap();
        assert!(matches!(shakes, Connected::Shakes));
        assert!(poll_fn(|cx| Poll::Ready(connecting.poll_connected(cx).is_pending())).await);
        connecting.abort();
        let ended = poll_fn(|cx| connecting.poll_connected(cx)).await.err();
        assert_eq!(ended, Some(Failure::Handshake(HandshakeFault::Gone)));
    });
}

#[test]
fn tickets_and_new_keys_disturb_no_kept_connection_however_sure_one_must_be() {
    with(async |shard, targets| {
        let site = Site::new();
        let (target, fars) = (target(shard, &site.tls), listen(&site.server));
        for surely in [false, true] {
            let lease = connect(targets, shard, &target).await.unwrap();
            moment().await;
            let mut far = fars.borrow_mut().pop().unwrap();
            for _ in 0..3 {
                far.renews_keys().await;
            }
            moment().await;
            assert!(serves_again(targets, &target, lease, surely).await);
        }
    });
}

#[test]
fn new_keys_that_come_in_the_very_turn_of_a_request_are_taken_before_it_is_sent() {
    with(async |shard, targets| {
        let site = Site::new();
        let (target, fars) = (target(shard, &site.tls), listen(&site.server));
        let mut lease = connect(targets, shard, &target).await.unwrap();
        moment().await;
        let mut far = fars.borrow_mut().pop().unwrap();
        assert!(poll_fn(|cx| lease.poll_quiet(true, cx)).await);
        for _ in 0..20 {
            far.renews_keys().await;
            assert!(poll_fn(|cx| lease.poll_quiet(true, cx)).await);
        }
        lease.close();
    });
}

#[test]
fn data_that_nobody_asked_for_and_every_end_make_a_kept_connection_useless() {
    with(async |shard, targets| {
        let site = Site::new();
        let (target, fars) = (target(shard, &site.tls), listen(&site.server));
        for happens in 0..5 {
            let lease = connect(targets, shard, &target).await.unwrap();
            moment().await;
            let mut far = fars.borrow_mut().pop().unwrap();
            // The ticket is taken, so that what comes next meets a receive.
            let mut lease = lease;
            assert!(poll_fn(|cx| lease.poll_quiet(true, cx)).await);
            match happens {
                0 => far.says(b"stray").await,
                1 => far.ends().await,
                2 => far.socket.shutdown(crate::uring::Shutdown::Both),
                3 => far.socket.abort(),
                // The head of a record, of which it cannot be known yet what it has.
                _ => far.socket.send(vec![23, 3, 3], 0, true).await.0.map(drop).unwrap(),
            }
            moment().await;
            assert!(!serves_again(targets, &target, lease, true).await, "{happens}");
        }
    });
}

#[test]
fn a_connection_that_has_proven_something_else_is_never_used() {
    with(async |shard, targets| {
        let site = Site::new();
        let (under_tls, _fars) = (target(shard, &site.tls), listen(&site.server));
        let trusting = target(shard, &compiled(Verify::None, Vec::new()));
        let lease = connect(targets, shard, &trusting).await.unwrap();
        let id = lease.id();
        targets.pool.borrow_mut().checkin(&trusting.state, (lease, id), NEVER, 8);
        assert!(targets.lease(to(&under_tls), false).await.is_none());
        let in_clear = Destination { target: shard.target(0), way: None };
        assert!(targets.lease(in_clear, false).await.is_none());
        let leased = targets.lease(to(&trusting), false).await;
        assert!(leased.map(|lease| targets.close(lease)).is_some());
    });
}

#[test]
fn a_target_that_closes_without_saying_that_it_was_all_has_cut_its_response() {
    with(async |shard, targets| {
        use crate::exchange::target::{Lease as _, ReceiveFault, Receiving as _};
        let limits = crate::http::head::HeadLimits {
            request_line_bytes: 8192,
            field_line_bytes: 8192,
            head_bytes: 8192,
            field_count: 100,
        };
        let site = Site::new();
        let (target, fars) = (target(shard, &site.tls), listen(&site.server));
        for is_whole in [false, true] {
            let mut lease = connect(targets, shard, &target).await.unwrap();
            moment().await;
            let mut far = fars.borrow_mut().pop().unwrap();
            far.says(b"HTTP/1.1 200 OK\r\n\r\nhalf").await;
            let response = lease.parts().1;
            poll_fn(|cx| response.poll_head(cx)).await.unwrap();
            let method = crate::http::head::Method::Get;
            assert_eq!(response.head(method, &limits, |head| head.status), Ok(Some(200)));
            assert_eq!(response.along().unwrap().bytes, b"half");
            if is_whole {
                far.ends().await;
            }
            far.socket.shutdown(crate::uring::Shutdown::Both);
            let last = poll_fn(|cx| response.poll_content(cx)).await;
            match last {
                Ok(received) => {
                    assert!(is_whole && received.end == crate::exchange::content::End::ByClose);
                }
                Err(fault) => assert!(!is_whole && fault == ReceiveFault::Closed),
            }
            lease.close();
        }
    });
}

#[test]
fn sessions_end_with_the_settings_that_they_belong_to_and_with_their_targets() {
    with(async |shard, _| {
        let (one, other) = (Site::new().tls, Site::new().tls);
        let mut sessions = Sessions::default();
        let of = target(shard, &one);
        let first = sessions.config(&of, &one);
        assert!(Arc::ptr_eq(&first, &sessions.config(&of, &one)));
        let renewed = sessions.config(&of, &other);
        assert!(!Arc::ptr_eq(&first, &renewed));
        assert!(!Arc::ptr_eq(&first, &sessions.config(&of, &one)), "they are not kept for later");
        // Another target that has got the slot of one that is gone.
        let mut heir = target(shard, &one);
        heir.state = TargetState::detached(of.state.slot);
        let before = sessions.config(&of, &one);
        assert!(!Arc::ptr_eq(&before, &sessions.config(&heir, &one)));
        for slot in 0..1000 {
            let mut gone = target(shard, &one);
            gone.state = TargetState::detached(slot);
            sessions.config(&gone, &one);
        }
        assert!(sessions.count() <= 128, "{}", sessions.count());
    });
}
