//! Which conditions cover others entirely, for notes about rules that no request can reach.
//!
//! Says "covers" only where that is certain: two patterns with inner wildcards mostly count as not covering each other.
//! Never used for a request. Tested by a table.

use super::budget::Budget;
use super::conditions::{Condition, Glob, HostPattern, PathPattern};
use super::path;

/// Whether every request that fulfils all of `later` fulfils all of `earlier`. `steps` bounds the comparisons; when
/// none are left the answer is no.
pub fn covers(earlier: &[Condition], later: &[Condition], steps: &mut usize) -> bool {
    earlier.iter().all(|one| later.iter().any(|other| one.covers(other, steps)))
}

/// Whether a path that `pattern` matches may begin with the segments of `prefix`, which is in normal form.
pub fn may_begin_with(pattern: &PathPattern, prefix: &str) -> bool {
    let mut wanted = Vec::new();
    path::push_compared(prefix.strip_suffix('/').unwrap_or(prefix).as_bytes(), &mut wanted);
    let ends_segment = |rest: &[u8]| matches!(rest.first(), None | Some(b'/'));
    let begins = |text: &[u8]| text.strip_prefix(wanted.as_slice()).is_some_and(ends_segment);
    match pattern {
        PathPattern::Exact(exact) => begins(exact.as_bytes()),
        PathPattern::Prefix(literal) => {
            begins(literal.as_bytes()) || wanted.starts_with(literal.as_bytes())
        }
        PathPattern::Glob(glob) => {
            let literal = glob.literal_prefix();
            begins(&literal) || wanted.starts_with(&literal)
        }
    }
}

impl Condition {
    fn covers(&self, other: &Condition, steps: &mut usize) -> bool {
        match (self, other) {
            (Condition::Host(all), Condition::Host(some)) => {
                each(some, all, steps, |one, all| all.covers(one))
            }
            (Condition::Path(all), Condition::Path(some)) => {
                each(some, all, steps, |one, all| all.covers(one))
            }
            (Condition::Method(all), Condition::Method(some)) => {
                each(some, all, steps, |one, all| one == all)
            }
            (
                Condition::Header { name, values },
                Condition::Header { name: other_name, values: others },
            ) => {
                name.eq_ignore_ascii_case(other_name)
                    && each(others, values, steps, |one, all| glob_covers(all, one))
            }
            (Condition::Query(all), Condition::Query(some)) => {
                each(some, all, steps, |(key, value), (any_key, all)| {
                    let same_key = match (any_key, key) {
                        (None, _) => true,
                        (Some(all), Some(one)) => glob_covers(all, one),
                        (Some(_), None) => false,
                    };
                    same_key && glob_covers(all, value)
                })
            }
            (Condition::Source(all), Condition::Source(some)) => {
                each(some, all, steps, |one, all| all.contains(one))
            }
            (Condition::Sni(all), Condition::Sni(some)) => {
                each(some, all, steps, |one, all| all.covers(one))
            }
            (Condition::ClientCertificate(all), Condition::ClientCertificate(one)) => all == one,
            _ => false,
        }
    }
}

/// Whether each of `some` is covered by one of `all`.
fn each<T>(some: &[T], all: &[T], steps: &mut usize, covers: impl Fn(&T, &T) -> bool) -> bool {
    some.iter().all(|one| {
        all.iter().any(|all| {
            *steps = steps.saturating_sub(1);
            *steps > 0 && covers(one, all)
        })
    })
}

fn glob_covers(all: &Glob, one: &Glob) -> bool {
    all == one || all.prefix().is_some_and(|prefix| one.literal_prefix().starts_with(&prefix))
}

