//! Whatever a client sends in the field of its session id: nothing panics, no forgery opens, and the two parts of a
//! value are the value.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use limpet::stickiness::cookie::Scope;
use limpet::stickiness::keyring::KeyRing;
use limpet::stickiness::options::{OnLost, StickinessKind, StickinessOptions};
use limpet::stickiness::seal::{SEAL_SIZE, SealCodec, Sealed, is_session_id};
use limpet::stickiness::verdict::{Reading, Stickiness};

const NOW_S: u64 = 1_700_000_000;

/// The one value that a seed carries and that may open: the vector of the format.
const GENUINE: &[u8] = b"e3b0c442.\
    AQABCQkJCQkJCQkJCQkJpp9PxCOFpm37aM6oTu9bVykYe_D4I7iHPoLZhWrokCYbDbLtYi85Yr11l0vRREi9G6MUyRXILFLzClhcfOsXfz5f51AwkVI";

static STICKINESS: LazyLock<Stickiness> = LazyLock::new(|| {
    let ring = KeyRing::from_secrets(&[(1, [1; 32]), (2, [2; 32])]).expect("two keys");
    let options = StickinessOptions {
        enabled: true,
        kind: StickinessKind::AppHeader { name: "Mcp-Session-Id".into(), on_lost: OnLost::Balance },
        ..StickinessOptions::default()
    };
    Stickiness::new(options, Scope::Group("app".into()), Arc::new(ring)).expect("valid")
});

fuzz_target!(|data: &[u8]| {
    let Some(sealed) = Sealed::split(data) else { return };
    assert!(is_session_id(sealed.session_id));
    assert_eq!(sealed.session_id.len() + 1 + SEAL_SIZE, data.len());
    assert!(data.starts_with(sealed.session_id) && data.ends_with(sealed.seal));
    let field = STICKINESS.session_field().expect("it is by a field");
    let values = [data].into_iter();
    if let Reading::Live(_) = STICKINESS.read_field(field, values, NOW_S, SealCodec::open) {
        assert_eq!(data, GENUINE, "a forgery opened");
    }
});
