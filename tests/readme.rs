//! What the README and the page for operators show is true: configurations are accepted, command lines are
//! understood, links lead somewhere.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PAGES: [&str; 2] = ["README.md", "docs/operating.md"];

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn readme() -> String {
    page(PAGES[0])
}

/// All pages, one behind the other, the README first.
fn pages() -> String {
    PAGES.map(page).join("\n")
}

/// The content of every fenced block of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rests = text.split(fence.as_str()).skip(1);
    rests.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A folder with the README's first configuration in it.
fn first_configuration() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limpet.toml");
    fs::write(&file, &blocks(&readme(), "toml")[0]).unwrap();
    (directory, file)
}

fn check(file: &Path) -> Output {
    let mut check = Command::new(env!("CARGO_BIN_EXE_limpet"));
    check.arg("check").arg("--config").arg(file).output().unwrap()
}

#[test]
fn the_first_configuration_is_accepted_and_short() {
    let (_directory, file) = first_configuration();
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 20, "{text}");
    let output = check(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("note:"), "somebody checks its targets, as of all that it has: {said}");
}

#[test]
fn whatever_else_of_a_configuration_is_shown_fits_behind_the_first() {
    let (_directory, file) = first_configuration();
    let first = fs::read_to_string(&file).unwrap();
    let text = pages();
    let others = &blocks(&text, "toml")[1..];
    assert!(others.len() >= 3);
    for other in others {
        fs::write(&file, format!("{first}\n{other}")).unwrap();
        let output = check(&file);
        assert!(output.status.success(), "{other}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Exit code of `limpet ctl` when nobody answers: the command line was understood.
const NOBODY_ANSWERS: i32 = 3;

#[test]
fn every_command_line_that_is_shown_is_understood() {
    let (directory, _) = first_configuration();
    fs::copy(directory.path().join("limpet.toml"), directory.path().join("new.toml")).unwrap();
    let text = pages();
    let shown = blocks(&text, "sh");
    let lines = shown.iter().flat_map(|block| block.lines());
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("limpet ")).collect();
    assert!(lines.len() >= 15, "{lines:?}");
    for line in lines {
        if line.starts_with("limpet run ") {
            continue;
        }
        let expected = if line.starts_with("limpet ctl ") { NOBODY_ANSWERS } else { 0 };
        let output = Command::new("sh")
            .args(["-c", &line.replacen("limpet", "\"$LIMPET\"", 1)])
            .current_dir(directory.path())
            .env("LIMPET", env!("CARGO_BIN_EXE_limpet"))
            .env("LIMPET_ADMIN", directory.path().join("nobody.sock"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{line}: {said}");
    }
}

#[test]
fn the_files_that_pages_link_to_exist() {
    for name in
        ["README.md", "docs/operating.md", "docs/mcp.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
    {
        let text = page(name);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
        assert!(files.len() >= 3, "{name}: {files:?}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        for file in files {
            assert!(folder.with_file_name(file).exists(), "{name}: {file}");
        }
    }
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let text = readme();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `limpet "));
    let commands: Vec<&str> = rows.filter_map(|row| row.split([' ', '`']).next()).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let mut limpet = Command::new(env!("CARGO_BIN_EXE_limpet"));
        let output = limpet.arg(command).arg("--help").output().unwrap();
        assert!(output.status.success(), "limpet {command} --help");
    }
}

/// A server of the Model Context Protocol that keeps its sessions in memory, with a tool that counts its calls.
fn protocol_server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sessions = Arc::new(Mutex::new(HashMap::new()));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sessions = Arc::clone(&sessions);
            // It ends with its connection.
            thread::spawn(move || while answer(name, &stream, &sessions).is_some() {});
        }
    });
    address
}

/// Answers one request; `None` when the connection is over.
fn answer(name: &str, stream: &TcpStream, sessions: &Mutex<HashMap<String, u32>>) -> Option<()> {
    let mut input = BufReader::new(stream);
    let head: Vec<String> =
        input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let method = head.first()?.split(' ').next()?.to_owned();
    let field = |name: &str| {
        let mut pairs = head.iter().filter_map(|line| line.split_once(": "));
        pairs.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let size = field("content-length").map_or(0, |size| size.parse().unwrap());
    let mut content = vec![0; size];
    input.read_exact(&mut content).ok()?;
    let content = String::from_utf8(content).unwrap();
    let mut sessions = sessions.lock().unwrap();
    let begun = content.contains("\"initialize\"").then(|| format!("{name}-{}", sessions.len()));
    sessions.extend(begun.iter().map(|id| (id.clone(), 0)));
    let count =
        field("mcp-session-id").and_then(|id| sessions.get_mut(&id).map(|count| (id, count)));
    let (status, id, result) = match (begun, count) {
        (Some(id), _) => (200, format!("Mcp-Session-Id: {id}\r\n"), "{}".to_owned()),
        (None, None) => (404, String::new(), "Session not found".to_owned()),
        (None, Some((id, _))) if method == "DELETE" => {
            sessions.remove(&id);
            (200, String::new(), "ended".to_owned())
        }
        (None, Some(_)) if content.contains("notifications/") => {
            (202, String::new(), String::new())
        }
        (None, Some((_, count))) => {
            *count += 1;
            (200, String::new(), format!("{name} counts {count}"))
        }
    };
    let size = result.len();
    let response = format!("HTTP/1.1 {status} x\r\n{id}Content-Length: {size}\r\n\r\n{result}");
    { stream }.write_all(response.as_bytes()).ok()
}

/// A running limpet; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_guide_for_mcp_servers_works_as_it_is_written() {
    let guide = page("docs/mcp.md");
    let (web, admin) = (free_address(), free_address());
    let places = [
        ("127.0.0.1:8080", web),
        ("127.0.0.1:9901", admin),
        ("127.0.0.1:8001", protocol_server("one")),
        ("127.0.0.1:8002", protocol_server("two")),
    ];
    let here = |text: &str| {
        let text = text.to_owned();
        places.iter().fold(text, |text, (shown, is)| text.replace(shown, &is.to_string()))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limpet.toml");
    fs::write(&file, here(&blocks(&guide, "toml").join("\n"))).unwrap();
    let checked = check(&file);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !said.contains("note:"), "{said}");
    let program = env!("CARGO_BIN_EXE_limpet");
    let mut run = Command::new(program);
    let run = run.args(["run", "--config"]).arg(&file).current_dir(folder.path());
    let _running = Running(run.stdout(Stdio::null()).spawn().unwrap());
    wait_until("limpet answers", || TcpStream::connect(web).is_ok());
    wait_until("the admin API answers", || TcpStream::connect(admin).is_ok());

    let programs = Path::new(program).parent().unwrap().display();
    let script = here(&blocks(&guide, "sh").join("\n"));
    let output = Command::new("sh")
        .args(["-euc", &format!("PATH=\"{programs}:$PATH\"\n{script}")])
        .current_dir(folder.path())
        .env("LIMPET_ADMIN", format!("http://{admin}"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{said}");
    let name = if printed.contains("one counts 1") { "one" } else { "two" };
    let target = if name == "one" { "mcp-1" } else { "mcp-2" };
    for expected in [
        format!("{name}-0."),
        format!("{name} counts 1"),
        format!("{name} counts 2"),
        format!("seal       group mcp, target {target}, issued "),
        format!("verdict    valid: group mcp, target {target}"),
        "ended".to_owned(),
    ] {
        assert!(printed.contains(&expected), "no {expected:?} in\n{printed}");
    }
}
