//! What a writer of requests does with their lines, one after the other.

use crate::http::fields::Field;
use crate::http::head::ContentLength;

/// The writer of one version. The start of a line of ours is its name, the colon and the space.
pub trait RequestLines {
    /// Line `at` of the received head goes on as it is.
    fn copy(&mut self, at: usize, field: &Field<'_>);

    /// Line `at` of the received head is left out.
    fn skip(&mut self, at: usize);

    /// Line `at` tells of the content what is true; it goes on, if its form allows that. Whether it did.
    fn copy_framing(&mut self, at: usize) -> bool;

    /// All received lines are behind.
    fn end_copies(&mut self);

    /// Tells what follows the head, where no line has done so.
    fn framing(&mut self, content: ContentLength);

    /// The hop-by-hop fields of ours: `TE: trailers`, and an upgrade that the rule allows.
    fn connection(&mut self, te_trailers: bool, upgrade: Option<&[u8]>);

    /// The key of a handshake of WebSocket.
    fn websocket_key(&mut self, key: &[u8]);

    /// One field line of ours.
    fn line<const N: usize>(&mut self, start: &[u8; N], value: &[u8]);

    /// One field line with a name of others'.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// A field line in the place of the one that was skipped last, with its name.
    fn replace(&mut self, name: &[u8], value: &[u8]);

    /// Begins a field line of ours, whose value comes in parts.
    fn begin<const N: usize>(&mut self, start: &[u8; N]);

    /// Begins a field line with a name of others', whose value comes in parts.
    fn begin_field(&mut self, name: &[u8]);

    fn part(&mut self, part: &[u8]);

    /// Ends the line that was begun.
    fn end(&mut self);

    /// Takes back the line that was begun.
    fn cancel(&mut self);
}
