use crate::stickiness::cookie::*;
use proptest::prelude::*;

fn ring(ids: &[u16]) -> Arc<KeyRing> {
    let secrets: Vec<(u16, [u8; 32])> = ids.iter().map(|id| (*id, [*id as u8; 32])).collect();
    Arc::new(KeyRing::from_secrets(&secrets).expect("valid"))
}

fn group(name: &str) -> Scope {
    Scope::Group(name.into())
}

fn plain() -> Plain {
    Plain {
        generation: 3,
        group: 11,
        target: 22,
        home: 33,
        session: 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF,
        issued_s: 1_700_000_000,
        last_seen_s: 1_700_000_100,
    }
}

/// Any change of the format must come with a new version, since other nodes and older cookies exist.
#[test]
fn the_format_is_what_other_nodes_know() {
    let codec = Codec::new(&group("app"), ring(&[1]));
    let value = codec.seal(&plain(), [9; 12]).expect("sealed");
    assert_eq!(std::str::from_utf8(&value).expect("text"), VECTOR);
    assert_eq!(codec.open(VECTOR.as_bytes()), Some(plain()));
}
const VECTOR: &str = "AQABCQkJCQkJCQkJCQkJb2C2mmA-ndUHPRRqH5f7YNQMdBGoGsiTHzJOBImDkykp\
    jMRATJFbnE19XT38xkk38rg4Ktwmtkf3B-RD8YAzq9x6hIZkL6uHneP9JEv2Ww";

#[test]
fn only_the_same_scope_opens_it() {
    let codec = Codec::new(&group("app"), ring(&[1]));
    let value = codec.seal(&plain(), [9; 12]).expect("sealed");
    assert_eq!(Codec::new(&group("other"), ring(&[1])).open(&value), None);
    assert_eq!(Codec::new(&Scope::Rule("app".into()), ring(&[1])).open(&value), None);
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let old = Codec::new(&group("app"), ring(&[1]));
    let rotated = Codec::new(&group("app"), ring(&[2, 1]));
    let new = Codec::new(&group("app"), ring(&[2]));
    let sealed_before = old.seal(&plain(), [9; 12]).expect("sealed");
    let sealed_after = rotated.seal(&plain(), [9; 12]).expect("sealed");
    assert_eq!(rotated.open(&sealed_before), Some(plain()));
    assert_eq!(new.open(&sealed_after), Some(plain()));
    assert_eq!(new.open(&sealed_before), None, "an unknown key");
    assert_eq!(old.open(&sealed_after), None, "an unknown key");
}

#[test]
fn the_same_id_with_another_secret_opens_nothing() {
    let codec = Codec::new(&group("app"), ring(&[1]));
    let other = Arc::new(KeyRing::from_secrets(&[(1, [77; 32])]).expect("valid"));
    let value = codec.seal(&plain(), [9; 12]).expect("sealed");
    assert_eq!(Codec::new(&group("app"), other).open(&value), None);
}

#[test]
fn every_changed_bit_and_every_other_length_is_refused() {
    let codec = Codec::new(&group("app"), ring(&[1]));
    let value = codec.seal(&plain(), [9; 12]).expect("sealed");
    for position in 0..value.len() {
        for bit in 0..8 {
            let mut changed = value;
            changed[position] ^= 1 << bit;
            assert_eq!(codec.open(&changed), None, "byte {position}, bit {bit}");
        }
        assert_eq!(codec.open(&value[..position]), None);
    }
    for tail in [&b"A"[..], b"=", b"==", b"\0", b" "] {
        let longer = [&value[..], tail].concat();
        assert_eq!(codec.open(&longer), None);
    }
    let quoted = [b"\"", &value[..], b"\""].concat();
    assert_eq!(codec.open(&quoted), None);
}

