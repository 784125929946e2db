//! Whole blocks: the examples of RFC 7541 Appendix C at every split, random blocks against a plain decoder's table,
//! malformed blocks, and limits.

use proptest::prelude::*;

use super::block::{Block, Limits, PseudoFault, TooLarge};
use super::decoder::Decoder;
use super::encoder::{Encoder, Indexing, RequestPseudo};
use super::fault::HpackFault;
use super::line::Pseudo;
use super::{huffman, integer, static_table};
use crate::http2::frame::error_code::ErrorCode;

const LIMITS: Limits =
    Limits { list_bytes: 64 * 1024, field_count: 128, list_bytes_max: 256 * 1024 };

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = |pair: &[u8]| String::from_utf8_lossy(pair).into_owned();
    digits.chunks(2).map(|pair| u8::from_str_radix(&text(pair), 16).expect("hex")).collect()
}

/// Decodes a block in these fragments; the lines as text.
fn decoded(decoder: &mut Decoder, fragments: &[&[u8]]) -> Result<String, HpackFault> {
    let mut block = Block::default();
    for (at, fragment) in fragments.iter().enumerate() {
        decoder.decode(fragment, at + 1 == fragments.len(), &LIMITS, &mut block)?;
    }
    assert_eq!(block.too_large(), None);
    Ok(String::from_utf8_lossy(block.raw()).into_owned())
}

/// The entries of the dynamic table, the newest first.
fn table(decoder: &mut Decoder) -> String {
    let mut lines = String::new();
    for index in static_table::COUNT + 1.. {
        let mut reference = Vec::new();
        integer::write(0x80, 0x7f, index as usize, &mut reference);
        match decoded(decoder, &[&reference]) {
            Ok(line) => lines.push_str(line.strip_suffix("\r\n").expect("an empty line")),
            // Ends the connection in earnest; a block has begun, which the next one goes on with.
            Err(HpackFault::IndexUnknown) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    lines
}

/// A block of Appendix C, its lines, and the dynamic table after it.
type Example<'e> = (&'e str, &'e str, &'e str);

fn assert_examples(table_bytes: u32, examples: &[Example<'_>]) {
    // Cut at every place, and byte by byte.
    for cut in 0..=examples.iter().map(|example| bytes_of(example.0).len()).max().unwrap_or(0) {
        let mut decoder = Decoder::default();
        decoder.set_size_limit(table_bytes);
        for (at, (hex, lines, after)) in examples.iter().enumerate() {
            let mut block = bytes_of(hex);
            if at == 0 && table_bytes != 4096 {
                let mut update = Vec::new();
                integer::write(0x20, 0x1f, table_bytes as usize, &mut update);
                block.splice(0..0, update);
            }
            let mut fragments: Vec<&[u8]> = block.chunks(1).collect();
            if cut > 0 {
                let (one, other) = block.split_at(cut.min(block.len()));
                fragments = vec![one, other];
            }
            let expected = format!("{}\r\n", lines.replace('\n', "\r\n"));
            assert_eq!(decoded(&mut decoder, &fragments), Ok(expected), "{hex} cut at {cut}");
            assert_eq!(table(&mut decoder), after.replace('\n', "\r\n"), "{hex} cut at {cut}");
        }
    }
}

#[test]
fn the_representations_of_appendix_c_2_are_decoded() {
    assert_examples(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header\n",
            "custom-key: custom-header\n",
        )],
    );
    assert_examples(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", "")]);
    assert_examples(
        4096,
        &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n", "")],
    );
    assert_examples(4096, &[("82", ":method: GET\n", "")]);
}

const REQUESTS: [(&str, &str); 3] = [
    (
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
        ":authority: www.example.com\n",
    ),
    (
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
        "cache-control: no-cache\n:authority: www.example.com\n",
    ),
    (
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
         custom-key: custom-value\n",
        "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n",
    ),
];

const RESPONSES: [(&str, &str); 3] = [
    (
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         location: https://www.example.com\n",
        "location: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         cache-control: private\n:status: 302\n",
    ),
    (
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         location: https://www.example.com\n",
        ":status: 307\nlocation: https://www.example.com\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
         cache-control: private\n",
    ),
    (
        ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
         location: https://www.example.com\ncontent-encoding: gzip\n\
         set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n\
         content-encoding: gzip\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n",
    ),
];

fn examples<'e>(blocks: [&'e str; 3], lines: [(&'e str, &'e str); 3]) -> Vec<Example<'e>> {
    blocks.into_iter().zip(lines).map(|(block, (lines, table))| (block, lines, table)).collect()
}

