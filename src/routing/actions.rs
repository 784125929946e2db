//! The actions of a rule.
//!
//! Pure: `exchange` carries an action out; this file has its settings, the path rewrite and its description in words.
//! Redirect templates are in `redirect`, the choice among groups in `weighted`. Tested by tables.
use std::fmt;

use super::path;
pub use super::redirect::{Redirect, RedirectParts};
use crate::http::answers::Answer;

/// Position of a target group in its snapshot.
pub type GroupIndex = usize;

#[derive(Debug, Clone)]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    Respond(Respond),
}

#[derive(Debug, Clone)]
pub struct Forward {
    /// (group, weight); one entry in the common case. Weight 0 is never picked.
    pub groups: Vec<(GroupIndex, u32)>,
    /// Remember the group in the cookie (ALB: target group stickiness of a rule).
    pub sticky: bool,
    pub rewrite_path: Option<PathRewrite>,
    pub rewrite_host: Option<Box<str>>,
}

/// How the path changes on its way to the target.
///
/// A prefix stands for whole segments, with or without its final slash: `/api` and `/api/` both cover
/// `/api` and `/api/users`, not `/apis`. A path outside the prefix, and `*`, pass unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    StripPrefix(Box<str>),
    ReplacePrefix { prefix: Box<str>, with: Box<str> },
    Replace(Box<str>),
}

impl PathRewrite {
    /// Writes the new path into `out`, cleared first. It always starts with "/"; only `*` stays as it is.
    pub fn apply(&self, path: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let rest = match self {
            _ if path == b"*" => None,
            PathRewrite::StripPrefix(prefix) => strip_segments(path, prefix),
            PathRewrite::ReplacePrefix { prefix, with } => {
                let rest = strip_segments(path, prefix);
                if rest.is_some() {
                    push_rooted(with.as_bytes(), out);
                }
                if out.last() == Some(&b'/') && rest.is_some_and(|rest| !rest.is_empty()) {
                    out.pop();
                }
                rest
            }
            PathRewrite::Replace(with) => {
                push_rooted(with.as_bytes(), out);
                Some(&b""[..])
            }
        };
        out.extend_from_slice(rest.unwrap_or(path));
        if out.is_empty() {
            out.push(b'/');
        }
    }
}

/// The rest of `path` behind `prefix`: empty or beginning with a slash.
fn strip_segments<'p>(path: &'p [u8], prefix: &str) -> Option<&'p [u8]> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let rest = path::strip_prefix(path, prefix.as_bytes())?;
    matches!(rest.first(), None | Some(b'/')).then_some(rest)
}

fn push_rooted(text: &[u8], out: &mut Vec<u8>) {
    if text.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(text);
}

/// A path of the file in the form in which paths are matched and forwarded: bytes that no path may have are encoded,
/// and everything else must be in normal form already.
///
/// # Errors
/// A sentence that says why it is not.
pub fn normal_path(text: &str) -> Result<Box<str>, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} does not begin with \"/\""));
    }
    let wrong = |c: &char| c.is_ascii_control() || matches!(c, ' ' | '?' | '#');
    if let Some(wrong) = text.chars().find(wrong) {
        return Err(format!("{text:?} has {wrong:?}, which may not stand in a path"));
    }
    let encoded = path::encode(text);
    if path::form(encoded.as_bytes(), false) != path::Form::Other {
        return Ok(encoded.into());
    }
    let mut normal = Vec::new();
    match path::normalize(text.as_bytes(), false, &mut normal) {
        Ok(()) => Err(format!(
            "{text:?} is not in normal form; write {:?}",
            String::from_utf8_lossy(&normal)
        )),
        Err(fault) => Err(format!("{text:?} is not a path ({})", fault.code())),
    }
}

#[derive(Debug, Clone)]
pub struct Respond {
    pub status: u16,
    pub answer: Answer,
}

impl Action {
    /// "forward to web (weight 9), canary (weight 1), sticky"; `group_name` names a group by its index.
    pub fn describe(&self, group_name: &dyn Fn(GroupIndex) -> String) -> String {
        match self {
            Action::Forward(forward) => forward.describe(group_name),
            Action::Redirect(redirect) => redirect.to_string(),
            Action::Respond(respond) => respond.to_string(),
        }
    }
}

