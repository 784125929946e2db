//! Tickets: who resumes, where, and until when.

use std::sync::Arc;

use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
use rustls::server::ProducesTickets as _;
use rustls::{ClientConfig, ProtocolVersion};

use crate::tls::client_auth::{ClientAuth, ClientAuthId, ClientMode};
use crate::tls::listener::*;
use crate::tls::tests::pki::*;
use crate::tls::tickets::*;

const SECRETS: [(u16, [u8; 32]); 2] = [(1, [1; 32]), (2, [2; 32])];
const MINUTE_S: u64 = 60;

struct Site {
    root: Authority,
    issued: Issued,
}

impl Site {
    fn new() -> Site {
        let root = Authority::root("root");
        let names = &["shop.example", "api.shop.example"];
        let issued = root.issue(&Wanted { names, ..Wanted::default() });
        Site { root, issued }
    }

    fn options(&self) -> TlsOptions {
        options(vec![listed(&self.issued)])
    }

    fn node(&self, secrets: &[(u16, [u8; 32])], now: u64) -> TlsListener {
        TlsListener::new(self.options(), &source(secrets, &Clock::at(now))).unwrap()
    }

    fn client(&self, version: ProtocolVersion) -> Arc<ClientConfig> {
        Arc::new(client(&self.root, Some(version), None))
    }
}

/// Clients may show a certificate.
fn asked(site: &Site) -> ClientAuth {
    ClientAuth {
        mode: ClientMode::Optional,
        authorities: vec![site.root.der.clone()],
        verify_depth: 4,
        ..ClientAuth::off()
    }
}

/// Whether a client that was at `first` resumes at `second`.
fn resumes(first: &TlsListener, second: &TlsListener, config: &Arc<ClientConfig>) -> bool {
    let whole = connect(first, config, "shop.example").unwrap_or_else(|f| panic!("{f:?}"));
    assert!(!whole.is_resumed());
    connect(second, config, "shop.example").unwrap_or_else(|f| panic!("{f:?}")).is_resumed()
}

#[test]
fn any_node_resumes_any_nodes_session() {
    let site = Site::new();
    let (one, other) = (site.node(&SECRETS, NOW), site.node(&SECRETS, NOW));
    let count = (0..200).filter(|_| resumes(&one, &other, &site.client(TLSv1_3))).count();
    assert_eq!(count, 200);
}

#[test]
fn a_session_is_resumed_across_an_epoch_by_clocks_that_differ() {
    let site = Site::new();
    // The last moment before a new epoch, and clocks five minutes to either side.
    let turn = (NOW / EPOCH_S + 1) * EPOCH_S;
    for (sealed, opened) in [
        (turn - 1, turn + 5 * MINUTE_S),
        (turn + 5 * MINUTE_S, turn - 5 * MINUTE_S),
        (turn - 5 * MINUTE_S, turn + EPOCH_S - 1),
    ] {
        let (one, other) = (site.node(&SECRETS, sealed), site.node(&SECRETS, opened));
        assert!(resumes(&one, &other, &site.client(TLSv1_3)), "{sealed} {opened}");
    }
    let (one, late) = (site.node(&SECRETS, turn - 1), site.node(&SECRETS, turn + EPOCH_S));
    assert!(!resumes(&one, &late, &site.client(TLSv1_3)));
}

#[test]
fn two_hundred_of_two_hundred_are_resumed_across_an_epoch_by_clocks_five_minutes_off() {
    let site = Site::new();
    let clocks = [Clock::at(NOW), Clock::at(NOW)];
    let source = |clock| source(&SECRETS, clock);
    let nodes =
        clocks.each_ref().map(|clock| TlsListener::new(site.options(), &source(clock)).unwrap());
    let turn = (NOW / EPOCH_S + 1) * EPOCH_S;
    let (mut resumed, mut in_other_epoch) = (0, 0);
    for number in 0..200 {
        // From ten minutes in front of the turn until ten minutes behind it; who seals is early and late by turns.
        let now = turn - 10 * MINUTE_S + number * 6;
        let is_early = number % 2 == 0;
        let by = |sooner: bool| if sooner { now - 5 * MINUTE_S } else { now + 5 * MINUTE_S };
        clocks[0].set(by(is_early));
        clocks[1].set(by(!is_early));
        in_other_epoch += usize::from(by(true) < turn && by(false) >= turn);
        resumed += usize::from(resumes(&nodes[0], &nodes[1], &site.client(TLSv1_3)));
    }
    assert_eq!((resumed, in_other_epoch), (200, 100));
}

