//! Versions, suites and groups.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{ALL_KX_GROUPS, default_provider};
use rustls::{ClientConfig, NamedGroup, ProtocolVersion};

use crate::tls::policy::*;
use crate::tls::tests::pki::*;

fn groups(policy: &Policy) -> Vec<NamedGroup> {
    policy.provider.kx_groups.iter().map(|group| group.name()).collect()
}

#[test]
fn intermediate_has_both_versions_and_the_post_quantum_group_first() {
    let policy = Policy::of(&intermediate()).unwrap();
    let expected = [
        NamedGroup::X25519MLKEM768,
        NamedGroup::X25519,
        NamedGroup::secp256r1,
        NamedGroup::secp384r1,
    ];
    assert_eq!(groups(&policy), expected);
    assert_eq!(policy.versions.len(), 2);
    let suites = policy.provider.cipher_suites.iter().map(suite_name).collect::<Vec<_>>();
    assert_eq!(suites.len(), 9);
    assert!(suites.iter().all(|name| name.contains("GCM") || name.contains("CHACHA20")));
    assert!(suites.contains(&"TLS_AES_128_GCM_SHA256".to_owned()), "{suites:?}");
}

#[test]
fn modern_and_a_minimum_of_1_3_leave_no_older_version() {
    let modern = PolicyOptions { name: PolicyName::Modern, ..intermediate() };
    let least = PolicyOptions { minimum_version: Version::Tls13, ..intermediate() };
    for options in [modern, least] {
        let policy = Policy::of(&options).unwrap();
        assert_eq!(policy.versions.len(), 1);
        assert!(policy.provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));
    }
}

#[test]
fn suites_and_groups_can_be_listed_and_unknown_ones_are_named() {
    let list = |suites: &[&str], groups: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        PolicyOptions { cipher_suites: owned(suites), groups: owned(groups), ..intermediate() }
    };
    let policy = Policy::of(&list(&["TLS_AES_128_GCM_SHA256"], &["secp384r1", "X25519"])).unwrap();
    assert_eq!(groups(&policy), [NamedGroup::secp384r1, NamedGroup::X25519]);
    assert_eq!(policy.versions.len(), 1);
    let old = Policy::of(&list(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], &[])).unwrap();
    assert_eq!(old.versions.len(), 1);
    assert_eq!(old.versions[0].version, ProtocolVersion::TLSv1_2);
    let unknown = Policy::of(&list(&["TLS_RSA_WITH_RC4_128_SHA"], &[])).unwrap_err();
    assert!(unknown.to_string().contains("TLS_AES_256_GCM_SHA384"), "{unknown}");
    let unknown = Policy::of(&list(&[], &["ffdhe2048"])).unwrap_err();
    assert!(unknown.to_string().contains("X25519MLKEM768, x25519, secp256r1"), "{unknown}");
    let mut contradiction = list(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], &[]);
    contradiction.name = PolicyName::Modern;
    assert!(matches!(Policy::of(&contradiction), Err(PolicyFault::NoTls13Suite(_))));
}

#[test]
fn a_handshake_uses_the_group_that_the_server_prefers_and_the_client_knows() {
    let root = Authority::root("root");
    let listener = listener(options(vec![listed(&root.issue(&Wanted::default()))]));
    let group = |names: &[NamedGroup]| {
        let kx_groups =
            ALL_KX_GROUPS.iter().copied().filter(|group| names.contains(&group.name())).collect();
        let provider = Arc::new(CryptoProvider { kx_groups, ..default_provider() });
        let builder = ClientConfig::builder_with_details(provider, Clock::at(NOW));
        let config = Arc::new(client_with(builder, &root, None, None));
        let connected = connect(&listener, &config, "shop.example").ok().unwrap();
        connected.server.negotiated_key_exchange_group().unwrap().name()
    };
    let quantum = NamedGroup::X25519MLKEM768;
    assert_eq!(group(&[NamedGroup::X25519, quantum]), quantum);
    assert_eq!(group(&[NamedGroup::secp384r1]), NamedGroup::secp384r1);
}

#[test]
fn a_client_of_1_2_is_served_by_intermediate_and_refused_by_modern() {
    let root = Authority::root("root");
    let issued = root.issue(&Wanted::default());
    let mut modern = options(vec![listed(&issued)]);
    modern.own.policy.name = PolicyName::Modern;
    let config = Arc::new(client(&root, Some(ProtocolVersion::TLSv1_2), None));
    assert!(matches!(connect(&listener(modern), &config, "shop.example"), Err(Failure::Server(_))));
    let connected = connect(&listener(options(vec![listed(&issued)])), &config, "shop.example");
    let version = connected.ok().unwrap().server.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
}
