//! A counted limpet with its targets, ready to be asked.
//!
//! Owns: their start, and the order in which a kind is counted. Tested by `tests/compare.rs` with a limpet.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::callgrind::Counted;
use super::idle::{self, Taking};
use super::kinds::{self, Kind, Known};
use super::targets::Targets;
use super::user::Users;
use crate::compare::Failure;
use crate::compare::client::Door;
use crate::compare::ending::Folder;
use crate::compare::render::{HOST, Tls, Words};
use crate::compare::stage::free_port;
use crate::tls::certificates::{self, Algorithm, Certificate};
use crate::tls::speech::{Speech, Version};

/// Requests before anything is counted.
const WARM: usize = 20;

/// How often each is counted.
const REPEATS: usize = 7;

/// A limpet under callgrind and two targets.
#[derive(Debug)]
pub struct Bench {
    counted: Counted,
    taking: Taking,
    targets: Targets,
    /// Where users are known by a cookie.
    address: SocketAddr,
    /// Where users are known by a session id in a field.
    sessions: SocketAddr,
    /// Where clients speak TLS, and what is presented to them.
    secure: SocketAddr,
    /// Where clients speak HTTP/2 in clear, and where their targets do as well.
    streams: SocketAddr,
    streams_through: SocketAddr,
    certificate: Certificate,
    // Dropped last: limpet writes into it until it has ended.
    _folder: Folder,
}

impl Bench {
    /// Starts everything; limpet on that core.
    ///
    /// # Errors
    /// When there is no valgrind, or limpet does not answer.
    pub fn start(limpet: &Path, core: usize) -> Result<Bench, Failure> {
        let folder = Folder::new("instructions")?;
        let directory = folder.path();
        let targets = Targets::start(2)?;
        let (address, sessions, secure) = (free_port()?, free_port()?, free_port()?);
        let (streams, streams_through) = (free_port()?, free_port()?);
        let admin = free_port()?;
        let mut words = Words::new(address, admin.port(), directory);
        words.targets = targets.list().to_vec();
        let certificate = certificates::make(Algorithm::Ecdsa, HOST, directory)
            .map_err(|error| Failure::File { path: directory.to_path_buf(), error })?;
        words.tls = Some(Tls::new(&certificate));
        let path = directory.join("limpet.toml");
        let text = include_str!("limpet.toml")
            .replace("{{ sessions }}", &sessions.to_string())
            .replace("{{ secure }}", &secure.to_string())
            .replace("{{ streams }}", &streams.to_string())
            .replace("{{ streams_through }}", &streams_through.to_string());
        fs::write(&path, words.render("limpet.toml", &text)?)
            .map_err(|error| Failure::File { path, error })?;
        let mut counted = Counted::start(limpet, core, directory, address)?;
        targets.keep_pace(counted.pace().clone());
        let taking = Taking::of(&mut counted)?;
        Ok(Bench {
            counted,
            taking,
            targets,
            address,
            sessions,
            secure,
            streams,
            streams_through,
            certificate,
            _folder: folder,
        })
    }

    /// What a request of a kind costs, as often as it is repeated.
    ///
    /// # Errors
    /// When limpet does not answer as it must, or callgrind does not.
    pub fn count(&mut self, kind: &Kind) -> Result<Vec<f64>, Failure> {
        self.targets.answer_with(kind.welcome(), 1);
        let door = self.door(kind)?;
        let mut users = Users::new(door, kind, self.counted.pace())?;
        let together = kind.batch();
        self.targets.answer_with(kind.answer(), together);
        let warm = WARM.next_multiple_of(together);
        users.ask(2 * warm)?;
        let sparse = idle::take_sparse(&mut self.counted, together, || users.ask(together))?;
        let mut costs = Vec::new();
        for _ in 0..REPEATS {
            users.reconnect();
            users.ask(warm)?;
            let dense = idle::take(&mut self.counted, kind.count, || users.ask(kind.count))?;
            costs.push(self.taking.request(&sparse, &dense));
        }
        Ok(costs)
    }

    /// Where clients of a kind are served.
    fn door(&self, kind: &Kind) -> Result<Door, Failure> {
        let resumes = match kind.tls {
            kinds::Tls::No if kind.known == Known::ByField => {
                return Ok(Door::plain(self.sessions));
            }
            kinds::Tls::No if kind.to_http2 => return Ok(Door::plain(self.streams_through)),
            kinds::Tls::No if kind.streams > 0 => return Ok(Door::plain(self.streams)),
            kinds::Tls::No => return Ok(Door::plain(self.address)),
            kinds::Tls::Whole => false,
            kinds::Tls::Resumed => true,
        };
        let chain = &self.certificate.chain;
        let speech = Speech::new(chain, HOST, Version::default(), resumes);
        speech
            .map(|speech| speech.over_http2(kind.streams > 0))
            .and_then(|speech| Door::secure(self.secure, &speech))
            .map_err(|error| Failure::Options(error.to_string()))
    }

    /// Copies the profile of what was counted last.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, path: &Path) -> Result<(), Failure> {
        self.counted.keep(path)
    }
}