impl HostPattern {
    fn covers(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (all, HostPattern::Exact(host)) => all.matches(host.as_bytes(), &Budget::unlimited()),
            (HostPattern::Suffix(all), HostPattern::Suffix(some)) => some.ends_with(&**all),
            (HostPattern::Suffix(all), HostPattern::Glob(glob)) => {
                glob.literal_suffix().ends_with(all.as_bytes())
            }
            (HostPattern::Glob(all), HostPattern::Glob(one)) => glob_covers(all, one),
            (HostPattern::Glob(all), HostPattern::Suffix(_)) => {
                all.prefix().is_some_and(|prefix| prefix.is_empty())
            }
            (HostPattern::Exact(_), HostPattern::Suffix(_) | HostPattern::Glob(_)) => false,
        }
    }
}

impl PathPattern {
    fn covers(&self, other: &PathPattern) -> bool {
        match (self, other) {
            (all, PathPattern::Exact(path)) => all.matches(path.as_bytes(), &Budget::unlimited()),
            (PathPattern::Prefix(all), PathPattern::Prefix(some)) => some.starts_with(&**all),
            (PathPattern::Prefix(all), PathPattern::Glob(glob)) => {
                glob.literal_prefix().starts_with(all.as_bytes())
            }
            (PathPattern::Glob(all), PathPattern::Glob(one)) => all == one,
            (PathPattern::Glob(_), PathPattern::Prefix(_))
            | (PathPattern::Exact(_), PathPattern::Prefix(_) | PathPattern::Glob(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::routing::cover::*;

    fn path(text: &str) -> PathPattern {
        PathPattern::parse(text).expect(text)
    }

    #[test]
    fn a_pattern_covers_what_can_only_match_with_it() {
        for (all, one, expected) in [
            ("/*", "/api/*", true),
            ("*", "/a", true),
            ("/api/*", "/api/v?/x", true),
            ("/api/*", "/api/x", true),
            ("/api/*", "/api", false),
            ("/api", "/api", true),
            ("/api", "/api/*", false),
            ("/*.png", "/a.png", true),
            ("/*.png", "/a/*", false),
            ("/api/*", "*", false),
        ] {
            assert_eq!(path(all).covers(&path(one)), expected, "{all} {one}");
        }
        let host = |text: &str| HostPattern::parse(text).expect(text);
        for (all, one, expected) in [
            ("*.a.example", "b.a.example", true),
            ("*.a.example", "a.example", false),
            ("*.a.example", "*.b.a.example", true),
            ("*.b.a.example", "*.a.example", false),
            ("*", "*.a.example", true),
            ("*", "a?.example", true),
            ("a.example", "*.example", false),
        ] {
            assert_eq!(host(all).covers(&host(one)), expected, "{all} {one}");
        }
    }

    #[test]
    fn more_conditions_take_less() {
        let paths = |text| Condition::Path(vec![path(text)]);
        let method = |name: &str| Condition::Method(vec![name.into()]);
        let covers = |earlier: &[Condition], later: &[Condition]| {
            super::covers(earlier, later, &mut usize::MAX.clone())
        };
        assert!(covers(&[], &[paths("/a")]));
        assert!(covers(&[paths("/a*")], &[method("GET"), paths("/a")]));
        assert!(!covers(&[paths("/a*"), method("GET")], &[paths("/a")]));
        assert!(!covers(&[method("GET")], &[method("HEAD")]));
        assert!(!super::covers(&[paths("/a*")], &[paths("/a")], &mut 0), "no steps are left");
    }

    #[test]
    fn a_prefix_that_no_path_of_a_pattern_has_is_found() {
        for (pattern, prefix, expected) in [
            ("/api/*", "/api", true),
            ("/api/*", "/api/", true),
            ("/api/*", "/v1", false),
            ("/api/*", "/api/v1", true),
            ("/apis/*", "/api", false),
            ("/api*", "/api", true),
            ("/api", "/api", true),
            ("/api", "/api/v1", false),
            ("/*/x", "/api", true),
            ("*", "/api", true),
            ("/%40a/*", "/@a", true),
            ("/v?/x", "/v1", true),
        ] {
            assert_eq!(may_begin_with(&path(pattern), prefix), expected, "{pattern} {prefix}");
        }
    }
}
