//! One stream: its request is judged, answered by a target or by limpet itself, and recorded.

use std::net::SocketAddr;
use std::rc::Rc;

use super::content::Content;
use super::grpc;
use super::response::Response;
use super::shared::Shared;
use crate::challenges::Search;
use crate::client::clients::Clients;
use crate::client::connection::Connection;
use crate::exchange::answer::Reply;
use crate::exchange::client::{Answering as _, Asking as _, Client, Presence};
use crate::exchange::end::End;
use crate::exchange::entry::Entry;
use crate::exchange::failure::Failure;
use crate::exchange::forward::Exchange;
use crate::exchange::grpc::Call;
use crate::exchange::plan::Outgoing;
use crate::exchange::prepared::Prepared;
use crate::exchange::scene::Scene;
use crate::exchange::target::Draft as _;
use crate::http::fields::Fields;
use crate::http::head::{Method, RequestHead};
use crate::http::refusal::Refusal;
use crate::http2::head;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::spare;
use crate::http2::machine::events::{Cause, Key};
use crate::multiplex::side::StreamSide;
use crate::snapshot::Listener;
use crate::telemetry::counters::Counter;
use crate::telemetry::ended::Phase;
use crate::telemetry::record::Record;
use crate::telemetry::series::Places;
use crate::time::alarms::Alarm;
use crate::time::timers::{Timer, Timers};
use crate::upstream::Targets;
use crate::upstream::draft::Draft;

/// A request whose head has been decoded.
pub struct Request {
    pub stream: Key,
    pub block: Box<Block>,
    /// It has no content.
    pub ends: bool,
}

/// What is kept from one request to the next.
pub struct Kept {
    pub alarm: Alarm,
    pub out: Outgoing<Draft>,
    pub entry: Entry,
}

/// Serves one request to its end.
pub async fn serve(shared: &Rc<Shared>, request: Request, kept: &mut Kept) {
    let connection = &*shared.owner;
    let Kept { alarm, out, entry } = kept;
    let local = &connection.clients.local;
    let stream = request.stream;
    if let Some((view, position)) = connection.view()
        && let Some(listener) = view.listeners.get(position)
    {
        let peer_text = connection.caller.peer().text();
        let scene = Scene::new((local, &connection.caller), &peer_text, &view, listener);
        entry.begin(local, &connection.caller);
        entry.stream = Some(stream.id());
        let mut served = Served {
            shared,
            scene: &scene,
            timers: &Timers::new(alarm, &local.clock),
            request: &request,
            out,
            entry,
            is_tunnel: false,
            asked: grpc::Asked::default(),
        };
        served.run().await;
        served.record();
    } else {
        shared.machine.borrow_mut().reset(stream, Cause::Refused, local.clock.now_ms());
    }
    shared.finish(stream);
    spare::give_back(request.block);
}

/// The outcome of judging a head.
enum Judged {
    Forward,
    Answer(Box<Reply>),
    /// As an answer, to what is malformed.
    Refuse(Box<Reply>),
    Search(Search),
}

/// The request that is being served.
struct Served<'a, 's> {
    shared: &'a Rc<Shared>,
    scene: &'a Scene<'s>,
    timers: &'a Timers<'a>,
    request: &'a Request,
    out: &'a mut Outgoing<Draft>,
    entry: &'a mut Entry,
    /// The request asks for a tunnel.
    is_tunnel: bool,
    /// What it asks for as a call of gRPC.
    asked: grpc::Asked,
}

impl Served<'_, '_> {
    async fn run(&mut self) {
        let mut judged = self.judge();
        while let Judged::Search(search) = judged {
            search.await;
            judged = self.judge();
        }
        match judged {
            Judged::Forward => self.forward().await,
            Judged::Answer(mut reply) => self.answer(&mut reply).await,
            Judged::Refuse(mut reply) => {
                self.answer(&mut reply).await;
                self.reset(Cause::Malformed);
            }
            Judged::Search(_) => {}
        }
    }

