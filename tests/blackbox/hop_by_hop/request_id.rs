//! The request id: new for strangers, kept from trusted proxies.

use std::collections::HashSet;

use super::{trusting, with};

#[test]
fn every_request_gets_an_id_of_its_own() {
    let (limpet, _target) = with(&[]);
    let mut client = limpet.client();
    let id = |echo: crate::support::message::Echoed| {
        echo.fields.one("x-request-id").expect("a request id").to_owned()
    };
    let ids: HashSet<String> = (0..10).map(|_| id(client.get("/").echo())).collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| id.len() >= 16 && id.is_ascii()), "{ids:?}");
}

#[test]
fn an_id_of_a_stranger_is_replaced() {
    let (limpet, _target) = with(&[]);
    let echo = limpet.client().get_with("/", "X-Request-Id: mine\r\n").echo();
    assert_ne!(echo.fields.one("x-request-id"), Some("mine"));
    assert!(echo.fields.has("x-request-id"));
}

#[test]
fn an_id_of_a_trusted_proxy_is_kept() {
    let (limpet, _target) = with(&[trusting()]);
    let echo = limpet.client().get_with("/", "X-Request-Id: theirs\r\n").echo();
    assert_eq!(echo.fields.one("x-request-id"), Some("theirs"));
}

#[test]
fn the_field_is_settable_and_can_be_off() {
    let (limpet, _target) = with(&[("forwarded.request_id", "X-Trace".into())]);
    let echo = limpet.get("/").echo();
    assert!(echo.fields.has("x-trace") && !echo.fields.has("x-request-id"));
    let (limpet, _target) = with(&[("forwarded.request_id", "".into())]);
    let echo = limpet.client().get_with("/", "X-Request-Id: mine\r\n").echo();
    assert_eq!(echo.fields.one("x-request-id"), Some("mine"), "an ordinary field now");
}
