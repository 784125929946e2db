use std::sync::Arc;

use proptest::prelude::*;

use super::super::cookie::Scope;
use super::super::keyring::KeyRing;
use crate::stickiness::memo::*;

fn codec(scope: &str, keys: &[u16]) -> Codec {
    let secrets: Vec<(u16, [u8; 32])> = keys.iter().map(|id| (*id, [*id as u8; 32])).collect();
    let ring = Arc::new(KeyRing::from_secrets(&secrets).expect("valid"));
    Codec::new(&Scope::Group(scope.into()), ring)
}

fn plain(session: u128) -> Plain {
    Plain { generation: 1, group: 2, target: 3, home: 4, session, issued_s: 5, last_seen_s: 6 }
}

fn sealed(codec: &Codec, session: u128) -> [u8; VALUE_SIZE] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&(session as u64).to_be_bytes());
    codec.seal(&plain(session), nonce).expect("sealed")
}

#[test]
fn a_value_opens_again_to_what_it_opened_to() {
    let (memo, codec) = (Memo::default(), codec("app", &[1]));
    let value = sealed(&codec, 7);
    for _ in 0..3 {
        assert_eq!(memo.open(&codec, &value), Some(plain(7)));
    }
}

#[test]
fn what_one_codec_opened_no_other_opens() {
    let memo = Memo::default();
    let app = codec("app", &[1]);
    let value = sealed(&app, 7);
    assert_eq!(memo.open(&app, &value), Some(plain(7)));
    assert_eq!(memo.open(&codec("other", &[1]), &value), None, "another scope");
    assert_eq!(memo.open(&codec("app", &[2]), &value), None, "its key was removed");
    assert_eq!(memo.open(&codec("app", &[2, 1]), &value), Some(plain(7)), "the ring was rotated");
    assert_eq!(memo.open(&app, &value), Some(plain(7)));
}

#[test]
fn any_other_byte_is_another_value() {
    let (memo, codec) = (Memo::default(), codec("app", &[1]));
    let value = sealed(&codec, 7);
    assert_eq!(memo.open(&codec, &value), Some(plain(7)));
    for at in 0..VALUE_SIZE {
        let mut forged = value;
        forged[at] ^= 1;
        assert_eq!(memo.open(&codec, &forged), None, "byte {at}");
        assert_eq!(memo.open(&codec, &value[..at]), None, "length {at}");
    }
    assert_eq!(memo.open(&codec, &[value.as_slice(), b"A"].concat()), None);
    assert_eq!(memo.open(&codec, &value), Some(plain(7)), "a forgery takes no place");
}

#[test]
fn forgeries_take_no_place_and_no_memory() {
    let (memo, codec) = (Memo::default(), codec("app", &[1]));
    assert_eq!(memo.open(&codec, &[b'A'; VALUE_SIZE]), None);
    assert_eq!(memo.cookies.places.borrow().len(), 0);
    memo.open(&codec, &sealed(&codec, 7));
    assert_eq!(memo.cookies.places.borrow().len(), PLACES);
    assert!(size_of::<Opened<VALUE_SIZE>>() * PLACES <= 208 * 1024);
    assert_eq!(memo.seals.places.borrow().len(), 0);
    assert!(size_of::<Opened<SEAL_KEY_SIZE>>() * PLACES <= 272 * 1024);
}

#[test]
fn more_sessions_than_places_all_open_to_their_own() {
    let (memo, codec) = (Memo::default(), codec("app", &[1]));
    let values: Vec<_> = (0..3 * PLACES as u128).map(|n| sealed(&codec, n)).collect();
    for round in 0..2 {
        for (session, value) in (0..).zip(&values) {
            assert_eq!(memo.open(&codec, value), Some(plain(session)), "round {round}");
        }
    }
    let used = memo.cookies.places.borrow().iter().filter(|opened| opened.codec != 0).count();
    assert!(used > PLACES * 9 / 10, "{used} places are in use");
}

proptest! {
    /// Whatever was asked before, in whatever order: what the codec says.
    #[test]
    fn it_says_what_the_codec_says(asked in proptest::collection::vec((0_u128..4, 0_usize..3, 0_usize..3), 1..60)) {
        let memo = Memo::default();
        let codecs = [codec("app", &[1, 2]), codec("app", &[2]), codec("other", &[1])];
        for (session, sealed_by, opened_by) in asked {
            let value = sealed(&codecs[sealed_by], session);
            let codec = &codecs[opened_by];
            prop_assert_eq!(memo.open(codec, &value), codec.open(&value));
        }
    }
}