    fn judge(&mut self) -> Judged {
        let Listener { head_limits, mode, .. } = self.scene.listener;
        let Request { stream, block, ends } = self.request;
        let mut fields = Fields::new();
        let refusal = match head::request(block, *ends, head_limits, *mode, &mut fields) {
            Ok(head::Request { head, protocol }) => {
                self.is_tunnel = protocol.is_some();
                self.asked = grpc::asked(head.method, head.fields);
                self.out.plan.call = Call { is_call: self.asked.is_call, ..Call::default() };
                // The bytes of a tunnel are not content.
                let expected = match self.is_tunnel {
                    true => Ok(()),
                    false => self.shared.machine.borrow_mut().expect(*stream, head.content),
                };
                match expected {
                    Ok(()) => {
                        return match self.scene.prepare(&head, self.out, self.entry) {
                            Prepared::Forward => Judged::Forward,
                            Prepared::Answer(mut reply) => {
                                reply.head_only = head.method == Method::Head;
                                Judged::Answer(reply)
                            }
                            Prepared::Search(search) => Judged::Search(search),
                        };
                    }
                    Err(_) => Refusal::ContentLengthMismatch,
                }
            }
            Err(refusal) => refusal,
        };
        self.entry.refused(block.raw().len());
        let reply = Box::new(Reply::refusal(refusal));
        if reply.status == 400 { Judged::Refuse(reply) } else { Judged::Answer(reply) }
    }

    async fn forward(&mut self) {
        let (shared, stream, listener) = (self.shared, self.request.stream, self.scene.listener);
        let local = self.scene.local;
        let content = match self.is_tunnel {
            true => Content::none(shared, stream, listener),
            false => Content::new(shared, stream, listener, self.asked.is_call),
        };
        let response = Response::new(shared, stream, listener, self.timers);
        // One that was reset together with its request costs no target anything.
        let is_there = shared.presence(stream) != Presence::Reset;
        let taken = content.judge_length().and_then(|()| self.begin_call());
        let taken = if is_there { taken } else { Err(Failure::ClientGone) };
        let mut client = H2 { shared, request: self.request, listener, content, response };
        let end = match taken {
            Ok(()) => {
                let along = client.content.received();
                self.entry.request_bytes += along;
                self.entry.request_content_bytes = along;
                let Clients { pool, sessions, lines, room, .. } = &*shared.owner.clients;
                let upstream = Targets { local, pool, sessions, lines, room: &**room };
                let mut exchange = Exchange {
                    scene: self.scene,
                    out: self.out,
                    client: &mut client,
                    upstream: &upstream,
                    timers: self.timers,
                };
                exchange.run(self.entry).await
            }
            Err(failure) => {
                self.out.draft.clear();
                self.scene.abandon(&self.out.plan);
                self.entry.phase = Phase::RequestContent;
                self.scene.failed(failure, false, self.entry)
            }
        };
        self.entry.response_bytes += client.response.sent();
        let end = self.end_call(end, client.response.has_begun());
        drop(client);
        match end {
            End::Complete | End::Over => self.entry.settle(&Ok(()), false),
            End::Aborted(failure) => self.reset(cause_of(failure)),
            End::Refused(failure) => {
                let plan = &self.out.plan;
                let mut reply = Reply::failure(failure).after(plan.method, plan.version, None);
                self.answer(&mut reply).await;
                if matches!(failure, Failure::ClientContentInvalid(_)) {
                    self.reset(Cause::Malformed);
                }
            }
        }
    }

    /// Sets the deadline of a call that has one.
    ///
    /// # Errors
    /// It has passed, or is none.
    fn begin_call(&mut self) -> Result<(), Failure> {
        match self.asked {
            grpc::Asked { is_timeout_invalid: true, .. } => Err(Failure::CallTimeoutInvalid),
            grpc::Asked { timeout_ms: None, .. } => Ok(()),
            grpc::Asked { timeout_ms: Some(0), .. } => Err(Failure::CallTimeout),
            grpc::Asked { timeout_ms: Some(timeout_ms), .. } => {
                let now_ms = self.timers.clock.now_ms();
                self.timers.set(Timer::Call, now_ms.saturating_add(timeout_ms));
                Ok(())
            }
        }
    }

