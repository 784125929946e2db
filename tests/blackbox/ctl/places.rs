//! Where the running process is found, and who may ask it.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use super::{Said, command, ctl, refused, serving};
use crate::support::{Limpet, Target, config};

const TOKEN: &str = "correct-horse-battery-staple";

/// A limpet whose admin API is on TCP, with a token.
fn with_token() -> (Limpet, Target, String) {
    let target = Target::echo("a");
    let config = config().admin("address", "127.0.0.1:0").admin("token", TOKEN);
    let limpet = config.serving(&target).start();
    let address = limpet.address_of("@admin");
    (limpet, target, format!("http://{address}"))
}

#[track_caller]
fn status(
    admin: &str,
    prepare: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
) -> Said {
    let mut command = command(admin);
    prepare(command.arg("status"));
    Said::of(command.output().expect("run limpet ctl"))
}

#[test]
fn over_tcp_the_token_is_needed_and_taken_from_everywhere_it_may_stand() {
    let (limpet, _target, admin) = with_token();
    let said = status(&admin, |command| command).exits(1);
    assert!(
        said.err.contains("A token is needed (401)") && said.err.contains("LIMPET_TOKEN"),
        "{said:?}"
    );
    let said = status(&admin, |command| command.args(["--token", "another-token-of-16"])).exits(1);
    assert!(said.err.contains("(401)") && !said.err.contains("another-token"), "{said:?}");
    status(&admin, |command| command.args(["--token", TOKEN])).exits(0);
    status(&admin, |command| command.env("LIMPET_TOKEN", TOKEN)).exits(0);
    let path = limpet.path("limpet.toml");
    status(&admin, |command| command.arg("--config").arg(&path)).exits(0);
    assert!(!limpet.stderr().contains(TOKEN), "the log shows the token");
}

#[test]
fn over_an_address_without_a_token_attributes_are_changed_and_the_rest_says_what_it_needs() {
    let target = Target::echo("a");
    let limpet = config().admin("address", "127.0.0.1:0").serving(&target).start();
    let admin = format!("http://{}", limpet.address_of("@admin"));
    let said = |arguments: &[&str]| {
        let output = command(&admin).args(arguments).output();
        Said::of(output.expect("run limpet ctl"))
    };
    said(&["weight", "app", "a", "3"]).exits(0);
    let refused = said(&["reload"]).exits(1);
    assert!(refused.err.contains("(403)") && refused.err.contains("admin.token"), "{refused:?}");
    assert!(refused.err.contains("admin.socket"), "{refused:?}");
    let log = limpet.path("access.log").with_file_name("chosen.log");
    let text = format!("{}\n[access_log]\noutput = {log:?}\n", limpet.file_text());
    let file = limpet.path("other.toml");
    std::fs::write(&file, text.replace("[access_log]\noutput = \"off\"\n", "")).expect("a file");
    said(&["apply", &file.to_string_lossy()]).exits(1);
    assert!(!log.exists());
}

#[test]
fn the_unix_socket_has_the_permissions_of_the_file() {
    let (limpet, _a, _b) = serving();
    let mode = |limpet: &Limpet| {
        let metadata = std::fs::metadata(limpet.admin().socket).expect("the socket");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&limpet), 0o660);
    let target = Target::echo("a");
    let limpet = config().with_admin().admin("socket_mode", "0600").serving(&target).start();
    assert_eq!(mode(&limpet), 0o600);
    ctl(&limpet, "status").exits(0);
}

#[test]
fn the_socket_is_gone_with_the_process_and_nobody_answers() {
    let (mut limpet, _a, _b) = serving();
    assert!(limpet.stop().success());
    assert!(!limpet.admin().socket.exists());
    refused(&limpet, "status", 3, &["no limpet answers at", "[admin] table"]);
}

#[test]
fn a_socket_that_a_dead_process_left_is_taken_over() {
    let (mut limpet, a, b) = serving();
    let socket = limpet.admin().socket;
    limpet.signal(libc::SIGKILL);
    limpet.wait();
    assert!(socket.exists(), "nobody could remove it");
    let text =
        super::pair(&a, &b).text().replace("{dir}/admin.sock", socket.to_str().expect("a path"));
    let second = Limpet::start(&text);
    let said =
        Said::of(command(socket.to_str().expect("a path")).arg("status").output().expect("run"));
    said.exits(0).has(&[&format!("pid {}", second.id())]);
}

#[test]
fn a_place_where_something_else_answers_is_told_from_limpet() {
    let closed: SocketAddr = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let said = status(&format!("http://{closed}"), |command| command).exits(3);
    assert!(said.err.contains(&format!("no limpet answers at http://{closed}")), "{said:?}");
    let other = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let said = status(&format!("http://{}", other.address()), |command| command).exits(1);
    assert!(!said.err.is_empty() && said.out.is_empty(), "{said:?}");
    let said = status("https://127.0.0.1:1", |command| command).exits(3);
    assert!(said.err.contains("no limpet answers at https://127.0.0.1:1"), "{said:?}");
    let said = status("ftp://127.0.0.1:1", |command| command).exits(2);
    assert!(said.err.contains("allowed: http"), "{said:?}");
}
