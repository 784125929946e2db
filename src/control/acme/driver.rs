//! Orders certificates when their time has come, one at a time.
//!
//! Looks every two seconds at the certificates that the file wants, asks `schedule`, and places what is due, with the
//! lock of the directory: what another node has obtained meanwhile is taken instead. Files are read and written on the
//! blocking pool. A failure keeps the last good certificate. Tested by the black-box suite.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::{Account, CertificateIdentifier};
use tokio::time::MissedTickBehavior;

use super::account;
use super::fault::Fault;
use super::http::Client;
use super::lock::Lock;
use super::order;
use super::proof::Proofs;
use super::schedule::{self, Attempts, Lifetime, Window};
use super::wanted::{self, Wanted};
use super::{Standing, questions, store};
use crate::control::certificates::{date, now_s};
use crate::control::events::{EventKind, Tone};
use crate::control::runtime::{Control, Renewal};
use crate::random::Random;
use crate::tls::certificate::{Certificate, Validity};
use crate::uring::Courtesy;

const EVERY: Duration = Duration::from_secs(2);
/// Longest time of one order: less than half of its lock's.
const ORDER: Duration = Duration::from_secs(270);
/// Longest question for a window.
const QUESTION: Duration = Duration::from_secs(45);
/// What other nodes have written about a certificate's orders is read again after this time.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// The wait for another node that is ordering.
const BUSY: Duration = Duration::from_secs(5);

/// Orders, and answers the shards' questions, for as long as the process lives.
pub async fn run(control: &Arc<Control>) {
    tokio::join!(order_all(control), questions::answer(control));
}

async fn order_all(control: &Arc<Control>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut driver = Driver { control, owner: owner(), known: HashMap::new() };
    loop {
        ticks.tick().await;
        driver.look().await;
    }
}

/// A name that no other process has, on this machine or another.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let unique = u128::from_ne_bytes(Random::seeded().secret());
    format!("{} {} {unique:032x}", host.trim(), std::process::id())
}

struct Driver<'c> {
    control: &'c Arc<Control>,
    owner: String,
    /// By the file of the certificate.
    known: HashMap<PathBuf, Known>,
}

/// What is remembered of one certificate between two looks.
#[derive(Default)]
struct Known {
    attempts: Attempts,
    /// When `attempts` were read.
    read: Option<Instant>,
    /// Another node is ordering until then.
    busy_until: Option<Instant>,
}

/// A certificate as it is on disk or in use.
#[derive(Clone)]
struct Held {
    lifetime: Lifetime,
    /// By RFC 9773 §4.1; `None` for one that does not name its authority's key.
    id: Option<String>,
}

impl Held {
    fn of(certificate: &Certificate, now: i64) -> Held {
        let der = certificate.presented(now).cert.first();
        let id = der.and_then(|der| CertificateIdentifier::try_from(der).ok());
        Held {
            lifetime: Lifetime {
                not_before: certificate.facts.not_before,
                not_after: certificate.not_after,
            },
            id: id.map(|id| id.to_string()),
        }
    }
}

