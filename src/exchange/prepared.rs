//! What becomes of a request once its head has been read, and the answers to authorities, which come before any rule.
//! Tested with `scene`.

use super::answer::Reply;
use super::entry::Entry;
use crate::challenges::{self, Challenges, Found, Key, Proof, Search};
use crate::http::head::{Method, RequestHead};

/// What to do with the bytes that have come.
pub enum Prepared {
    /// A target answers, as the plan says.
    Forward,
    /// limpet answers by itself.
    Answer(Box<Reply>),
    /// Another node may have what an authority asks for: to be prepared anew when this has ended.
    Search(Search),
}

impl From<Reply> for Prepared {
    fn from(reply: Reply) -> Prepared {
        Prepared::Answer(Box::new(reply))
    }
}

/// Answers an authority that asks for the proof of a name, before any rule. A request for a proof that no node has
/// is one like others: a target may have proofs of its own.
#[cold]
pub fn prove(
    challenges: &Challenges,
    head: &RequestHead<'_, '_>,
    path: &[u8],
    entry: &mut Entry,
) -> Option<Prepared> {
    let token = challenges::token(path)?;
    if !matches!(head.method, Method::Get | Method::Head) {
        return None;
    }
    match challenges.find(Key::Token(token.into()), !entry.was_proof_sought) {
        Found::Proof(Proof::Content(content)) => Some(Reply::proof(content).into()),
        Found::Search(search) => {
            entry.was_proof_sought = true;
            Some(Prepared::Search(search))
        }
        Found::Proof(Proof::Handshake(_)) | Found::Nothing => None,
    }
}