#[test]
fn the_requests_of_appendix_c_3_and_c_4_are_decoded() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    assert_examples(4096, &examples(plain, REQUESTS));
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    assert_examples(4096, &examples(coded, REQUESTS));
}

#[test]
fn the_responses_of_appendix_c_5_and_c_6_are_decoded() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    assert_examples(256, &examples(plain, RESPONSES));
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
         4ee5 b106 3d50 07",
    ];
    assert_examples(256, &examples(coded, RESPONSES));
}

#[test]
fn malformed_blocks_are_errors_of_compression() {
    use HpackFault::*;
    let long = |first: &str, rest: &str| format!("{first} ffff ffff {rest}");
    let rows: &[(&str, String, HpackFault)] = &[
        ("index 0", "80".into(), IndexUnknown),
        ("index 62 of an empty table", "be".into(), IndexUnknown),
        ("index 62 as a name", "7e 0161".into(), IndexUnknown),
        ("index 62 as the name of what is not indexed", "0f2f 0161".into(), IndexUnknown),
        ("a large index", long("ff", "07"), IndexUnknown),
        ("an index beyond 32 bits", long("ff", "7f"), IntegerTooLarge),
        ("an index that does not end", long("ff", "8080"), IntegerTooLarge),
        ("a name beyond 32 bits", long("40 7f", "7f"), IntegerTooLarge),
        ("a value beyond 32 bits", long("41 7f", "7f"), IntegerTooLarge),
        ("a size beyond 32 bits", long("3f", "7f"), IntegerTooLarge),
        ("a padding of eight bits", "41 82 1fff".into(), HuffmanPadding),
        ("a padding of zeros", "41 81 18".into(), HuffmanPadding),
        ("EOS in a value", "41 84 ffff fffc".into(), HuffmanEos),
        ("EOS in a name", "40 84 ffff ffff 0161".into(), HuffmanEos),
        ("an update behind a field", "82 20".into(), SizeUpdateLate),
        ("an update beyond the limit", "3fe21f".into(), SizeUpdateTooLarge),
        ("an update beyond the limit behind another", "20 3fe21f".into(), SizeUpdateTooLarge),
        ("no end of an index", "ff".into(), Truncated),
        ("no end of an index, later", "ff80".into(), Truncated),
        ("no end of an update", "3f".into(), Truncated),
        ("no name", "40".into(), Truncated),
        ("half a name", "40 0261".into(), Truncated),
        ("no value", "40 0161".into(), Truncated),
        ("no value of an indexed name", "41".into(), Truncated),
        ("half a value", "82 41 0261".into(), Truncated),
        ("half a coded value", "82 41 8cf1 e3".into(), Truncated),
    ];
    for (what, hex, fault) in rows {
        let block = bytes_of(hex);
        assert_eq!(decoded(&mut Decoder::default(), &[&block]), Err(*fault), "{what}");
        let bytes: Vec<&[u8]> = block.chunks(1).chain([&b""[..]]).collect();
        assert_eq!(decoded(&mut Decoder::default(), &bytes), Err(*fault), "{what} byte by byte");
        assert_eq!(fault.code(), ErrorCode::CompressionError);
    }
}

