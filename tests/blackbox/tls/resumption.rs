//! Tickets: who resumes whose session.

use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};

use super::secure;
use crate::support::config::{KEY_ONE, KEY_TWO};
use crate::support::tls::{self, NAME};
use crate::support::{Limpet, Target, poll};

/// The kind of a handshake, with the ticket of an earlier one where the client has one; a request is made.
fn visit(limpet: &Limpet, client: &Arc<ClientConfig>, name: &str) -> Option<HandshakeKind> {
    let mut client = limpet.tls_client(client, name);
    assert_eq!(client.get("/").status, 200);
    client.wire.tls().unwrap().with(|tls| tls.handshake_kind())
}

#[test]
fn any_node_with_the_same_keys_resumes_any_session() {
    let target = Target::echo("a");
    let nodes = [secure(&target).start(), secure(&target).start()];
    let client = tls::authority().client();
    assert_eq!(visit(&nodes[0], &client, NAME), Some(HandshakeKind::Full));
    let mut resumed = 0;
    for turn in 0..200 {
        let kind = visit(&nodes[turn % 2], &client, NAME);
        resumed += usize::from(kind == Some(HandshakeKind::Resumed));
    }
    assert_eq!(resumed, 200);
    assert!(nodes[1].record(1).flag("tls_resumed"));
}

#[test]
fn nobody_resumes_with_other_keys_or_under_another_name() {
    let target = Target::echo("a");
    let (one, other) = (secure(&target).start(), secure(&target).keys(&[(2, KEY_TWO)]).start());
    let client = tls::authority().client();
    assert_eq!(visit(&one, &client, NAME), Some(HandshakeKind::Full));
    assert_eq!(visit(&other, &client, NAME), Some(HandshakeKind::Full));
    assert_eq!(visit(&other, &client, "localhost"), Some(HandshakeKind::Full));
}

#[test]
fn sessions_of_version_1_2_are_resumed_by_their_own_process_alone() {
    let target = Target::echo("a");
    let nodes = [secure(&target).start(), secure(&target).start()];
    let client = tls::authority().client_of(&[&rustls::version::TLS12], None);
    assert_eq!(visit(&nodes[0], &client, NAME), Some(HandshakeKind::Full));
    assert_eq!(visit(&nodes[0], &client, NAME), Some(HandshakeKind::Resumed));
    assert_eq!(visit(&nodes[1], &client, NAME), Some(HandshakeKind::Full));
}

#[test]
fn a_session_ends_with_its_key_and_not_before_it_left_the_ring() {
    let target = Target::echo("a");
    let limpet = secure(&target).keys(&[(1, KEY_ONE), (2, KEY_TWO)]).start();
    let client = tls::authority().client();
    assert_eq!(visit(&limpet, &client, NAME), Some(HandshakeKind::Full));
    let mut reloads = 0;
    let mut reload = |keys: &[(u8, &str)]| {
        reloads += 1;
        limpet.write_config(&secure(&target).keys(keys).text());
        limpet.signal(libc::SIGHUP);
        let count = || limpet.stderr().matches("reload by SIGHUP").count();
        assert!(poll(|| (count() >= reloads).then_some(())).is_some(), "{}", limpet.stderr());
    };
    // The ticket of before is opened by the key that is second now, and the next is sealed by the first one.
    reload(&[(2, KEY_TWO), (1, KEY_ONE)]);
    assert_eq!(visit(&limpet, &client, NAME), Some(HandshakeKind::Resumed));
    reload(&[(2, KEY_TWO)]);
    assert_eq!(visit(&limpet, &client, NAME), Some(HandshakeKind::Resumed));
    reload(&[(1, KEY_ONE)]);
    assert_eq!(visit(&limpet, &client, NAME), Some(HandshakeKind::Full));
}
