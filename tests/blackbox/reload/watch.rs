//! process.watch_config: a file that changes is loaded once it has been left alone, however it changes.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use super::{answering, wait_for};
use crate::support::{Config, Limpet, config, listener, pause, poll};

fn watching(body: &str) -> Config {
    answering(body).process("watch_config", true).with_admin()
}

/// How often limpet has said that it would not load the file.
fn refusals(limpet: &Limpet) -> usize {
    limpet.stderr().lines().filter(|line| line.contains("was not loaded")).count()
}

/// Lets limpet look at its file a few times more: twice a second.
fn let_it_look(limpet: &Limpet) {
    let uptime = || limpet.admin().get("/v1/status")["uptime_s"].as_f64().expect("a number");
    let until = uptime() + 2.5;
    poll(|| (uptime() >= until).then_some(())).expect("time passes");
}

fn text(limpet: &Limpet, config: &Config) -> String {
    let directory = limpet.path("");
    config.text().replace("{dir}", directory.to_str().expect("a path").trim_end_matches('/'))
}

#[test]
fn a_file_that_is_replaced_by_rename_is_loaded() {
    let limpet = watching("before").start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "before");
    std::fs::write(limpet.path("new"), text(&limpet, &watching("after"))).expect("write");
    std::fs::rename(limpet.path("new"), limpet.path("limpet.toml")).expect("rename");
    wait_for(&mut client, "after");
    let history = limpet.admin().get("/v1/config/history");
    assert_eq!(history["entries"][1]["actor"], "the file has changed", "{history}");
}

/// As Kubernetes does it: the name is a link into a directory that is itself a link, and that one is swapped.
#[test]
fn a_file_behind_links_that_are_swapped_is_loaded() {
    let limpet = watching("before").start();
    let mut client = limpet.client();
    let point = |at: &Path, to: &Path| {
        let fresh = limpet.path("fresh-link");
        symlink(to, &fresh).expect("a link");
        std::fs::rename(&fresh, at).expect("rename");
    };
    for (version, body) in [("v1", "one"), ("v2", "two"), ("v3", "three")] {
        let directory = limpet.path(version);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(directory.join("limpet.toml"), text(&limpet, &watching(body)))
            .expect("write");
        point(&limpet.path("data"), &directory);
        if version == "v1" {
            point(&limpet.path("limpet.toml"), Path::new("data/limpet.toml"));
        }
        wait_for(&mut client, body);
    }
    assert_eq!(refusals(&limpet), 0, "{}", limpet.stderr());
    // What is written back goes to the file, not into the place of the link.
    let (status, body) = limpet.admin().post("/v1/config/apply", "{}");
    assert_eq!(status, 200, "{body}");
    assert!(limpet.path("limpet.toml").is_symlink());
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let limpet = watching("before").start();
    let whole = text(&limpet, &watching("after"));
    let mut file = std::fs::File::create(limpet.path("limpet.toml")).expect("open");
    // Slower than limpet looks, and never as long as two looks without a byte.
    let pieces: Vec<&[u8]> = whole.as_bytes().chunks(whole.len().div_ceil(12)).collect();
    for piece in pieces {
        file.write_all(piece).expect("write");
        pause(Duration::from_millis(200));
    }
    drop(file);
    wait_for(&mut limpet.client(), "after");
    assert_eq!(refusals(&limpet), 0, "{}", limpet.stderr());
}

#[test]
fn a_bad_file_is_refused_once_and_a_good_one_is_loaded_again() {
    let limpet = watching("before").start();
    limpet.write_config("listener = 5\n");
    let said = poll(|| (refusals(&limpet) > 0).then_some(()));
    assert!(said.is_some(), "{}", limpet.stderr());
    let_it_look(&limpet);
    assert_eq!(refusals(&limpet), 1, "{}", limpet.stderr());
    assert_eq!(limpet.admin().get("/v1/status")["config"]["file_differs"], true);
    assert_eq!(limpet.get("/").text(), "before");
    limpet.write_config(&watching("after").text());
    wait_for(&mut limpet.client(), "after");
    assert_eq!(limpet.admin().get("/v1/status")["config"]["file_differs"], false);
}

#[test]
fn a_file_that_is_gone_for_a_while_is_no_reason_for_anything() {
    let limpet = watching("before").start();
    let version = || limpet.admin().get("/v1/status")["config"]["version"].as_u64();
    std::fs::remove_file(limpet.path("limpet.toml")).expect("remove");
    let_it_look(&limpet);
    assert_eq!((refusals(&limpet), version()), (0, Some(1)), "{}", limpet.stderr());
    limpet.write_config(&watching("before").text());
    let_it_look(&limpet);
    assert_eq!(version(), Some(1), "the same text is no change");
    limpet.write_config(&watching("after").text());
    wait_for(&mut limpet.client(), "after");
}

#[test]
fn what_limpet_writes_itself_is_no_change_of_the_file() {
    let group = |weight: u32| {
        let target = format!("weight = {weight}");
        let app = crate::support::group("app").target_at("a", "127.0.0.1:1", &target);
        let web = listener("web").set("respond.body", "");
        config().process("watch_config", true).with_admin().listener(web).group(app)
    };
    let limpet = group(1).start();
    let path = "/v1/groups/app/targets/a";
    let (status, body) = limpet.admin().patch(path, r#"{"set":{"weight":2},"keep":"file"}"#);
    assert_eq!(status, 200, "{body}");
    let_it_look(&limpet);
    let history = limpet.admin().get("/v1/config/history");
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(2), "{history}");
}

#[test]
fn an_unwatched_file_is_loaded_when_somebody_says_so() {
    let limpet = answering("before").with_admin().start();
    limpet.write_config(&watching("after").text());
    let_it_look(&limpet);
    assert_eq!(limpet.get("/").text(), "before");
    limpet.signal(libc::SIGHUP);
    wait_for(&mut limpet.client(), "after");
    // From here on it is watched.
    limpet.write_config(&watching("later").text());
    wait_for(&mut limpet.client(), "later");
}
