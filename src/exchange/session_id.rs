//! The application's session id in a field (`app_header`): opened on its way to the target, sealed on its way back.

use crate::http::edits::Replaced;
use crate::http::fields::eq_ignore_case;
use crate::http::head::RequestHead;
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
    /// Takes the seal off the session id of a request, and remembers how it came, in place of what was remembered. The
    /// first of `scopes` names the field; `judged` is what the choice has found the id to be worth, if it was made under
    /// that scope. A seal of another scope does not decide, and is taken off as well.
    pub fn open<'b, 's>(
        &mut self,
        head: &RequestHead<'_, 'b>,
        mut scopes: impl Iterator<Item = Scope<'s>>,
        judged: impl FnOnce(&Stickiness) -> Option<Worth>,
        (opened, now_s): (&Memo, u64),
    ) -> Replaced<'b> {
        let Some((sticky, field)) = scopes.next() else {
            self.clear();
            return Replaced::NONE;
        };
        let open = |codec: &SealCodec, sealed| opened.open_seal(codec, sealed);
        let brought = session_field::brought(head.fields, field.name(), |sealed| {
            let own = judged(sticky);
            match own.unwrap_or_else(|| sticky.worth(field, sealed, now_s, open)) {
                Worth::Bare => {
                    let of_others = scopes.any(|(sticky, other)| {
                        eq_ignore_case(other.name(), field.name())
                            && sticky.worth(other, sealed, now_s, open) != Worth::Bare
                    });
                    if of_others { Worth::Outdated } else { Worth::Bare }
                }
                worth => worth,
            }
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

/// The scope with such a field.
#[inline]
pub fn with_field(sticky: Option<&Stickiness>) -> Option<Scope<'_>> {
    let sticky = sticky?;
    Some((sticky, sticky.session_field()?))
}

/// The scopes whose seals a request may carry, by the rule that forwards it to one of `groups`: first the one that
/// decides now. Scopes that are turned off are among them, since clients keep their seals.
pub fn scopes<'a>(
    of_rule: Option<&'a Stickiness>,
    groups: impl Iterator<Item = &'a Stickiness>,
) -> impl Iterator<Item = Scope<'a>> {
    let is_on = of_rule.is_some_and(Stickiness::is_enabled);
    let (first, last) = if is_on { (of_rule, None) } else { (None, of_rule) };
    let all = first.into_iter().chain(groups).chain(last);
    all.filter_map(|sticky| with_field(Some(sticky)))
}
