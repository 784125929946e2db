//! Any bytes as chunked content: no panic; every way to cut it says the same; what was decoded and
//! written anew decodes to the same. The first byte chooses the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet::http::refusal::ChunkFault;
use limpet::http1::chunked::{Decoder, SIZE_LINE_BYTES_MAX, write_end, write_size};

type Outcome = Result<(Vec<u8>, Vec<u8>, usize, bool), ChunkFault>;

fn decode<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = Decoder::default();
    let (mut content, mut consumed, mut end) = (Vec::new(), 0, false);
    for piece in pieces {
        let mut buf = piece.to_vec();
        let decoded = decoder.decode_in_place(&mut buf)?;
        assert!(decoded.content <= decoded.consumed && decoded.consumed <= buf.len());
        assert!(decoded.end || decoded.consumed == buf.len());
        content.extend_from_slice(&buf[..decoded.content]);
        consumed += decoded.consumed;
        end = decoded.end;
    }
    Ok((content, decoder.trailers().to_vec(), consumed, end))
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, message)) = data.split_first() else { return };
    let whole = decode(std::iter::once(message));
    let size = usize::from(*cut).max(1);
    assert_eq!(decode(message.chunks(size)), whole);
    let Ok((content, trailers, _, true)) = whole else { return };
    let mut written = Vec::new();
    for chunk in content.chunks(size) {
        let mut room = [0; SIZE_LINE_BYTES_MAX];
        let used = write_size(chunk.len(), &mut room);
        written.extend_from_slice(&room[SIZE_LINE_BYTES_MAX - used..]);
        written.extend_from_slice(chunk);
        written.extend_from_slice(b"\r\n");
    }
    write_end(&trailers, &mut written);
    let length = written.len();
    assert_eq!(decode(std::iter::once(written.as_slice())), Ok((content, trailers, length, true)));
});
