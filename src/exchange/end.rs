//! How an exchange has ended; the client side expresses it in its own version of HTTP.

use super::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Request and response are whole; another request may follow.
    Complete,
    /// No more is to be sent: the response was whole before the request, or a tunnel is over.
    Over,
    /// No part of a response has been sent: the client is to be told why there is none.
    Refused(Failure),
    /// The response will not be completed, which the client must see; or the client is gone.
    Aborted(Failure),
}

impl End {
    /// How a failure ends an exchange whose response may have begun.
    pub fn of(failure: Failure, has_begun: bool) -> End {
        if has_begun || failure.is_clients_absence() {
            End::Aborted(failure)
        } else {
            End::Refused(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::End;
    use crate::exchange::failure::Failure;

    #[test]
    fn who_has_been_told_nothing_yet_is_told_why_and_a_response_that_has_begun_is_aborted() {
        for (failure, has_begun, end) in [
            (Failure::ConnectRefused, false, End::Refused(Failure::ConnectRefused)),
            (Failure::TargetContentShort, true, End::Aborted(Failure::TargetContentShort)),
            (Failure::Stopped, false, End::Refused(Failure::Stopped)),
            (Failure::Stopped, true, End::Aborted(Failure::Stopped)),
        ] {
            assert_eq!(End::of(failure, has_begun), end);
        }
    }

    #[test]
    fn nobody_is_told_anything_who_is_gone() {
        for failure in [Failure::ClientGone, Failure::ClientSendTimeout, Failure::TunnelIdle] {
            assert_eq!(End::of(failure, false), End::Aborted(failure));
        }
    }
}