#[test]
fn a_table_that_must_be_smaller_is_confirmed_first() {
    let changed = |limits: &[u32]| {
        let mut decoder = Decoder::default();
        let seen = decoded(&mut decoder, &[&bytes_of("41 0161")]);
        assert_eq!(seen, Ok(":authority: a\r\n\r\n".to_owned()));
        limits.iter().for_each(|limit| decoder.set_size_limit(*limit));
        decoder
    };
    let check = |limits: &[u32], hex: &str, expected: Result<&str, HpackFault>| {
        let found = decoded(&mut changed(limits), &[&bytes_of(hex)]);
        assert_eq!(found, expected.map(str::to_owned), "{limits:?} {hex}");
    };
    let get = Ok(":method: GET\r\n\r\n");
    // Unchanged, or larger: nothing has to be said, and it is the peer's choice to use less or more.
    check(&[], "82", get);
    check(&[8192], "82", get);
    check(&[8192], "3fe11f be", Ok(":authority: a\r\n\r\n"));
    check(&[8192], "3fe13f be", Ok(":authority: a\r\n\r\n"));
    check(&[8192], "3fe23f be", Err(HpackFault::SizeUpdateTooLarge));
    check(&[], "21 be", Err(HpackFault::IndexUnknown));
    // Smaller: the block has to begin with it.
    check(&[100], "82", Err(HpackFault::SizeUpdateMissing));
    check(&[100], "", Err(HpackFault::SizeUpdateMissing));
    check(&[100], "41 0161", Err(HpackFault::SizeUpdateMissing));
    check(&[100], "3f45 be", Ok(":authority: a\r\n\r\n"));
    check(&[100], "3f46 be", Err(HpackFault::SizeUpdateTooLarge));
    check(&[100], "20 82", get);
    check(&[0], "20 be", Err(HpackFault::IndexUnknown));
    // Smaller and then larger: the least has to be said as well (RFC 7541 §4.2).
    check(&[0, 4096], "3fe11f 82", Err(HpackFault::SizeUpdateMissing));
    check(&[0, 4096], "20 3fe11f be", Err(HpackFault::IndexUnknown));
    check(&[0, 4096], "20 3fe11f 82", get);
    check(&[100, 4096], "82", Err(HpackFault::SizeUpdateMissing));
    // Larger and smaller again, but never less than the table has.
    check(&[8192, 4096], "82", get);
}

#[test]
fn a_table_is_updated_at_the_beginning_of_every_block() {
    let mut decoder = Decoder::default();
    for _ in 0..3 {
        let block = bytes_of("20 3fe11f 82");
        let (one, other) = block.split_at(2);
        assert_eq!(decoded(&mut decoder, &[one, other]), Ok(":method: GET\r\n\r\n".to_owned()));
    }
}

#[test]
fn crumbs_of_a_cookie_are_joined_and_come_last() {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    encoder.field(b"a", b"1", Indexing::Allowed, &mut coded);
    encoder.field(b"Cookie", b"x=1", Indexing::Allowed, &mut coded);
    encoder.field(b"b", b"2", Indexing::Never, &mut coded);
    encoder.field(b"cookie", b"y=2", Indexing::Never, &mut coded);
    encoder.field(b"cookie", b"", Indexing::Allowed, &mut coded);
    encoder.field(b"c", b"3", Indexing::Allowed, &mut coded);
    let mut block = Block::default();
    for _ in 0..2 {
        block.clear();
        Decoder::default().decode(&coded, true, &LIMITS, &mut block).expect("a valid block");
        let lines = b"a: 1\r\nb: 2\r\nc: 3\r\ncookie: x=1; y=2; \r\n";
        assert_eq!(block.field_lines(), lines);
        assert_eq!(block.raw(), [&lines[..], b"\r\n"].concat());
        let parts: Vec<_> = block.lines().iter().map(|line| block.parts(line)).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"cookie", b"x=1; y=2; ")];
        assert_eq!(parts, expected);
        let never: Vec<bool> = block.lines().iter().map(|line| line.is_never_indexed()).collect();
        assert_eq!(never, [false, true, false, true]);
    }
}

