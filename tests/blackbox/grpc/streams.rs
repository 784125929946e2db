//! Streams in both directions outlive reloads and the drain of their target; clients that keep cookies stay.

use h2::SendStream;

use super::*;
use crate::support::http2::play;
use crate::support::http2_target::Http2Options;
use crate::support::{Limpet, config, poll};

fn mirror(id: &'static str) -> Http2Target {
    let options = Http2Options { mirrors: true, ..Http2Options::default() };
    Http2Target::start_with(options, move |seen| named(id, seen))
}

fn sticky(targets: &[(&str, &Http2Target)]) -> Limpet {
    let mut app = app().sticky();
    for (id, target) in targets {
        app = app.target_at(id, &target.address(), "");
    }
    config().listener(clear("web")).group(app).with_admin().start()
}

#[test]
fn a_client_that_returns_its_cookie_stays_with_its_target() {
    let targets = [("a", echo("a")), ("b", echo("b")), ("c", echo("c"))];
    let targets = targets.each_ref().map(|(id, target)| (*id, target));
    let limpet = sticky(&targets);
    play(async {
        let first = Http2::connect(limpet.address()).await;
        let answered = call(&first, "/a.B/C", &[]).await.unwrap();
        let home = answered.field("x-target").to_owned();
        let cookie = answered.field("set-cookie").split(';').next().unwrap().to_owned();
        for _ in 0..3 {
            // Connections come and go, as those of gRPC do.
            let client = Http2::connect(limpet.address()).await;
            for _ in 0..4 {
                let answered = call(&client, "/a.B/C", &[("cookie", &cookie)]).await.unwrap();
                assert_eq!(answered.field("x-target"), home);
            }
        }
    });
}

/// A stream that is open in both directions.
struct Chat {
    up: SendStream<Bytes>,
    down: h2::RecvStream,
}

impl Chat {
    async fn begin(client: &Http2, fields: &[(&'static str, &str)]) -> Chat {
        let fields = [&[TYPE, TRAILERS], fields].concat();
        let (response, mut up) = client.begin(Method::POST, "/mirror/chat", &fields, false).await;
        up.send_data(Bytes::from(message(b"hello")), false).unwrap();
        let mut down = response.await.unwrap().into_body();
        assert_eq!(down.data().await.unwrap().unwrap(), message(b"hello"));
        Chat { up, down }
    }

    async fn says(&mut self, content: &[u8]) {
        let said = Bytes::from(message(content));
        self.up.send_data(said.clone(), false).unwrap();
        assert_eq!(self.down.data().await.unwrap().unwrap(), said);
    }

    async fn ends(mut self) {
        self.up.send_data(Bytes::new(), true).unwrap();
        assert!(self.down.data().await.is_none(), "nothing is lost, and nothing is added");
        let trailers = self.down.trailers().await.unwrap().unwrap();
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    }
}

#[test]
fn a_stream_in_both_directions_outlives_a_reload_and_the_drain_of_its_target() {
    let (a, b) = (mirror("a"), mirror("b"));
    let limpet = sticky(&[("a", &a), ("b", &b)]);
    let admin = limpet.admin();
    play(async {
        let client = Http2::connect(limpet.address()).await;
        let first = call(&client, "/a.B/C", &[]).await.unwrap();
        let home = first.field("x-target").to_owned();
        let cookie = first.field("set-cookie").split(';').next().unwrap().to_owned();
        let mut chat = Chat::begin(&client, &[("cookie", &cookie)]).await;
        tokio::task::block_in_place(|| {
            let text = limpet
                .file_text()
                .replace("[[target_group]]", "\n[[target_group]]\nslow_start = \"1s\"");
            limpet.write_config(&text);
            limpet.signal(libc::SIGHUP);
            let is_new = || admin.get("/v1/groups/app")["attributes"]["slow_start"] == "1s";
            poll(|| is_new().then_some(())).expect("the reload is done");
        });
        chat.says(b"after the reload").await;
        tokio::task::block_in_place(|| {
            let path = format!("/v1/groups/app/targets/{home}/drain");
            admin.change("POST", &path, r#"{"until": "idle"}"#);
            admin.until_health("app", &home, "draining");
        });
        chat.says(b"while it drains").await;
        // Who is new goes elsewhere meanwhile.
        let other = Http2::connect(limpet.address()).await;
        let other = call(&other, "/a.B/C", &[]).await.unwrap();
        assert_ne!(other.field("x-target"), home);
        let drain = || tokio::task::block_in_place(|| admin.target("app", &home)["drain"].clone());
        assert_eq!(drain()["finished"], false, "the stream holds it");
        chat.ends().await;
    });
    let record = limpet.record_where("the stream", |record| record.text("path") == "/mirror/chat");
    assert_eq!((record.termination(), record.number("grpc_status")), ("---", 0.0));
}
