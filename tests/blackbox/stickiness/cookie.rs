//! The cookie as a browser gets it: one per scope, with safe attributes, opaque.

use std::collections::HashSet;

use super::{COOKIE, first_visit, issued, sticky, sticky_group, targets, visit};
use crate::support::{Target, config, group, listener};

#[test]
fn stickiness_is_off_by_default() {
    let [a, b] = targets();
    let limpet = config().group(group("app").target("a", &a).target("b", &b)).start();
    let mut seen = HashSet::new();
    let mut client = limpet.client();
    for _ in 0..4 {
        let response = client.get("/");
        assert!(!response.fields.has("set-cookie"));
        seen.insert(response.target());
    }
    assert_eq!(seen.len(), 2, "visits alternate");
}

#[test]
fn a_first_visit_is_issued_one_cookie_with_safe_attributes() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let response = limpet.get("/");
    assert_eq!(response.fields.all("set-cookie").len(), 1);
    let cookie = issued(&response);
    assert_eq!(cookie.name, COOKIE);
    assert_eq!(cookie.attribute("path"), Some("/"));
    assert_eq!(cookie.attribute("samesite"), Some("Lax"));
    assert!(cookie.attribute("httponly").is_some());
    // The client came without TLS: a Secure cookie would never come back.
    assert!(cookie.attribute("secure").is_none());
    assert!(cookie.attribute("domain").is_none());
    assert!(cookie.attribute("partitioned").is_none());
}

#[test]
fn the_value_is_opaque_and_never_the_same_twice() {
    let targets = targets::<1>();
    let limpet = sticky(&targets).start();
    let values: HashSet<String> = (0..8).map(|_| first_visit(&limpet).1.value).collect();
    assert_eq!(values.len(), 8);
    for value in values {
        assert!(value.len() >= 40, "too short to be sealed: {value}");
        assert!(
            value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "not base64url: {value}"
        );
    }
}

#[test]
fn a_valid_cookie_is_not_issued_again() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let (_, cookie) = first_visit(&limpet);
    for _ in 0..5 {
        assert!(!visit(&limpet, &cookie).fields.has("set-cookie"));
    }
}

#[test]
fn name_domain_path_and_same_site_are_settable() {
    let targets = targets::<2>();
    let group = sticky_group(&targets)
        .set("stickiness.cookie_name", "home_scar")
        .set("stickiness.domain", "limpet.test")
        .set("stickiness.path", "/shop")
        .set("stickiness.same_site", "strict");
    let limpet = config().group(group).start();
    let cookie = limpet.get("/shop/").set_cookie("home_scar").expect("the cookie of that name");
    assert_eq!(cookie.attribute("domain"), Some("limpet.test"));
    assert_eq!(cookie.attribute("path"), Some("/shop"));
    assert_eq!(cookie.attribute("samesite"), Some("Strict"));
    assert!(!visit(&limpet, &cookie).fields.has("set-cookie"), "it is honoured");
}

#[test]
fn what_browsers_refuse_without_tls_is_not_sent_without_tls() {
    // RFC 6265bis §5.6: SameSite=None and Partitioned need Secure, and so does the whole twin.
    let targets = targets::<2>();
    let group = sticky_group(&targets)
        .set("stickiness.same_site", "none")
        .set("stickiness.partitioned", true)
        .set("stickiness.cross_site_twin", true);
    let limpet = config().group(group).start();
    let response = limpet.get("/");
    let cookie = issued(&response);
    for attribute in ["samesite", "partitioned", "secure"] {
        assert_eq!(cookie.attribute(attribute), None, "{}", response.head);
    }
    assert!(response.set_cookie("limpet_app_cors").is_none(), "{}", response.head);
    assert_eq!(visit(&limpet, &cookie).target(), response.target());
}