#[test]
fn pseudo_fields_stand_apart_and_the_first_fault_of_theirs_is_kept() {
    let block_of = |hex: &str| {
        let mut block = Block::default();
        let result = Decoder::default().decode(&bytes_of(hex), true, &LIMITS, &mut block);
        result.expect("a valid block");
        block
    };
    let block = block_of("82 87 84 41 0161 93 5a 0162");
    assert_eq!(block.pseudo(Pseudo::Method), Some(&b"GET"[..]));
    assert_eq!(block.pseudo(Pseudo::Scheme), Some(&b"https"[..]));
    assert_eq!(block.pseudo(Pseudo::Path), Some(&b"/"[..]));
    assert_eq!(block.pseudo(Pseudo::Authority), Some(&b"a"[..]));
    assert_eq!(block.pseudo(Pseudo::Status), None);
    assert_eq!((block.pseudo_fault(), block.lines().len()), (None, 2));
    assert_eq!(block.field_lines(), b"accept: \r\ncontent-encoding: b\r\n");
    for (hex, fault) in [
        ("82 82", PseudoFault::Repeated),
        ("82 83", PseudoFault::Repeated),
        ("93 82", PseudoFault::Late),
        ("a0 82", PseudoFault::Late),
        ("00 023a61 00", PseudoFault::Unknown),
        ("00 023a61 00 82 82", PseudoFault::Unknown),
        ("00 073a4d6574686f64 03474554", PseudoFault::Unknown),
    ] {
        assert_eq!(block_of(hex).pseudo_fault(), Some(fault), "{hex}");
    }
}

#[test]
fn over_the_limits_a_block_is_decoded_to_its_end_for_the_table() {
    // Each field counts 32 + 1 + 1 bytes.
    let field = bytes_of("40 0161 0162");
    let exact = Limits { list_bytes: 34 * 3, field_count: 3, list_bytes_max: 34 * 5 };
    for (count, limits, too_large) in [
        (3, exact, None),
        (4, exact, Some(TooLarge::Bytes)),
        (5, exact, Some(TooLarge::Bytes)),
        (3, Limits { list_bytes: 34 * 3 - 1, ..exact }, Some(TooLarge::Bytes)),
        (3, Limits { field_count: 2, ..exact }, Some(TooLarge::Fields)),
    ] {
        let mut decoder = Decoder::default();
        let mut block = Block::default();
        let coded = field.repeat(count);
        assert_eq!(decoder.decode(&coded, true, &limits, &mut block), Ok(()));
        assert_eq!(block.too_large(), too_large, "{count} {limits:?}");
        assert!(block.lines().len() <= 3 && block.field_lines().len() <= "a: b\r\n".len() * 3);
        // The table has all of them.
        assert_eq!(table(&mut decoder), "a: b\r\n".repeat(count));
    }
    let mut block = Block::default();
    let fault = Decoder::default().decode(&field.repeat(6), true, &exact, &mut block);
    assert_eq!(fault, Err(HpackFault::TooLarge));
    assert_eq!(HpackFault::TooLarge.code(), ErrorCode::EnhanceYourCalm);
}

