//! The configuration version as an entity tag, so that two operators do not overwrite each other.
//!
//! Strong tags of the form `"3"` (RFC 9110 §8.8.3); only If-Match is used. Pure; tested below.

use axum::http::HeaderMap;
use axum::http::header::{HeaderValue, IF_MATCH};

/// The tag of a configuration version.
pub fn tag(version: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{version}\"")).ok()
}

/// The condition of a change (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no If-Match, or it is `*`.
    None,
    /// One of these versions; empty when no tag can ever be a version.
    OneOf(Vec<u64>),
}

/// An If-Match field that does not follow RFC 9110 §13.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Condition {
    /// Reads all If-Match fields.
    ///
    /// # Errors
    /// One of them is no list of entity tags.
    pub fn of(headers: &HeaderMap) -> Result<Condition, Malformed> {
        let mut versions: Option<Vec<u64>> = None;
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| Malformed)?.trim();
            if text == "*" {
                return Ok(Condition::None);
            }
            for one in text.split(',') {
                let versions = versions.get_or_insert_default();
                versions.extend(version(one.trim())?);
            }
        }
        Ok(versions.map_or(Condition::None, Condition::OneOf))
    }

    /// The version that the change requires, given the one that runs; another version makes the change fail.
    pub fn version(&self, current: u64) -> Option<u64> {
        match self {
            Condition::None => None,
            Condition::OneOf(versions) if versions.contains(&current) => Some(current),
            // Versions begin with 1, so no client has seen 0.
            Condition::OneOf(versions) => Some(versions.first().copied().unwrap_or(0)),
        }
    }
}

/// A weak tag never matches, by the strong comparison that If-Match requires (RFC 9110 §13.1.1).
fn version(tag: &str) -> Result<Option<u64>, Malformed> {
    let (strong, quoted) = match tag.strip_prefix("W/") {
        Some(quoted) => (false, quoted),
        None => (true, tag),
    };
    let inner = match quoted.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains('"')),
        // A shell removes quotes; a bare number cannot mean anything else.
        None => Some(quoted).filter(|bare| strong && bare.parse::<u64>().is_ok()),
    };
    let inner = inner.ok_or(Malformed)?;
    Ok(inner.parse().ok().filter(|version: &u64| strong && version.to_string() == inner))
}

#[cfg(test)]
mod tests {
    use crate::control::admin::etag::*;

    fn read(fields: &[&str]) -> Result<Condition, Malformed> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_MATCH, HeaderValue::from_str(field).unwrap());
        }
        Condition::of(&headers)
    }

    #[test]
    fn if_match_is_a_list_of_versions() {
        let one_of = |versions: &[u64]| Ok(Condition::OneOf(versions.to_vec()));
        for (fields, wanted) in [
            (&[][..], Ok(Condition::None)),
            (&["*"], Ok(Condition::None)),
            (&["\"3\""], one_of(&[3])),
            (&["\"3\", \"4\""], one_of(&[3, 4])),
            (&["\"3\"", "\"4\""], one_of(&[3, 4])),
            (&["W/\"3\""], one_of(&[])),
            (&["\"xyz\""], one_of(&[])),
            (&["\"03\""], one_of(&[])),
            (&["3"], one_of(&[3])),
            (&["x"], Err(Malformed)),
            (&["W/3"], Err(Malformed)),
            (&["\"3"], Err(Malformed)),
            (&["\""], Err(Malformed)),
            (&[""], Err(Malformed)),
        ] {
            assert_eq!(read(fields), wanted, "{fields:?}");
        }
    }

    #[test]
    fn a_condition_holds_for_the_version_that_runs_or_names_another() {
        assert_eq!(Condition::None.version(5), None);
        assert_eq!(Condition::OneOf(vec![3, 5]).version(5), Some(5));
        assert_eq!(Condition::OneOf(vec![3]).version(5), Some(3));
        assert_eq!(Condition::OneOf(vec![]).version(5), Some(0));
    }
}
