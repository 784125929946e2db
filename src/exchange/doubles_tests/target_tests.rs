//! Targets that behave as a test says: their responses and requests, leases on them, and how they are reached.

use super::*;

/// A part of a target's response.
#[derive(Clone, Copy)]
pub enum Says {
    /// Bytes of a head, and those behind it.
    Head(&'static str),
    Content(&'static str, End),
    Fault(ReceiveFault),
}

/// The behaviour of a target on one connection, and what it was sent.
#[derive(Default)]
pub struct TargetState {
    pub says: RefCell<VecDeque<Says>>,
    pub was_sent: RefCell<Vec<u8>>,
    /// The trailers that the end of the request came with.
    pub end: RefCell<Option<Vec<u8>>>,
    pub queued: Cell<Option<u32>>,
    /// Whether it takes nothing that it is sent …
    pub is_stalled: Cell<bool>,
    /// … or the fault of the first send, or of later ones.
    pub first_fault: Cell<Option<SendFault>>,
    pub fault: Cell<Option<SendFault>>,
    /// Whether the connection was made to end as a failure.
    pub is_aborted: Cell<bool>,
    /// What is received then; a reset unless the test says otherwise.
    pub at_abort: Cell<Option<Says>>,
    pub side: Rc<SideState>,
}

impl TargetState {
    pub fn saying(says: &[Says]) -> Rc<TargetState> {
        let state = TargetState::default();
        state.says.borrow_mut().extend(says);
        Rc::new(state)
    }

    /// The text that it was sent.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.was_sent.borrow()).into_owned()
    }

    fn poll_said(&self) -> Poll<Says> {
        match self.says.borrow_mut().pop_front() {
            Some(said) => Poll::Ready(said),
            None if self.is_aborted.get() => {
                Poll::Ready(self.at_abort.take().unwrap_or(Says::Fault(ReceiveFault::Reset)))
            }
            None => Poll::Pending,
        }
    }

    fn poll_taken(&self, fault: &Cell<Option<SendFault>>) -> Poll<Result<(), SendFault>> {
        match fault.get() {
            Some(fault) => Poll::Ready(Err(fault)),
            None if self.is_aborted.get() => Poll::Ready(Err(SendFault::Reset)),
            None if self.is_stalled.get() => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

/// A request as text.
#[derive(Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0).contains(text)
    }
}

impl target::Draft for Text {
    fn write(&mut self, head: &RequestHead<'_, '_>, edits: &RequestEdits<'_>) {
        self.0.clear();
        rewrite::request(head, edits, &mut self.0);
    }
    fn append(&mut self, along: Along<'_>) {
        self.0.extend_from_slice(along.bytes);
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

/// A lease on one connection.
pub struct LeaseDouble {
    pub state: Rc<TargetState>,
    sends: Sends,
    pub receives: Receives,
}

pub struct Sends(Rc<TargetState>, Vec<u8>);

pub struct Receives {
    state: Rc<TargetState>,
    bytes: Vec<u8>,
    used: usize,
    content: ContentLength,
}

#[derive(Clone)]
pub struct HandleDouble(pub Rc<TargetState>);

impl LeaseDouble {
    pub fn new(state: &Rc<TargetState>) -> LeaseDouble {
        LeaseDouble {
            state: Rc::clone(state),
            sends: Sends(Rc::clone(state), Vec::new()),
            receives: Receives::new(state),
        }
    }
}

impl Sends {
    pub fn new(state: &Rc<TargetState>) -> Sends {
        Sends(Rc::clone(state), Vec::new())
    }
}

impl Receives {
    pub fn new(state: &Rc<TargetState>) -> Receives {
        let state = Rc::clone(state);
        Receives { state, bytes: Vec::new(), used: 0, content: ContentLength::None }
    }
}

impl target::Handle for HandleDouble {
    fn queued_bytes(&self) -> Option<u32> {
        self.0.queued.get()
    }
    fn abort(&self) {
        self.0.is_aborted.set(true);
    }
}

impl Lease for LeaseDouble {
    type Draft = Text;
    type Sending = Sends;
    type Receiving = Receives;
    type Handle = HandleDouble;
    type Side = SideDouble;

    fn request(&mut self, draft: &mut Text, is_whole: bool) {
        self.sends.1 = std::mem::take(&mut draft.0);
        self.state.was_sent.borrow_mut().extend_from_slice(&self.sends.1);
        *self.state.end.borrow_mut() = is_whole.then(Vec::new);
    }
    fn parts(&mut self) -> (&mut Sends, &mut Receives) {
        (&mut self.sends, &mut self.receives)
    }
    fn handle(&mut self) -> HandleDouble {
        HandleDouble(Rc::clone(&self.state))
    }
    fn tunnel(&mut self) -> SideDouble {
        SideDouble(Rc::clone(&self.state.side))
    }
}

impl Sending for Sends {
    type Draft = Text;
    fn keep_going(&mut self, _: &mut Context<'_>) {}
    fn poll_sent(
        &mut self,
        _: &mut Context<'_>,
        draft: Option<&mut Text>,
    ) -> Poll<Result<(), SendFault>> {
        let taken = self.0.poll_taken(&self.0.first_fault);
        if let (Poll::Ready(_), Some(draft)) = (taken, draft) {
            draft.0 = std::mem::take(&mut self.1);
        }
        taken
    }
    async fn send(
        &mut self,
        piece: Piece,
        end: Option<&[u8]>,
        _: Patience<'_>,
    ) -> Result<(), SendFault> {
        poll_fn(|_| self.0.poll_taken(&self.0.fault)).await?;
        self.0.was_sent.borrow_mut().extend_from_slice(&piece.buffer[piece.from..]);
        *self.0.end.borrow_mut() = end.map(Vec::from);
        Ok(())
    }
}

impl Receiving for Receives {
    fn poll_head(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReceiveFault>> {
        self.state.poll_said().map(|said| match said {
            Says::Head(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Says::Fault(fault) => Err(fault),
            Says::Content(..) => panic!("content before a head"),
        })
    }
    fn head<T>(
        &mut self,
        method: Method,
        limits: &HeadLimits,
        look: impl FnOnce(&ResponseHead<'_, '_>) -> T,
    ) -> Result<Option<T>, ResponseFault> {
        let mut fields = Fields::new();
        let bytes = &self.bytes[self.used..];
        let Parsed::Complete((head, _)) = parse_response(bytes, limits, method, &mut fields)?
        else {
            return Ok(None);
        };
        self.content = head.content;
        let (used, seen) = (head.raw.len(), look(&head));
        drop(fields);
        self.used += used;
        Ok(Some(seen))
    }
    fn is_empty(&self) -> bool {
        self.used >= self.bytes.len()
    }
    fn along(&mut self) -> Result<Along<'_>, ChunkFault> {
        let bytes = &self.bytes[self.used..];
        let is_whole = match self.content {
            ContentLength::None => true,
            ContentLength::Exact(length) => bytes.len() as u64 == length,
            ContentLength::Unknown => false,
        };
        Ok(Along { bytes, end: is_whole.then_some(b"") })
    }
    fn poll_content(&mut self, _: &mut Context<'_>) -> Poll<Result<Received, ReceiveFault>> {
        self.state.poll_said().map(|said| match said {
            Says::Content(text, end) => {
                Ok(Received { piece: Piece { buffer: text.into(), from: 0 }, end })
            }
            Says::Fault(fault) => Err(fault),
            Says::Head(_) => panic!("a head behind a head"),
        })
    }
    fn trailers(&self) -> &[u8] {
        b""
    }
}

/// Targets that are reached as a test says.
#[derive(Default)]
pub struct Reach {
    /// Connections that can be used at once.
    pub kept: RefCell<VecDeque<Rc<TargetState>>>,
    /// Connects, in the order in which they are begun.
    pub connects: RefCell<VecDeque<Rc<ConnectState>>>,
    /// Ids of the targets that were connected to.
    pub connected: RefCell<Vec<String>>,
    /// The `surely` of the last request for a lease.
    pub surely: Cell<Option<bool>>,
    pub given_back: Cell<u32>,
    pub closed: Cell<u32>,
}

/// A connection that is being made.
#[derive(Default)]
pub struct ConnectState {
    pub result: RefCell<Option<Result<Rc<TargetState>, Failure>>>,
    pub is_aborted: Cell<bool>,
    /// Whether a handshake comes first.
    pub shakes: Cell<bool>,
    /// Made at the moment in which it was aborted.
    pub late: RefCell<Option<Rc<TargetState>>>,
}

impl Reach {
    /// Adds a connect with this result; without one, it does not end.
    pub fn connect(&self, result: Option<Result<&Rc<TargetState>, Failure>>) -> Rc<ConnectState> {
        let state = Rc::<ConnectState>::default();
        *state.result.borrow_mut() = result.map(|result| result.map(Rc::clone));
        self.connects.borrow_mut().push_back(Rc::clone(&state));
        state
    }

    /// How many leases were given back, and how many closed.
    pub fn ends(&self) -> (u32, u32) {
        (self.given_back.get(), self.closed.get())
    }
}

pub struct ConnectDouble(Rc<ConnectState>);

impl Upstream for Reach {
    type Draft = Text;
    type Own = LeaseDouble;
    type Stream = LeaseDouble;
    type Connecting = ConnectDouble;

    async fn lease(&self, _: Destination<'_>, surely: bool) -> Option<Leases<Reach>> {
        self.surely.set(Some(surely));
        let kept = self.kept.borrow_mut().pop_front();
        kept.map(|state| Leased::Own(LeaseDouble::new(&state)))
    }
    async fn connect(
        &self,
        to: Destination<'_>,
        _: &GroupOptions,
    ) -> Result<ConnectDouble, Failure> {
        self.connected.borrow_mut().push(to.target.id.to_string());
        let next = self.connects.borrow_mut().pop_front();
        next.map(ConnectDouble).ok_or(Failure::NoSocket)
    }
    fn give_back(&self, _: Leases<Reach>, _: &Target, _: &GroupOptions) {
        self.given_back.set(self.given_back.get() + 1);
    }
    fn close(&self, _: Leases<Reach>) {
        self.closed.set(self.closed.get() + 1);
    }
}

impl Connecting for ConnectDouble {
    type Lease = Leases<Reach>;
    fn poll_connected(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Connected<Leases<Reach>>, Failure>> {
        if self.0.shakes.take() {
            return Poll::Ready(Ok(Connected::Shakes));
        }
        let ready =
            |state: &Rc<TargetState>| Connected::Ready(Leased::Own(LeaseDouble::new(state)));
        if let Some(result) = self.0.result.borrow_mut().take() {
            return Poll::Ready(result.map(|state| ready(&state)));
        }
        if !self.0.is_aborted.get() {
            return Poll::Pending;
        }
        let late = self.0.late.borrow_mut().take();
        Poll::Ready(late.map(|state| ready(&state)).ok_or(Failure::ConnectFailed))
    }
    fn abort(&self) {
        self.0.is_aborted.set(true);
    }
}
