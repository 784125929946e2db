//! The two directions of one exchange on a stream of a target's connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::line::{self, Link};
use crate::exchange::client::Presence;
use crate::exchange::content::{Along, End, Piece, ROOM, Received, SendFault};
use crate::exchange::target::{self, ReceiveFault, Receiving, Sending};
use crate::http::fields::Fields;
use crate::http::head::{ContentLength, HeadLimits, Method, ResponseHead};
use crate::http::refusal::{ChunkFault, ResponseFault};
use crate::http2::head;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::spare;
use crate::http2::machine::events::{Cause, Key};
use crate::multiplex::reading::{Cut, Reading};
use crate::multiplex::shared::{Owner as _, Shared};
use crate::multiplex::side::StreamSide;
use crate::multiplex::writing::Writing;
use crate::time::patience::Patience;
use crate::upstream::draft::{Asks, Draft};
use crate::uring::buffers;

/// A stream that is opened with the request.
#[derive(Clone)]
struct Stream {
    shared: Rc<Shared<Link>>,
    /// [`Key::NONE`] before the request, and where none could be opened any more.
    key: Key,
}

/// Opens a stream with a field block. Where the connection takes none any more, both directions find that out.
fn open(shared: &Shared<Link>, block: &[u8], ends: bool) -> Option<Key> {
    let now_ms = shared.owner.clock().now_ms();
    let opened = shared.machine.borrow_mut().request(block, ends, now_ms);
    let key = opened.ok()?;
    shared.open(key, false);
    shared.changed();
    Some(key)
}

impl Stream {
    #[inline]
    fn to(&self) -> (&Shared<Link>, Key) {
        (&*self.shared, self.key)
    }
}

/// The request on its way.
pub struct Request {
    stream: Stream,
    writing: Writing,
}

/// The response on its way.
pub struct Response {
    stream: Stream,
    /// A head that has come, and whether it ends the stream.
    head: Option<(Box<Block>, bool)>,
    reading: Reading,
    /// The content that came with the final head.
    along: Vec<u8>,
    /// There is no content.
    is_empty: bool,
    /// The target has not looked at the request, and may have refused it.
    is_unprocessed: bool,
    /// A tunnel was asked for, and the target opens none.
    is_without_tunnels: bool,
    asks: Asks,
}

/// The lease of a stream, which ends with it.
pub struct Lease {
    shared: Rc<Shared<Link>>,
    /// Boxed, since the other kind of lease is small, in a box that has served before. Never empty.
    parts: Option<Box<Option<Parts>>>,
}

struct Parts {
    request: Request,
    response: Response,
}

/// Most boxes that wait to be used again.
const SPARE_MAX: usize = 1024;

thread_local! {
    /// Boxes of leases that are over.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static SPARE: RefCell<Vec<Box<Option<Parts>>>> = const { RefCell::new(Vec::new()) };
}

impl Parts {
    fn new(shared: &Rc<Shared<Link>>) -> Parts {
        let stream = Stream { shared: Rc::clone(shared), key: Key::NONE };
        let request = Request { stream: stream.clone(), writing: Writing::default() };
        let response = Response {
            stream,
            head: None,
            reading: Reading::default(),
            along: Vec::new(),
            is_empty: false,
            is_unprocessed: false,
            is_without_tunnels: false,
            asks: Asks::Response,
        };
        Parts { request, response }
    }
}

impl Lease {
    /// On a connection that takes another stream.
    pub fn new(shared: Rc<Shared<Link>>) -> Lease {
        let mut parts = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        *parts = Some(Parts::new(&shared));
        Lease { shared, parts: Some(parts) }
    }

    #[inline]
    fn inner(&mut self) -> &mut Parts {
        let parts = self.parts.get_or_insert_default();
        parts.get_or_insert_with(|| Parts::new(&self.shared))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        if let Some(Parts { request, response }) = parts.take() {
            let (shared, stream) = request.stream.to();
            line::finish(shared, stream, response.is_unprocessed);
        }
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(parts);
            }
        });
    }
}