#[test]
fn a_value_shows_neither_target_nor_session_and_differs_each_time() {
    let codec = Codec::new(&group("app"), ring(&[1]));
    let first = codec.seal(&plain(), [9; 12]).expect("sealed");
    let second = codec.seal(&plain(), [10; 12]).expect("sealed");
    let shared = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(shared < VALUE_SIZE / 4, "{shared} characters in common");
}

#[test]
fn a_pair_is_found_in_place() {
    let cases: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&[""], None),
        (&["c=1"], Some("1")),
        (&["a=2; c=1"], Some("1")),
        (&["a=2;c=1"], Some("1")),
        (&["a=2;   c=1  ; d=3"], Some("1")),
        (&["c = 1"], Some("1")),
        (&["c="], Some("")),
        (&["c"], None),
        (&["cc=1"], None),
        (&["c.=1"], None),
        (&["xc=1"], None),
        (&["C=1"], None),
        (&["a=c=1"], None),
        (&["c=1=2"], Some("1=2")),
        (&["c=1; c=2"], Some("1")),
        (&["a=1", "c=2", "c=3"], Some("2")),
        (&["c=\"1\""], Some("\"1\"")),
        (&[";;; ;c=1;"], Some("1")),
        (&["=1"], None),
    ];
    for (fields, wanted) in cases {
        let found = find(fields.iter().map(|field| field.as_bytes()), b"c");
        assert_eq!(found, wanted.map(str::as_bytes), "{fields:?}");
    }
}

#[test]
fn all_pairs_of_a_name_are_found_in_order() {
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&["c=1; c=2"], &["1", "2"]),
        (&["c=1; a=c=2; cc=3;c=4", "c=; xc=5", "b=6; c=7"], &["1", "4", "", "7"]),
        (&["c=1; c", "c", "C=2"], &["1"]),
    ];
    for (fields, wanted) in cases {
        let found: Vec<_> = find_all(fields.iter().map(|field| field.as_bytes()), b"c").collect();
        let wanted: Vec<_> = wanted.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(found, wanted, "{fields:?}");
    }
    assert_eq!(find_all([&b"=1; c=2"[..]], b"").next(), None);
}

/// Otherwise one box would have several spellings.
#[test]
fn only_the_canonical_spelling_is_decoded() {
    use base64::Engine;
    let standard = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let text = standard.encode([0x5A; 94]);
    for position in 0..VALUE_SIZE {
        for byte in 0..=u8::MAX {
            let mut changed = text.clone().into_bytes();
            changed[position] = byte;
            let decoded = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&changed).ok();
            assert_eq!(decoded, standard.decode(&changed).ok(), "byte {byte} at {position}");
        }
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens(
        generation: u32, group: u64, target: u64, home: u64, session: u128, issued_s: u64,
        last_seen_s: u64, nonce: [u8; 12], name in ".{0,40}",
    ) {
        let plain = Plain { generation, group, target, home, session, issued_s, last_seen_s };
        let codec = Codec::new(&Scope::Group(name.as_str().into()), ring(&[5, 6]));
        let value = codec.seal(&plain, nonce).expect("sealed");
        prop_assert_eq!(codec.open(&value), Some(plain));
        prop_assert!(value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
    }

    #[test]
    fn garbage_never_opens(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let codec = Codec::new(&group("app"), ring(&[1]));
        prop_assert_eq!(codec.open(&bytes), None);
    }

    #[test]
    fn garbage_of_the_right_shape_never_opens(text in "AQAB[A-Za-z0-9_-]{121}[AQgw]") {
        let codec = Codec::new(&group("app"), ring(&[1]));
        prop_assert_eq!(codec.open(text.as_bytes()), None);
    }

    #[test]
    fn a_found_value_is_a_part_of_the_field(field in "[ a-c=;\"\t]{0,30}") {
        if let Some(value) = find([field.as_bytes()], b"c") {
            prop_assert!(!value.contains(&b';'));
            prop_assert_eq!(value, value.trim_ascii());
        }
    }
}
