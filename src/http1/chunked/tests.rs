//! Every message is decoded whole, byte by byte, at every split and with trailing data, and must give the same result
//! each time.

use crate::http1::chunked::*;
use proptest::prelude::*;

/// Content, trailers and the bytes used, or the fault.
type Outcome = Result<(Vec<u8>, Vec<u8>, usize, bool), ChunkFault>;

fn decode(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = Decoder::default();
    let mut content = Vec::new();
    let mut consumed = 0;
    let mut end = false;
    for piece in pieces {
        let mut buf = piece.to_vec();
        let decoded = decoder.decode_in_place(&mut buf)?;
        assert!(decoded.content <= decoded.consumed && decoded.consumed <= buf.len());
        assert!(decoded.end || decoded.consumed == buf.len(), "only an end leaves bytes");
        assert!(!end || (decoded.content, decoded.consumed) == (0, 0), "nothing follows the end");
        content.extend_from_slice(&buf[..decoded.content]);
        consumed += decoded.consumed;
        end = decoded.end;
    }
    Ok((content, decoder.trailers().to_vec(), consumed, end))
}

/// The one outcome of all ways to cut `message`.
fn outcome(message: &[u8]) -> Outcome {
    let whole = decode(&[message]);
    for at in 0..=message.len() {
        let (one, other) = message.split_at(at);
        assert_eq!(
            decode(&[one, other]),
            whole,
            "{:?} cut at {at}",
            String::from_utf8_lossy(message)
        );
    }
    let bytes: Vec<&[u8]> = message.chunks(1).collect();
    assert_eq!(decode(&bytes), whole, "{:?} byte by byte", String::from_utf8_lossy(message));
    whole
}

fn passes(message: &str, content: &str, trailers: &str) {
    for trailing in ["", "\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\n", "x"] {
        let text = format!("{message}{trailing}");
        let expected = (content.into(), trailers.into(), message.len(), true);
        assert_eq!(outcome(text.as_bytes()), Ok(expected), "{text:?}");
    }
    for end in 0..message.len() {
        let cut = decode(&[&message.as_bytes()[..end]]).expect("a part of a valid message");
        assert!(!cut.3, "{message:?} ends when cut at {end}");
    }
}

fn refused(message: &str, fault: ChunkFault) {
    assert_eq!(outcome(message.as_bytes()), Err(fault), "{message:?}");
    let longer = format!("{message}0\r\n\r\n");
    assert_eq!(outcome(longer.as_bytes()), Err(fault), "{message:?} with more behind it");
}

#[test]
fn chunks_are_joined_and_nothing_else_is_left() {
    passes("0\r\n\r\n", "", "");
    passes("5\r\nhello\r\n0\r\n\r\n", "hello", "");
    passes("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world", "");
    passes("A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij", "");
    passes("0000000000000003\r\n\r\n\r\r\n0\r\n\r\n", "\r\n\r", "");
}

#[test]
fn sizes_are_up_to_sixteen_hex_digits_and_nothing_else() {
    use ChunkFault::*;
    let cases: &[(&str, ChunkFault)] = &[
        ("\r\n", SizeEmpty),
        (";a\r\n", SizeEmpty),
        ("-1\r\n", SizeInvalid),
        ("+1\r\n", SizeInvalid),
        ("0x1\r\n", SizeInvalid),
        ("g\r\n", SizeInvalid),
        (" 1\r\n", SizeInvalid),
        ("1 \r\n", SizeInvalid),
        ("1\t\r\n", SizeInvalid),
        ("1 x\r\n", SizeInvalid),
        ("1 1\r\n", SizeInvalid),
        ("1 \n", BareLf),
        (" ;a\r\n", SizeInvalid),
        ("1_0\r\n", SizeInvalid),
        ("1\0\r\n", SizeInvalid),
        ("00000000000000001\r\n", SizeOverflow),
        ("fffffffffffffffff\r\n", SizeOverflow),
        ("1\n", BareLf),
        ("\n", BareLf),
        ("1\rx", BareCr),
        ("1\r\r\n", BareCr),
        ("5\r\nhello\n", BareLf),
        ("5\r\nhello\rx", BareCr),
        ("5\r\nhello!", ContentOverrun),
        ("5\r\nhello0\r\n\r\n", ContentOverrun),
    ];
    for (message, fault) in cases {
        refused(message, *fault);
    }
    let largest = decode(&[b"ffffffffffffffff\r\nabc"]).expect("the largest size is one");
    assert_eq!((largest.0.as_slice(), largest.3), (&b"abc"[..], false));
}

