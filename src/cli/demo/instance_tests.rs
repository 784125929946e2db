//! One instance through its own socket, as a browser and curl see it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::cli::demo::client::{Connection, Jar, Place};
use crate::cli::demo::instance::*;
use crate::cli::demo::instances::Instances;

/// Sends `request` as it is (it must ask to close) and returns everything that comes back.
pub fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn get_with(address: SocketAddr, fields: &str) -> String {
    raw(address, &format!("GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n{fields}\r\n"))
}

#[test]
fn instances_name_themselves_and_know_only_their_own_sessions() {
    let instances = Instances::start(Application::Pages).unwrap();
    let [(first, first_address), (second, second_address)] = instances.addresses[..] else {
        panic!("{:?}", instances.addresses)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut jar = Jar::default();
        let mut here = Connection::open(&Place::plain(first_address)).await.unwrap();
        let mut there = Connection::open(&Place::plain(second_address)).await.unwrap();

        let stranger = here.visit(&mut jar).await.unwrap();
        assert_eq!((stranger.status, stranger.instance.as_str()), (200, first));
        assert!(stranger.body.contains("not logged in"), "{stranger:?}");

        let created = here.log_in("Ada", &mut jar).await.unwrap();
        assert!(created.body.contains("Welcome, Ada."), "{created:?}");
        assert_eq!(jar.names().collect::<Vec<_>>(), [SESSION_COOKIE]);

        let lost = there.visit(&mut jar).await.unwrap();
        assert_eq!((lost.status, lost.instance.as_str()), (200, second));
        assert!(lost.body.contains("log in again"), "{lost:?}");

        let known = here.visit(&mut jar).await.unwrap();
        assert!(known.body.contains("Hello again, Ada."), "{known:?}");
    });
}

#[test]
fn a_browser_gets_html_with_a_policy_and_curl_gets_a_line() {
    let instances = Instances::start(Application::Pages).unwrap();
    let (_, address) = instances.addresses[0];
    let page = get_with(address, "Accept: text/html,application/xhtml+xml\r\n");
    assert!(page.contains("content-type: text/html") && page.contains("<!doctype html>"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    let line = get_with(address, "Accept: */*\r\n");
    assert!(line.contains("content-type: text/plain") && !line.contains('<'), "{line}");
}

#[test]
fn the_session_cookie_is_random_and_not_for_scripts() {
    let instances = Instances::start(Application::Pages).unwrap();
    let (_, address) = instances.addresses[0];
    let log_in = || {
        let response = raw(
            address,
            "POST /session HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nname=Ada",
        );
        let line = response.lines().find(|line| line.starts_with("set-cookie: "));
        line.unwrap_or_else(|| panic!("{response}")).to_owned()
    };
    let (first, second) = (log_in(), log_in());
    assert_ne!(first, second);
    assert!(first.contains("; HttpOnly") && first.contains("; SameSite=Lax"), "{first}");
}

#[test]
fn a_form_without_a_name_or_with_too_much_is_refused_with_the_instance_named() {
    let instances = Instances::start(Application::Pages).unwrap();
    let (_, address) = instances.addresses[0];
    let post = |content: &str| {
        let length = content.len();
        raw(
            address,
            &format!(
                "POST /session HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {length}\r\n\r\n{content}"
            ),
        )
    };
    let nameless = post("name=+%09");
    assert!(nameless.starts_with("HTTP/1.1 422 ") && nameless.contains("A name is needed"));
    assert!(!nameless.contains("set-cookie"), "{nameless}");
    let long = post(&format!("name={}", "x".repeat(CONTENT_BYTES_MAX)));
    assert!(long.starts_with("HTTP/1.1 413 ") && long.contains("x-instance: a"), "{long}");
}

#[test]
fn logging_out_ends_the_session_and_its_cookie() {
    let instances = Instances::start(Application::Pages).unwrap();
    let (_, address) = instances.addresses[0];
    let response = raw(
        address,
        "POST /session/end HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Length: 0\r\n\
         Cookie: other=1; demo_session=gone\r\n\r\n",
    );
    assert!(response.contains("Max-Age=0") && response.contains("x-session: ended"), "{response}");
}
