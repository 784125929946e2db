//! First visits of a client that opens dozens of streams before it has a cookie.

use std::collections::HashSet;

use axum::http::Method;

use super::{app, both, clear};
use crate::support::http2::{Http2, answer, play};
use crate::support::{Section, Target, config};

const STREAMS: usize = 50;

fn naming_itself(id: &str) -> Target {
    Target::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{id}"))
}

fn sticky(targets: &[Target]) -> Section {
    let group = app().sticky();
    targets.iter().zip(["a", "b", "c", "d"]).fold(group, |group, (to, id)| group.target(id, to))
}

/// Who answers so many streams that are opened at once, and the cookies that they bring.
async fn visit(client: &Http2) -> Vec<(String, String)> {
    let mut waiting = Vec::new();
    for at in 0..STREAMS {
        waiting.push(client.begin(Method::GET, &format!("/{at}"), &[], true).await.0);
    }
    let mut visits = Vec::new();
    for response in waiting {
        let response = answer(response).await.unwrap();
        assert_eq!(response.status, 200);
        let cookie = response.field("set-cookie").split(';').next().unwrap().to_owned();
        visits.push((String::from_utf8(response.content).unwrap(), cookie));
    }
    visits
}

fn names(visits: &[(String, String)]) -> HashSet<&str> {
    visits.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn fifty_at_once_get_one_target_on_whichever_shard() {
    let targets = ["a", "b", "c", "d"].map(naming_itself);
    let limpet = both().process("shards", 4).group(sticky(&targets)).start();
    play(async {
        let mut homes = HashSet::new();
        for at in 0..8 {
            let client = match at % 2 {
                0 => Http2::connect(limpet.address_of("clear")).await,
                _ => Http2::connect_tls(limpet.address_of("secure")).await,
            };
            let visits = visit(&client).await;
            assert_eq!(names(&visits).len(), 1, "{visits:?}");
            let home = visits[0].0.clone();
            // Whichever of its cookies a client keeps leads there, from any connection.
            let other = Http2::connect(limpet.address_of("clear")).await;
            for (_, cookie) in visits.iter().step_by(17) {
                assert_eq!(other.get("/", &[("cookie", cookie)]).await.content, home.as_bytes());
            }
            homes.insert(home);
        }
        assert!(homes.len() > 1, "clients are balanced");
    });
}

#[test]
fn fifty_at_once_fail_over_to_one_target() {
    // One of two is a first visit's in every other case.
    let targets = [naming_itself("a"), Target::refusing("b")];
    let limpet = both().process("shards", 2).group(sticky(&targets)).start();
    play(async {
        for _ in 0..6 {
            let client = Http2::connect(limpet.address_of("clear")).await;
            let visits = visit(&client).await;
            assert_eq!(names(&visits), HashSet::from(["a"]));
            let (home, cookie) = &visits[STREAMS - 1];
            let again = client.get("/", &[("cookie", cookie)]).await;
            assert_eq!(again.content, home.as_bytes());
        }
    });
}

#[test]
fn users_who_share_a_connection_have_their_targets_each() {
    let targets = ["a", "b", "c", "d"].map(naming_itself);
    let web = clear("web").set("trusted_proxies", vec!["127.0.0.0/8"]);
    let limpet = config().listener(web).group(sticky(&targets)).start();
    let users = ["192.0.2.1", "2001:db8::2"];
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let mut waiting = Vec::new();
        // By turns, and no more than may be open at a time.
        for at in 0..STREAMS * users.len() {
            let fields = [("x-forwarded-for", users[at % users.len()])];
            let path = format!("/{at}");
            waiting.push(client.begin(Method::GET, &path, &fields, true).await.0);
        }
        let mut homes = [None, None];
        for (at, response) in waiting.into_iter().enumerate() {
            let response = answer(response).await.unwrap();
            assert_eq!(response.status, 200);
            let home = homes[at % users.len()].get_or_insert_with(|| response.content.clone());
            assert_eq!(&response.content, home, "{}", users[at % users.len()]);
        }
        assert_ne!(homes[0], homes[1], "users are balanced");
        // Those who come later without a cookie as well.
        for (user, home) in users.iter().zip(homes) {
            let again = client.get("/again", &[("x-forwarded-for", user)]).await;
            assert_eq!(Some(again.content), home);
        }
    });
}