#[test]
fn a_string_beyond_every_limit_is_refused_before_it_has_come() {
    for start in ["40", "41", "00", "01", "10"] {
        let mut coded = bytes_of(start);
        integer::write(0, 0x7f, LIMITS.list_bytes_max as usize + 1, &mut coded);
        let fault = Decoder::default().decode(&coded, false, &LIMITS, &mut Block::default());
        assert_eq!(fault, Err(HpackFault::TooLarge), "{start}");
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    let pseudo = RequestPseudo {
        method: b"CONNECT",
        scheme: b"https",
        authority: b"a.example",
        path: [b"/chat", b"?", b"x=1"],
        protocol: Some(b"websocket"),
    };
    encoder.request(&pseudo, &mut coded);
    encoder.field(b"Content-Type", b"text/html", Indexing::Allowed, &mut coded);
    encoder.field(b"X-Mixed-Case", &[b'v'; 300], Indexing::Never, &mut coded);
    let lines = decoded(&mut Decoder::default(), &[&coded]);
    let expected = format!(
        ":method: CONNECT\r\n:scheme: https\r\n:authority: a.example\r\n:path: /chat?x=1\r\n\
         :protocol: websocket\r\ncontent-type: text/html\r\nx-mixed-case: {}\r\n\r\n",
        "v".repeat(300)
    );
    assert_eq!(lines, Ok(expected));
    for (method, scheme, path) in [("GET", "http", "/"), ("POST", "https", "/index.html")] {
        let mut coded = Vec::new();
        let pseudo = RequestPseudo {
            method: method.as_bytes(),
            scheme: scheme.as_bytes(),
            authority: b"",
            path: [path.as_bytes(), b"", b""],
            protocol: None,
        };
        encoder.request(&pseudo, &mut coded);
        assert_eq!(coded.len(), 5);
        let lines = decoded(&mut Decoder::default(), &[&coded]);
        let expected = format!(
            ":method: {method}\r\n:scheme: {scheme}\r\n:authority: \r\n:path: {path}\r\n\r\n"
        );
        assert_eq!(lines, Ok(expected));
    }
    for status in 100..=599_u16 {
        let mut coded = Vec::new();
        encoder.status(status, &mut coded);
        let lines = decoded(&mut Decoder::default(), &[&coded]);
        assert_eq!(lines, Ok(format!(":status: {status}\r\n\r\n")));
        assert_eq!(coded.len() == 1, [200, 204, 206, 304, 400, 404, 500].contains(&status));
    }
}

#[test]
fn a_smaller_table_of_the_peer_is_confirmed_once() {
    let mut encoder = Encoder::default();
    let mut begun = |limits: &[u32]| {
        limits.iter().for_each(|limit| encoder.set_size_limit(*limit));
        let mut out = Vec::new();
        encoder.begin(&mut out);
        out
    };
    assert!(begun(&[]).is_empty());
    assert!(begun(&[8192, 4096]).is_empty());
    assert_eq!(begun(&[100, 4096]), [0x3f, 0x45]);
    assert!(begun(&[]).is_empty());
    assert!(begun(&[4096, 100]).is_empty());
    assert_eq!(begun(&[0]), [0x20]);
    assert!(begun(&[u32::MAX]).is_empty());
}

/// One representation of a block, as an encoder other than limpet's may choose it.
#[derive(Debug, Clone)]
enum Chosen {
    /// Of the entries that there are, the one at this index, modulo their count.
    Indexed(usize),
    Literal {
        first: u8,
        mask: u8,
        name: Result<usize, Vec<u8>>,
        value: Vec<u8>,
        coded: (bool, bool),
    },
}

fn chosen() -> impl Strategy<Value = Chosen> {
    let text = || proptest::collection::vec(32..127_u8, 0..60);
    let kinds = prop_oneof![Just((0x40, 0x3f)), Just((0x00, 0x0f)), Just((0x10, 0x0f))];
    let name = prop_oneof![(0_usize..200).prop_map(Ok), text().prop_map(Err)];
    prop_oneof![
        (0_usize..200).prop_map(Chosen::Indexed),
        (kinds, name, text(), any::<(bool, bool)>()).prop_map(
            |((first, mask), name, value, coded)| Chosen::Literal {
                first,
                mask,
                name,
                value,
                coded
            }
        ),
    ]
}

/// The table that both sides share, the newest entry first.
#[derive(Default)]
struct Shared {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    size_max: usize,
}

impl Shared {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.entries.insert(0, (name.to_vec(), value.to_vec()));
        self.evict();
    }

    fn evict(&mut self) {
        let size = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 32;
        while self.entries.iter().map(size).sum::<usize>() > self.size_max {
            self.entries.pop();
        }
    }

    /// An entry by its index, modulo their count, with that index.
    fn entry(&self, index: usize) -> (usize, Vec<u8>, Vec<u8>) {
        let statics = static_table::COUNT as usize;
        let index = index % (statics + self.entries.len()) + 1;
        match index.checked_sub(statics + 1) {
            Some(at) => (index, self.entries[at].0.clone(), self.entries[at].1.clone()),
            None => {
                let entry = static_table::entry(index as u32).expect("an entry");
                let value = &entry.bytes[entry.name().len() + 2..entry.bytes.len() - 2];
                (index, entry.name().to_vec(), value.to_vec())
            }
        }
    }

    /// Encodes a representation; returns the line that it stands for.
    fn encode(&mut self, chosen: &Chosen, out: &mut Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        match chosen {
            Chosen::Indexed(index) => {
                let (index, name, value) = self.entry(*index);
                integer::write(0x80, 0x7f, index, out);
                (name, value)
            }
            Chosen::Literal { first, mask, name, value, coded } => {
                let name = match name {
                    Ok(index) => {
                        let (index, name, _) = self.entry(*index);
                        integer::write(*first, *mask, index, out);
                        name
                    }
                    Err(name) => {
                        out.push(*first);
                        write_text(name, coded.0, out);
                        name.clone()
                    }
                };
                write_text(value, coded.1, out);
                if *first == 0x40 {
                    self.add(&name, value);
                }
                (name, value.clone())
            }
        }
    }
}

