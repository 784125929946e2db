//! Every refusal of the HTTP decisions as a raw request, with its status, the closed connection and
//! the proof that the target received nothing; the classic desynchronisation tricks; and responses
//! that could be read in two ways.

mod chunks;
mod disguises;
mod heads;
mod responses;
mod unread_content;

use crate::support::{Limpet, Target, config};

/// Follows every attack: a request that no one may ever see or answer.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: limpet.test\r\n\r\n";

/// One attack: what it is, its bytes, the statuses that are right.
type Attack = (&'static str, &'static [u8], &'static [u16]);

fn serving() -> (Limpet, Target) {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    (limpet, target)
}

/// Sends each attack with a smuggled request behind it and returns what is wrong with the outcomes.
fn outcomes(limpet: &Limpet, attacks: &[Attack], send: Send) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, bytes, allowed) in attacks {
        let mut client = limpet.client();
        let raw = [bytes, SMUGGLED.as_bytes()].concat();
        match send {
            Send::Whole => client.send(&raw),
            Send::ByteByByte => client.send_byte_by_byte(&raw),
        };
        match client.wire.read_response("GET") {
            Err(error) => wrong.push(format!("{what}: no answer ({error})")),
            Ok(answer) if !allowed.contains(&answer.status) => {
                wrong.push(format!("{what}: answered {} in place of {allowed:?}", answer.status));
            }
            Ok(answer) => {
                if answer.field("connection") != Some("close") {
                    wrong.push(format!("{what}: does not announce the close"));
                }
                match client.wire.read_until_closed() {
                    Ok(rest) if rest.is_empty() => {}
                    Ok(rest) => wrong.push(format!(
                        "{what}: more than one answer: {}",
                        String::from_utf8_lossy(&rest)
                    )),
                    Err(error) => wrong.push(format!("{what}: not closed ({error})")),
                }
            }
        }
    }
    wrong
}

#[derive(Clone, Copy)]
enum Send {
    Whole,
    ByteByByte,
}

/// The target received nothing but the probe, which goes last and through the same limpet.
#[track_caller]
fn assert_nothing_but_the_probe(mut limpet: Limpet, target: &Target) {
    assert_eq!(limpet.get("/probe").status, 200);
    limpet.stop();
    target.wait_until_idle();
    for bytes in target.received() {
        assert!(
            bytes.is_empty() || bytes.starts_with("GET /probe "),
            "reached the target: {bytes:?}"
        );
    }
    assert_eq!(target.request_count(), 1);
}

#[track_caller]
fn assert_all_right(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} attacks not answered as decided:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
