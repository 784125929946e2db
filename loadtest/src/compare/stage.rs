//! Targets and balancers, started for a setup.
//!
//! Owns: their folders, their ports, and that they answer before anything is measured. Never: a balancer
//! on another core than its own, or a target on the balancer's. Tested here with a made-up peer that is a
//! shell script.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Failure;
use super::client::Door;
use super::cores::Cores;
use super::ending::said;
use super::peers::{Peer, Reload, in_path};
use super::process::{Process, Start, poll_until};
use super::render::{HOST, Target, Tls, Words, alias, target_id};
use super::scenario::Setup;
use super::talk::Visitor;
use crate::tls::certificates::{Algorithm, Certificate};
use crate::tls::speech::{self, Speech, Version};

/// How long anything may take until it answers; ten thousand targets take some of them a while.
const READY_PATIENCE: Duration = Duration::from_secs(45);

/// Up to so many targets, each is a process of its own. Of so many, a reload takes one away.
const PROCESSES_MAX: usize = 8;

/// Something that is compared.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Name in results.
    pub name: String,
    /// How it is started.
    pub peer: Peer,
    /// Its program.
    pub program: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// What everything is started with.
#[derive(Debug)]
pub struct Rig {
    pub cores: Cores,
    /// The program that loads and answers.
    pub tool: PathBuf,
    /// How many a process may have.
    pub descriptors: u64,
    /// What balancers present, by algorithm: the same for all.
    pub certificates: BTreeMap<Algorithm, Certificate>,
}

impl Rig {
    /// The certificate of a setup; none without TLS.
    ///
    /// # Errors
    /// When none was made.
    pub fn certificate(&self, setup: Setup) -> Result<Option<&Certificate>, Failure> {
        let none = || Failure::Options("no certificate was made for TLS".to_owned());
        let found = setup.tls.map(|algorithm| self.certificates.get(&algorithm).ok_or_else(none));
        found.transpose()
    }
}

/// The targets of a setup.
#[derive(Debug)]
pub struct Targets {
    processes: Vec<Process>,
    list: Vec<Target>,
    tool: PathBuf,
    cores: Vec<usize>,
    directory: PathBuf,
}

impl Targets {
    /// Starts `count` targets: a process each, or when they are many, one that has the addresses of those that stay
    /// when a file is loaded again, and one that has those that leave.
    ///
    /// # Errors
    /// When one cannot be started or does not say that it is ready.
    pub fn start(count: usize, rig: &Rig, directory: &Path) -> Result<Targets, Failure> {
        let mut targets = Targets {
            processes: Vec::new(),
            list: Vec::new(),
            tool: rig.tool.clone(),
            cores: rig.cores.targets.clone(),
            directory: directory.to_path_buf(),
        };
        if count <= PROCESSES_MAX {
            for index in 0..count {
                let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
                let bound = targets.respond(index, SocketAddr::V4(address))?;
                targets.list.push(Target::new(index, bound));
            }
        } else {
            let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
            let (stays, leaves) = (targets.respond(0, any)?, targets.respond(1, any)?);
            let bound = |index| if is_leaving(index, count) { leaves } else { stays };
            let target = |index| Target::new(index, alias(index, bound(index).port()));
            targets.list = (0..count).map(target).collect();
        }
        Ok(targets)
    }

    /// Starts one responder at the end of the list, or in a dead one's place.
    fn respond(&mut self, index: usize, address: SocketAddr) -> Result<SocketAddrV4, Failure> {
        let id = target_id(index);
        let start = Start {
            name: format!("target-{id}"),
            program: self.tool.clone(),
            arguments: ["respond", "--address", &address.to_string(), "--id", &id]
                .map(str::to_owned)
                .to_vec(),
            environment: Vec::new(),
            cores: self.cores.clone(),
            directory: self.directory.clone(),
        };
        let mut process = Process::start(&start, true)?;
        let bound = said_ready(&mut process)?;
        match self.processes.get_mut(index) {
            Some(place) => *place = process,
            None => self.processes.push(process),
        }
        Ok(bound)
    }

    /// All of them, as balancers are told.
    pub fn list(&self) -> &[Target] {
        &self.list
    }

