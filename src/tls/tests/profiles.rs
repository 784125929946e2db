//! Profiles of names, and requests that come to a connection of another one.

use std::sync::Arc;

use crate::tls::client_auth::{ClientAuth, ClientMode};
use crate::tls::listener::*;
use crate::tls::tests::pki::*;

const HOSTS: [&str; 4] = ["open.example", "asks.example", "wants.example", "api.wants.example"];

/// The listener asks nobody; three profiles ask, two of them in the same way.
fn site(root: &Authority, host_match: HostMatch) -> TlsOptions {
    let asked = |mode| ClientAuth {
        mode,
        authorities: vec![root.der.clone()],
        verify_depth: 4,
        ..ClientAuth::off()
    };
    let named = |name: &str, mode| NamedProfile {
        names: vec![name.to_owned()],
        options: profile(asked(mode)),
    };
    let issued = root.issue(&Wanted { names: &HOSTS, ..Wanted::default() });
    let alone = root.issue(&Wanted { names: &["open.example"], ..Wanted::default() });
    let mut options = options(vec![listed(&issued), listed(&alone)]);
    options.host_match = host_match;
    options.profiles = vec![
        named("asks.example", ClientMode::Optional),
        named("*.wants.example", ClientMode::Required),
        named("WANTS.example", ClientMode::Required),
    ];
    options
}

#[test]
fn a_host_with_other_client_authentication_is_misdirected() {
    let root = Authority::root("root");
    let listener = listener(site(&root, HostMatch::ClientAuth));
    // The profile of each host; the last two ask in the same way.
    let same = [0, 1, 2, 2];
    for (from, server_name) in HOSTS.iter().enumerate() {
        let handshake = listener.handshake_profile(Some(server_name));
        for (to, host) in HOSTS.iter().enumerate() {
            let is_other = listener.is_other_profile(handshake, Some(server_name), Some(host));
            assert_eq!(is_other, same[from] != same[to], "{server_name} {host}");
        }
        let none = listener.is_other_profile(handshake, Some(server_name), None);
        assert_eq!(none, from != 0, "a request without a host has the listener's");
    }
    let unnamed = listener.handshake_profile(None);
    assert!(!listener.is_other_profile(unnamed, None, Some("open.example")));
    assert!(listener.is_other_profile(unnamed, None, Some("Asks.example")));
}

#[test]
fn what_host_selects_is_asked_of_the_configuration_that_is_valid_now() {
    let root = Authority::root("root");
    let before = listener(site(&root, HostMatch::ClientAuth));
    let handshake = before.handshake_profile(Some("open.example"));
    let same = listener(site(&root, HostMatch::ClientAuth));
    assert!(!same.is_other_profile(handshake, None, Some("open.example")));
    let mut changed = site(&root, HostMatch::ClientAuth);
    changed.own.client = changed.profiles[0].options.client.clone();
    let changed = listener(changed);
    assert!(changed.is_other_profile(handshake, None, Some("open.example")));
}

#[test]
fn the_certificate_can_be_asked_as_well_and_the_question_left_out() {
    let root = Authority::root("root");
    let strict = listener(site(&root, HostMatch::Certificate));
    let handshake = strict.handshake_profile(Some("open.example"));
    let is_other = |host| strict.is_other_profile(handshake, Some("open.example"), Some(host));
    assert!(!is_other("open.example"));
    assert!(is_other("unknown.example"), "the certificate does not cover it");
    assert!(is_other("asks.example"), "it is covered, and its client authentication differs");
    let off = listener(site(&root, HostMatch::Off));
    assert!(!off.is_other_profile(handshake, Some("open.example"), Some("wants.example")));
}

#[test]
fn a_profile_overrides_what_the_handshake_asks_and_speaks() {
    let root = Authority::root("root");
    let mut options = site(&root, HostMatch::ClientAuth);
    options.profiles[0].options.alpn = vec!["h2".into(), "http/1.1".into()];
    options.profiles[0].options.policy.minimum_version = crate::tls::policy::Version::Tls13;
    let listener = listener(options);
    let mut config = client(&root, None, None);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let config = Arc::new(config);
    let open = connect(&listener, &config, "open.example").ok().unwrap();
    assert_eq!(open.server.alpn_protocol(), Some(&b"http/1.1"[..]));
    let asks = connect(&listener, &config, "asks.example").ok().unwrap();
    assert_eq!(asks.server.alpn_protocol(), Some(&b"h2"[..]));
    assert!(matches!(connect(&listener, &config, "wants.example"), Err(Failure::Server(_))));
    let old = Arc::new(client(&root, Some(rustls::ProtocolVersion::TLSv1_2), None));
    assert!(matches!(connect(&listener, &old, "asks.example"), Err(Failure::Server(_))));
    assert!(connect(&listener, &old, "open.example").is_ok());
    assert!(!open.presented().is_empty());
}