#[test]
fn extensions_are_read_and_forgotten() {
    passes("1;a\r\nx\r\n0;b=c\r\n\r\n", "x", "");
    passes("1;a=\"q;\\\"\t\u{e9}\";b\r\nx\r\n0\r\n\r\n", "x", "");
    passes("1;a;b;c=d\r\nx\r\n0\r\n\r\n", "x", "");
    use ChunkFault::*;
    let cases: &[(&str, ChunkFault)] = &[
        ("1;\r\n", ExtensionInvalid),
        ("1;a;\r\n", ExtensionInvalid),
        ("1;a=\r\n", ExtensionInvalid),
        ("1;=b\r\n", ExtensionInvalid),
        ("1; \r\n", ExtensionInvalid),
        ("1;a \r\n", ExtensionInvalid),
        ("1;a=b\t\r\n", ExtensionInvalid),
        ("1;a=\"b\" \r\n", ExtensionInvalid),
        ("1;a= \r\n", ExtensionInvalid),
        ("1;a = ;b\r\n", ExtensionInvalid),
        ("1;a=b c\r\n", ExtensionInvalid),
        ("1;a=b =c\r\n", ExtensionInvalid),
        ("1;a b\r\n", ExtensionInvalid),
        ("1;a=\"b\r\n", ExtensionInvalid),
        ("1;a=\"b\"c\r\n", ExtensionInvalid),
        ("1;a=\"b\\\r\n", ExtensionInvalid),
        ("1;a=\"\u{1}\"\r\n", ExtensionInvalid),
        ("1;a\0\r\n", ExtensionInvalid),
        ("1;a\n", BareLf),
        ("1;a=\"b\n", BareLf),
        ("1;a\rx", BareCr),
    ];
    for (message, fault) in cases {
        refused(message, *fault);
    }
}

#[test]
fn white_space_around_the_parts_of_an_extension_is_parsed() {
    for line in
        ["1 ;a", "1\t;a", "1; a", "1 \t ; \t a", "1;a =b", "1;a= b", "1 ; a\t=\t\"b\" ; c = d ;e"]
    {
        passes(&format!("{line}\r\nx\r\n0 ; z\r\n\r\n"), "x", "");
    }
    passes(&format!("1{};a\r\nx\r\n0\r\n\r\n", " ".repeat(254)), "x", "");
    refused(&format!("1{};a\r\n", " ".repeat(255)), ChunkFault::ExtensionTooLong);
    refused(&format!("1{}", " ".repeat(257)), ChunkFault::ExtensionTooLong);
}

#[test]
fn padding_behind_a_size_is_taken_in_responses_alone() {
    let of_response = |message: &str| {
        let mut decoder = Decoder::of_response();
        let mut buf = message.as_bytes().to_vec();
        let decoded = decoder.decode_in_place(&mut buf)?;
        Ok((buf[..decoded.content].to_vec(), decoded.end))
    };
    for line in ["1 ", "1     ", "1\t", "0001 \t"] {
        let message = format!("{line}\r\nx\r\n0  \r\n\r\n");
        assert_eq!(of_response(&message), Ok((b"x".to_vec(), true)), "{line:?}");
        refused(&format!("{line}\r\n"), ChunkFault::SizeInvalid);
    }
    for (message, fault) in [
        (" 1\r\n".to_owned(), ChunkFault::SizeInvalid),
        ("1 x\r\n".to_owned(), ChunkFault::SizeInvalid),
        ("1 \n".to_owned(), ChunkFault::BareLf),
        (" \r\n".to_owned(), ChunkFault::SizeInvalid),
        ("1;a \r\n".to_owned(), ChunkFault::ExtensionInvalid),
        (format!("1{}\r\n", " ".repeat(257)), ChunkFault::ExtensionTooLong),
    ] {
        assert_eq!(of_response(&message), Err(fault), "{message:?}");
    }
}

#[test]
fn extensions_have_a_limit_per_chunk_and_per_message() {
    let chunk = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes - 1));
    passes(&format!("{}0\r\n\r\n", chunk(256)), "x", "");
    refused(&chunk(257), ChunkFault::ExtensionTooLong);
    let many = chunk(256).repeat(64);
    assert_eq!(decode(&[many.as_bytes()]).map(|found| found.0.len()), Ok(64));
    let one_more = format!("{many}1;a\r\n");
    assert_eq!(decode(&[one_more.as_bytes()]), Err(ChunkFault::ExtensionTooLong));
}

