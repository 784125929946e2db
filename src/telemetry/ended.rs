//! Termination: which side ended an exchange, in which phase, and why, in the spirit of HAProxy's codes.
//!
//! The code in the log has one letter for each of the three:
//!
//! | by | | phase | | cause | |
//! |---|---|---|---|---|---|
//! | `-` | nobody: it ended as it should | `R` | request head | `-` | none |
//! | `C` | the client | `B` | request content | `C` | connection closed before the end |
//! | `T` | the target | `Q` | waiting for a place on a target | `R` | connection reset |
//! | `L` | limpet itself | `C` | connecting to a target | `T` | a deadline passed |
//! | | | `H` | response head | `I` | invalid message |
//! | | | `D` | response content | `L` | a limit of the file exceeded |
//! | | | `U` | tunnel (upgrade) | `N` | connect refused or unreachable |
//! | | | `-` | done | `U` | no usable target |
//! | | | | | `H` | TLS handshake failed |
//! | | | | | `F` | queue or target full |
//! | | | | | `A` | answered by a rule (redirect, fixed response) |
//! | | | | | `S` | limpet shutting down |
//! | | | | | `X` | out of memory or descriptors |
//!
//! *By* is the side whose act or omission ended it: a deadline for the target's response head is `THT`, a
//! client that sends an invalid head is `CRI`, a client that goes away during the response is `CDC` or
//! `CDR`, a target that refuses the connection `TCN`, one whose
//! certificate is not accepted `TCH`, a full queue `LQF`, a redirect `L-A`, and a
//! request as it should be `---`. Every combination has a code; letters never change their meaning.
use std::fmt;

/// The side whose act or omission ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum By {
    #[default]
    Nobody,
    Client,
    Target,
    Limpet,
}

/// How far the exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Phase {
    RequestHead,
    RequestContent,
    Queue,
    Connect,
    ResponseHead,
    ResponseContent,
    Tunnel,
    #[default]
    Done,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Cause {
    #[default]
    None,
    Closed,
    Reset,
    Timeout,
    Invalid,
    Limit,
    Refused,
    Unusable,
    Full,
    Rule,
    Shutdown,
    Exhausted,
    Handshake,
}

/// The three together; the default is an exchange that ended as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    pub by: By,
    pub phase: Phase,
    pub cause: Cause,
}

impl By {
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [By; 4] = [By::Nobody, By::Client, By::Target, By::Limpet];

    pub fn letter(self) -> u8 {
        match self {
            By::Nobody => b'-',
            By::Client => b'C',
            By::Target => b'T',
            By::Limpet => b'L',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            By::Nobody => "nobody",
            By::Client => "client",
            By::Target => "target",
            By::Limpet => "limpet",
        }
    }
}

impl Phase {
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Phase; 8] = [
        Phase::RequestHead,
        Phase::RequestContent,
        Phase::Queue,
        Phase::Connect,
        Phase::ResponseHead,
        Phase::ResponseContent,
        Phase::Tunnel,
        Phase::Done,
    ];

    pub fn letter(self) -> u8 {
        match self {
            Phase::RequestHead => b'R',
            Phase::RequestContent => b'B',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::ResponseHead => b'H',
            Phase::ResponseContent => b'D',
            Phase::Tunnel => b'U',
            Phase::Done => b'-',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Phase::RequestHead => "request_head",
            Phase::RequestContent => "request_content",
            Phase::Queue => "queue",
            Phase::Connect => "connect",
            Phase::ResponseHead => "response_head",
            Phase::ResponseContent => "response_content",
            Phase::Tunnel => "tunnel",
            Phase::Done => "done",
        }
    }
}

