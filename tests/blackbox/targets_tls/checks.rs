//! Health checks of targets under TLS: they must prove the same as to traffic.

use super::*;

#[test]
fn a_target_that_proves_nothing_is_unhealthy_and_the_reason_is_shown() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let good = TlsTarget::answering(server(&authority), "good");
    let bad = TlsTarget::answering(server(&other), "bad");
    for kind in ["http", "tcp"] {
        let app = trusting(&authority)
            .set("health_check.type", kind)
            .set("health_check.interval", "200ms")
            .target_at("good", &good.address(), "")
            .target_at("bad", &bad.address(), "");
        let limpet = config().group(app).with_admin().start();
        limpet.admin().until_health("app", "good", "healthy");
        let shown = limpet.admin().until_health("app", "bad", "unhealthy");
        let shown = shown.to_string();
        assert!(shown.contains("TLS handshake failed: "), "{shown}");
        assert!(shown.contains("(certificate_unknown_issuer)"), "{shown}");
        let mut client = limpet.client();
        for _ in 0..4 {
            assert_eq!(client.get("/").text(), "good");
        }
    }
    assert!(bad.heads().is_empty(), "it has proven nothing, and is asked nothing");
}
