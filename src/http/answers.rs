//! Responses that limpet itself gives: the standard reason phrases and bodies, and those of the file.

/// Body and content type of a status, settable per status in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub content_type: Box<str>,
    pub body: bytes::Bytes,
}

/// Declares phrase and body of each status in one table.
macro_rules! statuses {
    ($($status:literal $reason:literal,)*) => {
        /// The standard reason phrase; empty for a status that has none.
        pub fn reason(status: u16) -> &'static str {
            match status {
                $($status => $reason,)*
                _ => "",
            }
        }

        fn standard_body(status: u16) -> Option<&'static [u8]> {
            match status {
                $($status => Some(concat!($status, " ", $reason, "\n").as_bytes()),)*
                _ => None,
            }
        }
    };
}

// The registry of RFC 9110 §16.2.1, which <https://www.iana.org/assignments/http-status-codes> keeps.
statuses! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    511 "Network Authentication Required",
}

/// The body used where the file sets none: "503 Service Unavailable\n" as text/plain.
pub fn standard(status: u16) -> Answer {
    let body = match standard_body(status) {
        Some(body) => bytes::Bytes::from_static(body),
        None => bytes::Bytes::from(format!("{status}\n")),
    };
    Answer { content_type: "text/plain; charset=utf-8".into(), body }
}