    /// Those that stay when the file is loaded again: seven of eight, and of fewer all but one.
    pub fn staying(&self) -> Vec<Target> {
        let count = self.list.len();
        let stays = |(index, _): &(usize, &Target)| !is_leaving(*index, count);
        self.list.iter().enumerate().filter(stays).map(|(_, target)| target.clone()).collect()
    }

    /// The `X-Target` of the others, and of nobody else.
    pub fn leaving_id(&self) -> String {
        target_id(self.processes.len().saturating_sub(1))
    }

    /// The first one dies, as when its machine loses power.
    pub fn kill_first(&mut self) {
        if let Some(process) = self.processes.first_mut() {
            process.kill();
        }
    }

    /// The first one comes back, at its address.
    ///
    /// # Errors
    /// When it does not.
    pub fn revive_first(&mut self) -> Result<(), Failure> {
        let address = self.list.first().and_then(|target| target.address.parse().ok());
        let Some(address) = address else { return Ok(()) };
        self.respond(0, address).map(|_| ())
    }
}

/// Whether the `index`th of `count` targets leaves when a file is loaded again. Those who leave are spread over the
/// list, so that new users who are given to one after the other soon come to one of them.
fn is_leaving(index: usize, count: usize) -> bool {
    let every = count.min(PROCESSES_MAX);
    index % every == every - 1
}

/// Waits for `ready ADDRESS`.
fn said_ready(process: &mut Process) -> Result<SocketAddrV4, Failure> {
    let name = process.name().to_owned();
    let not_ready =
        |process: &Process| Failure::NotReady { name: name.clone(), said: process.last_words() };
    let Some(output) = process.output() else { return Err(not_ready(process)) };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("ready ") {
                // Whoever waited may have given up.
                let _ = sender.send(address.trim().parse::<SocketAddrV4>());
            }
        }
    });
    match receiver.recv_timeout(READY_PATIENCE) {
        Ok(Ok(address)) => Ok(address),
        _ => Err(not_ready(process)),
    }
}

/// A balancer that runs and answers.
#[derive(Debug)]
pub struct Running {
    peer: Peer,
    program: PathBuf,
    words: Words,
    door: Door,
    directory: PathBuf,
    process: Process,
    companion: Option<Process>,
    _syslog: Option<Syslog>,
}

impl Running {
    /// Writes a candidate's files, starts it on the balancer's cores and waits until a target's answer comes
    /// through it.
    ///
    /// # Errors
    /// When it cannot be started or gives no good answer in time; its last words are in the error.
    pub fn start(
        candidate: &Candidate,
        setup: Setup,
        targets: &[Target],
        rig: &Rig,
        directory: &Path,
    ) -> Result<Running, Failure> {
        let cores = &rig.cores;
        let in_directory = |error| Failure::File { path: directory.to_path_buf(), error };
        fs::create_dir_all(directory).map_err(in_directory)?;
        let (address, admin) = (free_port()?, free_port()?);
        let mut words = Words::new(address, admin.port(), directory);
        words.targets = targets.to_vec();
        words.rules = (1..=setup.rules).collect();
        words.health = setup.health;
        words.threads = cores.balancer.len();
        words.descriptors = rig.descriptors;
        let certificate = rig.certificate(setup)?;
        words.tls = certificate.map(Tls::new);
        (words.http2, words.upstream) = (setup.http2, setup.upstream);
        let door = door(address, certificate, setup.http2)?;
        words.write(&candidate.peer)?;
        let syslog = match candidate.peer.syslog {
            true => Some(Syslog::start(&directory.join("log.sock")).map_err(in_directory)?),
            false => None,
        };
        let process = start_program(&words, candidate, cores, directory)?;
        let mut running = Running {
            peer: candidate.peer,
            program: candidate.program.clone(),
            words,
            door,
            directory: directory.to_path_buf(),
            process,
            companion: None,
            _syslog: syslog,
        };
        running.await_ready(setup.rules)?;
        running.companion = running.start_companion(cores)?;
        Ok(running)
    }