#[test]
fn the_cross_site_twin_is_honoured_alone() {
    let targets = targets::<3>();
    let group = sticky_group(&targets).set("stickiness.cross_site_twin", true);
    let limpet = config().group(group).start();
    let (home, cookie) = first_visit(&limpet);
    let twin = format!("limpet_app_cors={}", cookie.value);
    for _ in 0..6 {
        assert_eq!(limpet.client().get_cookie("/", &twin).target(), home);
    }
}

#[test]
fn every_sticky_group_has_a_cookie_of_its_own() {
    let [a, b] = targets();
    let web = crate::support::listener("web")
        .set("forward", "app")
        .rule("priority = 1\nwhen.path = [\"/other\"]\nforward = \"other\"");
    let limpet = config()
        .listener(web)
        .group(group("app").sticky().target("a", &a))
        .group(group("other").sticky().target("b", &b))
        .start();
    let mut client = limpet.client();
    assert!(client.get("/").set_cookie("limpet_app").is_some());
    let response = client.get("/other");
    assert!(response.set_cookie("limpet_other").is_some());
    assert!(response.set_cookie("limpet_app").is_none());
}

#[test]
fn the_cookies_of_the_target_pass_untouched_and_in_order() {
    let target = Target::echo_with("a", |_| {
        "Set-Cookie: PHPSESSID=x y; Path=/;HttpOnly\r\nX-Between: 1\r\nSet-Cookie: b=\"1\"; expires=Thu, 01 Jan 2099 00:00:00 GMT\r\n".to_owned()
    });
    let limpet = sticky(std::slice::from_ref(&target)).start();
    let response = limpet.get("/");
    let cookies = response.fields.all("set-cookie");
    let theirs: Vec<&&str> = cookies.iter().filter(|c| !c.starts_with(COOKIE)).collect();
    assert_eq!(
        theirs,
        [&"PHPSESSID=x y; Path=/;HttpOnly", &"b=\"1\"; expires=Thu, 01 Jan 2099 00:00:00 GMT"]
    );
    issued(&response);
}

#[test]
fn a_response_with_the_cookie_is_kept_out_of_shared_caches() {
    let targets = targets::<1>();
    let limpet = sticky(&targets).start();
    let first = limpet.get("/");
    let control = first.field("cache-control").expect("Cache-Control beside the cookie");
    assert!(
        ["private", "no-store", "no-cache"].iter().any(|word| control.contains(word)),
        "{control}"
    );
    let second = visit(&limpet, &issued(&first));
    assert!(!second.fields.has("cache-control"), "nothing to protect: {}", second.head);
}

#[test]
fn the_targets_own_cache_control_is_left_alone() {
    let target = Target::echo_with("a", |_| "Cache-Control: public, max-age=60\r\n".to_owned());
    let limpet = sticky(std::slice::from_ref(&target)).start();
    let response = limpet.get("/");
    issued(&response);
    assert_eq!(response.fields.all("cache-control"), ["public, max-age=60"]);
}

#[test]
fn the_cookie_comes_with_every_status_and_framing() {
    for head in [
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let target = Target::fixed(head);
        let limpet = sticky(std::slice::from_ref(&target)).start();
        issued(&limpet.get("/"));
    }
}

#[test]
fn limpets_own_failure_issues_no_cookie() {
    let target = Target::refusing("a");
    let limpet = sticky(std::slice::from_ref(&target)).start();
    let response = limpet.get("/");
    assert_eq!(response.status, 502);
    assert!(!response.fields.has("set-cookie"));
}

#[test]
fn behind_a_trusted_hop_that_ends_tls_the_cookie_is_secure() {
    let targets = targets::<1>();
    for (trusted, secure) in [(vec!["127.0.0.0/8"], true), (vec![], false)] {
        let web = listener("web").set("trusted_proxies", trusted);
        let limpet = config().listener(web).group(sticky_group(&targets)).start();
        let response = limpet.client().get_with("/", "X-Forwarded-Proto: https\r\n");
        assert_eq!(issued(&response).attribute("secure").is_some(), secure);
    }
}
