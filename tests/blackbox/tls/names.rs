//! Which certificate a client is shown.

use crate::support::tls::{Authority, Identity};
use crate::support::wire::Wire;
use crate::support::{Limpet, Target, config, group, listener};

struct Shown {
    authority: Authority,
    limpet: Limpet,
}

impl Shown {
    /// The names of the certificate that a client is shown which asks for `name`; an error when the handshake fails.
    fn for_name(&self, name: &str) -> Result<String, String> {
        let mut config = self.authority.client_with(None);
        config.enable_sni = !name.is_empty();
        let asked = if name.is_empty() { "127.0.0.1" } else { name };
        config.dangerous().set_certificate_verifier(crate::support::tls::anybody());
        let wire = Wire::connect_tls(self.limpet.address(), config.into(), asked);
        let wire = wire.map_err(|error| error.to_string())?;
        Ok(wire.tls().unwrap().with(|tls| {
            let shown = tls.peer_certificates().unwrap()[0].to_vec();
            crate::support::tls::common_name(&shown)
        }))
    }
}

fn start(strict: bool) -> Shown {
    let authority = Authority::new("names");
    let identities: Vec<(&str, Identity)> = [
        ("first", &["first.example"][..]),
        ("wild", &["*.shop.example"]),
        ("exact", &["www.shop.example"]),
    ]
    .map(|(file, names)| (file, authority.sign(names)))
    .into();
    let target = Target::echo("a");
    let mut section = listener("web").set("tls.strict_sni", strict);
    for (file, _) in &identities {
        section = section.certificate(file);
    }
    let text = config().listener(section).group(group("app").target("a", &target)).text();
    let limpet = Limpet::start_in(&text, |directory| {
        for (file, identity) in &identities {
            identity.write(directory, file);
        }
    });
    Shown { authority, limpet }
}

#[test]
fn exact_comes_before_wildcard_and_wildcard_before_the_first() {
    let shown = start(false);
    for (name, expected) in [
        ("www.shop.example", "www.shop.example"),
        ("WWW.shop.example", "www.shop.example"),
        ("api.shop.example", "*.shop.example"),
        ("a.b.shop.example", "first.example"),
        ("elsewhere.example", "first.example"),
        ("", "first.example"),
    ] {
        assert_eq!(shown.for_name(name).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn rules_can_ask_for_the_name_of_the_handshake() {
    let authority = Authority::new("names");
    let target = Target::echo("a");
    let by_name = "priority = 1\nwhen.sni = [\"*.shop.example\"]\nrespond = { status = 418 }";
    let known = "priority = 2\nwhen.client_certificate = true\nrespond = { status = 419 }";
    let section = listener("web").certificate("shop").rule(by_name).rule(known);
    let text = config().listener(section).group(group("app").target("a", &target)).text();
    let limpet = Limpet::start_in(&text, |directory| {
        authority.sign(&["www.shop.example", "other.example"]).write(directory, "shop");
    });
    let status = |name: &str| limpet.tls_client(&authority.client(), name).get("/").status;
    assert_eq!((status("www.shop.example"), status("other.example")), (418, 200));
}

#[test]
fn strictness_refuses_unknown_names() {
    let shown = start(true);
    assert_eq!(shown.for_name("api.shop.example").as_deref(), Ok("*.shop.example"));
    for name in ["elsewhere.example", ""] {
        let refused = shown.for_name(name).unwrap_err();
        assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
    }
}
