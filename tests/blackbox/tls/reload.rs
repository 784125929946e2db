//! Certificates that change while limpet runs.

use super::secure;
use crate::support::tls::{self, NAME};
use crate::support::{Limpet, Target, poll};

/// The certificate that a new connection is shown.
fn shown(limpet: &Limpet) -> Vec<u8> {
    let client = limpet.tls_client(&tls::client(), NAME);
    client.wire.tls().unwrap().with(|tls| tls.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn a_new_certificate_is_shown_and_no_connection_touched() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let mut kept = limpet.tls_client(&tls::client(), NAME);
    assert_eq!(kept.get("/").status, 200);
    let before = shown(&limpet);
    tls::authority().sign(&[NAME]).write(&limpet.path(""), "common");
    assert!(poll(|| (shown(&limpet) != before).then_some(())).is_some(), "{}", limpet.stderr());
    assert_eq!(kept.get("/").status, 200);
}

#[test]
fn a_bad_certificate_keeps_the_old_one_and_says_so() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let before = shown(&limpet);
    std::fs::write(limpet.path("common.key"), "no key").unwrap();
    assert!(poll(|| limpet.stderr().contains("common.key").then_some(())).is_some());
    assert_eq!(shown(&limpet), before);
}
