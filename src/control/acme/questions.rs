//! Proofs that another node has given: found in the shared directory when a shard asks for one.
//!
//! A directory that does not answer keeps nobody waiting for long, and no more threads than a few. Tested with
//! `challenges` and `proof`, and by the black-box suite.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::proof;
use super::wanted;
use crate::challenges::{Challenges, Question};
use crate::control::runtime::Control;
use crate::uring::Courtesy;

/// How long a question may wait for the directory.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a proof that was found is kept: authorities ask several times within seconds.
const KEPT: Duration = Duration::from_secs(10);
/// Readings at the same time.
const READINGS_MAX: usize = 8;

/// Answers for as long as the process lives.
pub async fn answer(control: &Arc<Control>) {
    let challenges = Arc::clone(control.acme().challenges());
    let readings = Arc::new(Semaphore::new(READINGS_MAX));
    loop {
        let question = poll_fn(|cx| challenges.poll_question(cx)).await;
        // A question that is dropped is answered: there is no proof.
        let Ok(permit) = Arc::clone(&readings).try_acquire_owned() else { continue };
        let bases = bases(control);
        let key = question.key().clone();
        let looking = tokio::task::spawn_blocking(move || {
            let _courtesy = Courtesy::begin();
            let proof = proof::look(&bases, &key);
            drop(permit);
            proof
        });
        tokio::spawn(settle(Arc::clone(&challenges), question, looking));
    }
}

async fn settle(
    challenges: Arc<Challenges>,
    question: Question,
    looking: tokio::task::JoinHandle<Option<crate::challenges::Proof>>,
) {
    let Ok(Ok(Some(proof))) = tokio::time::timeout(PATIENCE, looking).await else { return };
    let key = question.key().clone();
    challenges.insert(&key, &proof);
    drop(question);
    tokio::time::sleep(KEPT).await;
    challenges.remove(&key, &proof);
}

/// The directories that other nodes write into.
fn bases(control: &Control) -> Vec<PathBuf> {
    let all = wanted::all(&control.file());
    let mut bases: Vec<PathBuf> =
        all.into_iter().filter(|wanted| wanted.is_shared).map(|wanted| wanted.base).collect();
    bases.sort();
    bases.dedup();
    bases
}