    fn await_ready(&mut self, last_rule: usize) -> Result<(), Failure> {
        let path = if last_rule == 0 { "/".to_owned() } else { format!("/section-{last_rule}/") };
        let mut said = String::new();
        let ready = poll_until(READY_PATIENCE, || {
            let answer = self.visit().and_then(|mut visitor| visitor.ask(&path));
            said = format!("{answer:?}");
            let good = answer.is_ok_and(|answer| answer.status == 200 && answer.target.is_some());
            good || !self.process.runs()
        });
        match ready && self.process.runs() {
            true => Ok(()),
            false => Err(Failure::NotReady {
                name: self.process.name().to_owned(),
                said: format!("{}\nlast answer: {said}", self.process.last_words()),
            }),
        }
    }

    fn start_companion(&self, cores: &Cores) -> Result<Option<Process>, Failure> {
        let Some([program, arguments @ ..]) = self.peer.companion else { return Ok(None) };
        let start = Start {
            name: (*program).to_owned(),
            program: in_path(program).unwrap_or_else(|| PathBuf::from(program)),
            arguments: self.words.arguments(program, arguments)?,
            environment: Vec::new(),
            cores: cores.balancer.clone(),
            directory: self.directory.clone(),
        };
        Process::start(&start, false).map(Some)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// Where clients connect, and how they speak there.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Connects as a client, in the version that clients speak here.
    ///
    /// # Errors
    /// When nobody listens, or does not speak as expected.
    pub fn visit(&self) -> io::Result<Visitor> {
        Visitor::enter(&self.door, self.words.http2)
    }

    /// The processes it was started as; others descend from them.
    pub fn roots(&self) -> Vec<u32> {
        [Some(self.process.id()), self.companion.as_ref().map(Process::id)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether a user whom it moves to another target gets no new cookie.
    pub fn moves_silently(&self) -> bool {
        self.peer.moves_silently
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// Writes its file with these targets and has it loaded.
    ///
    /// # Errors
    /// When it cannot be written, or a command for it fails.
    pub fn reload(&mut self, targets: &[Target]) -> Result<(), Failure> {
        self.words.targets = targets.to_vec();
        self.words.generation += 1;
        self.words.write(&self.peer)?;
        match self.peer.reload {
            Reload::Signal(signal) => self.process.signal(signal),
            Reload::Watches | Reload::No(_) => Ok(()),
            Reload::Commands(commands) => {
                commands.iter().try_for_each(|command| self.command(command))
            }
        }
    }

    fn command(&self, command: &[&str]) -> Result<(), Failure> {
        let [program, arguments @ ..] = command else { return Ok(()) };
        let path = match *program {
            "PROGRAM" => self.program.clone(),
            other => in_path(other).unwrap_or_else(|| PathBuf::from(other)),
        };
        let refused = |said: String| Failure::Reload { name: self.peer.name, said };
        let arguments = self.words.arguments(program, arguments)?;
        let said = said(&path, |command| command.args(arguments).current_dir(&self.directory))
            .map_err(|error| refused(error.to_string()))?;
        match said.status.success() {
            true => Ok(()),
            false => Err(refused(String::from_utf8_lossy(&said.stderr).trim().to_owned())),
        }
    }

    /// Empties its logs, which would fill the disk.
    pub fn empty_logs(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log")
                && let Ok(file) = fs::File::options().write(true).open(&path)
            {
                // A log that stays long costs space on the disk, and no figure.
                let _ = file.set_len(0);
            }
        }
    }
}

/// How clients of this tool speak there.
fn door(
    address: SocketAddr,
    certificate: Option<&Certificate>,
    http2: bool,
) -> Result<Door, Failure> {
    let Some(certificate) = certificate else { return Ok(Door::plain(address)) };
    let failed = |error: speech::Error| Failure::Options(error.to_string());
    let speech =
        Speech::new(&certificate.chain, HOST, Version::default(), false).map_err(failed)?;
    Door::secure(address, &speech.over_http2(http2)).map_err(failed)
}

fn start_program(
    words: &Words,
    candidate: &Candidate,
    cores: &Cores,
    directory: &Path,
) -> Result<Process, Failure> {
    let peer = &candidate.peer;
    let environment = peer
        .environment
        .iter()
        .map(|(key, value)| Ok(((*key).to_owned(), words.render(peer.name, value)?)))
        .collect::<Result<_, Failure>>()?;
    let start = Start {
        name: candidate.name.clone(),
        program: candidate.program.clone(),
        arguments: words.arguments(peer.name, peer.arguments)?,
        environment,
        cores: cores.balancer.clone(),
        directory: directory.to_path_buf(),
    };
    Process::start(&start, false)
}

/// A port that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::File { path: PathBuf::from("127.0.0.1:0"), error })
}

/// Takes log lines from a datagram socket, as a syslog server does, and forgets them.
#[derive(Debug)]
struct Syslog {
    path: PathBuf,
    taking: Option<JoinHandle<()>>,
}

impl Syslog {
    fn start(path: &Path) -> std::io::Result<Syslog> {
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path)?;
        let taking = thread::spawn(move || {
            let mut line = [0; 16 * 1024];
            // An empty datagram, which no log line is, says that it is over.
            while socket.recv(&mut line).is_ok_and(|size| size > 0) {}
        });
        Ok(Syslog { path: path.to_path_buf(), taking: Some(taking) })
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        let ended = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], &self.path));
        if let (Ok(_), Some(taking)) = (ended, self.taking.take()) {
            let _ = taking.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::peers::{LIMPET, Template};
    use super::super::render::Upstream;
    use super::*;

    const SETUP: Setup = Setup {
        targets: 1,
        rules: 0,
        health: false,
        tls: None,
        http2: false,
        upstream: Upstream::Http1,
    };

    fn rig() -> Rig {
        let cores = Cores { balancer: vec![0], generator: vec![0], targets: vec![0] };
        Rig { cores, tool: PathBuf::new(), descriptors: 1024, certificates: BTreeMap::new() }
    }

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("compare-stage-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A made-up peer: this test's own program cannot be it, so a shell runs the script it is given.
    fn shell(script: &'static str) -> Candidate {
        let templates: &'static [Template] =
            Vec::leak(vec![Template { file: "run.sh", text: script }]);
        Candidate {
            name: "fake".to_owned(),
            peer: Peer { name: "fake", templates, arguments: &["run.sh"], ..LIMPET },
            program: "/bin/sh".into(),
            version: "1.0".to_owned(),
        }
    }

    #[test]
    fn one_of_eight_leaves_and_of_fewer_the_last() {
        let leaving = |count: usize| -> Vec<usize> {
            (0..count).filter(|index| is_leaving(*index, count)).collect()
        };
        assert_eq!((leaving(2), leaving(8)), (vec![1], vec![7]));
        assert_eq!(leaving(20), [7, 15]);
        assert_eq!(leaving(10_000).len(), 1250);
    }

    #[test]
    fn a_peer_that_ends_is_not_ready_and_its_last_words_are_told() {
        let directory = folder("ends");
        let fake = shell("echo no such setting: {{ listen }} >&2; exit 1\n");
        let error = Running::start(&fake, SETUP, &[], &rig(), &directory).unwrap_err().to_string();
        assert!(error.contains("no such setting: 127.0.0.1:"), "{error}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_peer_is_ready_when_a_target_answers_through_it() {
        if in_path("python3").is_none() {
            eprintln!("skipped: no python3 here");
            return;
        }
        let directory = folder("ready");
        let fake = shell(
            "exec python3 -c '
import socketserver
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b\"HTTP/1.1 200 OK\\r\\nX-Target: t0\\r\\nContent-Length: 0\\r\\n\\r\\n\")
socketserver.TCPServer((\"{{ address }}\", {{ port }}), Answer).serve_forever()'\n",
        );
        let mut running = Running::start(&fake, SETUP, &[], &rig(), &directory).unwrap();
        assert!(running.runs());
        assert_eq!(running.roots().len(), 1);
        fs::write(directory.join("access.log"), "a line").unwrap();
        running.empty_logs();
        assert_eq!(fs::metadata(directory.join("access.log")).unwrap().len(), 0);
        drop(running);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_syslog_socket_takes_lines_and_ends() {
        let path = folder("syslog").join("log.sock");
        let syslog = Syslog::start(&path).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"<1>line", &path).unwrap();
        drop(syslog);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
