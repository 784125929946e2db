//! Mutual TLS: who is let in, and what is known of him.

use crate::support::tls::{self, Authority, NAME};
use crate::support::wire::Wire;
use crate::support::{Limpet, Section, Target, config, group, listener, poll};

/// A limpet whose listener, changed by `change`, knows the authority `clients.pem`.
fn start(clients: &Authority, target: &Target, change: impl FnOnce(Section) -> Section) -> Limpet {
    let section = listener("web").tls().set("tls.client.authorities", "{dir}/clients.pem");
    let text = config().listener(change(section)).group(group("app").target("a", target)).text();
    Limpet::start_in(&text, |directory| {
        std::fs::write(directory.join("clients.pem"), clients.pem()).unwrap();
    })
}

/// The status of a request of a client with this certificate; `None` when the connection is refused.
fn visit(limpet: &Limpet, identity: Option<&tls::Identity>) -> Option<u16> {
    let config = tls::authority().client_with(identity);
    let wire = Wire::connect_tls(limpet.address(), config.into(), NAME).ok()?;
    // In TLS 1.3 a client hears of its refusal behind its handshake.
    crate::support::Client { wire }.try_get()
}

#[test]
fn a_required_certificate_is_required_and_known_to_the_log() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let target = Target::echo("a");
    let limpet = start(&clients, &target, |section| section.set("tls.client.mode", "required"));
    assert_eq!(visit(&limpet, None), None);
    assert_eq!(visit(&limpet, Some(&strangers.sign(&["till-7"]))), None);
    assert_eq!(visit(&limpet, Some(&clients.sign(&["till-7"]))), Some(200));
    let record = limpet.record(1);
    assert_eq!(record.text("tls_client_subject"), "CN=till-7");
    assert_eq!(record.text("tls_client_issuer"), "CN=clients");
    assert_eq!(record.text("tls_client_fingerprint").len(), 64);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_template_can_have_the_whole_certificate_and_has_it_as_soon_as_it_asks() {
    let clients = Authority::new("clients");
    let target = Target::echo("a");
    let text = |template: &str| {
        let section = listener("web").tls().set("tls.client.authorities", "{dir}/clients.pem");
        let section = section.set("tls.client.mode", "optional");
        let config = config().access_log("format", "template").access_log("template", template);
        config.listener(section).group(group("app").target("a", &target)).text()
    };
    let limpet = Limpet::start_in(&text("{tls_client_certificate} {status}"), |directory| {
        std::fs::write(directory.join("clients.pem"), clients.pem()).unwrap();
    });
    let identity = clients.sign(&["till-7"]);
    assert_eq!(visit(&limpet, Some(&identity)), Some(200));
    assert_eq!(visit(&limpet, None), Some(200));
    // RFC 9440 §2.1: what PEM has between its lines, between colons.
    let base64: String = identity.chain.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(limpet.log_lines(2), [format!(":{base64}: 200"), "- 200".to_owned()]);

    let mut count = 2;
    for template in ["{tls_client_subject} again", "{tls_client_certificate} again"] {
        limpet.write_config(&text(template));
        limpet.signal(libc::SIGHUP);
        let wanted = template.replace("{tls_client_subject}", "CN=till-7");
        let wanted = wanted.replace("{tls_client_certificate}", &format!(":{base64}:"));
        let is_seen = poll(|| {
            assert_eq!(visit(&limpet, Some(&identity)), Some(200));
            count += 1;
            (limpet.log_lines(count).pop()? == wanted).then_some(())
        });
        assert!(is_seen.is_some(), "{wanted}: {:?}", limpet.log_lines(count));
    }
}

#[test]
fn an_optional_one_may_be_absent_and_must_not_be_wrong() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let target = Target::echo("a");
    let limpet = start(&clients, &target, |section| section.set("tls.client.mode", "optional"));
    assert_eq!(visit(&limpet, None), Some(200));
    assert_eq!(visit(&limpet, Some(&strangers.sign(&["till-7"]))), None);
    assert_eq!(visit(&limpet, Some(&clients.sign(&["till-7"]))), Some(200));
    assert!(limpet.record(1).lacks("tls_client_subject"));
}

#[test]
fn a_host_that_asks_for_certificates_is_not_served_on_a_connection_without() {
    let clients = Authority::new("clients");
    let target = Target::echo("a");
    // The profile's names are those of the second host.
    let section = listener("web").tls().below(
        "[[listener.tls.profile]]\nnames = [\"secret.test\"]\n[listener.tls.profile.client]\nmode = \"required\"\n\
         authorities = \"{dir}/clients.pem\"\n",
    );
    let text = config().listener(section).group(group("app").target("a", &target)).text();
    let limpet = Limpet::start_in(&text, |directory| {
        std::fs::write(directory.join("clients.pem"), clients.pem()).unwrap();
    });
    let mut client = limpet.tls_client(&tls::client(), NAME);
    assert_eq!(client.get("/").status, 200);
    client.send("GET / HTTP/1.1\r\nHost: secret.test\r\n\r\n");
    assert_eq!(client.response().status, 421);
    client.send("GET / HTTP/1.1\r\nHost: SECRET.test:443\r\n\r\n");
    assert_eq!(client.response().status, 421);
    assert_eq!(client.get("/").status, 200, "the connection is as good as before");
    assert_eq!(target.request_count(), 2);
    assert_eq!(limpet.record(2).text("code"), "misdirected");
}
