//! Users: what each has in its cookie jar, and which target knows it.
//!
//! Owns: the jars, and the judgement whether a response came from the right target. Tested below.
//!
//! Only the balancer sets cookies in a soak. A user's first visit is made alone; afterwards, several
//! connections may act for the same user at once. A response from another target than the one that
//! the sent cookies stand for is right only when it brings a new cookie, which is a *move*; without
//! one it is the fault that stickiness exists to prevent.

use std::collections::BTreeMap;

use tokio::sync::{Mutex, MutexGuard};

use super::client::Seen;
use super::tally::Problem;

/// All users.
#[derive(Debug)]
pub struct Sessions {
    users: Vec<Mutex<User>>,
}

#[derive(Debug, Clone, Default)]
struct User {
    cookies: BTreeMap<String, String>,
    /// The target that the cookies stand for; `None` before the first response.
    home: Option<String>,
}

/// One request of a user, or of nobody.
#[derive(Debug)]
pub struct Visit<'s> {
    user: Option<&'s Mutex<User>>,
    /// Held during a user's first visit.
    alone: Option<MutexGuard<'s, User>>,
    /// The user as it was when the request was made.
    sent: User,
}

/// Whether a user stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    Stayed,
    Moved,
}

impl Sessions {
    pub fn new(count: usize) -> Sessions {
        Sessions { users: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// Begins a request of that user.
    pub async fn visit(&self, user: Option<usize>) -> Visit<'_> {
        let Some(user) = user.and_then(|index| self.users.get(index)) else {
            return Visit { user: None, alone: None, sent: User::default() };
        };
        let state = user.lock().await;
        let sent = state.clone();
        let alone = sent.home.is_none().then_some(state);
        Visit { user: Some(user), alone, sent }
    }
}

impl Visit<'_> {
    /// The value of the `Cookie` field; `None` when there are none.
    pub fn cookies(&self) -> Option<String> {
        let pairs = self.sent.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<String> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps the response's cookies, and judges whether it came from the right target.
    ///
    /// # Errors
    /// When the user is bound to another target and nothing said that it was moved.
    pub async fn judge(self, seen: &Seen, sticky: bool) -> Result<Stay, Problem> {
        let Some(user) = self.user else { return Ok(Stay::Stayed) };
        let bound = !seen.cookies.is_empty();
        if bound || self.sent.home.is_none() {
            let mut state = match self.alone {
                Some(state) => state,
                None => user.lock().await,
            };
            state.cookies.extend(seen.cookies.iter().cloned());
            state.home = Some(seen.target.clone());
        }
        stay(&self.sent, seen, sticky, bound)
    }
}

fn stay(sent: &User, seen: &Seen, sticky: bool, bound: bool) -> Result<Stay, Problem> {
    match &sent.home {
        Some(home) if sticky && *home != seen.target => {
            let (home, target) = (home.clone(), seen.target.clone());
            if bound { Ok(Stay::Moved) } else { Err(Problem::WrongTarget { home, target }) }
        }
        None if sticky && !bound => Err(Problem::NoCookie),
        _ => Ok(Stay::Stayed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(target: &str, cookie: Option<&str>) -> Seen {
        let cookies = cookie.map(|value| ("limpet".to_owned(), value.to_owned()));
        Seen { target: target.to_owned(), cookies: cookies.into_iter().collect(), keep: true }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_user_who_stays_sends_the_cookie_and_is_content() {
        block_on(async {
            let sessions = Sessions::new(1);
            let first = sessions.visit(Some(0)).await;
            assert_eq!(first.cookies(), None);
            assert!(matches!(first.judge(&seen("a", Some("1")), true).await, Ok(Stay::Stayed)));
            let second = sessions.visit(Some(0)).await;
            assert_eq!(second.cookies().as_deref(), Some("limpet=1"));
            assert!(matches!(second.judge(&seen("a", None), true).await, Ok(Stay::Stayed)));
        });
    }

    #[test]
    fn another_target_is_a_move_with_a_new_cookie_and_wrong_without() {
        block_on(async {
            let sessions = Sessions::new(1);
            assert!(sessions.visit(Some(0)).await.judge(&seen("a", Some("1")), true).await.is_ok());
            let wrong = sessions.visit(Some(0)).await.judge(&seen("b", None), true).await;
            assert!(matches!(wrong, Err(Problem::WrongTarget { .. })), "{wrong:?}");
            let moved = sessions.visit(Some(0)).await.judge(&seen("b", Some("2")), true).await;
            assert!(matches!(moved, Ok(Stay::Moved)), "{moved:?}");
            let stays = sessions.visit(Some(0)).await;
            assert_eq!(stays.cookies().as_deref(), Some("limpet=2"));
            assert!(matches!(stays.judge(&seen("b", None), true).await, Ok(Stay::Stayed)));
        });
    }

    #[test]
    fn a_request_sent_before_a_move_may_still_be_answered_at_the_old_home() {
        block_on(async {
            let sessions = Sessions::new(1);
            assert!(sessions.visit(Some(0)).await.judge(&seen("a", Some("1")), true).await.is_ok());
            let early = sessions.visit(Some(0)).await;
            let mover = sessions.visit(Some(0)).await;
            assert!(matches!(mover.judge(&seen("b", Some("2")), true).await, Ok(Stay::Moved)));
            assert!(matches!(early.judge(&seen("a", None), true).await, Ok(Stay::Stayed)));
        });
    }

    #[test]
    fn a_first_visit_without_a_cookie_is_a_problem_only_when_stickiness_is_expected() {
        block_on(async {
            let sessions = Sessions::new(2);
            let none = sessions.visit(Some(0)).await.judge(&seen("a", None), true).await;
            assert!(matches!(none, Err(Problem::NoCookie)));
            assert!(sessions.visit(Some(1)).await.judge(&seen("a", None), false).await.is_ok());
            assert!(sessions.visit(Some(1)).await.judge(&seen("b", None), false).await.is_ok());
            assert!(sessions.visit(None).await.judge(&seen("b", None), true).await.is_ok());
        });
    }
}
