//! Health checks by gRPC: of the health service, and of a method whose status tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::support::http2::play;
use crate::support::http2_target::Http2Options;
use crate::support::{Limpet, config, poll};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A server with a health service, whose health may change; 0 = it has no such service.
fn healthy(id: &'static str, options: Http2Options) -> (Http2Target, Arc<AtomicU8>) {
    let health = Arc::new(AtomicU8::new(1));
    let target = Http2Target::start_with(options, {
        let health = Arc::clone(&health);
        move |seen| match (seen.path.as_str(), health.load(Ordering::SeqCst)) {
            (CHECK, 0) => refused("12", "Method%20not%20found!"),
            (CHECK, health) => ended(message(&[8, health]), "0"),
            ("/AWS.ALB/healthcheck", _) => refused("12", ""),
            _ => named(id, seen),
        }
    });
    (target, health)
}

fn checked() -> Section {
    app()
        .set("health_check.type", "grpc")
        .set("health_check.interval", "500ms")
        .set("health_check.timeout", "500ms")
        .set("health_check.rise", 1)
        .set("health_check.fall", 1)
}

fn who(limpet: &Limpet) -> Vec<String> {
    play(async {
        let client = Http2::connect(limpet.address_of("clear")).await;
        let mut served = Vec::new();
        for _ in 0..6 {
            served.push(call(&client, "/a.B/C", &[]).await.unwrap().field("x-target").to_owned());
        }
        served.sort();
        served.dedup();
        served
    })
}

#[test]
fn calls_go_where_the_health_is_serving_and_the_reason_is_shown() {
    for (options, protocol) in [
        (Http2Options::default(), "http"),
        (Http2Options { alpn: Some(b"h2"), ..Http2Options::default() }, "https"),
    ] {
        let (a, _) = healthy("a", options.clone());
        let (b, health) = healthy("b", options);
        let mut app = checked().set("health_check.grpc_service", "shop.Cart");
        if protocol == "https" {
            app = app.set("protocol", protocol).set("tls.verify", "none");
        }
        let app = app.target_at("a", &a.address(), "").target_at("b", &b.address(), "");
        let limpet = config().listener(clear("clear")).group(app).with_admin().start();
        let check = a.requests().remove(0);
        assert_eq!((check.path.as_str(), check.method.as_str()), (CHECK, "POST"));
        assert_eq!(check.scheme, protocol);
        assert_eq!(check.content, message(b"\x0a\x09shop.Cart"));
        assert_eq!(check.field("user-agent"), "limpet-health-check");
        assert_eq!(who(&limpet), ["a", "b"]);
        let admin = limpet.admin();
        for (now, reason) in [
            (2, "the health of service \\\"shop.Cart\\\" is NOT_SERVING"),
            (0, "grpc-status 12 (UNIMPLEMENTED), expected 0: the target has no grpc.health.v1"),
        ] {
            health.store(now, Ordering::SeqCst);
            // The health is there a moment before its reason.
            let shown = || admin.until_health("app", "b", "unhealthy").to_string();
            let found = poll(|| shown().contains(reason).then_some(()));
            assert!(found.is_some(), "{}", shown());
            assert_eq!(who(&limpet), ["a"]);
            health.store(1, Ordering::SeqCst);
            admin.until_health("app", "b", "healthy");
        }
    }
}

#[test]
fn a_path_names_a_method_whose_status_tells() {
    let (target, _) = healthy("a", Http2Options::default());
    let codes = |codes: &str| {
        let app = checked()
            .set("health_check.path", "/AWS.ALB/healthcheck")
            .set("health_check.grpc_codes", vec![toml::Value::from(codes)])
            .target_at("a", &target.address(), "");
        config().listener(clear("clear")).group(app).with_admin().start()
    };
    codes("10-12").admin().until_health("app", "a", "healthy");
    let shown = codes("0").admin().until_health("app", "a", "unhealthy").to_string();
    let reason = "the target has no method /AWS.ALB/healthcheck";
    assert!(shown.contains(reason), "{shown}");
}

#[test]
fn targets_of_http2_may_be_checked_so_and_those_of_http1_may_not() {
    let (target, _) = healthy("a", Http2Options::default());
    let app = checked().target_at("a", &target.address(), "");
    let second =
        config().listener(clear("clear")).group(app.clone().set("protocol_version", "http2"));
    second.with_admin().start().admin().until_health("app", "a", "healthy");
    let first = config().group(app.set("protocol_version", "http1"));
    let refused = Limpet::refused(&first.text(), |_| {});
    assert!(refused.stderr.contains("health_check.type: asks by gRPC"), "{}", refused.stderr);
}