    /// Ends the time of a call. To its exchange a client whose time has passed is gone, but it is still there, and is to
    /// be told.
    fn end_call(&mut self, end: End, has_begun: bool) -> End {
        let is_late = self.timers.is_past(Timer::Call) && !self.scene.local.stop.is_now();
        self.timers.stop(Timer::Call);
        let is_there = self.shared.presence(self.request.stream) != Presence::Reset;
        match end {
            End::Refused(_) | End::Aborted(_) if is_late && is_there => {
                let failure = Failure::CallTimeout;
                if has_begun {
                    self.entry.fail(failure);
                    return End::Aborted(failure);
                }
                self.entry.refuse(failure);
                End::Refused(failure)
            }
            end => end,
        }
    }

    /// Sends an answer of limpet's own.
    async fn answer(&mut self, reply: &mut Reply) {
        let (listener, clock) = (self.scene.listener, &self.scene.local.clock);
        self.entry.answered(reply);
        let mut response = Response::new(self.shared, self.request.stream, listener, self.timers);
        if grpc::is_call(&self.request.block) {
            let status = grpc::status(reply.status, reply.code);
            self.entry.answered_call(status);
            // The record has the status that the client is sent, and would not count as what it stands for.
            let is_of_targets = !matches!(reply.code, "" | "grpc_timeout");
            if matches!(reply.status, 502..=504) && is_of_targets {
                self.scene.local.counters.add(Counter::GatewayErrors, 1);
            }
            response.answer_call(reply, status, &clock.date());
        } else {
            response.answer(reply, &clock.date());
        }
        self.entry.head_ends_now(clock);
        self.entry.first_byte_now(clock);
        // Whoever does not take it is gone, which the record says by what was sent.
        let _ = response.flush(true).await;
        self.entry.response_bytes += response.sent();
        self.entry.last_byte_now(clock);
    }

    fn reset(&self, cause: Cause) {
        let now_ms = self.scene.local.clock.now_ms();
        self.shared.machine.borrow_mut().reset(self.request.stream, cause, now_ms);
        self.shared.changed();
    }

    /// Writes the record of an exchange that has ended, and counts it.
    fn record(&self) {
        if !self.entry.is_blank() {
            let Scene { local, caller, view, listener, .. } = *self.scene;
            let write = |record: &Record<'_>, places: &Places<'_>| local.record(record, places);
            self.entry.finish((local, caller), (view, listener), write);
        }
    }
}

/// What the client is told of a response that will not be completed.
fn cause_of(failure: Failure) -> Cause {
    match failure {
        Failure::ClientContentInvalid(_) => Cause::Malformed,
        Failure::CallTimeout => Cause::Cancel,
        failure if failure.is_clients_absence() => Cause::Cancel,
        _ => Cause::Internal,
    }
}

/// An HTTP/2 request and its response, in the form that an exchange takes.
struct H2<'a> {
    shared: &'a Rc<Shared>,
    request: &'a Request,
    listener: &'a Listener,
    content: Content<'a>,
    response: Response<'a>,
}

impl<'a> Client for H2<'a> {
    type Asking = Content<'a>;
    type Answering = Response<'a>;
    type Side = StreamSide<Rc<Connection>>;

    fn head<T>(&self, look: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Option<T> {
        let Listener { head_limits, mode, .. } = self.listener;
        let mut fields = Fields::new();
        let Request { block, ends, .. } = self.request;
        let request = head::request(block, *ends, head_limits, *mode, &mut fields).ok()?;
        Some(look(&request.head))
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.shared.owner.client.local_address()
    }

    fn parts(&mut self) -> (&mut Content<'a>, &mut Response<'a>) {
        (&mut self.content, &mut self.response)
    }

    fn tunnel(&mut self) -> StreamSide<Rc<Connection>> {
        StreamSide { shared: Rc::clone(self.shared), stream: self.request.stream }
    }
}
