use super::super::memo::Memo;
use crate::stickiness::seal::*;
use proptest::prelude::*;

fn ring(ids: &[u16]) -> Arc<KeyRing> {
    let secrets: Vec<(u16, [u8; 32])> = ids.iter().map(|id| (*id, [*id as u8; 32])).collect();
    Arc::new(KeyRing::from_secrets(&secrets).expect("valid"))
}

fn codec(name: &str, ids: &[u16]) -> SealCodec {
    SealCodec::new(&Scope::Group(name.into()), ring(ids))
}

fn plain() -> Plain {
    Plain {
        generation: 3,
        group: 11,
        target: 22,
        home: 33,
        session: 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF,
        issued_s: 1_700_000_000,
        last_seen_s: 1_700_000_000,
    }
}

/// The value that a client gets.
fn sealed(codec: &SealCodec, session_id: &[u8]) -> Vec<u8> {
    let seal = codec.seal(session_id, &plain(), [9; 12]).expect("sealed");
    [session_id, b".", &seal].concat()
}

fn open(codec: &SealCodec, value: &[u8]) -> Option<Plain> {
    let opened = Sealed::split(value).and_then(|sealed| codec.open(sealed));
    let memo = Memo::default();
    for _ in 0..2 {
        let remembered = Sealed::split(value).and_then(|sealed| memo.open_seal(codec, sealed));
        assert_eq!(remembered, opened);
    }
    opened
}

/// Any change of the format must come with a new version, since other nodes and older sessions exist.
#[test]
fn the_format_is_what_other_nodes_know() {
    let codec = codec("app", &[1]);
    let value = sealed(&codec, b"e3b0c442");
    assert_eq!(std::str::from_utf8(&value).expect("text"), VECTOR);
    assert_eq!(open(&codec, VECTOR.as_bytes()), Some(plain()));
}
const VECTOR: &str = "e3b0c442.\
    AQABCQkJCQkJCQkJCQkJpp9PxCOFpm37aM6oTu9bVykYe_D4I7iHPoLZhWrokCYbDbLtYi85Yr11l0vRREi9G6MUyRXILFLzClhcfOsXfz5f51AwkVI";

#[test]
fn only_the_same_scope_and_session_id_open_it() {
    let codec_of = |scope: Scope| SealCodec::new(&scope, ring(&[1]));
    let value = sealed(&codec("app", &[1]), b"one");
    let seal = &value[4..];
    let moved = [b"two.", seal].concat();
    assert_eq!(open(&codec("app", &[1]), &moved), None, "another session's");
    assert_eq!(open(&codec("other", &[1]), &value), None, "another group's");
    assert_eq!(open(&codec_of(Scope::Rule("app".into())), &value), None, "a rule's");
    assert_eq!(open(&codec("app", &[2, 1]), &value), Some(plain()), "the ring was rotated");
    assert_eq!(open(&codec("app", &[2]), &value), None, "its key was removed");
}

#[test]
fn a_seal_under_a_key_that_is_not_here_is_told_from_a_forged_one() {
    let value = sealed(&codec("app", &[1]), b"one");
    let sealed = Sealed::split(&value).expect("two parts");
    assert!(codec("app", &[2]).is_of_unknown_key(sealed));
    assert!(!codec("other", &[1]).is_of_unknown_key(sealed));
    let text = [&b"one."[..], &[b'A'; SEAL_SIZE]].concat();
    assert!(!codec("app", &[2]).is_of_unknown_key(Sealed::split(&text).expect("two parts")));
}

#[test]
fn every_changed_bit_and_every_other_length_is_refused() {
    let codec = codec("app", &[1]);
    let value = sealed(&codec, b"session");
    for position in 0..value.len() {
        for bit in 0..8 {
            let mut changed = value.clone();
            changed[position] ^= 1 << bit;
            assert_eq!(open(&codec, &changed), None, "byte {position}, bit {bit}");
        }
        assert_eq!(open(&codec, &value[..position]), None);
    }
    for tail in [&b"A"[..], b"=", b"==", b" "] {
        assert_eq!(open(&codec, &[&value[..], tail].concat()), None);
    }
}

#[test]
fn what_a_value_is_made_of_is_found_from_its_end() {
    let seal = [b's'; SEAL_SIZE];
    let value = |session_id: &[u8]| [session_id, b".", &seal].concat();
    for session_id in [&b"a"[..], b"a.b.c", b"..", &[b'x'; SESSION_ID_SIZE_MAX], &seal] {
        let value = value(session_id);
        let split = Sealed::split(&value).expect("two parts");
        assert_eq!((split.session_id, split.seal), (session_id, &seal));
    }
    for session_id in [&b""[..], b"a b", b"a\x80", &[b'x'; SESSION_ID_SIZE_MAX + 1]] {
        assert_eq!(Sealed::split(&value(session_id)), None, "{session_id:?}");
    }
    assert_eq!(Sealed::split(&seal), None);
    assert_eq!(Sealed::split(&[&b"a"[..], &seal].concat()), None, "no dot");
    assert_eq!(Sealed::split(b""), None);
}

/// Ids up to 64 bytes are remembered as they are, longer ones by their digest: neither is taken for the other.
#[test]
fn a_memory_tells_long_session_ids_from_short_ones() {
    let (memo, codec) = (Memo::default(), codec("app", &[1]));
    for size in [1, 63, 64, 65, 1024] {
        let id = vec![b'i'; size];
        let seal = codec.seal(&id, &plain(), [size as u8; 12]).expect("sealed");
        for _ in 0..2 {
            let its = Sealed { session_id: &id, seal: &seal };
            assert_eq!(memo.open_seal(&codec, its), Some(plain()), "{size}");
            for other in [&id[1..], &[&id[..], b"i"].concat(), &sha256(&id), &vec![b'j'; size]] {
                let not_its = Sealed { session_id: other, seal: &seal };
                assert_eq!(memo.open_seal(&codec, not_its), None, "{size}");
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_again_and_is_passed_byte_for_byte(
        session_id in "[!-~]{1,300}",
        target in any::<u64>(),
        session in any::<u128>(),
        nonce in any::<[u8; 12]>(),
    ) {
        let codec = codec("app", &[1]);
        let plain = Plain { target, session, ..plain() };
        let seal = codec.seal(session_id.as_bytes(), &plain, nonce).expect("sealed");
        let value = [session_id.as_bytes(), b".", &seal].concat();
        prop_assert!(is_session_id(session_id.as_bytes()));
        prop_assert_eq!(open(&codec, &value), Some(plain));
        prop_assert_eq!(Sealed::split(&value).expect("two parts").session_id, session_id.as_bytes());
    }

    #[test]
    fn nothing_a_client_sends_opens_or_panics(value in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(open(&codec("app", &[1]), &value), None);
    }
}
