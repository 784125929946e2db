//! Whatever a client sends as its Cookie field, and a target as its Set-Cookie field: nothing panics, no
//! forgery opens, and what is found lies inside the field.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use limpet::stickiness::cookie::{self, Codec, Plain, Scope, VALUE_SIZE};
use limpet::stickiness::keyring::KeyRing;
use limpet::stickiness::options::StickinessOptions;
use limpet::stickiness::response_cookie;
use limpet::stickiness::verdict::{Reading, Stickiness};

const NOW_S: u64 = 1_700_000_000;

static RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| {
    Arc::new(KeyRing::from_secrets(&[(1, [1; 32]), (2, [2; 32])]).expect("two keys"))
});
static CODEC: LazyLock<Codec> =
    LazyLock::new(|| Codec::new(&Scope::Group("app".into()), Arc::clone(&RING)));
static STICKINESS: LazyLock<Stickiness> = LazyLock::new(|| {
    let options =
        StickinessOptions { enabled: true, cross_site_twin: true, ..StickinessOptions::default() };
    Stickiness::new(options, Scope::Group("app".into()), Arc::clone(&RING)).expect("valid")
});

/// The one value that a seed carries and that may open.
static GENUINE: LazyLock<[u8; VALUE_SIZE]> = LazyLock::new(|| {
    let plain = Plain {
        generation: 3,
        group: 11,
        target: 22,
        home: 33,
        session: 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF,
        issued_s: 1_700_000_000,
        last_seen_s: 1_700_000_100,
    };
    CODEC.seal(&plain, [9; 12]).expect("sealed")
});

fuzz_target!(|data: &[u8]| {
    let (own, twin) = STICKINESS.cookie_names();
    let names = [Some(own), twin].into_iter().flatten();
    let carried: Vec<&[u8]> = names.flat_map(|name| cookie::find_all([data], name)).collect();
    for value in &carried {
        assert!(data.as_ptr_range().contains(&value.as_ptr()) || value.is_empty());
        assert!(!value.contains(&b';'));
    }
    assert_eq!(cookie::find([data], own), cookie::find_all([data], own).next());
    if let Reading::Live(_) = STICKINESS.read([data].into_iter(), NOW_S) {
        assert!(carried.contains(&&GENUINE[..]), "a forgery opened");
    }
    if CODEC.open(data).is_some() {
        assert_eq!(data, &GENUINE[..], "a forgery opened");
    }
    if let Some(cookie) = response_cookie::parse(data, NOW_S) {
        assert!(!cookie.name.is_empty());
    }
});
