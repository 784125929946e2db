//! What an authority asks of a server to prove a name (ACME), and the answers that the server has.
//!
//! The control plane puts an answer in before it tells the authority that it may ask, and takes it out with the end of
//! the order. A shard reads them without a lock. Where several nodes share a directory, the authority may ask one that
//! did not place the order: its shard leaves a [`Question`], which the control plane answers from the directory, and
//! waits; the number of questions is limited, and each is answered, if only by being dropped. Tested beside it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use rustls::ServerConfig;

/// The protocol of a handshake that proves a name (RFC 8737 §6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";
/// The path below which the proofs of http-01 are (RFC 8555 §8.3).
const HTTP_PREFIX: &[u8] = b"/.well-known/acme-challenge/";
/// Tokens are 22 characters at least (RFC 8555 §8.3), and 43 with those who issue them today.
const TOKEN_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 253;
/// Questions that wait at the same time; further ones are not asked.
const QUESTIONS_MAX: usize = 64;

/// The token in a path in normal form; `None` for every path that asks for no proof.
#[inline]
pub fn token(path: &[u8]) -> Option<&str> {
    let token = path.strip_prefix(HTTP_PREFIX)?;
    let token = std::str::from_utf8(token).ok()?;
    is_token(token).then_some(token)
}

/// Whether a text has the form of a token, which is that of a file's name as well (RFC 8555 §8.1: base64url).
pub fn is_token(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_good)
}

/// Whether a text is a name of a host in lower case, whose form is that of a file's name as well.
pub fn is_name(text: &str) -> bool {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let is_sized = (1..=NAME_BYTES_MAX).contains(&text.len());
    is_sized && !text.starts_with('.') && text.bytes().all(is_good)
}

/// What an authority asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The proof with this token, over HTTP.
    Token(Box<str>),
    /// A handshake for this name, in lower case.
    Name(Box<str>),
}

/// The answer to one challenge.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The content of a response.
    Content(Bytes),
    /// The configuration of a handshake.
    Handshake(Arc<ServerConfig>),
}

impl Proof {
    /// Whether both are the same, not only alike.
    fn is(&self, other: &Proof) -> bool {
        match (self, other) {
            (Proof::Content(one), Proof::Content(other)) => one.as_ptr() == other.as_ptr(),
            (Proof::Handshake(one), Proof::Handshake(other)) => Arc::ptr_eq(one, other),
            (Proof::Content(_), Proof::Handshake(_)) | (Proof::Handshake(_), Proof::Content(_)) => {
                false
            }
        }
    }
}

type Proofs = HashMap<Key, Proof, ahash::RandomState>;

/// The answers that this process has.
#[derive(Debug)]
pub struct Challenges {
    /// `None` = no order is open.
    proofs: ArcSwapOption<Proofs>,
    /// Whether other nodes place orders too.
    is_shared: AtomicBool,
    questions: ArrayQueue<Question>,
    asked: AtomicWaker,
}

impl Default for Challenges {
    fn default() -> Challenges {
        Challenges {
            proofs: ArcSwapOption::empty(),
            is_shared: AtomicBool::new(false),
            questions: ArrayQueue::new(QUESTIONS_MAX),
            asked: AtomicWaker::new(),
        }
    }
}

/// What a shard finds.
#[derive(Debug)]
pub enum Found {
    Proof(Proof),
    /// Another node may have it; look again when this has ended.
    Search(Search),
    Nothing,
}

impl Challenges {
    /// The proof of `key`; where there is none, and `may_ask`, the control plane is asked.
    pub fn find(&self, key: Key, may_ask: bool) -> Found {
        if let Some(proof) = self.proofs.load().as_ref().and_then(|proofs| proofs.get(&key)) {
            return Found::Proof(proof.clone());
        }
        if !may_ask || !self.is_shared.load(Ordering::Relaxed) {
            return Found::Nothing;
        }
        let state = Arc::new(State::default());
        let question = Question { key, state: Arc::clone(&state) };
        if self.questions.push(question).is_err() {
            return Found::Nothing;
        }
        self.asked.wake();
        Found::Search(Search(state))
    }

    /// The proof of `key`, also where another node has given it.
    pub async fn search(&self, key: Key) -> Option<Proof> {
        let mut found = self.find(key.clone(), true);
        if let Found::Search(asked) = found {
            asked.await;
            found = self.find(key, false);
        }
        match found {
            Found::Proof(proof) => Some(proof),
            Found::Search(_) | Found::Nothing => None,
        }
    }

    /// Puts a proof in.
    pub fn insert(&self, key: &Key, proof: &Proof) {
        self.proofs.rcu(|proofs| {
            let mut proofs = proofs.as_deref().cloned().unwrap_or_default();
            proofs.insert(key.clone(), proof.clone());
            Some(Arc::new(proofs))
        });
    }

