//! Why a head or a content is refused: small `Copy` enums with total mappings to status and log code.

/// Why a request is refused before anything is forwarded. One variant per cause (the target-module author adds the rest).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    BadRequestLine,
}
impl Refusal {
    pub fn status(self) -> u16 {
        todo!()
    }
    /// Stable snake_case word for the log and the counters.
    pub fn code(self) -> &'static str {
        todo!()
    }
}

/// Why a target's response head is invalid (answered 502).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
    BadStatusLine,
}
impl ResponseFault {
    pub fn code(self) -> &'static str {
        todo!()
    }
}

/// Why chunked content is invalid (400 from a client, 502 or an aborted connection from a target).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFault {
    SizeEmpty,
}
impl ChunkFault {
    pub fn code(self) -> &'static str {
        todo!()
    }
}
