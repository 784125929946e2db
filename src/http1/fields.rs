//! Field names that limpet knows, and the small grammars inside field values.

/// Fields limpet reads, sets or strips; everything else is [`FieldId::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldId {
    Other,
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Expect,
    Cookie,
    SetCookie,
    Authorization,
    CacheControl,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedPort,
    XForwardedHost,
    Via,
    Referer,
    UserAgent,
    Traceparent,
}

/// One field line: ranges of the receive buffer, never copies.
#[derive(Debug, Clone, Copy)]
pub struct Field<'b> {
    pub name: &'b [u8],
    pub value: &'b [u8],
    pub id: FieldId,
    /// Must not be forwarded: hop by hop, named by Connection, or an underscore look-alike.
    pub drop: bool,
}

/// Most field lines a head can ever have (`field_count` may be set up to this).
pub const FIELD_COUNT_MAX: usize = 256;

/// The fields of one head, on the caller's stack.
pub type Fields<'b> = arrayvec::ArrayVec<Field<'b>, FIELD_COUNT_MAX>;
