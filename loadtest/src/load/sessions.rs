//! Users: what each has in its cookie jar, which target knows it, and whether it stayed there.
//!
//! Owns: the jars, and the choice of who asks next. Never: two requests of one user at the same time; a
//! user waits for its answer. Tested below.
//!
//! A user's home is the target of its first response. A response from another one is from the *wrong
//! target*; where moves are allowed, one that brings a new cookie is a *move* instead, and the home is
//! the new target from then on. A response that does not name its target cannot be told from a wrong one.

use super::random::Random;

/// How a response looks to the user who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    Stayed,
    Moved,
    Wrong,
}

/// Number of a target among those that a thread has seen.
pub type Target = u16;

#[derive(Debug, Default)]
struct User {
    /// Names and values.
    cookies: Vec<(Vec<u8>, Vec<u8>)>,
    /// The value of the Cookie field.
    field: Vec<u8>,
    home: Option<Target>,
}

/// The users of one thread.
#[derive(Debug)]
pub struct Sessions {
    users: Vec<User>,
    /// Those who wait for nothing.
    idle: Vec<u32>,
    allow_moves: bool,
}

impl Sessions {
    pub fn new(count: usize, allow_moves: bool) -> Sessions {
        let mut users = Vec::new();
        users.resize_with(count, User::default);
        Sessions { users, idle: (0..count as u32).collect(), allow_moves }
    }

    /// Somebody who waits for nothing; busy until [`give_back`](Sessions::give_back).
    pub fn take(&mut self, random: &mut Random) -> Option<u32> {
        if self.idle.is_empty() {
            return None;
        }
        let position = random.below(self.idle.len() as u64) as usize;
        Some(self.idle.swap_remove(position))
    }

    pub fn give_back(&mut self, user: u32) {
        self.idle.push(user);
    }

    /// Nobody knows this user yet: its first response must come before its second request.
    pub fn is_new(&self, user: u32) -> bool {
        self.users[user as usize].home.is_none()
    }

    /// The value of the user's Cookie field; empty when the jar is.
    pub fn cookies(&self, user: u32) -> &[u8] {
        &self.users[user as usize].field
    }

    /// Puts the value of one Set-Cookie field into the user's jar, or takes out what it says is over
    /// (RFC 6265 §5.2: only names, values and Max-Age matter to a user who stays a while).
    pub fn set_cookie(&mut self, user: u32, value: &[u8]) {
        let mut parts = value.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return };
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let is_over = parts.any(|part| is_over(part.trim_ascii()));
        let user = &mut self.users[user as usize];
        let known = user.cookies.iter().position(|cookie| cookie.0 == name);
        match (known, is_over) {
            (Some(position), true) => drop(user.cookies.remove(position)),
            (Some(position), false) => {
                let kept = &mut user.cookies[position].1;
                kept.clear();
                kept.extend_from_slice(value);
            }
            (None, true) => {}
            (None, false) => user.cookies.push((name.to_vec(), value.to_vec())),
        }
        user.field.clear();
        for (name, value) in &user.cookies {
            if !user.field.is_empty() {
                user.field.extend_from_slice(b"; ");
            }
            user.field.extend_from_slice(name);
            user.field.push(b'=');
            user.field.extend_from_slice(value);
        }
    }

    /// Judges a response to this user; `has_cookie` when it brought a cookie.
    pub fn judge(&mut self, user: u32, target: Option<Target>, has_cookie: bool) -> Stay {
        let user = &mut self.users[user as usize];
        match (user.home, target) {
            (_, None) => Stay::Wrong,
            (None, Some(_)) => {
                user.home = target;
                Stay::Stayed
            }
            (Some(home), Some(target)) if home == target => Stay::Stayed,
            (Some(_), Some(_)) if self.allow_moves && has_cookie => {
                user.home = target;
                Stay::Moved
            }
            (Some(_), Some(_)) => Stay::Wrong,
        }
    }
}

/// An attribute that ends a cookie at once.
fn is_over(attribute: &[u8]) -> bool {
    let Some((name, value)) = attribute.split_at_checked(8) else { return false };
    let is_zero =
        value.first() == Some(&b'-') || (!value.is_empty() && value.iter().all(|b| *b == b'0'));
    name.eq_ignore_ascii_case(b"max-age=") && is_zero
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jar_adds_replaces_and_forgets() {
        let mut sessions = Sessions::new(2, false);
        assert_eq!(sessions.cookies(1), b"");
        sessions.set_cookie(1, b"limpet=1; Path=/; HttpOnly");
        sessions.set_cookie(1, b" other = x ");
        assert_eq!(sessions.cookies(1), b"limpet=1; other=x");
        sessions.set_cookie(1, b"limpet=22; Max-Age=300");
        assert_eq!(sessions.cookies(1), b"limpet=22; other=x");
        sessions.set_cookie(1, b"limpet=; max-age=0");
        sessions.set_cookie(1, b"never=; Max-Age=-1");
        sessions.set_cookie(1, b"no pair");
        assert_eq!(sessions.cookies(1), b"other=x");
        assert_eq!(sessions.cookies(0), b"");
    }

    #[test]
    fn the_first_target_is_home_and_any_other_is_wrong() {
        let mut sessions = Sessions::new(1, false);
        assert!(sessions.is_new(0));
        assert_eq!(sessions.judge(0, Some(3), true), Stay::Stayed);
        assert!(!sessions.is_new(0));
        assert_eq!(sessions.judge(0, Some(3), false), Stay::Stayed);
        assert_eq!(sessions.judge(0, Some(4), true), Stay::Wrong);
        assert_eq!(sessions.judge(0, Some(4), false), Stay::Wrong);
        assert_eq!(sessions.judge(0, None, false), Stay::Wrong);
        assert_eq!(sessions.judge(0, Some(3), false), Stay::Stayed);
    }

    #[test]
    fn an_allowed_move_needs_a_new_cookie_and_gives_a_new_home() {
        let mut sessions = Sessions::new(1, true);
        assert_eq!(sessions.judge(0, Some(3), true), Stay::Stayed);
        assert_eq!(sessions.judge(0, Some(4), false), Stay::Wrong);
        assert_eq!(sessions.judge(0, Some(4), true), Stay::Moved);
        assert_eq!(sessions.judge(0, Some(4), false), Stay::Stayed);
        assert_eq!(sessions.judge(0, Some(3), false), Stay::Wrong);
    }

    #[test]
    fn nobody_asks_twice_at_once_and_everybody_gets_a_turn() {
        let mut random = Random::new(1);
        let mut sessions = Sessions::new(5, false);
        let mut seen = [0; 5];
        for _ in 0..200 {
            let mut taken: Vec<u32> =
                std::iter::from_fn(|| sessions.take(&mut random)).take(3).collect();
            taken.iter().for_each(|user| seen[*user as usize] += 1);
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), 3);
            taken.into_iter().for_each(|user| sessions.give_back(user));
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert!(std::iter::from_fn(|| sessions.take(&mut random)).count() == 5);
    }
}
