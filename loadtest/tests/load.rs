//! `loadtest load` against a server that answers as each test wants: right, and wrong in every way
//! that has a count of its own.
//!
//! Each test runs the real binary, which prints one JSON object, and checks what it counted.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

/// A request as the server saw it.
struct Request {
    /// Counts the requests of a connection from 0.
    number: usize,
    /// Counts connections from 0.
    connection: usize,
    line: String,
    fields: Vec<(String, String)>,
    content: usize,
}

impl Request {
    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|field| field.0.eq_ignore_ascii_case(name));
        found.map(|field| field.1.as_str())
    }

    fn echo(&self) -> &str {
        self.field("x-echo").unwrap_or("none")
    }

    /// The right answer, from target `a`.
    fn right(&self) -> String {
        self.from("a", "")
    }

    fn from(&self, target: &str, fields: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nX-Target: {target}\r\nX-Request-Echo: {}\r\n{fields}\
             Content-Length: 5\r\n\r\nhello",
            self.echo()
        )
    }
}

/// What a server does after an answer.
enum Then {
    Keep,
    Close,
    /// Says nothing more, and keeps the connection.
    Stall,
}

/// Answers with what `answer` says, a thread for each connection, as long as the test lives.
fn serve(
    answer: impl Fn(&Request) -> (String, Then) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, number) = (answer.clone(), counted.fetch_add(1, Ordering::SeqCst));
            thread::spawn(move || {
                // Ends of connections are part of the tests.
                let _ = serve_one(&stream.unwrap(), number, &*answer);
            });
        }
    });
    (address, connections)
}

fn serve_one(
    stream: &TcpStream,
    connection: usize,
    answer: &dyn Fn(&Request) -> (String, Then),
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    for number in 0.. {
        let Some(request) = read_request(&mut reader, connection, number)? else { return Ok(()) };
        let (text, then) = answer(&request);
        (&mut &*stream).write_all(text.as_bytes())?;
        match then {
            Then::Keep if request.field("connection") == Some("close") => return Ok(()),
            Then::Keep => {}
            Then::Close => return Ok(()),
            Then::Stall => io::copy(&mut reader, &mut io::sink()).map(drop)?,
        }
    }
    Ok(())
}

fn read_request(
    reader: &mut BufReader<&TcpStream>,
    connection: usize,
    number: usize,
) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0);
    let fields = lines.iter().filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut request = Request { number, connection, line, fields, content: 0 };
    if let Some(length) = request.field("content-length") {
        let mut content = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut content)?;
        request.content = content.len();
    } else if request.field("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            reader.read_exact(&mut vec![0; size + 2])?;
            request.content += size;
            if size == 0 {
                break;
            }
        }
    }
    Ok(Some(request))
}

/// Runs the load; whether it was content, and what it printed.
fn load(address: SocketAddr, arguments: &str) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["load", "--json", "--warmup", "0", "--address", &address.to_string()])
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.success(), value)
}