#[test]
fn trailers_are_kept_line_by_line() {
    passes("0\r\nX-Sum: 1\r\n\r\n", "", "X-Sum: 1\r\n");
    passes("1\r\na\r\n0\r\nA:\r\nb: \u{e9}\t\r\n\r\n", "a", "A:\r\nb: \u{e9}\t\r\n");
    passes("0\r\ncontent-digest: sha-256=:x:\r\n\r\n", "", "content-digest: sha-256=:x:\r\n");
    use ChunkFault::*;
    let cases: &[(&str, ChunkFault)] = &[
        ("0\r\nX: 1\n", BareLf),
        ("0\r\n\n", BareLf),
        ("0\r\nX: 1\rY: 2\r\n", BareCr),
        ("0\r\nX: 1\r\r\n", BareCr),
        ("0\r\nX\r\n", TrailerInvalid),
        ("0\r\n: 1\r\n", TrailerInvalid),
        ("0\r\nX : 1\r\n", TrailerInvalid),
        ("0\r\nX: 1\r\n folded\r\n", TrailerInvalid),
        ("0\r\nX: \0\r\n", TrailerInvalid),
        ("0\r\nX\u{1}: 1\r\n", TrailerInvalid),
    ];
    for (message, fault) in cases {
        refused(message, *fault);
    }
}

#[test]
fn fields_that_steer_the_message_are_refused_as_trailers() {
    for name in [
        "Transfer-Encoding",
        "Content-Length",
        "content_length",
        "Host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Content-Anything",
        "TE",
        "Trailer",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "Expect",
        "Via",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Forwarded-Anything",
        "Forwarded",
        "Cache-Control",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Range",
        "If-Match",
        "Location",
        "Traceparent",
    ] {
        refused(&format!("0\r\n{name}: x\r\n"), ChunkFault::TrailerForbidden);
        refused(
            &format!("0\r\n{}: x\r\n", name.to_ascii_lowercase()),
            ChunkFault::TrailerForbidden,
        );
    }
}

#[test]
fn trailers_have_limits() {
    let many = |count: usize| format!("0\r\n{}\r\n", "a: 1\r\n".repeat(count));
    assert!(decode(&[many(64).as_bytes()]).is_ok_and(|found| found.3));
    assert_eq!(decode(&[many(65).as_bytes()]), Err(ChunkFault::TooManyTrailers));
    let long = |bytes: usize| format!("0\r\na:{}\r\n\r\n", "x".repeat(bytes - 6));
    assert!(decode(&[long(16 * 1024).as_bytes()]).is_ok_and(|found| found.3));
    let endless = format!("0\r\na:{}", "x".repeat(16 * 1024));
    assert_eq!(decode(&[endless.as_bytes()]), Err(ChunkFault::TrailersTooLong));
    let bytes: Vec<&[u8]> = endless.as_bytes().chunks(1).collect();
    assert_eq!(decode(&bytes), Err(ChunkFault::TrailersTooLong));
}

#[test]
fn sizes_are_written_in_lower_case_hex_at_the_end_of_the_room() {
    for (length, line) in [
        (0, "0\r\n"),
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0xabcdef, "abcdef\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut room = [b'#'; SIZE_LINE_BYTES_MAX];
        let written = write_size(length, &mut room);
        assert_eq!(&room[SIZE_LINE_BYTES_MAX - written..], line.as_bytes());
        assert!(room[..SIZE_LINE_BYTES_MAX - written].iter().all(|byte| *byte == b'#'));
    }
}

#[test]
fn the_end_is_the_last_chunk_the_trailers_and_an_empty_line() {
    let mut out = b"x".to_vec();
    write_end(b"", &mut out);
    assert_eq!(out, b"x0\r\n\r\n");
    out.clear();
    write_end(b"A: 1\r\n", &mut out);
    assert_eq!(out, b"0\r\nA: 1\r\n\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Canonical encoding is decoded to the same content, however it is cut.
    #[test]
    fn written_chunks_are_read_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut message = Vec::new();
        for chunk in &chunks {
            let mut room = [0; SIZE_LINE_BYTES_MAX];
            let written = write_size(chunk.len(), &mut room);
            message.extend_from_slice(&room[SIZE_LINE_BYTES_MAX - written..]);
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        write_end(b"A: 1\r\n", &mut message);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len())).collect();
        at.extend([0, message.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &message[pair[0]..pair[1]]).collect();
        let expected = (chunks.concat(), b"A: 1\r\n".to_vec(), message.len(), true);
        prop_assert_eq!(decode(&pieces), Ok(expected));
    }
}
