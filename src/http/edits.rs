//! The changes to a head on its way, as values; the writers of heads for the wire apply them.

/// How X-Real-IP is edited, which names the client and has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RealIp {
    #[default]
    Replace,
    Preserve,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedFor {
    #[default]
    Append,
    Preserve,
    Replace,
    Remove,
}

/// The version of HTTP in which a head goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    #[default]
    Http1,
    /// In clear.
    Http2,
    Http2OverTls,
}

impl Wire {
    /// The scheme that requests name where they are not written in HTTP/1.
    #[inline]
    pub fn scheme(self) -> Option<&'static [u8]> {
        match self {
            Wire::Http1 => None,
            Wire::Http2 => Some(b"http"),
            Wire::Http2OverTls => Some(b"https"),
        }
    }
}

/// Another value for one field line, whose name stays as it came and is none that limpet itself knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced<'e> {
    /// Position of the line in its head.
    pub at: usize,
    pub value: &'e [u8],
}

impl Replaced<'_> {
    /// No line.
    pub const NONE: Self = Replaced { at: usize::MAX, value: b"" };
}

impl Default for Replaced<'_> {
    fn default() -> Self {
        Replaced::NONE
    }
}

/// The changes to a request's head on its way to the target.
pub struct RequestEdits<'e> {
    /// How the target is spoken to.
    pub wire: Wire,
    pub forwarded_for: ForwardedFor,
    /// Most entries that are kept, the nearest (right-most) ones; ours included.
    pub forwarded_for_entries: usize,
    /// The peer's address as text, without port, no brackets for IPv6; "unknown" on Unix sockets.
    pub peer: &'e [u8],
    /// The peer is a trusted hop: its X-Forwarded-Proto, -Port, -Host and Forwarded are kept; else replaced by ours.
    pub peer_trusted: bool,
    /// The scheme of the peer's own connection, for Forwarded: "http" or "https".
    pub scheme: &'e [u8],
    /// The scheme of the client's connection to the foremost hop, for X-Forwarded-Proto where none is kept.
    pub front_scheme: &'e [u8],
    /// The port of that connection, as text; empty on Unix sockets (then no X-Forwarded-Port).
    pub front_port: &'e [u8],
    /// Whether X-Real-IP passes as it came.
    pub keep_real_ip: bool,
    /// The client's address to write in X-Real-IP.
    pub real_ip: Option<&'e [u8]>,
    /// Write RFC 7239 Forwarded.
    pub forwarded: bool,
    /// Write Via with this pseudonym.
    pub via: Option<&'e [u8]>,
    /// Name and value of the request id field to set; an incoming field of that name is dropped.
    /// `None` when off, or when the peer is trusted and sent one (it then passes).
    pub request_id: Option<(&'e [u8], &'e [u8])>,
    /// Path to send in place of the request's (normalised or rewritten), query appended unchanged.
    pub path: Option<&'e [u8]>,
    /// Host to send in place of the request's.
    pub host: Option<&'e [u8]>,
    /// Names of limpet's own cookies, which the target does not get.
    pub strip_cookies: &'e [&'e [u8]],
    /// The field that carries a sealed session id, with the id alone.
    pub session_field: Replaced<'e>,
    /// The key of a WebSocket handshake that the request has none of.
    pub websocket_key: Option<&'e [u8]>,
    /// The protocols to send in Upgrade, with the connection option that it needs.
    pub upgrade: Option<&'e [u8]>,
    /// Max-Forwards to send in place of the request's.
    pub max_forwards: Option<u64>,
}

/// The changes to a response's head on its way to the client.
#[derive(Default)]
pub struct ResponseEdits<'e> {
    /// Whole `Set-Cookie` values of ours, one field each.
    pub set_cookies: &'e [&'e [u8]],
    /// The field that carries a session id, with what the client is to send back.
    pub session_field: Replaced<'e>,
    /// Add `Cache-Control: private` when the target sent no Cache-Control: a shared cache must not
    /// store such a response (RFC 9111 §5.2.2.7), and Set-Cookie alone does not keep it from doing
    /// so (§7.3). A browser's own cache keeps working, which `no-store` would end.
    pub protect_cookie: bool,
    pub via: Option<&'e [u8]>,
    /// The value of Date for a response that the target sent without one (RFC 9110 §6.6.1).
    pub date: Option<&'e [u8]>,
}