impl Cause {
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Cause; 13] = [
        Cause::None,
        Cause::Closed,
        Cause::Reset,
        Cause::Timeout,
        Cause::Invalid,
        Cause::Limit,
        Cause::Refused,
        Cause::Unusable,
        Cause::Full,
        Cause::Rule,
        Cause::Shutdown,
        Cause::Exhausted,
        Cause::Handshake,
    ];

    pub fn letter(self) -> u8 {
        match self {
            Cause::None => b'-',
            Cause::Closed => b'C',
            Cause::Reset => b'R',
            Cause::Timeout => b'T',
            Cause::Invalid => b'I',
            Cause::Limit => b'L',
            Cause::Refused => b'N',
            Cause::Unusable => b'U',
            Cause::Full => b'F',
            Cause::Rule => b'A',
            Cause::Shutdown => b'S',
            Cause::Exhausted => b'X',
            Cause::Handshake => b'H',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Cause::None => "none",
            Cause::Closed => "closed",
            Cause::Reset => "reset",
            Cause::Timeout => "timeout",
            Cause::Invalid => "invalid",
            Cause::Limit => "limit",
            Cause::Refused => "refused",
            Cause::Unusable => "unusable",
            Cause::Full => "full",
            Cause::Rule => "rule",
            Cause::Shutdown => "shutdown",
            Cause::Exhausted => "exhausted",
            Cause::Handshake => "handshake",
        }
    }
}

impl Ended {
    /// An exchange that ended as it should.
    pub const NORMAL: Ended = Ended { by: By::Nobody, phase: Phase::Done, cause: Cause::None };

    pub fn new(by: By, phase: Phase, cause: Cause) -> Ended {
        Ended { by, phase, cause }
    }

    /// The three letters of the table above.
    pub fn code(self) -> [u8; 3] {
        [self.by.letter(), self.phase.letter(), self.cause.letter()]
    }

    /// Whether the exchange was cut short: the client went away, or the exchange could not be completed and the
    /// connection was closed in the middle.
    pub fn aborted(self) -> bool {
        match self.phase {
            Phase::ResponseContent | Phase::Tunnel => self.by != By::Nobody,
            Phase::RequestHead
            | Phase::RequestContent
            | Phase::Queue
            | Phase::Connect
            | Phase::ResponseHead
            | Phase::Done => {
                self.by == By::Client && matches!(self.cause, Cause::Closed | Cause::Reset)
            }
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().iter().try_for_each(|&letter| fmt::Write::write_char(f, char::from(letter)))
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::ended::*;
    use std::collections::HashSet;

    #[test]
    fn every_combination_has_a_code_of_its_own() {
        let mut codes = HashSet::new();
        for by in By::ALL {
            for phase in Phase::ALL {
                for cause in Cause::ALL {
                    codes.insert(Ended::new(by, phase, cause).code());
                }
            }
        }
        assert_eq!(codes.len(), By::ALL.len() * Phase::ALL.len() * Cause::ALL.len());
    }

    #[test]
    fn variants_stand_at_their_own_position() {
        assert!(By::ALL.iter().enumerate().all(|(at, by)| *by as usize == at));
        assert!(Phase::ALL.iter().enumerate().all(|(at, phase)| *phase as usize == at));
        assert!(Cause::ALL.iter().enumerate().all(|(at, cause)| *cause as usize == at));
    }

    #[test]
    fn codes_are_those_of_the_documentation() {
        for (by, phase, cause, code, aborted) in [
            (By::Nobody, Phase::Done, Cause::None, "---", false),
            (By::Target, Phase::ResponseHead, Cause::Timeout, "THT", false),
            (By::Client, Phase::RequestHead, Cause::Invalid, "CRI", false),
            (By::Client, Phase::ResponseContent, Cause::Closed, "CDC", true),
            (By::Client, Phase::ResponseHead, Cause::Reset, "CHR", true),
            (By::Target, Phase::Connect, Cause::Refused, "TCN", false),
            (By::Target, Phase::Connect, Cause::Handshake, "TCH", false),
            (By::Target, Phase::ResponseContent, Cause::Reset, "TDR", true),
            (By::Limpet, Phase::Queue, Cause::Full, "LQF", false),
            (By::Limpet, Phase::Done, Cause::Rule, "L-A", false),
            (By::Limpet, Phase::Tunnel, Cause::Shutdown, "LUS", true),
        ] {
            let ended = Ended::new(by, phase, cause);
            assert_eq!(ended.to_string(), code);
            assert_eq!(ended.aborted(), aborted, "{code}");
        }
    }
}