    /// Takes a proof out, where it has not been replaced by another.
    pub fn remove(&self, key: &Key, proof: &Proof) {
        self.proofs.rcu(|proofs| {
            let mut proofs = proofs.as_deref().cloned()?;
            if proofs.get(key).is_some_and(|there| there.is(proof)) {
                proofs.remove(key);
            }
            Some(Arc::new(proofs)).filter(|proofs| !proofs.is_empty())
        });
    }

    /// Sets whether other nodes place orders too, so that a proof that is not here may be there.
    pub fn set_shared(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Ordering::Relaxed);
    }

    /// The next question of a shard; for one task.
    pub fn poll_question(&self, cx: &mut Context<'_>) -> Poll<Question> {
        self.asked.register(cx.waker());
        self.questions.pop().map_or(Poll::Pending, Poll::Ready)
    }
}

#[derive(Debug, Default)]
struct State {
    is_answered: AtomicBool,
    waker: AtomicWaker,
}

/// A question of a shard to the control plane. Whoever drops it has answered it.
#[derive(Debug)]
pub struct Question {
    key: Key,
    state: Arc<State>,
}

impl Question {
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.state.is_answered.store(true, Ordering::Release);
        self.state.waker.wake();
    }
}

/// Ends when a question is answered.
#[derive(Debug)]
pub struct Search(Arc<State>);

impl Future for Search {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.waker.register(cx.waker());
        // Read after the registration: an answer in between wakes.
        if self.0.is_answered.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use crate::challenges::*;

    fn key(token: &str) -> Key {
        Key::Token(token.into())
    }

    fn content(found: Found) -> Option<Bytes> {
        match found {
            Found::Proof(Proof::Content(content)) => Some(content),
            Found::Proof(Proof::Handshake(_)) | Found::Search(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn only_the_path_of_a_proof_has_a_token() {
        assert_eq!(token(b"/.well-known/acme-challenge/aZ-_9"), Some("aZ-_9"));
        for path in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/a/b"] {
            assert_eq!(token(path.as_bytes()), None, "{path}");
        }
        for bad in ["a.b", "..", "a%41", &"a".repeat(129)] {
            assert_eq!(token(format!("/.well-known/acme-challenge/{bad}").as_bytes()), None);
        }
    }

    #[test]
    fn a_name_that_is_no_name_of_a_file_is_none() {
        assert!(is_name("a-1.example"));
        for bad in ["", ".", "..", "../a", "a/b", "A.example", &"a".repeat(254)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_proof_is_found_between_its_insertion_and_its_removal() {
        let challenges = Challenges::default();
        let proof = |text: &str| Proof::Content(Bytes::from(text.to_owned()));
        assert!(matches!(challenges.find(key("a"), true), Found::Nothing));
        let (first, second) = (proof("a.thumb"), proof("a.thumb"));
        challenges.insert(&key("a"), &first);
        challenges.insert(&key("b"), &proof("b.thumb"));
        assert_eq!(content(challenges.find(key("a"), true)).unwrap(), "a.thumb");
        challenges.insert(&key("a"), &second);
        challenges.remove(&key("a"), &first);
        assert!(content(challenges.find(key("a"), true)).is_some(), "it has been replaced");
        challenges.remove(&key("a"), &second);
        assert!(content(challenges.find(key("a"), true)).is_none());
        assert_eq!(content(challenges.find(key("b"), true)).unwrap(), "b.thumb");
    }

    #[test]
    fn a_question_is_asked_only_where_other_nodes_may_know_and_ends_with_its_drop() {
        let challenges = Challenges::default();
        challenges.set_shared(true);
        assert!(matches!(challenges.find(key("a"), false), Found::Nothing));
        let Found::Search(mut asked) = challenges.find(key("a"), true) else { panic!("not asked") };
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut asked).poll(cx).is_pending());
        let Poll::Ready(question) = challenges.poll_question(cx) else { panic!("no question") };
        assert_eq!(question.key(), &key("a"));
        drop(question);
        assert!(Pin::new(&mut asked).poll(cx).is_ready());
        assert!(challenges.poll_question(cx).is_pending());
    }

    #[test]
    fn a_flood_of_questions_is_cut() {
        let challenges = Challenges::default();
        challenges.set_shared(true);
        let asked: Vec<Found> = (0..QUESTIONS_MAX)
            .map(|number| challenges.find(key(&number.to_string()), true))
            .collect();
        assert!(asked.iter().all(|found| matches!(found, Found::Search(_))));
        assert!(matches!(challenges.find(key("more"), true), Found::Nothing));
    }
}
