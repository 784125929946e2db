//! `limpet demo` as a user runs it: the program itself, its output, real connections, real signals.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longest wait for anything that the demo should do.
const WAIT_MAX: Duration = Duration::from_secs(30);

fn limpet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running demo; killed when dropped.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    /// What was printed up to and including the line that says how to end it.
    guide: Vec<String>,
    /// Where it keeps its files; one that is killed leaves them.
    _directory: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let mut command = limpet(&["--address", "127.0.0.1:0", "--console", "127.0.0.1:0"]);
        let directory = tempfile::tempdir().unwrap();
        command.args(arguments).env("TMPDIR", directory.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
        let mut demo = Demo { child, lines, guide: Vec::new(), _directory: directory };
        while !demo.guide.last().is_some_and(|line| line.contains("Ctrl-C")) {
            let line = demo.lines.recv_timeout(WAIT_MAX).expect("the guide ends with Ctrl-C");
            demo.guide.push(line);
        }
        demo
    }

    /// Runs a line of curl that the guide prints, as it is printed but for the jar's place.
    fn curl(&self, line_number: usize, jar: &str) -> String {
        let mut lines = self.guide.iter().filter(|line| line.trim().starts_with("curl "));
        let line = lines.nth(line_number).unwrap().replace("/tmp/limpet-demo.jar", jar);
        let line = format!("{line} --silent --show-error");
        let output = Command::new("sh").arg("-c").arg(&line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already, as most tests ask it to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process, and kills one that does not end in time.
#[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the process did not end within {WAIT_MAX:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn run_to_end(arguments: &[&str]) -> Output {
    let mut command = limpet(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = wait(&mut child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout, stderr }
}

fn instance(page: &str) -> &str {
    let name = page.lines().find_map(|line| line.strip_prefix("instance ")).unwrap();
    name.split(':').next().unwrap()
}

#[test]
fn the_walkthrough_tells_the_whole_story_and_exits_0() {
    let output = run_to_end(&["--walkthrough"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    assert_eq!(printed.matches('✓').count(), 9, "{printed}");
    assert!(!printed.contains('✗'), "{printed}");
}

#[test]
fn both_stories_are_told_over_https_too() {
    for (arguments, steps) in
        [(&["--tls", "--walkthrough"][..], 9), (&["--tls", "--mcp", "--walkthrough"], 8)]
    {
        let output = run_to_end(arguments);
        let printed = text(&output.stdout);
        assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
        assert_eq!(printed.matches('✓').count(), steps, "{printed}");
    }
}

#[test]
fn the_walkthrough_of_the_protocol_shows_the_loss_and_the_cure_and_exits_0() {
    let output = run_to_end(&["--mcp", "--walkthrough"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    assert_eq!(printed.matches('✓').count(), 8, "{printed}");
    assert!(printed.contains("404, Session not found"), "{printed}");
}

#[test]
fn without_stickiness_the_printed_lines_show_alternation_and_the_lost_session() {
    let demo = Demo::start(&[]);
    assert!(demo.guide.iter().any(|line| line.contains("stickiness off")), "{:?}", demo.guide);
    let directory = tempfile::tempdir().unwrap();
    let jar = directory.path().join("jar").display().to_string();
    let visits = [demo.curl(0, &jar), demo.curl(0, &jar), demo.curl(0, &jar)];
    let [first, second, third] = visits.each_ref().map(|page| instance(page));
    assert_ne!(first, second);
    assert_eq!(first, third);
    let created = demo.curl(1, &jar);
    assert!(created.contains("Welcome, Ada."), "{created}");
    let lost = demo.curl(2, &jar);
    assert!(lost.contains("log in again"), "{lost}");
    assert_ne!(instance(&created), instance(&lost));
}

#[test]
fn with_stickiness_the_printed_lines_keep_the_session() {
    let demo = Demo::start(&["--sticky"]);
    assert!(demo.guide.iter().any(|line| line.contains("stickiness on")), "{:?}", demo.guide);
    let directory = tempfile::tempdir().unwrap();
    let jar = directory.path().join("jar").display().to_string();
    let created = demo.curl(1, &jar);
    for visit in 2..8 {
        let page = demo.curl(2, &jar);
        assert!(page.contains("Hello again, Ada."), "{page}");
        assert!(page.contains(&format!("visit {visit}.")), "{page}");
        assert_eq!(instance(&created), instance(&page));
    }
}

/// The folder of the certificate that the guide of a demo over HTTPS names.
fn authority(demo: &Demo) -> PathBuf {
    let named = demo.guide.iter().find_map(|line| line.trim().strip_prefix("authority "));
    PathBuf::from(named.expect("the guide names the authority").trim())
}

#[test]
fn over_https_the_printed_lines_trust_the_demos_own_authority_and_keep_the_session() {
    let mut demo = Demo::start(&["--tls", "--sticky"]);
    let authority = authority(&demo);
    let directory = tempfile::tempdir().unwrap();
    let jar = directory.path().join("jar").display().to_string();
    // Which version of HTTP they agree on is up to the curl that is there.
    let first = demo.curl(0, &jar);
    assert!(first.lines().next().is_some_and(|line| line.contains(" 200")), "{first}");
    let created = demo.curl(1, &jar);
    for visit in 2..5 {
        let page = demo.curl(2, &jar);
        assert!(page.contains(&format!("visit {visit}.")), "{page}");
        assert_eq!(instance(&created), instance(&page));
    }
    let kept = fs::read_to_string(&jar).unwrap();
    let of_limpet = kept.lines().find(|line| line.contains("limpet_demo")).unwrap();
    assert_eq!(of_limpet.split('\t').nth(3), Some("TRUE"), "for HTTPS alone: {of_limpet}");

    // Without the file curl does not know the authority, and limpet keeps it no longer than the demo.
    let line = demo.guide.iter().find(|line| line.contains("curl ")).unwrap();
    let url = line.split_whitespace().last().unwrap();
    let stranger = Command::new("curl").args(["--silent", "--show-error", url]).output().unwrap();
    assert!(text(&stranger.stderr).contains("certificate"), "{}", text(&stranger.stderr));
    assert!(authority.exists());
    demo.signal("TERM");
    assert!(demo.wait().success());
    assert!(!authority.parent().unwrap().exists());
}

#[test]
fn over_https_a_session_of_the_protocol_is_kept_by_the_printed_lines() {
    let demo = Demo::start(&["--tls", "--mcp", "--sticky"]);
    let printed = paste(&demo);
    let (sealed, kept) = printed.split_first().unwrap();
    assert!(sealed.contains('.'), "{printed:#?}");
    assert_eq!(counts(&kept[..4]), [Some(1), Some(2), Some(3), Some(4)], "{printed:#?}");
}

/// What one shell prints for all commands that the guide of the protocol's servers shows.
fn paste(demo: &Demo) -> Vec<String> {
    let is_command = |line: &&String| line.starts_with("  ") && !line.starts_with("   ");
    let lines = demo.guide.iter().skip_while(|line| !line.starts_with("Paste")).filter(is_command);
    let script: Vec<&str> = lines.map(String::as_str).collect();
    let mut shell = Command::new("sh");
    let output = shell.arg("-c").arg(script.join("\n")).output().unwrap();
    let lines = text(&output.stdout);
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn counts(lines: &[String]) -> Vec<Option<u64>> {
    let count = |line: &String| line.split("call ").nth(1)?.split(' ').next()?.parse().ok();
    lines.iter().map(count).collect()
}

#[test]
fn the_printed_lines_lose_a_session_of_the_protocol_and_keep_it_once_stickiness_is_on() {
    let demo = Demo::start(&["--mcp"]);
    let printed = paste(&demo);
    let not_found = |line: &String| line.contains("Session not found");

    let (bare, lost) = (&printed[0], &printed[1..5]);
    assert!(!bare.is_empty() && !bare.contains('.'), "{printed:#?}");
    assert_eq!(counts(lost), [None, Some(1), None, Some(2)], "{printed:#?}");
    assert_eq!(lost.iter().filter(|line| not_found(line)).count(), 2, "{printed:#?}");

    let sealed = printed.iter().skip(5).position(|line| line.contains('.') && !line.contains(' '));
    let (sealed, kept) = printed
        .split_at(5 + sealed.unwrap_or_else(|| panic!("{printed:#?}")))
        .1
        .split_first()
        .unwrap();
    assert!(sealed.len() > bare.len() + 1, "{printed:#?}");
    assert_eq!(counts(&kept[..4]), [Some(1), Some(2), Some(3), Some(4)], "{printed:#?}");
    let instance = kept[0].split("instance ").nth(1).unwrap().chars().next().unwrap();
    let event = format!("instance {instance}: event ");
    assert!(kept[4..].iter().any(|line| line.contains(&event)), "{printed:#?}");
    assert!(not_found(printed.last().unwrap()), "{printed:#?}");
}

#[test]
fn an_interrupt_and_a_termination_end_it_cleanly() {
    for name in ["INT", "TERM"] {
        let mut demo = Demo::start(&[]);
        demo.signal(name);
        assert!(demo.wait().success(), "{name}");
    }
}

#[test]
fn the_printed_configuration_is_one_that_the_ordinary_check_accepts() {
    // The files of a certificate are examples as the ports are, and must be there for the check: a demo that runs has some.
    let demo = Demo::start(&["--tls"]);
    let folder = authority(&demo).parent().unwrap().to_owned();
    for option in ["--sticky", "--mcp", "--tls"] {
        let printed = run_to_end(&["--print-config", option]);
        assert!(printed.status.success(), "{}", text(&printed.stderr));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("demo.toml");
        let there = format!("{}/balancer", folder.display());
        let printed = text(&printed.stdout).replace("/etc/limpet/tls/demo", &there);
        assert_eq!(printed.contains(&there), option == "--tls");
        fs::write(&file, printed).unwrap();
        let check = Command::new(env!("CARGO_BIN_EXE_limpet"))
            .arg("check")
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        assert!(check.status.success(), "{}{}", text(&check.stdout), text(&check.stderr));
    }
}

#[test]
fn a_busy_port_is_named_and_nothing_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run_to_end(&["--address", &address, "--console", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("limpet demo: the balancer could not be started"), "{error}");
    assert!(error.contains(&address), "{error}");
}
