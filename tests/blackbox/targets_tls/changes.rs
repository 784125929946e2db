//! Settings and files that change while connections are kept: none of them serves under settings other than its own.

use std::fs;

use super::*;
use crate::support::{Limpet, poll};

fn reload(limpet: &Limpet, config: &Config) {
    limpet.write_config(&config.text());
    limpet.signal(libc::SIGHUP);
}

#[test]
fn a_changed_setting_leaves_no_connection_and_no_session_in_use() {
    let authority = Authority::new("root");
    let target = TlsTarget::answering(server(&authority), "a");
    let app = || trusting(&authority).set("timeouts.idle", "1m");
    let limpet = to(&target, app()).start();
    let mut client = limpet.client();
    for (changed, taken) in [
        (app().set("tls.verify", "chain"), 2),
        (app().set("tls.sni", ""), 3),
        (app().set("tls.minimum_version", "1.3"), 4),
    ] {
        assert_eq!(client.get("/").text(), "a");
        reload(&limpet, &to(&target, changed));
        let seen = poll(|| {
            assert_eq!(client.get("/").text(), "a");
            (target.taken() == taken).then_some(())
        });
        assert!(seen.is_some(), "the old connection goes on serving");
    }
    assert!(target.seen().iter().all(|seen| !seen.is_resumed));
}

#[test]
fn a_file_of_authorities_is_read_anew_and_a_bad_one_keeps_the_old_one_in_use() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let target = TlsTarget::answering(server(&authority), "a");
    let app = trusting(&authority).set("timeouts.idle", "1m");
    let limpet = to(&target, app).with_admin().start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "a");
    let good = fs::read(authority.file()).unwrap();
    fs::write(authority.file(), "no certificate").unwrap();
    limpet.admin().event("warning", "the old files stay in use");
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(target.taken(), 1);
    // Somebody else is trusted now: what the kept connection has proven counts no more.
    fs::write(authority.file(), fs::read(other.file()).unwrap()).unwrap();
    limpet.admin().event("reload", "target group \"app\": its certificates are read anew");
    assert_eq!(client.get("/").status, 502);
    fs::write(authority.file(), good).unwrap();
    let back = poll(|| (client.get("/").status == 200).then_some(()));
    assert!(back.is_some());
}

#[test]
fn a_bad_file_at_the_start_is_named_with_its_reason() {
    let authority = Authority::new("root");
    let target = TlsTarget::answering(server(&authority), "a");
    let app = trusting(&authority).set("tls.authorities", "/nonexistent/ca.pem");
    let refused = Limpet::refused(&to(&target, app).text(), |_| {});
    let said = refused.stderr;
    assert!(said.contains("target group \"app\": /nonexistent/ca.pem: does not exist"), "{said}");
}
