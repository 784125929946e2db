//! Any bytes as field blocks, one after the other on one connection: no panic; every cut says the same; what was
//! decoded is within its limits, and encoded anew decodes to the same lines. The first byte chooses the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet::http::fields::Fields;
use limpet::http::head::{HeadLimits, Method, Mode};
use limpet::http2::head;
use limpet::http2::hpack::block::{Block, Limits};
use limpet::http2::hpack::decoder::Decoder;
use limpet::http2::hpack::encoder::{Encoder, Indexing};
use limpet::http2::hpack::fault::HpackFault;

const LIST: Limits = Limits { list_bytes: 4096, field_count: 32, list_bytes_max: 16 * 1024 };

const LIMITS: HeadLimits = HeadLimits {
    request_line_bytes: 1024,
    field_line_bytes: 1024,
    head_bytes: 4096,
    field_count: 32,
};

/// Decodes a block in pieces of `cut` bytes.
fn decode(decoder: &mut Decoder, coded: &[u8], cut: usize) -> Result<Block, HpackFault> {
    let mut block = Block::default();
    for fragment in coded.chunks(cut) {
        decoder.decode(fragment, false, &LIST, &mut block)?;
    }
    decoder.decode(&[], true, &LIST, &mut block)?;
    Ok(block)
}

/// Whatever is judged to be valid has a form that cannot be read in two ways.
fn judge(block: &Block, end_stream: bool) {
    let mut fields = Fields::new();
    if let Ok(request) = head::request(block, end_stream, &LIMITS, Mode::Strict, &mut fields) {
        let head = request.head;
        assert!(
            !head.method_name.is_empty() && !head.host.is_empty() && !head.target.raw.is_empty()
        );
        assert!(head.target.raw.iter().all(|byte| (0x21..0x7f).contains(byte)));
    }
    let is_read =
        |bytes: &[u8]| bytes.iter().all(|byte| *byte != 0 && *byte != b'\r' && *byte != b'\n');
    for method in [Method::Get, Method::Head] {
        let mut fields = Fields::new();
        if let Ok(head) = head::response(block, end_stream, &LIMITS, method, &mut fields) {
            assert!(head.fields.iter().all(|field| is_read(field.name) && is_read(field.value)));
        }
    }
    if let Ok(lines) = head::trailers(block, end_stream) {
        assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
    }
}

/// Encodes the field lines of `block` and decodes them again, in lower case as the encoder writes them.
fn again(block: &Block) {
    let encoder = Encoder::default();
    let mut coded = Vec::new();
    for line in block.lines() {
        let (name, value) = block.parts(line);
        let never = line.is_never_indexed();
        let indexing = if never { Indexing::Never } else { Indexing::Allowed };
        encoder.field(name, value, indexing, &mut coded);
    }
    let again = decode(&mut Decoder::default(), &coded, usize::MAX).expect("it was encoded");
    let lines = |block: &Block| -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        let parts = |line| {
            let (name, value) = block.parts(line);
            (name.to_ascii_lowercase(), value.to_vec(), line.is_never_indexed())
        };
        block.lines().iter().map(parts).collect()
    };
    // A name that is a pseudo-field's, or Cookie's, only in lower case goes elsewhere the second time.
    if block.lines().iter().all(|line| line.name_is_valid()) {
        assert_eq!(lines(&again), lines(block));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, blocks)) = data.split_first() else { return };
    let cut = usize::from(first >> 2).max(1);
    let (mut whole, mut in_pieces) = (Decoder::default(), Decoder::default());
    // A byte that short blocks have only in paddings parts them.
    for coded in blocks.split(|byte| *byte == 0xff) {
        let one = decode(&mut whole, coded, usize::MAX);
        let other = decode(&mut in_pieces, coded, cut);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.raw(), other.raw());
                assert_eq!(
                    (one.too_large(), one.pseudo_fault()),
                    (other.too_large(), other.pseudo_fault())
                );
                assert!(one.lines().len() <= LIST.field_count);
                judge(&one, first & 1 != 0);
                again(&one);
            }
            (Err(one), Err(other)) => return assert_eq!(one, other),
            (one, other) => panic!("{one:?} whole, {other:?} in pieces"),
        }
        assert!(whole.capacity_bytes() < 16 * 1024);
        if first & 2 != 0 {
            whole.shrink();
        }
    }
});
