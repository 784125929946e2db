//! `loadtest compare` and `loadtest instructions` as a whole, with a limpet and whatever peers there are.
//!
//! limpet is found beside this tool or where `LIMPET_PEER_LIMPET` says; without one, or with one core only,
//! these tests say that they are skipped. So they do for each peer that is not on this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::Value;

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Balancers are pinned to one core: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limpet() -> Option<PathBuf> {
    let tool = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    let beside = tool.parent().map(|folder| folder.join("limpet"));
    let named = env::var_os("LIMPET_PEER_LIMPET").map(PathBuf::from);
    let cores = available_parallelism().map_or(1, usize::from);
    let found = named.or(beside).filter(|path| path.is_file() && cores > 1);
    if found.is_none() {
        eprintln!("skipped: no limpet beside {}, or one core only", tool.display());
    }
    found
}

/// A folder of a test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a scenario and returns its path.
    fn scenario(&self, text: &str) -> String {
        let path = self.0.join("scenario.toml");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tool(limpet: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    // What runs in the background is told not to hear some of them, and hands that down.
    command.args(["--default-signal=TERM,INT,HUP", env!("CARGO_BIN_EXE_loadtest")]);
    command.args(arguments).arg("--limpet").arg(limpet).env_remove("CARGO");
    command
}

fn compare(limpet: &Path, folder: &Folder, arguments: &[&str]) -> Output {
    let _alone = alone();
    tool(limpet, &["compare", "--rounds", "1", "--seconds", "0.3"])
        .arg("--out")
        .arg(folder.0.join("out"))
        .args(arguments)
        .output()
        .unwrap()
}

fn results(folder: &Folder, said: &Output) -> Value {
    let text = fs::read_to_string(folder.0.join("out/results.json")).unwrap_or_else(|error| {
        let errors = String::from_utf8_lossy(&said.stderr);
        panic!("{error}\n{}\n{errors}", String::from_utf8_lossy(&said.stdout))
    });
    serde_json::from_str(&text).unwrap()
}

#[test]
fn limpet_and_the_floor_are_compared_and_everything_is_written() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("compared");
    let said = compare(&limpet, &folder, &["--peers", "none", "--scenario", "half-load,sticky"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    let json = results(&folder, &said);
    let cells = &json["scenarios"][0]["points"][0]["cells"];
    for (index, name) in ["limpet", "floor"].into_iter().enumerate() {
        assert_eq!(cells[index]["candidate"], name);
        assert!(cells[index]["summary"]["cost"]["median"].as_f64().unwrap() > 0.0, "{text}");
    }
    let sticky = &json["scenarios"][1]["points"][0]["cells"];
    assert_eq!(sticky[0]["summary"]["wrong_target"], 0);
    assert!(sticky[1]["cannot"].as_str().unwrap().contains("one target"));
    for file in [
        "RESULTS.md",
        "cpu-per-request.svg",
        "cpu-per-request.png",
        "configurations/limpet/limpet.toml",
    ] {
        assert!(folder.0.join("out").join(file).is_file(), "{file}");
    }
}

#[test]
fn every_peer_serves_and_keeps_users_with_their_targets() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("peers");
    let scenario = folder.scenario(
        "name='peers'\ntitle='Users'\nabout='Each connection is a user.'\nneeds=['stickiness']\n\
         [[point]]\nlabel='32 users'\nconnections=32\ntargets=4",
    );
    let said = compare(&limpet, &folder, &["--scenario", &scenario]);
    let json = results(&folder, &said);
    for name in json["absent"].as_array().unwrap() {
        eprintln!("skipped: {name} is not on this machine");
    }
    for cell in json["scenarios"][0]["points"][0]["cells"].as_array().unwrap() {
        if cell["candidate"] == "floor" {
            continue;
        }
        let sample = &cell["samples"][0];
        assert!(cell["cannot"].is_null() && sample["invalid"].is_null(), "{cell}");
        // Thirty-two users are on one of four targets by a mistake only.
        let targets = sample["found"]["by_target"].as_object().unwrap();
        let used = targets.values().filter(|count| count.as_u64() > Some(0)).count();
        assert!(used >= 2, "{}: {targets:?}", cell["candidate"]);
        assert!(cell["summary"]["cost"]["median"].as_f64().unwrap() > 0.0, "{cell}");
    }
}

#[test]
fn every_peer_that_speaks_tls_serves_over_it_and_resumes() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("tls");
    let point = |label: &str, more: &str| {
        format!("[[point]]\nlabel='{label}'\nconnections=8\ntargets=2\n{more}\n")
    };
    let scenario = folder.scenario(
        &[
            "name='tls'\ntitle='TLS'\nabout='It is spoken.'\nneeds=['tls']\n".to_owned(),
            point("kept", "tls='rsa'"),
            point("kept, 1.2", "tls='ecdsa'\ntls_version='1.2'"),
            point("each", "tls='ecdsa'\nclose=true"),
            point("resumed", "tls='ecdsa'\nclose=true\nresume=true"),
            point("resumed, 1.2", "tls='ecdsa'\ntls_version='1.2'\nclose=true\nresume=true"),
            point("each, at once", "tls='ecdsa'\nclose=true\nrequests=60\ntimeout_seconds=60"),
        ]
        .concat(),
    );
    let said = compare(&limpet, &folder, &["--scenario", &scenario]);
    let json = results(&folder, &said);
    let points = json["scenarios"][0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    for point in points {
        for cell in point["cells"].as_array().unwrap() {
            if is_without_tls(cell) {
                continue;
            }
            let sample = &cell["samples"][0];
            assert!(cell["cannot"].is_null() && sample["invalid"].is_null(), "{point}");
            let label = point["point"]["label"].as_str().unwrap();
            let handshakes = |kind: &str| sample["found"]["handshakes"][kind].as_u64().unwrap();
            let is_resumed = handshakes("resumed") > 0;
            assert_eq!(is_resumed, label.starts_with("resumed"), "{label}: {cell}");
            assert_eq!(handshakes("full") > 0, label.starts_with("each"), "{label}: {cell}");
            if label == "each, at once" {
                assert_eq!(handshakes("full"), 60, "{cell}");
            }
        }
    }
    assert!(folder.0.join("out/configurations-tls/limpet/limpet.toml").is_file());
}

#[test]
fn every_peer_that_speaks_http_2_serves_over_it() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("http2");
    let point = |label: &str, more: &str| {
        format!("[[point]]\nlabel='{label}'\nconnections=4\nhttp2=true\nstreams=8\n{more}\n")
    };
    let needs = |needs: &str| format!("name='h2'\ntitle='h2'\nabout='It is.'\nneeds=[{needs}]\n");
    let through = "upstream='http2'\nmethod='POST'\nbody_size=100000";
    for scenario in [
        needs("'http2','tls'") + &point("clear", "") + &point("tls", "tls='ecdsa'"),
        needs("'http2','http2-targets'") + &point("through", through),
        needs("'http2','grpc'") + &point("grpc", "upstream='grpc'\nbody_size=9"),
    ] {
        let said = compare(&limpet, &folder, &["--scenario", &folder.scenario(&scenario)]);
        let json = results(&folder, &said);
        let points = json["scenarios"][0]["points"].as_array().unwrap();
        let cells = points.iter().flat_map(|point| point["cells"].as_array().unwrap());
        for cell in cells.filter(|cell| cell["candidate"] != "floor") {
            if cell["candidate"] == "limpet" || cell["cannot"].is_null() {
                let sample = &cell["samples"][0];
                assert!(cell["cannot"].is_null() && sample["invalid"].is_null(), "{cell}");
                assert!(sample["found"]["responses"].as_u64() > Some(0), "{cell}");
            }
        }
    }
    assert!(folder.0.join("out/configurations-http2-to-grpc/limpet/limpet.toml").is_file());
}

