//! How much of what costs limpet more than its peer the peer may do: one budget for each kind of abuse.
//!
//! | what the peer does | how often it may |
//! |---|---|
//! | resets streams within 1 s of opening, or before their response | 100/s, burst 1 000, or half of its last 500 |
//! | opens more streams than it may have | 100/s, burst 1 000 |
//! | has streams reset for its faults | 10/s, burst 100 |
//! | SETTINGS | 1/s, burst 10 |
//! | PING, when nothing else passed since the last one | 10/s, burst 100 |
//! | DATA without content, which ends nothing | 10 in a row |
//! | DATA under 64 bytes, which ends nothing | 10 000, or 1 000 per MiB and 16 for each DATA that limpet sent |
//! | WINDOW_UPDATE | 5, 2 for each stream and 20 for each DATA that limpet sent |
//! | PRIORITY, PRIORITY_UPDATE | 100 for each stream |
//! | frames that mean nothing | 100/s, burst 100 |
//! | leaves control frames of limpet unread | 1 000 |
//!
//! Beyond, the connection ends with ENHANCE_YOUR_CALM. Pure; time is an argument. Tested before and behind each limit,
//! here and through the machine.

use super::fault::Abuse;

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// In thousandths.
    tokens: u32,
    at_ms: u64,
}

/// The numbers of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_s: u32,
    pub burst: u32,
}

const RAPID_RESETS: Rate = Rate { per_s: 100, burst: 1_000 };
const REFUSED_STREAMS: Rate = Rate { per_s: 100, burst: 1_000 };
const PROVOKED_RESETS: Rate = Rate { per_s: 10, burst: 100 };
const SETTINGS: Rate = Rate { per_s: 1, burst: 10 };
const PINGS: Rate = Rate { per_s: 10, burst: 100 };
const UNKNOWN_FRAMES: Rate = Rate { per_s: 100, burst: 100 };

/// A stream that is reset this soon was opened for nothing.
const RAPID_MS: u64 = 1_000;
/// Empty DATA frames in a row.
const EMPTY_DATA_MAX: u8 = 10;
/// A DATA frame with less content is small.
const SMALL_BYTES: u32 = 64;
const SMALL_DATA_MIN: u64 = 10_000;
const SMALL_DATA_PER_MIB: u64 = 1_000;
/// Small frames that each frame of DATA allows which limpet has sent: they are a conversation.
const SMALL_DATA_PER_SENT: u64 = 16;
const PRIORITIES_PER_STREAM: u64 = 100;
/// Most control frames that wait to be sent.
const CONTROL_MAX: u32 = 1_000;

impl Bucket {
    fn full(rate: Rate, now_ms: u64) -> Bucket {
        Bucket { tokens: rate.burst.saturating_mul(1_000), at_ms: now_ms }
    }

    /// Takes one token; whether there was one.
    fn take(&mut self, rate: Rate, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = now_ms;
        let more = elapsed_ms.saturating_mul(u64::from(rate.per_s));
        let full = u64::from(rate.burst).saturating_mul(1_000);
        let tokens = u64::from(self.tokens).saturating_add(more).min(full) as u32;
        let left = tokens.checked_sub(1_000);
        self.tokens = left.unwrap_or(tokens);
        left.is_some()
    }
}

/// Which of the last streams were reset by the client soon after they had been opened.
#[derive(Debug)]
struct Latest {
    bits: [u64; 8],
    at: u16,
    count: u16,
    rapid_count: u16,
}

/// The streams that are looked at.
const LATEST: u16 = 500;

impl Latest {
    #[inline]
    fn note(&mut self, is_rapid: bool) {
        let (word, bit) = (usize::from(self.at / 64), 1_u64 << (self.at % 64));
        if let Some(word) = self.bits.get_mut(word) {
            self.rapid_count -= u16::from(*word & bit != 0);
            *word = if is_rapid { *word | bit } else { *word & !bit };
        }
        self.rapid_count += u16::from(is_rapid);
        self.at = if self.at + 1 == LATEST { 0 } else { self.at + 1 };
        self.count = (self.count + 1).min(LATEST);
    }

    fn are_mostly_rapid(&self) -> bool {
        self.rapid_count > self.count / 2
    }
}

/// All budgets of one connection.
#[derive(Debug)]
pub struct Budgets {
    rapid_resets: Bucket,
    latest: Latest,
    refused_streams: Bucket,
    provoked_resets: Bucket,
    settings: Bucket,
    pings: Bucket,
    unknown_frames: Bucket,
    /// DATA, HEADERS or WINDOW_UPDATE has passed since the last PING.
    pub is_busy: bool,
    empty_data: u8,
    small_data: u64,
    window_updates: u64,
    priorities: u64,
}