#[test]
fn none_of_two_hundred_is_resumed_with_a_key_that_left_another_mode_or_another_name() {
    let site = Site::new();
    let turn = (NOW / EPOCH_S + 1) * EPOCH_S;
    let one = site.node(&SECRETS, turn - 1);
    let without = site.node(&SECRETS[1..], turn + 5 * MINUTE_S);
    let mut asking = site.options();
    asking.own.client = asked(&site);
    let asking = TlsListener::new(asking, &source(&SECRETS, &Clock::at(turn))).unwrap();
    let mut resumed = 0;
    for _ in 0..200 {
        resumed += usize::from(resumes(&one, &without, &site.client(TLSv1_3)));
        resumed += usize::from(resumes(&one, &asking, &site.client(TLSv1_3)));
        let mut config = client(&site.root, Some(TLSv1_3), None);
        config.resumption = rustls::client::Resumption::store(Arc::new(AnyName::default()));
        let config = Arc::new(config);
        connect(&one, &config, "shop.example").ok().unwrap();
        let other = connect(&one, &config, "api.shop.example").ok().unwrap();
        resumed += usize::from(other.is_resumed());
    }
    assert_eq!(resumed, 0);
}

#[test]
fn a_key_that_moved_back_in_the_ring_opens_and_one_that_left_does_not() {
    let site = Site::new();
    let one = site.node(&SECRETS, NOW);
    let turned = site.node(&[SECRETS[1], SECRETS[0]], NOW);
    assert!(resumes(&one, &turned, &site.client(TLSv1_3)));
    let without = site.node(&SECRETS[1..], NOW);
    assert!(!resumes(&one, &without, &site.client(TLSv1_3)));
    let other_secret = site.node(&[(1, [9; 32])], NOW);
    assert!(!resumes(&one, &other_secret, &site.client(TLSv1_3)));
}

#[test]
fn a_session_is_not_resumed_under_another_name_listener_or_client_authentication() {
    let site = Site::new();
    let source = source(&SECRETS, &Clock::at(NOW));
    let node = |change: &dyn Fn(&mut TlsOptions)| {
        let mut options = site.options();
        change(&mut options);
        TlsListener::new(options, &source).unwrap()
    };
    let one = node(&|_| {});
    assert!(resumes(&one, &node(&|_| {}), &site.client(TLSv1_3)));
    assert!(!resumes(&one, &node(&|o| o.listener = "other".into()), &site.client(TLSv1_3)));
    let asking = node(&|o| o.own.client = asked(&site));
    assert!(!resumes(&one, &asking, &site.client(TLSv1_3)));
    let named = |o: &mut TlsOptions| {
        let options = profile(ClientAuth::off());
        o.profiles.push(NamedProfile { names: vec!["shop.example".into()], options });
    };
    assert!(!resumes(&one, &node(&named), &site.client(TLSv1_3)));
}

#[test]
fn a_ticket_of_one_name_is_not_taken_for_another() {
    let site = Site::new();
    let node = site.node(&SECRETS, NOW);
    let mut config = client(&site.root, Some(TLSv1_3), None);
    config.resumption = rustls::client::Resumption::store(Arc::new(AnyName::default()));
    let config = Arc::new(config);
    connect(&node, &config, "shop.example").ok().unwrap();
    assert!(!connect(&node, &config, "api.shop.example").ok().unwrap().is_resumed());
    assert!(connect(&node, &config, "api.shop.example").ok().unwrap().is_resumed());
}

/// Keeps the last ticket and offers it to whoever is asked for.
#[derive(Debug, Default)]
struct AnyName(std::sync::Mutex<Option<rustls::client::Tls13ClientSessionValue>>);

