//! HEADERS and CONTINUATION (RFC 9113 §6.2, §6.10): what a field block is for, its decoding, and what comes of it.
//!
//! Every block is decoded, also those of streams that are refused or closed: the decoder's table depends on them.
//! Tested through the machine.

use super::block_state::{OpenBlock, Purpose};
use super::data::has_valid_length;
use super::events::{Event, Key, Malformed};
use super::fault::Fault;
use super::history::Ended;
use super::receive::Outcome;
use super::stream::{NONE, Receiving, Sending, Stream, Turn};
use super::timers::Timer;
use super::{Life, Machine};
use crate::http2::flow::SendWindow;
use crate::http2::frame::Side;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::FrameFault;
use crate::http2::head;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::line::Pseudo;
use crate::http2::hpack::spare;
use crate::http2::priority::Priority;

impl Machine {
    #[inline]
    pub(super) fn headers<'i>(
        &mut self,
        id: u32,
        (fragment, is_whole): (&[u8], bool),
        (ends, depends_on_itself): (bool, bool),
        now_ms: u64,
    ) -> Outcome<'i> {
        self.budgets.is_busy = true;
        let mut purpose = self.purpose(id)?;
        if depends_on_itself && matches!(purpose, Purpose::Open | Purpose::Message) {
            purpose = Purpose::Fail(FrameFault::DependsOnItself);
        }
        if purpose != Purpose::Message && id > self.last_id {
            self.last_id = id;
        }
        self.decoder.decode(fragment, is_whole, &self.options.list, &mut self.block)?;
        let block = OpenBlock { id, purpose, ends };
        if is_whole {
            return self.end_block(block, now_ms);
        }
        self.open = Some(block);
        self.timers.set(Timer::Head, now_ms.saturating_add(self.options.head_timeout_ms));
        Ok(None)
    }

    pub(super) fn continuation<'i>(
        &mut self,
        fragment: &[u8],
        is_whole: bool,
        now_ms: u64,
    ) -> Outcome<'i> {
        self.decoder.decode(fragment, is_whole, &self.options.list, &mut self.block)?;
        if !is_whole {
            return Ok(None);
        }
        self.timers.stop(Timer::Head);
        match self.open.take() {
            Some(block) => self.end_block(block, now_ms),
            None => Err(FrameFault::ContinuationAlone.into()),
        }
    }

    /// What HEADERS on stream `id` are for (RFC 9113 §5.1, §5.1.1).
    #[inline]
    fn purpose(&self, id: u32) -> Result<Purpose, Fault> {
        if id > self.last_id {
            return self.purpose_of_new(id);
        }
        if id.is_multiple_of(2) {
            return Err(FrameFault::StreamNotPeers.into());
        }
        let Some(stream) = self.streams.find(id).and_then(|slot| self.streams.at(slot)) else {
            return self.purpose_of_late(id);
        };
        Ok(match stream.receiving {
            Receiving::Head | Receiving::Content => Purpose::Message,
            Receiving::Ended if stream.is_closed() => return Err(FrameFault::StreamClosed.into()),
            Receiving::Ended => Purpose::Fail(FrameFault::StreamHalfClosed),
            Receiving::Stopped => Purpose::Ignore,
            Receiving::Gone => Purpose::Fail(FrameFault::StreamWasReset),
        })
    }

    #[inline]
    fn purpose_of_new(&self, id: u32) -> Result<Purpose, Fault> {
        if id.is_multiple_of(2) {
            return Err(FrameFault::StreamNotPeers.into());
        }
        if self.options.side == Side::Client {
            return Err(FrameFault::StreamIdle.into());
        }
        let is_taken = matches!(self.life, Life::Open | Life::Draining);
        Ok(if self.streams.is_full() || !is_taken { Purpose::Refuse } else { Purpose::Open })
    }

    #[cold]
    fn purpose_of_late(&self, id: u32) -> Result<Purpose, Fault> {
        match self.ended(id) {
            Ended::Skipped => Err(FrameFault::StreamIdNotNew.into()),
            Ended::ByBoth => Err(FrameFault::StreamClosed.into()),
            Ended::ResetByPeer => Ok(Purpose::Fail(FrameFault::StreamWasReset)),
            Ended::ResetByLimpet | Ended::LongAgo => Ok(Purpose::Ignore),
        }
    }

    /// The block is decoded.
    #[inline]
    fn end_block<'i>(&mut self, block: OpenBlock, now_ms: u64) -> Outcome<'i> {
        match block.purpose {
            Purpose::Open => self.open_stream(block, now_ms),
            Purpose::Message => self.message(block),
            purpose => self.unwanted_block(block.id, purpose, now_ms),
        }
    }

    /// Nothing of the block is of use, now that it is decoded.
    #[cold]
    fn unwanted_block<'i>(&mut self, id: u32, purpose: Purpose, now_ms: u64) -> Outcome<'i> {
        self.block.clear();
        let slot = self.streams.find(id);
        if slot.is_none() && id == self.last_id && purpose != Purpose::Ignore {
            // It was never given a place, and is closed from now on.
            self.streams.history.open(id >> 1);
            self.streams.history.set(id >> 1, Ended::ResetByLimpet);
        }
        match (purpose, slot) {
            (Purpose::Refuse, _) => {
                self.counts.endings.streams_refused += 1;
                self.output.rst_stream(id, ErrorCode::RefusedStream);
                self.output.judge()?;
                if self.life == Life::Open {
                    self.budgets.refused_stream(now_ms)?;
                }
                Ok(None)
            }
            (Purpose::Fail(fault), Some(slot)) => {
                let stream = self.streams.at(slot).filter(|stream| !stream.is_reset);
                match stream.map(|stream| stream.key(slot)) {
                    Some(stream) => self.stream_fault(stream, fault, now_ms),
                    None => self.late_fault(id, fault, now_ms).map(|()| None),
                }
            }
            (Purpose::Fail(fault), None) => self.late_fault(id, fault, now_ms).map(|()| None),
            (Purpose::Ignore | Purpose::Open | Purpose::Message, _) => {
                self.budgets.unknown_frame(now_ms)?;
                Ok(None)
            }
        }
    }

    /// A request opens a stream.
    #[inline]
    fn open_stream<'i>(&mut self, block: OpenBlock, now_ms: u64) -> Outcome<'i> {
        let OpenBlock { id, ends, .. } = block;
        let early = self.early_priorities.take(id);
        let priority = early.unwrap_or_else(|| priority_of(&self.block));
        let receiving = if ends { Receiving::Ended } else { Receiving::Content };
        let Some(stream) = self.place((id, receiving), Sending::Head, priority, now_ms) else {
            return self.unwanted_block(id, Purpose::Refuse, now_ms);
        };
        Ok(Some(Event::Head { stream, block: self.taken_block(), ends }))
    }

    /// Gives a stream its place.
    #[inline]
    pub(super) fn place(
        &mut self,
        (id, receiving): (u32, Receiving),
        sending: Sending,
        priority: Priority,
        now_ms: u64,
    ) -> Option<Key> {
        let size = if receiving == Receiving::Ended { 0 } else { self.initial_window() };
        let key = self.streams.insert(Stream {
            id,
            receiving,
            has_end: receiving == Receiving::Ended,
            sending,
            is_reset: false,
            is_noted: false,
            priority,
            window: SendWindow::new(self.peer.initial_window_bytes),
            turn: Turn::None,
            previous: NONE,
            next: NONE,
            flow: self.flow.open_stream(size),
            received: 0,
            expected: None,
            opened_ms: now_ms,
        });
        if key.is_some() {
            self.counts.streams += 1;
            if !self.timers.is_set(Timer::Silence) {
                self.timers.set(Timer::Silence, now_ms.saturating_add(self.options.silence_ms));
            }
        }
        key
    }

    /// The block that was decoded, with an empty one in its place.
    #[inline]
    fn taken_block(&mut self) -> Box<Block> {
        std::mem::replace(&mut self.block, spare::take())
    }

    /// The head of a response, or trailers.
    fn message<'i>(&mut self, block: OpenBlock) -> Outcome<'i> {
        let OpenBlock { id, ends, .. } = block;
        // Its owner may have reset it meanwhile.
        let slot = self.streams.find(id);
        let stream = slot.and_then(|slot| Some((slot, self.streams.at_mut(slot)?)));
        let Some((slot, stream)) = stream else {
            self.block.clear();
            return Ok(None);
        };
        let key = stream.key(slot);
        match stream.receiving {
            Receiving::Head if is_interim(&self.block) => {
                if ends {
                    self.block.clear();
                    return Ok(Some(self.malformed(key, Malformed::InterimEnds)));
                }
            }
            Receiving::Head => {
                stream.receiving = if ends { Receiving::Ended } else { Receiving::Content };
                stream.has_end = ends;
                if ends {
                    self.flow.close_stream(&mut stream.flow);
                }
            }
            Receiving::Content => return Ok(Some(self.trailers(key, ends))),
            Receiving::Ended | Receiving::Stopped | Receiving::Gone => {
                self.block.clear();
                return Ok(None);
            }
        }
        Ok(Some(Event::Head { stream: key, block: self.taken_block(), ends }))
    }

    /// RFC 9113 §8.1.
    fn trailers<'i>(&mut self, stream: Key, ends: bool) -> Event<'i> {
        if let Err(fault) = head::trailers(&self.block, ends) {
            self.block.clear();
            return self.malformed(stream, Malformed::Trailers(fault));
        }
        let Some(state) =
            self.streams.get_mut(stream).filter(|state| has_valid_length(state, true))
        else {
            self.block.clear();
            return self.malformed(stream, Malformed::Length);
        };
        state.receiving = Receiving::Ended;
        state.has_end = true;
        self.flow.close_stream(&mut state.flow);
        Event::Trailers { stream, block: self.taken_block() }
    }
}

/// RFC 9110 §15.2.
fn is_interim(block: &Block) -> bool {
    matches!(block.pseudo(Pseudo::Status), Some([b'1', _, _]))
}

/// RFC 9218 §5.
#[inline]
fn priority_of(block: &Block) -> Priority {
    const NAME: &[u8] = b"priority";
    for line in block.lines() {
        if line.name_bytes() == NAME.len() {
            let (name, value) = block.parts(line);
            if name == NAME {
                return Priority::parse(value);
            }
        }
    }
    Priority::default()
}
