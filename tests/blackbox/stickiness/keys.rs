//! The key ring: the first key seals, every key opens, rotation loses nobody.

use std::os::unix::fs::PermissionsExt;

use super::{first_visit, sticky, targets, visit};
use crate::support::config::{KEY_ONE, KEY_TWO};

const OLD: (u8, &str) = (1, KEY_ONE);
const NEW: (u8, &str) = (2, KEY_TWO);

#[test]
fn every_step_of_a_rotation_honours_the_cookies_of_the_steps_beside_it() {
    let targets = targets::<3>();
    let steps: [&[(u8, &str)]; 4] = [&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]];
    let nodes = steps.map(|keys| sticky(&targets).keys(keys).start());
    for (i, sealing) in nodes.iter().enumerate() {
        let (home, cookie) = first_visit(sealing);
        for opening in &nodes[i.saturating_sub(1)..(i + 2).min(4)] {
            assert_eq!(visit(opening, &cookie).target(), home, "sealed at step {i}");
        }
    }
}

#[test]
fn the_first_key_seals() {
    let targets = targets::<1>();
    let both = sticky(&targets).keys(&[NEW, OLD]).start();
    let (_, cookie) = first_visit(&both);
    let new = sticky(&targets).keys(&[NEW]).start();
    visit(&new, &cookie);
    assert_eq!(new.record(1).reason(), "valid");
    let old = sticky(&targets).keys(&[OLD]).start();
    visit(&old, &cookie);
    assert_eq!(old.record(1).reason(), "unknown_key");
}

#[test]
fn without_keys_one_is_generated_and_kept_for_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let targets = targets::<3>();
    let keyless = sticky(&targets).keys(&[]).process("state_directory", directory);
    let mut first = keyless.start();
    let (home, cookie) = first_visit(&first);
    first.stop();
    let second = keyless.start();
    for _ in 0..4 {
        assert_eq!(visit(&second, &cookie).target(), home);
    }
    assert_eq!(second.record(1).reason(), "valid");
}

#[test]
fn a_generated_key_is_readable_by_its_owner_alone() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let targets = targets::<1>();
    let _limpet = sticky(&targets).keys(&[]).process("state_directory", directory).start();
    let files: Vec<_> = std::fs::read_dir(state.path()).unwrap().map(Result::unwrap).collect();
    assert!(!files.is_empty(), "no key was kept");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.path());
    }
}
