//! Any bytes as a configuration file: judged without a panic, and whatever is accepted compiles or is
//! refused with a reason. Keep in step with `control::config`.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use limpet::control::config;
use limpet::control::runtime::Control;
use limpet::stickiness::keyring::KeyRing;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::parse_complete(text.to_owned(), "fuzz.toml") {
        Ok(parsed) => {
            let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("one key"));
            // Two ids with one hash are the only refusal left, and no fuzzer finds those.
            Control::new(parsed, None, ring).expect("what is valid compiles");
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            let _ = problems.to_string();
        }
    }
});
