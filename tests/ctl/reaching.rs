//! Where the server is looked for, and what is said when nobody is there.

use crate::{Fake, assert_has, ctl, done, failed, limpet, text};

const TOKEN: &str = "a-token-that-nobody-may-see";

fn level(fake: &Fake) {
    fake.answers("GET /v1/log-level", 200, r#"{"level":"info"}"#);
}

/// A file whose [admin] table has these lines.
fn file(lines: &str) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("limpet.toml");
    std::fs::write(&path, format!("[admin]\n{lines}\n")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (home, path)
}

#[test]
fn a_token_goes_to_an_address_from_each_place_it_may_stand_in() {
    let fake = Fake::on_tcp();
    level(&fake);
    let address = fake.admin.strip_prefix("http://").unwrap();
    let (_home, path) = file(&format!("address = \"{address}\"\ntoken = \"{TOKEN}\""));
    done(&ctl(&fake, &["log-level", "--token", TOKEN]));
    let environment = limpet(&["ctl", "log-level"])
        .envs([("LIMPET_ADMIN", address), ("LIMPET_TOKEN", TOKEN)])
        .output();
    done(&environment.unwrap());
    done(&limpet(&["ctl", "log-level", "--config", &path]).output().unwrap());
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        assert_eq!(asked.field("authorization"), Some(&*format!("Bearer {TOKEN}")));
        assert_eq!(asked.field("host"), Some(address));
    }
}

#[test]
fn a_token_is_never_shown_and_never_sent_to_a_socket() {
    let fake = Fake::on_unix_socket();
    level(&fake);
    done(&ctl(&fake, &["log-level", "--token", TOKEN]));
    assert_eq!(fake.asked()[0].field("authorization"), None);
    let gone =
        limpet(&["ctl", "--admin", "127.0.0.1:1", "--token", TOKEN, "status"]).output().unwrap();
    let broken = format!("{TOKEN}\u{1}");
    let wrong =
        limpet(&["ctl", "--admin", "127.0.0.1:1", "--token", &broken, "status"]).output().unwrap();
    failed(&gone, 3);
    failed(&wrong, 2);
    for output in [gone, wrong] {
        assert!(!text(&output.stdout).contains(TOKEN) && !text(&output.stderr).contains(TOKEN));
    }
}

#[test]
fn the_command_line_comes_before_the_file_and_the_file_before_the_environment() {
    let here = Fake::on_unix_socket();
    level(&here);
    let (_home, named) = file(&format!("socket = {:?}", here.admin));
    let (_other, wrong) = file("socket = \"/nonexistent/admin.sock\"");
    let reach = |arguments: &[&str]| {
        let mut command = limpet(&[&["ctl", "log-level"], arguments].concat());
        command.env("LIMPET_ADMIN", "/nonexistent/environment.sock").output().unwrap()
    };
    done(&reach(&["--config", &named]));
    done(&reach(&["--config", &wrong, "--admin", &here.admin]));
    assert_has(&failed(&reach(&["--config", &wrong]), 3), &["/nonexistent/admin.sock"]);
    assert_has(&failed(&reach(&[]), 3), &["/nonexistent/environment.sock"]);
}

#[test]
fn who_is_not_there_is_exit_code_3_and_how_to_turn_it_on() {
    for (admin, cause) in
        [("/nonexistent/a.sock", "there is no such socket"), ("127.0.0.1:1", "refused")]
    {
        let said = failed(&limpet(&["ctl", "--admin", admin, "status"]).output().unwrap(), 3);
        assert_has(
            &said,
            &[
                "no limpet answers at ",
                admin,
                cause,
                "[admin]",
                "socket = \"/run/limpet/admin.sock\"",
                "address = \"127.0.0.1:9901\"",
                "LIMPET_ADMIN",
            ],
        );
    }
}

#[test]
fn a_place_or_file_that_cannot_be_read_is_exit_code_2() {
    let (_home, off) = file("");
    let cases: &[(&[&str], &str)] = &[
        (&["--admin", "ftp://edge:9901"], "does not speak"),
        (
            &["--admin", "http://edge:9901", "--ca", "/ca.pem"],
            "--ca has no effect at http://edge:9901",
        ),
        (&["--config", "/nonexistent/limpet.toml"], "cannot be read"),
        (&["--config", &off], "the admin API is off"),
    ];
    for (arguments, said) in cases {
        let output = limpet(&[&["ctl", "status"], *arguments].concat()).output().unwrap();
        assert_has(&failed(&output, 2), &[said]);
    }
}
