//! How an exchange has ended, for the client side to say in its own version's words.

use super::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Request and response are whole; another request may follow.
    Complete,
    /// All is said that will be: the response was whole before the request, or a tunnel is over.
    Over,
    /// What could not be done. Where a response has begun, the client must see that it is not whole.
    Failed(Failure),
}
