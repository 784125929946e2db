//! `loadtest hostile` against the responder, which has no budgets and answers nearly everything; and against a listener
//! that ends each connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

mod running;
use running::Running;

/// What it says about each kind, and whether all were ended.
fn hostile(address: &str, arguments: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["hostile", "--again-ms", "50", "--address", address])
        .args(arguments)
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[test]
fn who_has_no_budgets_is_found_out() {
    let responder = Running::responder(&[]);
    let arguments = ["--kind", "ping,rapid-reset,window-update,unknown", "--frames", "320"];
    let (told, are_ended) = hostile(&responder.address, &arguments);
    assert!(!are_ended, "{told}");
    for line in told.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..3], ["320", "NOBODY"], "{told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
}

#[test]
fn what_the_standard_forbids_is_refused_even_there() {
    let responder = Running::responder(&[]);
    let (told, are_ended) = hostile(&responder.address, &["--kind", "provoked-reset"]);
    assert!(are_ended && told.contains("GOAWAY PROTOCOL_ERROR"), "{told}");
}

/// Reads a preface and some, and ends the connection with these bytes.
fn ending_with(last: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever floods may be gone already.
            let _ = stream.read_exact(&mut [0; 500]);
            let _ = stream.write_all(last);
        }
    });
    address
}

#[test]
fn the_end_is_told_as_it_was() {
    const CALM: &[u8] = &[
        0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
        0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, // GOAWAY
    ];
    for (last, expected) in [(CALM, "GOAWAY ENHANCE_YOUR_CALM"), (&[], "closing")] {
        let address = ending_with(last).to_string();
        let (told, are_ended) = hostile(&address, &["--kind", "ping,settings"]);
        assert!(are_ended, "{told}");
        assert_eq!(told.matches(expected).count(), 2, "{told}");
    }
}