fn write_text(text: &[u8], coded: bool, out: &mut Vec<u8>) {
    match coded {
        true => {
            integer::write(0x80, 0x7f, huffman::coded_bytes(text), out);
            huffman::encode(text, out);
        }
        false => {
            integer::write(0, 0x7f, text.len(), out);
            out.extend_from_slice(text);
        }
    }
}

/// The head of these lines as a block has it: Cookie joined and last.
fn head_of(lines: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (cookies, others): (Vec<_>, Vec<_>) = lines.iter().partition(|(name, _)| name == b"cookie");
    let mut head = Vec::new();
    for (name, value) in others {
        head.extend_from_slice(&[&name[..], b": ", value, b"\r\n"].concat());
    }
    if !cookies.is_empty() {
        let crumbs: Vec<&[u8]> = cookies.iter().map(|(_, value)| &value[..]).collect();
        head.extend_from_slice(&[b"cookie: ", &crumbs.join(&b"; "[..])[..], b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    head
}

proptest! {
    #[test]
    fn blocks_of_any_encoder_are_decoded_at_any_cut(
        blocks in proptest::collection::vec(
            (proptest::option::of(0_usize..600), proptest::collection::vec(chosen(), 0..30)),
            1..6,
        ),
        cut in 1_usize..50,
    ) {
        let mut decoder = Decoder::default();
        let mut shared = Shared { size_max: 4096, ..Shared::default() };
        for (size, representations) in blocks {
            let mut coded = Vec::new();
            if let Some(size) = size {
                integer::write(0x20, 0x1f, size, &mut coded);
                shared.size_max = size;
                shared.evict();
            }
            let lines: Vec<_> =
                representations.iter().map(|chosen| shared.encode(chosen, &mut coded)).collect();
            let mut block = Block::default();
            for fragment in coded.chunks(cut) {
                prop_assert_eq!(decoder.decode(fragment, false, &LIMITS, &mut block), Ok(()));
            }
            prop_assert_eq!(decoder.decode(&[], true, &LIMITS, &mut block), Ok(()));
            prop_assert_eq!(block.raw(), head_of(&lines));
        }
    }

    #[test]
    fn any_bytes_are_decoded_alike_at_any_cut(
        coded in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 1_usize..50,
    ) {
        let run = |fragments: &mut dyn Iterator<Item = &[u8]>| {
            let (mut decoder, mut block) = (Decoder::default(), Block::default());
            for fragment in fragments {
                decoder.decode(fragment, false, &LIMITS, &mut block)?;
            }
            decoder.decode(&[], true, &LIMITS, &mut block)?;
            Ok::<_, HpackFault>(block.raw().to_vec())
        };
        prop_assert_eq!(run(&mut coded.chunks(cut)), run(&mut std::iter::once(&coded[..])));
    }
}
