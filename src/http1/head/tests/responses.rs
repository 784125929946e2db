//! Response heads: every fault, and valid heads.

use crate::http1::head::tests::*;

/// Parses a response whole, cut everywhere and with trailing data.
fn response<R>(
    head: &[u8],
    method: Method,
    check: impl Fn(&ResponseHead<'_, '_>, &OnWire) -> R,
) -> Result<R, ResponseFault> {
    let mut longer = head.to_vec();
    longer.extend_from_slice(b"\0\r\ncontent");
    let mut fields = Fields::new();
    let whole = match parse_response(&longer, &LIMITS, method, &mut fields) {
        Ok(Parsed::Complete((parsed, _))) => {
            assert_eq!(parsed.raw, head);
            true
        }
        _ => false,
    };
    let mut fields = Fields::new();
    for end in 0..head.len() {
        let cut = parse_response(&head[..end], &LIMITS, method, &mut fields);
        let partial = cut.as_ref().is_ok_and(is_partial);
        assert!(if whole { partial } else { partial || cut.is_err() }, "cut at {end}");
    }
    match parse_response(head, &LIMITS, method, &mut fields)? {
        Parsed::Complete((head, on_wire)) => Ok(check(&head, &on_wire)),
        Parsed::Partial => panic!("partial: {:?}", String::from_utf8_lossy(head)),
    }
}

#[test]
fn invalid_responses_are_faults() {
    use ResponseFault::*;
    let cases: &[(&str, ResponseFault)] = &[
        ("HTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
        ("ICY 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/11.1 200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.7\t200 OK\r\n\r\n", BadStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 20 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 2000 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 099 OK\r\n\r\n", BadStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", BadStatus),
        ("HTTP/1.7 2x0 OK\r\n\r\n", BadStatus),
        ("HTTP/2.0 200 OK\r\n\r\n", VersionNotSupported),
        ("HTTP/0.9 200 OK\r\n\r\n", VersionNotSupported),
        ("HTTP/1.1 200 OK\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\rX\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nX: 1\nY: 2\r\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\r\nX: 1\rY\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nX: 1\0\r\n\r\n", BadFieldValue),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", ObsFold),
        ("HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", SpaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nX\r\n\r\n", BadFieldName),
        ("HTTP/1.1 200 OK\r\n: 1\r\n\r\n", BadFieldName),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            ContentLengthRepeated,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", ContentLengthInvalid),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", ContentLengthOverflow),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            ContentLengthAndTransferEncoding,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", TransferEncodingInvalid),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHttp10),
    ];
    for (head, expected) in cases {
        let found = response(head.as_bytes(), Method::Get, |_, _| ());
        assert_eq!(found, Err(*expected), "{head:?}");
    }
}

#[test]
fn responses_are_read_with_framing_and_persistence() {
    use ResponseFraming::*;
    let cases: &[(&str, Method, u16, &str, ResponseFraming, bool)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Get, 200, "OK", Length(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, 200, "OK", None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, 200, "OK", UntilClose, false),
        (
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
            Method::Get,
            200,
            "",
            Chunked,
            true,
        ),
        ("HTTP/1.1 204\r\n\r\n", Method::Get, 204, "", None, true),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Method::Get,
            304,
            "Not Modified",
            None,
            true,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Post, 100, "Continue", None, true),
        ("HTTP/1.3 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, 200, "OK", Length(0), true),
        ("HTTP/1.3 599\r\nContent-Length: 0\r\n\r\n", Method::Get, 599, "", Length(0), true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Method::Get, 200, "OK", Length(0), false),
        (
            "HTTP/1.0 200  OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            Method::Get,
            200,
            " OK",
            Length(0),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Method::Get,
            200,
            "OK",
            Length(0),
            false,
        ),
    ];
    for (head, method, status, reason, framing, persistent) in cases {
        let found = response(head.as_bytes(), *method, |parsed, on_wire| {
            assert_eq!(parsed.reason, reason.as_bytes(), "{head:?}");
            assert_eq!(parsed.content, framing.content(), "{head:?}");
            (parsed.status, on_wire.framing, on_wire.persistent)
        });
        assert_eq!(found, Ok((*status, *framing, *persistent)), "{head:?}");
    }
    let latin =
        response(b"HTTP/1.1 200 Tr\xe8s bien\r\n\r\n", Method::Get, |head, _| head.reason.to_vec());
    assert_eq!(latin, Ok(b"Tr\xe8s bien".to_vec()));
}

#[test]
fn responses_tell_of_their_connection_and_cache() {
    let head = b"HTTP/1.1 101 x\r\nConnection: upgrade, x-a\r\nUpgrade: websocket\r\nX-A: 1\r\n\
                 Keep-Alive: max=5, Timeout=17\r\ncache-control: no-store\r\n\r\n";
    let found = response(head, Method::Get, |head, on_wire| {
        let dropped = head.fields.iter().filter(|field| field.drop).count();
        (head.upgrade, on_wire.keep_alive_s, head.has_cache_control, dropped)
    });
    assert_eq!(found, Ok((true, Some(17), true, 4)));
    let plain = response(
        b"HTTP/1.1 101 x\r\nUpgrade: a\r\nKeep-Alive: timeout=x\r\n\r\n",
        Method::Get,
        |head, on_wire| (head.upgrade, on_wire.keep_alive_s, head.has_cache_control),
    );
    assert_eq!(plain, Ok((false, None, false)));
}

#[test]
fn a_response_head_beyond_its_limits_is_a_fault_before_its_end() {
    let cases: [(String, ResponseFault); 4] = [
        (format!("HTTP/1.1 200 {}", "x".repeat(20)), ResponseFault::FieldLineTooLong),
        (format!("HTTP/1.1 200\r\nX: {}", "x".repeat(22)), ResponseFault::FieldLineTooLong),
        ("HTTP/1.1 200\r\nA:1\r\nB:1\r\nC:1\r\nD".to_owned(), ResponseFault::TooManyFields),
        (
            format!("HTTP/1.1 200 {0}\r\nX: {0}\r\nX: {0}\r\nX: {0}", "x".repeat(19)),
            ResponseFault::HeadTooLong,
        ),
    ];
    for (start, expected) in &cases {
        let mut fields = Fields::new();
        let found = parse_response(start.as_bytes(), &SMALL, Method::Get, &mut fields).err();
        assert_eq!(found, Some(*expected), "{start:?}");
    }
}