impl Driver<'_> {
    async fn look(&mut self) {
        let all = wanted::all(&self.control.file());
        self.control.acme().challenges().set_shared(all.iter().any(|wanted| wanted.is_shared));
        self.known.retain(|path, _| all.iter().any(|wanted| wanted.certificate() == *path));
        for wanted in &all {
            self.look_at(wanted).await;
            self.show(&all);
        }
        if all.is_empty() {
            self.show(&all);
        }
    }

    fn show(&self, all: &[Wanted]) {
        let standing = |wanted: &Wanted| {
            let held = self.lasting(wanted);
            let attempts = self.known.get(&wanted.certificate()).map(|known| &known.attempts);
            let attempts = attempts.cloned().unwrap_or_default();
            Standing {
                names: wanted.names.clone(),
                directory: wanted.acme.directory.clone(),
                order_at: self.order_at(wanted, held.as_ref(), &attempts),
                failures: attempts.failures,
                fault: attempts.fault,
                is_obtained: self.in_use(wanted).is_some(),
            }
        };
        self.control.acme().show(all.iter().map(standing).collect());
    }

    async fn look_at(&mut self, wanted: &Wanted) {
        let path = wanted.certificate();
        let known = self.known.entry(path.clone()).or_default();
        if known.read.is_none_or(|read| read.elapsed() >= READ_AGAIN) {
            known.read = Some(Instant::now());
            if let Some(attempts) = read_attempts(wanted).await {
                known.attempts = attempts;
            }
        }
        if known.busy_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let attempts = known.attempts.clone();
        let held = self.lasting(wanted);
        let now = now_s();
        if self.order_at(wanted, held.as_ref(), &attempts) <= now {
            self.order(wanted, attempts).await;
        } else if let Some(id) = held.and_then(|held| held.id)
            && schedule::ask_at(&attempts, &id) <= now
        {
            self.ask_for_window(wanted, id, attempts).await;
        }
    }

    /// The certificate that listeners present.
    fn in_use(&self, wanted: &Wanted) -> Option<Held> {
        let path = wanted.certificate();
        let certificates = self.control.certificates();
        let shown = certificates.shown().iter().find(|shown| shown.chain == path)?;
        Some(Held::of(&shown.certificate, now_s()))
    }

    /// As well, where its file is good: of one whose file is gone or damaged another is ordered.
    fn lasting(&self, wanted: &Wanted) -> Option<Held> {
        let is_kept = self.control.certificates().is_kept(&wanted.certificate());
        self.in_use(wanted).filter(|_| !is_kept)
    }

    fn order_at(&self, wanted: &Wanted, held: Option<&Held>, attempts: &Attempts) -> i64 {
        let lifetime = held.map(|held| held.lifetime);
        schedule::order_at(lifetime, attempts, chance(&self.owner, &wanted.id))
    }

    /// Orders with the lock, unless another node has done so.
    async fn order(&mut self, wanted: &Wanted, attempts: Attempts) {
        let (base, owner) = (wanted.base.clone(), self.owner.clone());
        let locked = blocking(move || Lock::take(&base, &owner, now_s())).await;
        let lock = match locked {
            Some(Ok(Some(lock))) => lock,
            Some(Ok(None)) | None => {
                self.note(wanted, |known| known.busy_until = Some(Instant::now() + BUSY));
                return;
            }
            Some(Err(error)) => {
                let base = wanted.base.display();
                self.fail(wanted, attempts, Fault::of(format!("{base}: {error}")), None).await;
                return;
            }
        };
        // What another node has written since is what counts.
        let attempts = read_attempts(wanted).await.unwrap_or(attempts);
        let held = on_disk(wanted).await;
        if self.order_at(wanted, held.as_ref(), &attempts) > now_s() {
            self.note(wanted, |known| known.attempts = attempts);
            self.take_over().await;
        } else {
            self.place(wanted, held, attempts).await;
        }
        blocking(move || drop(lock)).await;
    }

    async fn place(&mut self, wanted: &Wanted, held: Option<Held>, attempts: Attempts) {
        let authority_file = wanted.acme.authority_file.clone();
        let client = match blocking(move || Client::new(authority_file.as_deref())).await {
            Some(Ok(client)) => client,
            Some(Err(text)) => return self.fail(wanted, attempts, Fault::of(text), None).await,
            None => return,
        };
        let shared = wanted.is_shared.then(|| wanted.base.clone());
        let mut proofs = Proofs::new(self.control.acme().challenges(), shared);
        proofs.clear_old();
        let replaces = held.and_then(|held| held.id);
        let placing = place(wanted, &client, replaces.as_deref(), &mut proofs);
        let placed = tokio::time::timeout(ORDER, placing).await;
        drop(proofs);
        let placed = placed.unwrap_or_else(|_| {
            Err(Fault::of(format!("the order took longer than {} s", ORDER.as_secs())))
        });
        let kept = match placed {
            Ok(text) => {
                let path = wanted.certificate();
                let written = blocking(move || store::write(&path, text.as_bytes())).await;
                written.unwrap_or(Ok(())).map_err(Fault::from)
            }
            Err(fault) => Err(fault),
        };
        match kept {
            Ok(()) => self.succeed(wanted).await,
            Err(fault) => self.fail(wanted, attempts, fault, client.take_retry_after()).await,
        }
    }

    async fn succeed(&mut self, wanted: &Wanted) {
        self.control.acme().issued.fetch_add(1, Ordering::Relaxed);
        self.keep(wanted, Attempts::default()).await;
        let until = on_disk(wanted)
            .await
            .map_or(String::new(), |held| format!(", until {}", date(held.lifetime.not_after)));
        let names = wanted.names.join(", ");
        let text = format!("{} has issued a certificate for {names}{until}", host(wanted));
        self.control.events().push(EventKind::Reload.toned(Tone::Good), None, None, text);
        self.take_over().await;
    }

    async fn fail(
        &mut self,
        wanted: &Wanted,
        mut attempts: Attempts,
        fault: Fault,
        retry_after: Option<i64>,
    ) {
        self.control.acme().failed.fetch_add(1, Ordering::Relaxed);
        attempts.fail(now_s(), fault.to_string(), retry_after);
        let held = self.in_use(wanted);
        let again = date(self.order_at(wanted, held.as_ref(), &attempts));
        let names = wanted.names.join(", ");
        let (tone, what) = match held {
            Some(held) if held.lifetime.not_after > now_s() => {
                let end = date(held.lifetime.not_after);
                (Tone::Warn, format!("the one in use lasts until {end}"))
            }
            Some(_) => (Tone::Bad, "the one in use has expired".to_owned()),
            None => (Tone::Bad, "there is none yet".to_owned()),
        };
        let text = format!(
            "no new certificate for {names}: {fault}; {what}; the next order is placed at {again}"
        );
        self.control.events().push(EventKind::Warning.toned(tone), None, None, text);
        self.keep(wanted, attempts).await;
    }

    /// Asks for the window in which the authority wants the certificate renewed.
    async fn ask_for_window(&mut self, wanted: &Wanted, id: String, mut attempts: Attempts) {
        let asked = tokio::time::timeout(QUESTION, window(wanted, &id)).await;
        let answer = asked.ok().flatten();
        let before = attempts.renewal.take();
        attempts.renewal = Some(schedule::renewal(id, answer, before.as_ref(), now_s()));
        self.keep(wanted, attempts).await;
    }

    /// Remembers what was tried, here and where other nodes read it.
    async fn keep(&mut self, wanted: &Wanted, attempts: Attempts) {
        let text = serde_json::to_vec(&attempts).unwrap_or_default();
        let path = wanted.attempts();
        let written = blocking(move || store::write(&path, &text)).await;
        if let Some(Err(error)) = written {
            tracing::warn!("what was tried for {} is not kept: {error}", wanted.id);
        }
        self.note(wanted, |known| {
            known.attempts = attempts;
            known.read = Some(Instant::now());
        });
    }

    fn note(&mut self, wanted: &Wanted, change: impl FnOnce(&mut Known)) {
        change(self.known.entry(wanted.certificate()).or_default());
    }

    /// Has the listeners present what is on disk.
    async fn take_over(&self) {
        let control = Arc::clone(self.control);
        let renewed = blocking(move || control.renew_certificates()).await;
        match renewed {
            // What is bad is told by the watch, which sees the same files.
            Some(Ok(Renewal { renewed, .. })) => {
                for text in renewed {
                    self.control.events().push(EventKind::Reload, None, None, text);
                }
            }
            Some(Err(error)) => {
                let text = format!("the certificates stay as they are: {error}");
                self.control.events().push(EventKind::Warning, None, None, text);
            }
            None => {}
        }
    }
}

