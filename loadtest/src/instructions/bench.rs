//! A counted limpet with its targets, ready to be asked.
//!
//! Owns: their start, and the order in which a kind is counted. Tested by `tests/compare.rs` with a limpet.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::callgrind::Counted;
use super::idle::{self, Taking};
use super::kinds::{Kind, Known};
use super::targets::Targets;
use super::user::Users;
use crate::compare::Failure;
use crate::compare::ending::Folder;
use crate::compare::render::Words;
use crate::compare::stage::free_port;

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
        let (address, sessions, admin) = (free_port()?, free_port()?, free_port()?);
        let mut words = Words::new(address, admin.port(), directory);
        words.targets = targets.list().to_vec();
        let path = directory.join("limpet.toml");
        let text = include_str!("limpet.toml").replace("{{ sessions }}", &sessions.to_string());
        fs::write(&path, words.render("limpet.toml", &text)?)
            .map_err(|error| Failure::File { path, error })?;
        let mut counted = Counted::start(limpet, core, directory, address)?;
        targets.keep_pace(counted.pace().clone());
        let taking = Taking::of(&mut counted)?;
        Ok(Bench { counted, taking, targets, address, sessions, _folder: folder })
    }

    /// What a request of a kind costs, as often as it is repeated.
    ///
    /// # Errors
    /// When limpet does not answer as it must, or callgrind does not.
    pub fn count(&mut self, kind: &Kind) -> Result<Vec<f64>, Failure> {
        self.targets.answer_with(kind.welcome());
        let address = match kind.known {
            Known::No | Known::ByCookie => self.address,
            Known::ByField => self.sessions,
        };
        let mut users = Users::new(address, kind, self.counted.pace())?;
        self.targets.answer_with(kind.answer());
        users.ask(2 * WARM)?;
        let sparse = idle::take_sparse(&mut self.counted, || users.ask(1))?;
        let mut costs = Vec::new();
        for _ in 0..REPEATS {
            users.reconnect();
            users.ask(WARM)?;
            let dense = idle::take(&mut self.counted, kind.count, || users.ask(kind.count))?;
            costs.push(self.taking.request(&sparse, &dense));
        }
        Ok(costs)
    }

    /// Copies the profile of what was counted last.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, path: &Path) -> Result<(), Failure> {
        self.counted.keep(path)
    }
}
