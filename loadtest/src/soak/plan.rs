//! What the next request is: drawn at random, so that neighbours on a connection differ in everything
//! that could be confused.
//!
//! Owns: the mix. Tested below.

use rand::RngExt as _;

use super::Options;
use crate::pattern::{Id, id};

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Get,
    Head,
    /// POST with Content-Length.
    Post,
    /// POST in chunks.
    Chunked,
}

impl Kind {
    pub fn method(self) -> &'static str {
        match self {
            Kind::Get => "GET",
            Kind::Head => "HEAD",
            Kind::Post | Kind::Chunked => "POST",
        }
    }

    pub fn has_content(self) -> bool {
        matches!(self, Kind::Post | Kind::Chunked)
    }
}

/// One request and what its response must be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Nobody could guess it, so nobody but this request's target can echo it.
    pub id: Id,
    pub kind: Kind,
    pub upload_size: usize,
    pub response_size: usize,
    pub response_chunked: bool,
    /// Which user; `None` without sessions.
    pub session: Option<usize>,
}

/// Draws the next request.
pub fn draw(options: &Options) -> Plan {
    let mut random = rand::rng();
    let kind = options.kinds[random.random_range(0..options.kinds.len())];
    let upload = size(random.random(), options.upload_max);
    let sessions = options.sessions;
    Plan {
        id: id(random.random()),
        kind,
        upload_size: if kind.has_content() { upload } else { 0 },
        response_size: size(random.random(), options.response_max),
        response_chunked: random.random_ratio(1, 4),
        session: (sessions > 0).then(|| random.random_range(0..sessions)),
    }
}

/// A size from 0 to `max`, evenly on a logarithmic scale, from `fraction` in 0..1: as many below
/// 100 bytes as between 100 bytes and 10 000.
fn size(fraction: f64, max: usize) -> usize {
    let scaled = ((max as f64 + 1.0).ln() * fraction).exp() - 1.0;
    // The scale ends at max; rounding down and clamping keep it there.
    (scaled as usize).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_from_nothing_to_the_largest_and_are_mostly_small() {
        assert_eq!(size(0.0, 65_536), 0);
        assert!(size(0.5, 65_536) < 300);
        assert!(size(0.999_999_9, 65_536) > 65_000);
        assert_eq!(size(1.0, 10), 10);
        assert_eq!(size(0.5, 0), 0);
    }
}