impl target::Lease for Lease {
    type Draft = Draft;
    type Sending = Request;
    type Receiving = Response;
    type Handle = Handle;
    type Side = StreamSide<Link>;

    /// Opens the stream.
    fn request(&mut self, draft: &mut Draft, is_whole: bool) {
        let Parts { request, response } = self.inner();
        let (block, content, trailers) = draft.parts();
        response.asks = draft.asks();
        // A tunnel has no end yet, and none is opened to a target that knows none (RFC 8441 §3).
        let is_tunnel = response.asks != Asks::Response;
        if is_tunnel && !request.stream.shared.machine.borrow().opens_tunnels() {
            response.is_without_tunnels = true;
            return;
        }
        let ends = !is_tunnel && is_whole && content.is_empty() && trailers.is_empty();
        let Some(key) = open(&request.stream.shared, block, ends) else { return };
        (request.stream.key, response.stream.key) = (key, key);
        request.writing.has_ended = ends;
        if !ends && !is_tunnel {
            let along = Along { bytes: content, end: is_whole.then_some(trailers) };
            request.writing.append(request.stream.to(), along);
        }
    }

    fn parts(&mut self) -> (&mut Request, &mut Response) {
        let Parts { request, response } = self.inner();
        (request, response)
    }

    fn handle(&mut self) -> Handle {
        Handle(self.inner().request.stream.clone())
    }

    fn tunnel(&mut self) -> StreamSide<Link> {
        let stream = &self.inner().request.stream;
        StreamSide { shared: Rc::clone(&stream.shared), stream: stream.to().1 }
    }
}

impl Sending for Request {
    type Draft = Draft;

    fn keep_going(&mut self, _: &mut Context<'_>) {
        // What is wrong is found by who waits for it.
        let _ = self.writing.hand_over(self.stream.to());
    }

    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        _: Option<&mut Draft>,
    ) -> Poll<Result<(), SendFault>> {
        self.writing.poll_taken(self.stream.to(), cx)
    }

    async fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        patience: Patience<'_>,
    ) -> Result<(), SendFault> {
        self.writing.put(piece, end);
        self.writing.taken(self.stream.to(), patience).await
    }
}

impl Response {
    /// Resets the stream of a response that is malformed (RFC 9113 §8.1.1).
    #[cold]
    fn refuse(&self) {
        let (shared, stream) = self.stream.to();
        let now_ms = shared.owner.clock().now_ms();
        shared.machine.borrow_mut().reset(stream, Cause::Malformed, now_ms);
        shared.changed();
    }