impl rustls::client::ClientSessionStore for AnyName {
    fn set_kx_hint(&self, _: rustls::pki_types::ServerName<'static>, _: rustls::NamedGroup) {}

    fn kx_hint(&self, _: &rustls::pki_types::ServerName<'_>) -> Option<rustls::NamedGroup> {
        None
    }

    fn set_tls12_session(
        &self,
        _: rustls::pki_types::ServerName<'static>,
        _: rustls::client::Tls12ClientSessionValue,
    ) {
    }

    fn tls12_session(
        &self,
        _: &rustls::pki_types::ServerName<'_>,
    ) -> Option<rustls::client::Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &rustls::pki_types::ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _: rustls::pki_types::ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        *self.0.lock().unwrap() = Some(value);
    }

    fn take_tls13_ticket(
        &self,
        _: &rustls::pki_types::ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.lock().unwrap().take()
    }
}

#[test]
fn with_client_certificates_or_tickets_turned_off_nothing_is_resumed() {
    let site = Site::new();
    let source = source(&SECRETS, &Clock::at(NOW));
    let mut silent = site.options();
    silent.tickets = false;
    let mut asking = site.options();
    asking.own.client = asked(&site);
    for options in [silent, asking] {
        let node = TlsListener::new(options, &source).unwrap();
        for version in [TLSv1_2, TLSv1_3] {
            assert!(!resumes(&node, &node, &site.client(version)), "{version:?}");
        }
    }
}

#[test]
fn sessions_of_tls_1_2_are_resumed_by_their_own_process_for_two_epochs_at_most() {
    let site = Site::new();
    let clock = Clock::at(NOW);
    let source = source(&SECRETS, &clock);
    let node = TlsListener::new(site.options(), &source).unwrap();
    // A change of the configuration ends no session.
    let again = TlsListener::new(site.options(), &source).unwrap();
    assert!(resumes(&node, &again, &site.client(TLSv1_2)));
    let other = site.node(&SECRETS, NOW);
    assert!(!resumes(&node, &other, &site.client(TLSv1_2)));

    let config = site.client(TLSv1_2);
    connect(&node, &config, "shop.example").ok().unwrap();
    clock.set(NOW + EPOCH_S);
    assert!(connect(&node, &config, "shop.example").ok().unwrap().is_resumed());
    let config = site.client(TLSv1_2);
    connect(&node, &config, "shop.example").ok().unwrap();
    clock.set(NOW + 3 * EPOCH_S);
    assert!(!connect(&node, &config, "shop.example").ok().unwrap().is_resumed());
}

fn tickets(secrets: &[(u16, [u8; 32])]) -> Tickets {
    let TicketSource { ring, process, clock } = source(secrets, &Clock::at(NOW));
    let off = ClientAuthId::of(&ClientAuth::off());
    Tickets { ring, process, binding: Binding::new("secure", &[], off), clock }
}

#[test]
fn a_master_secret_of_tls_1_2_is_never_sealed_under_the_ring() {
    // The ring is known to both, the keys of the process to one.
    let (one, other) = (tickets(&SECRETS), tickets(&SECRETS));
    let session = |head: &[u8]| [head, &[0x13, 0x01, 1, 2, 3]].concat();
    for (of_tls13, of_tls12) in [
        (session(&[0, 3, 4]), session(&[0, 3, 3])),
        (session(&[1, 2, b'a', b'b', 3, 4]), session(&[1, 2, b'a', b'b', 3, 3])),
    ] {
        let ticket = one.encrypt(&of_tls13).unwrap();
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(&*of_tls13));
        let ticket = one.encrypt(&of_tls12).unwrap();
        assert_eq!(one.decrypt(&ticket).as_deref(), Some(&*of_tls12));
        assert_eq!(other.decrypt(&ticket), None);
    }
    for strange in [&[][..], &[1], &[1, 9, 3, 4], &[2, 3, 4], &[0, 3, 5]] {
        assert_eq!(one.encrypt(strange), None);
    }
}

#[test]
fn a_ticket_with_any_byte_changed_is_none() {
    let tickets = tickets(&SECRETS);
    for version in [3, 4] {
        let ticket = tickets.encrypt(&[0, 3, version, 0x13, 0x01]).unwrap();
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {index}");
            assert_eq!(tickets.decrypt(&ticket[..index]), None, "{index} bytes");
        }
        assert!(tickets.decrypt(&ticket).is_some());
    }
}

#[test]
fn keys_are_never_shown() {
    let roots = TicketRoots(roots(&SECRETS));
    assert_eq!(format!("{roots:?} {:?}", ProcessKeys::new()), "[1, 2] ProcessKeys");
}