impl Forward {
    fn describe(&self, group_name: &dyn Fn(GroupIndex) -> String) -> String {
        let groups: Vec<_> = match self.groups.as_slice() {
            [(group, _)] => vec![group_name(*group)],
            groups => groups
                .iter()
                .map(|(group, weight)| format!("{} (weight {weight})", group_name(*group)))
                .collect(),
        };
        let mut text = format!("forward to {}", groups.join(", "));
        if self.sticky {
            text.push_str(", sticky");
        }
        if let Some(rewrite) = &self.rewrite_path {
            text.push_str(&format!(", {rewrite}"));
        }
        if let Some(host) = &self.rewrite_host {
            text.push_str(&format!(", host becomes {host}"));
        }
        text
    }
}

impl fmt::Display for Action {
    /// Groups by their position; see [`Action::describe`] for names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(&|group| format!("group {group}")))
    }
}

impl fmt::Display for PathRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathRewrite::StripPrefix(prefix) => write!(f, "path loses {prefix}"),
            PathRewrite::ReplacePrefix { prefix, with } => {
                write!(f, "path prefix {prefix} becomes {with}")
            }
            PathRewrite::Replace(with) => write!(f, "path becomes {with}"),
        }
    }
}

impl fmt::Display for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answer {} ({} bytes)", self.status, self.answer.body.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::routing::actions::*;

    fn rewritten(rewrite: &PathRewrite, path: &str) -> String {
        let mut out = b"left over".to_vec();
        rewrite.apply(path.as_bytes(), &mut out);
        String::from_utf8(out).expect("test paths are text")
    }

    #[test]
    fn strip_prefix_takes_whole_segments() {
        for (prefix, path, expected) in [
            ("/api", "/api/users", "/users"),
            ("/api/", "/api/users", "/users"),
            ("/api", "/api", "/"),
            ("/api/", "/api/", "/"),
            ("/api", "/apis", "/apis"),
            ("/api", "/other", "/other"),
            ("/", "/a", "/a"),
            ("/", "/", "/"),
            ("/api", "*", "*"),
        ] {
            let rewrite = PathRewrite::StripPrefix(prefix.into());
            assert_eq!(rewritten(&rewrite, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn replace_prefix_joins_with_one_slash() {
        for (prefix, with, path, expected) in [
            ("/v1", "/v2", "/v1/a", "/v2/a"),
            ("/v1/", "/v2/", "/v1/a", "/v2/a"),
            ("/v1", "/v2/", "/v1", "/v2/"),
            ("/v1", "/", "/v1/a", "/a"),
            ("/v1", "/", "/v1", "/"),
            ("/", "/app", "/a/b", "/app/a/b"),
            ("/v1", "/v2", "/v10", "/v10"),
            ("/v1", "v2", "/v1/a", "/v2/a"),
            ("/v1", "/v2", "*", "*"),
        ] {
            let rewrite = PathRewrite::ReplacePrefix { prefix: prefix.into(), with: with.into() };
            assert_eq!(rewritten(&rewrite, path), expected, "{prefix} {with} {path}");
        }
    }

    #[test]
    fn replace_sets_the_whole_path() {
        let rewrite = PathRewrite::Replace("/maintenance".into());
        assert_eq!(rewritten(&rewrite, "/a/b"), "/maintenance");
        assert_eq!(rewritten(&PathRewrite::Replace("x".into()), "/"), "/x");
    }

    #[test]
    fn rewrites_are_checked_as_paths() {
        assert_eq!(normal_path("/api").as_deref(), Ok("/api"));
        assert_eq!(normal_path("/a|b/{c}/%2F").as_deref(), Ok("/a%7Cb/%7Bc%7D/%2F"));
        assert_eq!(normal_path("/caf\u{e9}").as_deref(), Ok("/caf%C3%A9"));
        for (text, word) in [
            ("api", "begin"),
            ("/a?b", "'?'"),
            ("/a b", "' '"),
            ("/a/../b", "\"/b\""),
            ("/%zz", "percent"),
        ] {
            let error = normal_path(text).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn actions_describe_themselves_in_words() {
        let forward = Action::Forward(Forward {
            groups: vec![(0, 9), (1, 1)],
            sticky: true,
            rewrite_path: Some(PathRewrite::StripPrefix("/api".into())),
            rewrite_host: Some("inner".into()),
        });
        assert_eq!(
            forward.describe(&|group| ["web", "canary"][group].to_string()),
            "forward to web (weight 9), canary (weight 1), sticky, path loses /api, host becomes inner"
        );
        let answer = Answer { content_type: "text/plain".into(), body: bytes::Bytes::from("no\n") };
        let respond = Action::Respond(Respond { status: 404, answer });
        assert_eq!(respond.to_string(), "answer 404 (3 bytes)");
    }
}