/// The counts of errors that are not 0.
fn errors(value: &Value) -> String {
    let errors = value["errors"].as_object().unwrap();
    let counted = errors.iter().filter(|(_, count)| **count != 0);
    counted
        .map(|(kind, count)| format!("{kind} {count} "))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[test]
fn a_closed_loop_over_kept_connections_counts_everything_once() {
    let (address, connections) = serve(|request| (request.right(), Then::Keep));
    let (clean, value) =
        load(address, "--connections 4 --requests 1000 --check --expect-size 5 --threads 2");
    assert!(clean, "{value}");
    assert_eq!((value["requests"].as_u64(), value["responses"].as_u64()), (Some(1000), Some(1000)));
    assert_eq!(value["status"], serde_json::json!({"200": 1000}));
    assert_eq!(value["by_target"], serde_json::json!({"a": 1000}));
    assert_eq!((value["echoed"].as_u64(), errors(&value)), (Some(1000), String::new()));
    assert_eq!(value["reconnects"], 0);
    assert!(value["latency_us"]["p50"].as_u64() > Some(0), "{value}");
    assert!(value["latency_us"]["p50"].as_u64() <= value["latency_us"]["max"].as_u64());
    assert!(value["bytes_in"].as_u64() > Some(1000 * 80) && value["cpu_us_per_request"] != 0.0);
    assert!(connections.load(Ordering::SeqCst) <= 4);
}

#[test]
fn a_connection_for_each_request() {
    let (address, connections) = serve(|request| {
        assert_eq!(request.field("connection"), Some("close"));
        assert_eq!(request.number, 0);
        (request.right(), Then::Keep)
    });
    let (clean, value) = load(address, "--connections 3 --requests 60 --close --check");
    assert!(clean, "{value}");
    assert_eq!(value["responses"], 60);
    // One more for each place may have been opened when the last response came.
    let connections = connections.load(Ordering::SeqCst);
    assert!((60..=63).contains(&connections), "{connections}");
}

#[test]
fn pipelined_requests_are_told_apart() {
    let (address, connections) = serve(|request| {
        (format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", request.right()), Then::Keep)
    });
    let (clean, value) = load(address, "--connections 2 --requests 2000 --pipeline 16 --check");
    assert!(clean, "{value}");
    assert_eq!((value["responses"].as_u64(), value["echoed"].as_u64()), (Some(2000), Some(2000)));
    assert!(connections.load(Ordering::SeqCst) <= 2);
}

#[test]
fn uploads_with_a_length_and_in_chunks_arrive_whole() {
    for (size, chunked) in [(10, ""), (10, "--chunked"), (300_000, ""), (300_000, "--chunked")] {
        let (address, _) = serve(move |request| {
            assert_eq!(request.content, size);
            assert!(request.line.starts_with("POST /up HTTP/1.1"));
            (request.right(), Then::Keep)
        });
        let arguments =
            format!("--connections 2 --requests 20 --method POST --path /up --body-size {size}");
        let (clean, value) = load(address, &format!("{arguments} {chunked} --check"));
        assert!(clean, "{value}");
        assert_eq!(value["responses"], 20);
        assert!(value["bytes_out"].as_u64() > Some(20 * size as u64));
    }
}

#[test]
fn each_kind_of_error_is_counted_as_what_it_is() {
    type Answer = fn(&Request) -> (String, Then);
    let cases: [(&str, Answer); 8] = [
        ("status 10", |request| (request.right().replace("200 OK", "500 No"), Then::Keep)),
        ("length 10", |request| {
            (request.right().replace("5\r\n\r\n", "4\r\n\r\n").replace("hello", "hell"), Then::Keep)
        }),
        ("length 10", |request| (request.right().replace("hello", "hel"), Then::Close)),
        ("echo 10", |request| (request.right().replace("-Echo: ", "-Echo: 9"), Then::Keep)),
        ("closed 10", |_| (String::new(), Then::Close)),
        ("closed 10", |_| ("HTTP/1.1 200 OK\r\nX-Tar".to_owned(), Then::Close)),
        ("garbage 10", |_| ("ICY 200 OK\r\n\r\n".to_owned(), Then::Keep)),
        ("timeout 10", |_| ("HTTP/1.1 200 OK\r\nX-Tar".to_owned(), Then::Stall)),
    ];
    for (expected, answer) in cases {
        for mode in ["--close", "", "--rate 200"] {
            let (address, _) = serve(answer);
            let (clean, value) = load(
                address,
                &format!(
                    "--connections 2 --requests 10 --check --expect-size 5 --timeout 100ms {mode}"
                ),
            );
            assert_eq!((clean, errors(&value).as_str()), (false, expected), "{mode}: {value}");
        }
    }
}

#[test]
fn bytes_that_nobody_asked_for_are_garbage() {
    let (address, _) = serve(|request| {
        let surplus = if request.connection == 0 && request.number == 4 { "x" } else { "" };
        (format!("{}{surplus}", request.right()), Then::Keep)
    });
    let (clean, value) = load(address, "--connections 1 --requests 20 --check");
    assert_eq!((clean, errors(&value)), (false, "garbage 1".to_owned()));
    assert_eq!(value["reconnects"], 1);
}

#[test]
fn a_connection_that_ends_between_requests_is_no_error() {
    let (address, connections) = serve(|request| match request.number {
        4 => (request.from("a", "Connection: close\r\n"), Then::Close),
        _ => (request.right(), Then::Keep),
    });
    let (clean, value) = load(address, "--connections 1 --requests 50 --check");
    assert!(clean, "{value}");
    assert_eq!((value["responses"].as_u64(), value["reconnects"].as_u64()), (Some(50), Some(9)));
    assert_eq!(connections.load(Ordering::SeqCst), 10);
}

#[test]
fn content_until_the_end_of_the_connection_is_whole() {
    let (address, _) =
        serve(|request| (request.right().replace("Content-Length: 5\r\n", ""), Then::Close));
    let (clean, value) = load(address, "--connections 2 --requests 20 --check --expect-size 5");
    assert!(clean, "{value}");
    assert_eq!(value["responses"], 20);
}

#[test]
fn a_server_that_is_not_there_is_an_error_for_each_request() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for mode in ["", "--close"] {
        let (clean, value) = load(address, &format!("--connections 2 --requests 6 {mode}"));
        assert_eq!((clean, errors(&value)), (false, "connect 6".to_owned()), "{mode}");
        assert_eq!(value["responses"], 0);
    }
}

/// Answers from the target that the cookie names; users without a cookie get one, for a target in turn.
fn sticky(request: &Request, next: &AtomicUsize) -> String {
    match request.field("cookie").and_then(|cookie| cookie.strip_prefix("at=")) {
        Some(target) => request.from(target, ""),
        None => {
            let target = next.fetch_add(1, Ordering::SeqCst) % 3;
            request.from(&target.to_string(), &format!("Set-Cookie: at={target}; Path=/\r\n"))
        }
    }
}

#[test]
fn users_keep_their_cookies_over_all_connections() {
    let next = Arc::new(AtomicUsize::new(0));
    let seen = next.clone();
    let (address, _) = serve(move |request| (sticky(request, &seen), Then::Keep));
    let jar = "--cookie-jar per-session --sessions 30 --check";
    let (clean, value) = load(address, &format!("--connections 5 --requests 2000 {jar}"));
    assert!(clean, "{value}");
    assert_eq!((value["wrong_target"].as_u64(), value["moves"].as_u64()), (Some(0), Some(0)));
    assert_eq!(value["sessions"], 30);
    assert_eq!(value["by_target"].as_object().unwrap().len(), 3);
    // Each user came without a cookie once.
    assert_eq!(next.load(Ordering::SeqCst), 30);
}

#[test]
fn each_connection_is_a_user_even_when_it_is_lost() {
    let next = Arc::new(AtomicUsize::new(0));
    let seen = next.clone();
    let (address, _) = serve(move |request| {
        let then = if request.number == 9 { Then::Close } else { Then::Keep };
        let close =
            if request.number == 9 { "Connection: close\r\nContent-L" } else { "Content-L" };
        (sticky(request, &seen).replace("Content-L", close), then)
    });
    let jar = "--cookie-jar per-connection --check";
    let (clean, value) = load(address, &format!("--connections 4 --requests 400 {jar}"));
    assert!(clean, "{value}");
    // Under load, a few connections may have taken all turns.
    assert_eq!(value["sessions"], 4);
    assert!((1..=4).contains(&next.load(Ordering::SeqCst)));
    assert!(value["reconnects"].as_u64() > Some(30), "{value}");
}

#[test]
fn every_response_from_another_target_is_counted() {
    let next = Arc::new(AtomicUsize::new(0));
    let seen = next.clone();
    let (address, _) = serve(move |request| {
        // The third request of each connection goes astray.
        match request.number == 2 {
            true => (request.from("astray", ""), Then::Keep),
            false => (sticky(request, &seen), Then::Keep),
        }
    });
    let jar = "--cookie-jar per-connection --check";
    let (clean, value) = load(address, &format!("--connections 1 --requests 400 {jar}"));
    assert_eq!((clean, value["wrong_target"].as_u64()), (false, Some(1)), "{value}");
    let (_, value) = load(address, &format!("--connections 1 --requests 400 --allow-moves {jar}"));
    assert_eq!((value["wrong_target"].as_u64(), value["moves"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn a_move_with_a_new_cookie_is_a_move_where_moves_are_allowed() {
    let (address, _) = serve(|request| {
        let target = if request.number < 5 { "old" } else { "new" };
        let fields = match request.number {
            0 | 5 => format!("Set-Cookie: at={target}\r\n"),
            _ => String::new(),
        };
        assert!(request.number == 0 || request.field("cookie").is_some());
        (request.from(target, &fields), Then::Keep)
    });
    let jar = "--cookie-jar per-connection --check";
    let (clean, value) =
        load(address, &format!("--connections 1 --requests 40 --allow-moves {jar}"));
    assert!(clean, "{value}");
    assert_eq!((value["wrong_target"].as_u64(), value["moves"].as_u64()), (Some(0), Some(1)));
    let (clean, value) = load(address, &format!("--connections 1 --requests 40 {jar}"));
    assert_eq!((clean, value["wrong_target"].as_u64()), (false, Some(35)), "{value}");
}

#[test]
fn an_open_loop_counts_time_from_when_a_request_was_due() {
    // One request in all stalls for 300 ms; with one connection, all that were due meanwhile are late.
    let (address, _) = serve(|request| {
        if request.number == 20 {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let _ = receiver.recv_timeout(std::time::Duration::from_millis(300));
            drop(sender);
        }
        (request.right(), Then::Keep)
    });
    let (clean, value) = load(address, "--connections 1 --rate 200 --duration 1s --check");
    assert!(clean, "{value}");
    let sent = value["requests"].as_u64().unwrap() + value["unsent"].as_u64().unwrap();
    assert!((195..=205).contains(&sent), "{value}");
    // 60 of 200 were due in the stall: the latency at 90 % is far into it, though only one response
    // was slow.
    assert!(value["latency_us"]["p90"].as_u64() > Some(100_000), "{value}");
    assert!(value["latency_us"]["max"].as_u64() >= Some(299_000), "{value}");
    // A closed loop waits with the server, and sees one slow response of two hundred.
    let (clean, value) = load(address, "--connections 1 --requests 200 --check");
    assert!(clean && value["latency_us"]["p90"].as_u64() < Some(100_000), "{value}");
}

#[test]
fn a_scenario_mixes_what_it_names() {
    let file = std::env::temp_dir().join(format!("loadtest-mix-{}.toml", std::process::id()));
    std::fs::write(
        &file,
        "[[request]]\nweight = 3\npath = \"/hello\"\nsize = 5\nheaders = { A = \"b\" }\n\
         [[request]]\npath = \"/none\"\nstatus = 404\nthink = \"1ms-2ms\"\n\
         [[request]]\npath = \"/up\"\nupload = 100\nchunked = true\n\
         [[request]]\npath = \"/head\"\nmethod = \"HEAD\"\n",
    )
    .unwrap();
    let (address, _) = serve(|request| {
        let answer = match request.line.as_str() {
            "GET /hello HTTP/1.1" if request.field("a") == Some("b") => request.right(),
            "GET /none HTTP/1.1" => request.right().replace("200 OK", "404 Not Found"),
            "POST /up HTTP/1.1" if request.content == 100 => request.right(),
            "HEAD /head HTTP/1.1" => request.right().replace("hello", ""),
            other => panic!("{other}"),
        };
        (answer, Then::Keep)
    });
    let arguments = format!("--connections 4 --requests 600 --check --scenario {}", file.display());
    let (clean, value) = load(address, &arguments);
    std::fs::remove_file(file).unwrap();
    assert!(clean, "{value}");
    let not_found = value["status"]["404"].as_u64().unwrap();
    assert!((50..150).contains(&not_found), "{value}");
    assert_eq!(value["status"]["200"].as_u64(), Some(600 - not_found));
}

#[test]
fn slow_clients_take_their_time_beside_the_others() {
    let (address, _) = serve(|request| {
        let answer = match request.line.as_str() {
            "GET /big HTTP/1.1" => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n{}", "x".repeat(1500))
            }
            _ => request.right(),
        };
        (answer, Then::Keep)
    });
    let slow = "--slow-clients 3 --slow-path /big";
    let (clean, value) = load(address, &format!("--connections 2 --duration 900ms --check {slow}"));
    assert!(clean, "{value}");
    let seen = &value["slow"];
    assert_eq!((seen["clients"].as_u64(), seen["ended"].as_u64()), (Some(3), Some(0)));
    // Two reads of at most 1024 bytes for each response, ten reads a second.
    let responses = seen["responses"].as_u64().unwrap();
    assert!((1..=15).contains(&responses), "{value}");
    assert_eq!(value["status"].as_object().unwrap().len(), 1);
    assert_eq!(value["responses"], value["by_target"]["a"]);
}

#[test]
fn what_cannot_be_done_is_said() {
    let run = |arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["load", "--address", "127.0.0.1:1"])
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run("--scenario /nowhere.toml").contains("cannot read /nowhere.toml"));
    assert!(run("--connections 900000000").contains("descriptors"));
    assert!(run("--core 4000").contains("cannot run on core 4000"));
    assert!(run("--sessions 5").contains("--cookie-jar per-session"));
}
