//! A request as HTTP/2 carries it: fields that its encoder knows after the first time, and content that waits for
//! windows.
//!
//! Owns: the fields and the content of one kind of request. Never: the connection's state, which the encoder has.
//! Tested below.

use std::sync::Arc;

use super::asked::digits;
use super::options::Options;
use super::scenario::Request;
use crate::http2::encoder::{Encoder, Keep};

/// What stands before a message of gRPC: not compressed, and its length.
const MESSAGE_HEAD_BYTES: usize = 5;

/// Fields that belong to a connection of HTTP/1.1 (RFC 9113 §8.2.2), or that are written otherwise.
const NOT_SENT: [&str; 6] =
    ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

#[derive(Debug)]
struct Field {
    /// In small letters.
    name: Box<[u8]>,
    value: Box<[u8]>,
}

/// One kind of request.
#[derive(Debug)]
pub struct Coded {
    /// Pseudo-fields first.
    fields: Vec<Field>,
    /// The request's id goes with it.
    has_echo: bool,
    pub content: Arc<[u8]>,
}

impl Coded {
    pub fn new(request: &Request, host: &str, options: &Options) -> Coded {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let mut fields = Vec::new();
        let mut field = |name: &str, value: &str| {
            let name = name.to_ascii_lowercase();
            if !NOT_SENT.contains(&name.as_str()) {
                let value = value.trim().as_bytes().into();
                fields.push(Field { name: name.as_bytes().into(), value });
            }
        };
        field(":method", request.method());
        field(":scheme", scheme);
        field(":authority", host);
        field(":path", &request.path);
        for line in options.header.iter().filter_map(|line| line.split_once(':')) {
            field(line.0, line.1);
        }
        for (name, value) in &request.headers {
            field(name, value);
        }
        let mut content: Vec<u8> = (b'a'..=b'z').cycle().take(request.upload).collect();
        if options.grpc {
            field("content-type", "application/grpc");
            field("te", "trailers");
            content = [&message_head(content.len())[..], &content].concat();
        } else if !request.chunked
            && (request.upload > 0 || matches!(request.method(), "POST" | "PUT" | "PATCH"))
        {
            field("content-length", &request.upload.to_string());
        }
        Coded { fields, has_echo: options.check, content: content.into() }
    }

    /// Writes the request's head as a block behind what is in `out`.
    pub fn write(&self, id: u64, cookies: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
        encoder.begin(out);
        for Field { name, value } in &self.fields {
            encoder.field(name, value, Keep::Yes, out);
        }
        if self.has_echo {
            encoder.field(b"x-echo", &digits(id), Keep::No, out);
        }
        if !cookies.is_empty() {
            encoder.field(b"cookie", cookies, Keep::Yes, out);
        }
    }
}

/// What stands before a message of so many bytes.
pub fn message_head(size: usize) -> [u8; MESSAGE_HEAD_BYTES] {
    let [a, b, c, d] = (size as u32).to_be_bytes();
    [0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;
    use crate::command_line;
    use crate::http2::wire::{Event, Terms, Wire};
    use crate::http2::{Fields, frame};

    /// The fields of a request that is written so often, and the bytes of the last block.
    fn written(arguments: &[&str], times: usize) -> (String, usize, Vec<u8>) {
        let arguments = [&["--address", "127.0.0.1:80", "--http2"], arguments].concat();
        let plan = Plan::new(&command_line::options(&arguments).unwrap()).unwrap();
        let coded = plan.shapes[0].coded.as_ref().unwrap();
        let (mut wire, mut encoder) = (Wire::new(Terms::SERVER), Encoder::new());
        let mut bytes = frame::PREFACE.to_vec();
        frame::write_settings(&[], &mut bytes);
        let mut block = Vec::new();
        for stream in 0..times {
            block.clear();
            coded.write(0xabc, b"s=1", &mut encoder, &mut block);
            frame::write_head(2 * stream as u32 + 1, true, &block, &mut bytes);
        }
        let (mut input, mut told) = (&bytes[..], String::new());
        while let Some(event) = wire.next(&mut input, &mut Vec::new()).unwrap() {
            if matches!(event, Event::Head { .. }) {
                told = tell(&wire.fields);
            }
        }
        (told, block.len(), coded.content.to_vec())
    }

    fn tell(fields: &Fields) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.iter().map(|(name, value)| format!("{}={};", text(name), text(value))).collect()
    }

    #[test]
    fn requests_are_written_as_asked_and_shorter_from_the_second_on() {
        let arguments = ["--path", "/x?y", "--host", "h", "--header", "Accept: b", "--check"];
        let told = ":method=GET;:scheme=http;:authority=h;:path=/x?y;accept=b;\
                    x-echo=0000000000000abc;cookie=s=1;";
        let first = written(&arguments, 1);
        assert_eq!(first.0, told);
        let second = written(&arguments, 2);
        assert_eq!(second.0, told);
        // One byte for each field but the id.
        assert_eq!(second.1, 6 + 1 + 7 + 17);
        assert!(first.1 > second.1);
    }

    #[test]
    fn content_has_its_length_or_is_a_message() {
        let (told, _, content) = written(&["--method", "PUT", "--body-size", "3"], 1);
        assert!(told.contains("content-length=3;"), "{told}");
        assert_eq!(content, b"abc");
        let (told, _, content) = written(&["--grpc", "--body-size", "3"], 1);
        assert!(told.starts_with(":method=POST;") && !told.contains("content-length"), "{told}");
        assert!(told.contains("content-type=application/grpc;te=trailers;"), "{told}");
        assert_eq!(content, b"\0\0\0\0\x03abc");
    }
}