    /// Passes a head to `look` that has been judged.
    fn judged<T>(
        &mut self,
        (block, ends): (&Block, bool),
        (method, limits): (Method, &HeadLimits),
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<T, ResponseFault> {
        let mut fields = Fields::new();
        let head = match &self.asks {
            Asks::Response => head::response(block, ends, limits, method, &mut fields)?,
            Asks::Tunnel(proof) => {
                let proof = proof.as_ref().map(<[u8; _]>::as_slice);
                head::tunnel_response(block, ends, limits, proof, &mut fields)?
            }
        };
        if head.status >= 200 {
            self.is_empty = ends || head.content == ContentLength::None;
            let (shared, stream) = self.stream.to();
            let expected = shared.machine.borrow_mut().expect(stream, head.content);
            expected.map_err(|_| ResponseFault::ContentLengthMismatch)?;
        }
        if head.content == ContentLength::Exact(0) && !ends {
            // Trailers may follow, for which whoever gets it must not take the head for all.
            return Ok(look(&ResponseHead { content: ContentLength::Unknown, ..head }));
        }
        Ok(look(&head))
    }
}

impl Receiving for Response {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>> {
        if self.head.is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.is_without_tunnels {
            return Poll::Ready(Err(ReceiveFault::NoTunnels));
        }
        let (shared, stream) = self.stream.to();
        let looked = shared.slot(stream, |slot| {
            if let Some(head) = slot.heads.pop_front() {
                self.head = Some(head);
                return Poll::Ready(Ok(()));
            }
            slot.listen(cx);
            match (slot.fault, slot.presence) {
                _ if slot.is_flooded => Poll::Ready(Err(ReceiveFault::TooManyInterim)),
                (Some(fault), _) => Poll::Ready(Err(ReceiveFault::Invalid(fault))),
                (None, Presence::There) => Poll::Pending,
                (None, _) if slot.is_unprocessed => Poll::Ready(Err(ReceiveFault::Unprocessed)),
                (None, Presence::Reset) if slot.was_reset => {
                    Poll::Ready(Err(ReceiveFault::StreamReset))
                }
                (None, Presence::Reset) => Poll::Ready(Err(ReceiveFault::Reset)),
                (None, Presence::Ended) => Poll::Ready(Err(ReceiveFault::Closed)),
            }
        });
        let without = match stream {
            Key::NONE => ReceiveFault::Unprocessed,
            _ => ReceiveFault::Reset,
        };
        let looked = looked.unwrap_or(Poll::Ready(Err(without)));
        if let Poll::Ready(Err(ReceiveFault::Invalid(_))) = looked {
            self.refuse();
        }
        if looked == Poll::Ready(Err(ReceiveFault::Unprocessed)) {
            self.is_unprocessed = true;
            if stream != Key::NONE {
                line::refused(&self.stream.shared);
            }
        }
        looked
    }

    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault> {
        let Some((block, ends)) = self.head.take() else { return Ok(None) };
        let looked = self.judged((&block, ends), (method, limits), look);
        spare::give_back(block);
        if looked.is_err() {
            self.refuse();
        }
        looked.map(Some)
    }

    fn is_empty(&self) -> bool {
        let (shared, stream) = self.stream.to();
        let waits = shared.slot(stream, |slot| !slot.heads.is_empty());
        self.head.is_none() && waits != Some(true)
    }

    fn along(&mut self) -> Result<Along<'_>, ChunkFault> {
        if self.is_empty {
            return Ok(Along { bytes: &[], end: Some(&[]) });
        }
        let next = self.reading.next(self.stream.to());
        let Some((piece, is_last)) = next else { return Ok(Along::default()) };
        self.along = piece;
        let bytes = self.along.get(ROOM..).unwrap_or_default();
        self.reading.owe(bytes.len());
        Ok(Along { bytes, end: is_last.then_some(&*self.reading.trailers) })
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>> {
        let to = self.stream.to();
        self.reading.give_credit(to);
        self.reading.poll(to, cx).map(|come| match come {
            Ok((mut buffer, is_last)) => {
                if buffer.is_empty() {
                    buffer.resize(ROOM, 0);
                }
                self.reading.owe(buffer.len().saturating_sub(ROOM));
                let end = if is_last { End::Last } else { End::No };
                Ok(Received { piece: Piece { buffer, from: ROOM }, end })
            }
            Err(Cut::Invalid(fault)) => {
                self.refuse();
                Err(ReceiveFault::Invalid(fault))
            }
            Err(Cut::Gone) => Err(ReceiveFault::Reset),
        })
    }

    fn trailers(&self) -> &[u8] {
        &self.reading.trailers
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.along));
    }
}

/// The leased stream.
pub struct Handle(Stream);

impl target::Handle for Handle {
    fn queued_bytes(&self) -> Option<u32> {
        None
    }

    fn abort(&self) {
        let (shared, stream) = self.0.to();
        let now_ms = shared.owner.clock().now_ms();
        shared.machine.borrow_mut().reset(stream, Cause::Cancel, now_ms);
        shared.tell(stream, |slot| slot.presence = Presence::Reset);
        shared.changed();
    }
}