#[test]
fn memory_of_idle_clients_over_http_2_is_measured() {
    let point =
        "needs=['http2','tls']\n[[point]]\nlabel='p'\nconnections=100\nhttp2=true\ntls='ecdsa'";
    let cells = idle("idle-http2", point);
    assert!(cells.is_none_or(|cells| cells.len() == 1), "limpet alone");
}

/// Who speaks no TLS and says why.
fn is_without_tls(cell: &Value) -> bool {
    let why = cell["cannot"].as_str().unwrap_or_default();
    let expected = match cell["candidate"].as_str().unwrap_or_default() {
        "floor" => "a bare relay",
        "varnish" => "it speaks none",
        _ => return false,
    };
    why.contains(expected)
}

#[test]
fn memory_of_idle_clients_is_measured() {
    let cells = idle("idle", "[[point]]\nlabel='300 clients'\nconnections=300");
    assert!(cells.is_none_or(|cells| cells.len() == 2), "limpet and the floor");
}

#[test]
fn memory_of_idle_clients_is_measured_over_tls() {
    let point = "needs=['tls']\n[[point]]\nlabel='100 clients'\nconnections=100\ntls='ecdsa'";
    let cells = idle("idle-tls", point);
    assert!(cells.is_none_or(|cells| cells.len() == 1), "limpet alone");
}

