//! Stickiness over TLS.

use crate::support::tls::{self, NAME};
use crate::support::{Target, config, group, listener};

#[test]
fn a_cookie_over_tls_is_a_secure_one_and_leads_home() {
    let targets = [Target::echo("a"), Target::echo("b")];
    let group = group("app").sticky().target("a", &targets[0]).target("b", &targets[1]);
    let limpet = config().listener(listener("web").tls()).group(group).start();
    let mut client = limpet.tls_client(&tls::client(), NAME);
    let first = client.get("/");
    let cookie = first.set_cookie("limpet_app").expect("a cookie");
    assert!(cookie.attribute("secure").is_some(), "{}", first.head);
    for _ in 0..10 {
        let again = limpet.tls_client(&tls::client(), NAME).get_cookie("/", &cookie.pair());
        assert_eq!(again.target(), first.target());
    }
}
