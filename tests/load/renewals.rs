//! Certificates that change while 256 connections under TLS and 20 tunnels in TLS are at work: nothing fails, nothing
//! closes, and whoever comes anew is shown the certificate of that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::version::{TLS12, TLS13};

use crate::support::tls::{self, Identity, NAME};
use crate::support::{Client, Limpet, config, group, listener, poll};
use crate::traffic::{Traffic, reloads, resident_kib, target};

const RELOADS: usize = 200;

/// Every other connection speaks TLS 1.2.
fn connect(limpet: &Limpet) -> Client {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let is_old = COUNT.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    let versions: &[_] = if is_old { &[&TLS12] } else { &[&TLS13] };
    limpet.tls_client(&tls::authority().client_of(versions, None), NAME)
}

/// The common name of the certificate that a new connection is shown, which serves a request.
fn shown(limpet: &Limpet) -> String {
    // Nobody shows a certificate to whom a session is resumed.
    let mut client = limpet.tls_client(&tls::authority().client(), NAME);
    assert_eq!(client.get("/").status, 200);
    let shown = client.wire.tls().unwrap().with(|tls| tls.peer_certificates().unwrap()[0].to_vec());
    tls::common_name(&shown)
}

#[test]
fn two_hundred_new_certificates_under_load_fail_nothing_and_close_nothing() {
    let (a, b) = (target("a"), target("b"));
    let app = group("app").target("a", &a).target("b", &b).sticky();
    let web = listener("web").tls().set("limits.requests_per_connection", 0);
    let config = config().process("shards", 2).with_admin().listener(web).group(app);
    let limpet = Arc::new(config.start());
    let names = [&[NAME][..], &[NAME, "localhost"]];
    let chains: [(String, Identity); 2] =
        names.map(|names| (names.join("+"), tls::authority().sign(names)));
    let traffic = Traffic::start(&limpet, connect);
    let (mut resident, mut by_signal) = (0, 0);
    for number in 1..=RELOADS {
        let (name, identity) = &chains[number % 2];
        identity.write(&limpet.path(""), "common");
        // Two of three times by a signal, else by the API.
        if number % 3 > 0 {
            limpet.signal(libc::SIGHUP);
            by_signal += 1;
            let is_made = || (reloads(&limpet) >= by_signal).then_some(());
            assert!(poll(is_made).is_some(), "{}", limpet.stderr());
        } else {
            let (status, body) = limpet.admin().post("/v1/config/reload", "");
            assert_eq!(status, 200, "{body}");
        }
        assert_eq!(shown(&limpet), *name, "round {number}");
        if number == RELOADS / 2 {
            resident = resident_kib(&limpet);
        }
    }
    // The last change is not told of, and found all the same.
    let (name, identity) = &chains[(RELOADS + 1) % 2];
    identity.write(&limpet.path(""), "common");
    assert!(poll(|| (shown(&limpet) == *name).then_some(())).is_some(), "{}", limpet.stderr());
    let (requests, echoes) = traffic.so_far();
    let more = || {
        let now = traffic.so_far();
        (now.0 > requests + 256 && now.1 > echoes + 20).then_some(())
    };
    assert!(poll(more).is_some(), "the old connections are as good as before");

    let outcome = traffic.finish();
    let grown = resident_kib(&limpet).saturating_sub(resident);
    println!(
        "{} requests, {} echoes, {resident} KiB resident at half time, {grown} KiB more at the end",
        outcome.requests, outcome.echoes
    );
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.requests > 1000 && outcome.echoes > 100, "{outcome:?}");
    assert!(grown < 4096, "{grown} KiB more after {RELOADS} reloads");
}