/// The measured cells of clients who stay; nothing where there is no limpet.
fn idle(name: &str, point: &str) -> Option<Vec<Value>> {
    let limpet = limpet()?;
    let folder = Folder::new(name);
    let scenario = folder
        .scenario(&format!("name='few'\ntitle='Few'\nabout='They stay.'\nkind='idle'\n{point}"));
    let said = compare(&limpet, &folder, &["--peers", "none", "--scenario", &scenario]);
    let json = results(&folder, &said);
    let mut cells = json["scenarios"][0]["points"][0]["cells"].as_array().unwrap().clone();
    cells.retain(|cell| !is_without_tls(cell));
    for cell in &cells {
        assert!(cell["samples"][0]["invalid"].is_null(), "{cell}");
        let figure = |name: &str| cell["summary"][name]["median"].as_f64().unwrap();
        assert!(figure("cost") >= 0.0, "{cell}");
        assert!(figure("proportional_before_bytes") > 0.0, "{cell}");
        assert!(figure("proportional_bytes") > 0.0, "{cell}");
    }
    Some(cells)
}

#[test]
fn two_binaries_are_judged() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("self");
    let _alone = alone();
    let said = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["compare", "--scenario", "close", "--rounds", "2", "--seconds", "0.3", "--self"])
        .args([&limpet, &limpet])
        .arg("--out")
        .arg(folder.0.join("out"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.contains("B ÷ A") && text.contains("over 2 rounds: not told apart"), "{text}");
}

#[test]
fn a_scenario_that_nobody_knows_is_refused() {
    let Some(limpet) = limpet() else { return };
    let folder = Folder::new("unknown");
    let said = compare(&limpet, &folder, &["--scenario", "nothing-like-it"]);
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("nothing-like-it") && text.contains("half-load"), "{text}");
    assert!(!folder.0.join("out").exists());
}

#[test]
fn a_comparison_that_is_told_to_end_leaves_nothing_behind() {
    let Some(limpet) = limpet() else { return };
    let _alone = alone();
    for (signal, code) in [("TERM", Some(143)), ("INT", Some(130)), ("HUP", Some(129))] {
        let folder = Folder::new("ended");
        let (mut child, family) = comparison(&limpet, &folder);
        let work = env::temp_dir().join(format!("compare-{:08}", child.id()));
        assert!(work.is_dir(), "{}", work.display());
        kill(signal, child.id());
        assert_eq!(child.wait().unwrap().code(), code, "SIG{signal}");
        // When it has ended, everything has.
        let left: Vec<&String> = family.iter().filter(|one| lives(one)).collect();
        assert!(left.is_empty(), "SIG{signal} left {left:?}");
        assert!(!work.exists(), "SIG{signal} left {}", work.display());
    }
}

