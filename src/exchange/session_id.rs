//! The application's session id in a field (`app_header`): opened on its way to the target, sealed on its way back.

use crate::http::edits::Replaced;
use crate::http::head::RequestHead;
use crate::snapshot::{Listener, View};
use crate::stickiness::memo::Memo;
use crate::stickiness::seal::SealCodec;
use crate::stickiness::session_field::{self, Brought, Worth};
use crate::stickiness::verdict::{SessionField, Stickiness};
use crate::uring::buffers;

/// The session id that a request brought, kept until its response has been written.
#[derive(Default)]
pub struct SessionId {
    /// The request is in a scope that has such a field.
    has_field: bool,
    /// As the client sent it; empty where it sent none.
    value: Vec<u8>,
    /// What the target sees of it.
    session_id_size: usize,
    worth: Worth,
}

impl SessionId {
    /// Takes the seal off the session id of a request, and remembers how it came, in place of what was remembered.
    /// `judged` is what the choice has found it to be worth, if it was made under this scope.
    #[inline]
    pub fn open<'b>(
        &mut self,
        head: &RequestHead<'_, 'b>,
        scope: Option<Scope<'_>>,
        (judged, opened, now_s): (Option<Worth>, &Memo, u64),
    ) -> Replaced<'b> {
        let Some((sticky, field)) = scope else {
            self.clear();
            return Replaced::NONE;
        };
        let open = |codec: &SealCodec, sealed| opened.open_seal(codec, sealed);
        let brought = session_field::brought(head.fields, field.name(), |sealed| {
            judged.unwrap_or_else(|| sticky.worth(field, sealed, now_s, open))
        });
        self.keep(brought.as_ref());
        match brought.filter(|brought| brought.worth != Worth::Bare) {
            None => Replaced::NONE,
            Some(Brought { at, value, session_id_size, .. }) => {
                Replaced { at, value: value.get(..session_id_size).unwrap_or_default() }
            }
        }
    }

    fn keep(&mut self, brought: Option<&Brought<'_>>) {
        self.clear();
        self.has_field = true;
        if let Some(brought) = brought {
            self.value = buffers::small();
            self.value.extend_from_slice(brought.value);
            self.session_id_size = brought.session_id_size;
            self.worth = brought.worth;
        }
    }

    pub fn clear(&mut self) {
        if self.has_field {
            buffers::give_back(std::mem::take(&mut self.value));
            *self = SessionId::default();
        }
    }

    /// The request is in a scope that has such a field.
    pub fn has_field(&self) -> bool {
        self.has_field
    }

    /// The request's session id, as the target saw it, and what it came with.
    pub fn brought(&self) -> Option<(&[u8], Worth)> {
        if self.value.is_empty() {
            return None;
        }
        Some((self.value.get(..self.session_id_size)?, self.worth))
    }

    /// The field's value as the client sent it.
    pub fn as_sent(&self) -> &[u8] {
        &self.value
    }
}

/// A scope with a session field.
pub type Scope<'a> = (&'a Stickiness, &'a SessionField);

/// The scope whose seals a request to a group may carry: the rule's or the group's. Also one that is not enabled,
/// since clients still have its seals.
pub fn scope<'a>(
    view: &'a View,
    listener: &'a Listener,
    (rule, group): (usize, usize),
) -> Option<Scope<'a>> {
    let with_field = |sticky: &'a Stickiness| Some((sticky, sticky.session_field()?));
    let of_rule = listener.rule_stickiness.get(rule).and_then(Option::as_deref);
    let of_group = view.groups.get(group).and_then(|group| group.stickiness.as_ref());
    match of_rule.and_then(with_field) {
        Some(scope) if scope.0.is_enabled() => Some(scope),
        of_rule => of_group.and_then(with_field).or(of_rule),
    }
}