/// One order by the account of this certificate. An account that the authority has lost is made anew.
async fn place(
    wanted: &Wanted,
    client: &Client,
    replaces: Option<&str>,
    proofs: &mut Proofs,
) -> Result<String, Fault> {
    let account: Account = account::open(wanted, client).await?;
    match order::place(&account, wanted, replaces, proofs).await {
        Err(order::PlaceError::Authority(error)) if account::is_unknown(&error) => {
            account::forget(wanted);
            let account = account::open(wanted, client).await?;
            Ok(order::place(&account, wanted, None, proofs).await?)
        }
        placed => Ok(placed?),
    }
}

/// The authority's window for a certificate, and in how many seconds to ask again; `None` where it has none.
async fn window(wanted: &Wanted, id: &str) -> Option<(Window, i64)> {
    let authority_file = wanted.acme.authority_file.clone();
    let client = blocking(move || Client::new(authority_file.as_deref())).await?.ok()?;
    let account = account::find(wanted, &client).await.ok()??;
    let (authority, serial) = id.split_once('.')?;
    let id =
        CertificateIdentifier { authority_key_identifier: authority.into(), serial: serial.into() };
    let (info, again) = account.renewal_info(&id).await.ok()?;
    let window = Window {
        start: info.suggested_window.start.unix_timestamp(),
        end: info.suggested_window.end.unix_timestamp(),
    };
    Some((window, i64::try_from(again.as_secs()).unwrap_or(i64::MAX)))
}

/// What was tried for a certificate, by any node; `None` where nothing is known.
async fn read_attempts(wanted: &Wanted) -> Option<Attempts> {
    let path = wanted.attempts();
    blocking(move || serde_json::from_slice(&store::read(&path).ok()??).ok()).await?
}

/// The certificate on disk, if it can be used.
async fn on_disk(wanted: &Wanted) -> Option<Held> {
    let path = wanted.certificate();
    blocking(move || {
        let text = store::read(&path).ok()??;
        let now = now_s();
        let certificate = Certificate::read(&text, None).ok()?;
        (certificate.validity(now) != Validity::Expired).then(|| Held::of(&certificate, now))
    })
    .await?
}

/// Runs `work`, which may wait for a file system; `None` where it has panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let work = move || {
        let _courtesy = Courtesy::begin();
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// A number from 0 to 1 that a process always has for the same certificate.
fn chance(owner: &str, id: &str) -> f64 {
    let digest = digest(&SHA256, format!("{owner}\n{id}").as_bytes());
    let first = digest.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    f64::from(first) / f64::from(u32::MAX)
}

/// The authority, for people.
fn host(wanted: &Wanted) -> &str {
    let rest = wanted.acme.directory.strip_prefix("https://");
    rest.and_then(|rest| rest.split('/').next()).unwrap_or(&wanted.acme.directory)
}

#[cfg(test)]
mod tests {
    use crate::control::acme::driver::*;

    #[test]
    fn a_chance_is_the_same_for_a_certificate_and_differs_between_nodes() {
        let (one, other) = (owner(), owner());
        assert_ne!(one, other);
        let chance_of = |owner: &str| chance(owner, "a.example-1");
        assert!((chance_of(&one) - chance_of(&one)).abs() < f64::EPSILON);
        assert!((chance_of(&one) - chance_of(&other)).abs() > 0.0);
        assert!((0.0..=1.0).contains(&chance_of(&one)));
    }
}