impl Budgets {
    pub fn new(now_ms: u64) -> Budgets {
        Budgets {
            rapid_resets: Bucket::full(RAPID_RESETS, now_ms),
            latest: Latest { bits: [0; 8], at: 0, count: 0, rapid_count: 0 },
            refused_streams: Bucket::full(REFUSED_STREAMS, now_ms),
            provoked_resets: Bucket::full(PROVOKED_RESETS, now_ms),
            settings: Bucket::full(SETTINGS, now_ms),
            pings: Bucket::full(PINGS, now_ms),
            unknown_frames: Bucket::full(UNKNOWN_FRAMES, now_ms),
            is_busy: false,
            empty_data: 0,
            small_data: 0,
            window_updates: 0,
            priorities: 0,
        }
    }

    /// The client has reset a stream; whether that was soon after `opened_ms`, or before its response.
    ///
    /// # Errors
    /// It has done so too often, and with most of its streams.
    pub fn reset(&mut self, opened_ms: u64, has_response: bool, now_ms: u64) -> Result<(), Abuse> {
        let is_rapid = !has_response || now_ms.saturating_sub(opened_ms) < RAPID_MS;
        self.latest.note(is_rapid);
        let is_beyond = is_rapid && !self.rapid_resets.take(RAPID_RESETS, now_ms);
        within(!is_beyond || !self.latest.are_mostly_rapid(), Abuse::RapidResets)
    }

    /// A stream has ended that the client has not reset.
    #[inline]
    pub fn ended(&mut self) {
        self.latest.note(false);
    }

    /// The client has opened a stream while it had all that it may have. One that gives up many may believe that their
    /// places are free again, so that this is no fault by itself.
    pub fn refused_stream(&mut self, now_ms: u64) -> Result<(), Abuse> {
        within(self.refused_streams.take(REFUSED_STREAMS, now_ms), Abuse::RefusedStreams)
    }

    /// limpet has reset a stream for a fault of the client.
    pub fn provoked_reset(&mut self, now_ms: u64) -> Result<(), Abuse> {
        let is_within = self.provoked_resets.take(PROVOKED_RESETS, now_ms);
        within(is_within, Abuse::ProvokedResets)
    }

    pub fn settings(&mut self, now_ms: u64) -> Result<(), Abuse> {
        within(self.settings.take(SETTINGS, now_ms), Abuse::Settings)
    }

    /// gRPC measures its bandwidth by PING while content flows: then none is counted.
    pub fn ping(&mut self, now_ms: u64) -> Result<(), Abuse> {
        let is_busy = std::mem::replace(&mut self.is_busy, false);
        within(is_busy || self.pings.take(PINGS, now_ms), Abuse::Pings)
    }

    pub fn unknown_frame(&mut self, now_ms: u64) -> Result<(), Abuse> {
        within(self.unknown_frames.take(UNKNOWN_FRAMES, now_ms), Abuse::UnknownFrames)
    }

    /// DATA of `content_bytes`. `received_bytes`: of all DATA so far; `sent_frames`: of DATA that limpet has sent.
    /// Small frames are judged for clients only: those of targets are their own cost.
    #[inline]
    pub fn data(
        &mut self,
        content_bytes: u32,
        ends: bool,
        is_judged: bool,
        (received_bytes, sent_frames): (u64, u64),
    ) -> Result<(), Abuse> {
        if content_bytes >= SMALL_BYTES || ends {
            self.empty_data = 0;
            return Ok(());
        }
        if content_bytes == 0 {
            self.empty_data = self.empty_data.saturating_add(1);
            within(self.empty_data <= EMPTY_DATA_MAX, Abuse::EmptyData)?;
        } else {
            self.empty_data = 0;
        }
        self.small_data += 1;
        let per_mib = received_bytes.saturating_mul(SMALL_DATA_PER_MIB) >> 20;
        let allowed = per_mib.saturating_add(sent_frames.saturating_mul(SMALL_DATA_PER_SENT));
        let is_within = self.small_data <= SMALL_DATA_MIN || self.small_data <= allowed;
        within(!is_judged || is_within, Abuse::SmallData)
    }

    /// WINDOW_UPDATE, after so many streams and sent frames of DATA.
    #[inline]
    pub fn window_update(&mut self, streams: u64, data_frames_sent: u64) -> Result<(), Abuse> {
        self.window_updates += 1;
        let allowed = 5 + 2 * (streams + data_frames_sent.saturating_mul(10));
        within(self.window_updates <= allowed, Abuse::WindowUpdates)
    }

    /// PRIORITY or PRIORITY_UPDATE, after so many streams.
    pub fn priority(&mut self, streams: u64) -> Result<(), Abuse> {
        self.priorities += 1;
        let allowed = streams.max(1).saturating_mul(PRIORITIES_PER_STREAM);
        within(self.priorities <= allowed, Abuse::Priorities)
    }
}

/// So many control frames wait to be sent.
#[inline]
pub fn unsent_control(count: u32) -> Result<(), Abuse> {
    within(count <= CONTROL_MAX, Abuse::UnsentControl)
}

#[inline]
fn within(is_within: bool, abuse: Abuse) -> Result<(), Abuse> {
    if is_within { Ok(()) } else { Err(abuse) }
}

#[cfg(test)]
#[path = "budgets_tests.rs"]
mod tests;