#[test]
fn what_a_comparison_started_ends_even_when_it_is_killed_and_the_next_one_clears_up() {
    let Some(limpet) = limpet() else { return };
    let alone = alone();
    let folder = Folder::new("killed");
    let (mut child, family) = comparison(&limpet, &folder);
    let work = env::temp_dir().join(format!("compare-{:08}", child.id()));
    kill("KILL", child.id());
    child.wait().unwrap();
    wait_until("everything has ended", || !family.iter().any(|one| lives(one)));
    assert!(work.is_dir(), "{}", work.display());
    drop(alone);
    let said = compare(&limpet, &folder, &["--peers", "none", "--scenario", "close"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(!work.exists(), "{}", work.display());
}

#[test]
fn instructions_are_counted_the_same_twice_and_a_signal_ends_the_count() {
    let Some(limpet) = limpet() else { return };
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|said| said.status.success()) {
        eprintln!("skipped: no valgrind here");
        return;
    }
    let _alone = alone();
    let folder = Folder::new("instructions");
    let file = folder.0.join("counts.json").display().to_string();
    let run = |arguments: &[&str]| {
        let fixed = ["instructions", "--kind", "own-answer", "--file", &file];
        let said = tool(&limpet, &[&fixed, arguments].concat()).output().unwrap();
        let text = [said.stdout, said.stderr].concat();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&text));
    };
    let keep = folder.0.join("profiles").display().to_string();
    run(&["--write", "--keep", &keep]);
    assert!(fs::read_to_string(format!("{keep}/own-answer.callgrind")).unwrap().contains("fn="));
    run(&["--check", "--tolerance", "1"]);

    let mut child = tool(&limpet, &["instructions"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("limpet runs under valgrind", || family(child.id()).len() > 1);
    let family = family(child.id());
    kill("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!family.iter().any(|one| lives(one)), "{family:?}");
    assert!(!env::temp_dir().join(format!("instructions-{:08}", child.id())).exists());
}

/// A comparison with a balancer, targets and a generator at work, and who they are.
fn comparison(limpet: &Path, folder: &Folder) -> (Child, Vec<String>) {
    let child = tool(limpet, &["compare", "--peers", "nginx", "--scenario", "close"])
        .args(["--seconds", "30"])
        .arg("--out")
        .arg(folder.0.join("out"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Two targets, limpet, the floor, the generator; nginx's two where there is one.
    wait_until("the generator runs", || {
        family(child.id()).iter().any(|one| command_line(one).contains("\0load\0"))
    });
    let mut family = family(child.id());
    family.retain(|one| one.split(' ').next() != Some(&child.id().to_string()));
    assert!(family.len() >= 5, "{family:?}");
    (child, family)
}

fn kill(signal: &str, id: u32) {
    let killed = Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status();
    assert!(killed.unwrap().success());
}

/// A process and its descendants, each as its id and the time when it began.
fn family(root: u32) -> Vec<String> {
    let all: Vec<(String, String, String)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?))
        .collect();
    let mut ids = vec![root.to_string()];
    let mut next = 0;
    while next < ids.len() {
        let of = ids[next].clone();
        ids.extend(all.iter().filter(|one| one.1 == of).map(|one| one.0.clone()));
        next += 1;
    }
    let named = |id: &String| all.iter().find(|one| one.0 == *id);
    ids.iter().filter_map(named).map(|(id, _, began)| format!("{id} {began}")).collect()
}

/// Id, parent and beginning of a process that is not dead.
fn stat(id: &str) -> Option<(String, String, String)> {
    id.parse::<u32>().ok()?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let dead = matches!(*fields.first()?, "Z" | "X");
    (!dead).then(|| (id.to_owned(), fields[1].to_owned(), fields[19].to_owned()))
}

fn lives(one: &str) -> bool {
    let (id, began) = one.split_once(' ').unwrap();
    stat(id).is_some_and(|now| now.2 == began)
}

fn command_line(one: &str) -> String {
    let id = one.split(' ').next().unwrap_or_default();
    let bytes = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the one place that waits by looking again")]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(POLL);
    }
}
