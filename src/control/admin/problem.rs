//! Errors as problem details (RFC 9457): one document for every refusal of the admin API.
//!
//! Owns the closed list of causes with their status and words. Of an internal fault it reveals only that there was one.
//! Tested below and by `tests/admin`.

use axum::http::header::{self, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

use crate::control::change::ChangeError;
use crate::control::config::{self, Problems};

/// The base of the URIs that explain the types of problems.
const TYPES: &str = "https://limpet.dev/problems/";

/// Every cause of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    BadRequest,
    Unauthorized,
    CrossSite,
    NotTrusted,
    NoSuchPath,
    NoGroup,
    NoTarget,
    NoChange,
    MethodNotAllowed,
    Pending,
    NothingPending,
    FileChanged,
    NoFile,
    FileUnusable,
    Refused,
    VersionMismatch,
    TooLarge,
    UnsupportedMediaType,
    Misdirected,
    Invalid,
    TooSlow,
    Internal,
}

impl Cause {
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Cause; 22] = [
        Cause::BadRequest,
        Cause::Unauthorized,
        Cause::CrossSite,
        Cause::NotTrusted,
        Cause::NoSuchPath,
        Cause::NoGroup,
        Cause::NoTarget,
        Cause::NoChange,
        Cause::MethodNotAllowed,
        Cause::Pending,
        Cause::NothingPending,
        Cause::FileChanged,
        Cause::NoFile,
        Cause::FileUnusable,
        Cause::Refused,
        Cause::VersionMismatch,
        Cause::TooLarge,
        Cause::UnsupportedMediaType,
        Cause::Misdirected,
        Cause::Invalid,
        Cause::TooSlow,
        Cause::Internal,
    ];

    /// Status, last part of the type, title.
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Cause::BadRequest => (S::BAD_REQUEST, "bad-request", "The request cannot be read"),
            Cause::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A token is needed"),
            Cause::CrossSite => (S::FORBIDDEN, "cross-site", "The request may come from elsewhere"),
            Cause::NotTrusted => (S::FORBIDDEN, "not-trusted", "The visitor may not do this"),
            Cause::NoSuchPath => (S::NOT_FOUND, "no-such-path", "There is nothing at this path"),
            Cause::NoGroup => (S::NOT_FOUND, "no-group", "There is no such target group"),
            Cause::NoTarget => (S::NOT_FOUND, "no-target", "There is no such target"),
            Cause::NoChange => (S::NOT_FOUND, "no-change", "There is no such change"),
            Cause::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method")
            }
            Cause::Pending => (S::CONFLICT, "pending", "A change waits to be confirmed"),
            Cause::NothingPending => {
                (S::CONFLICT, "nothing-pending", "No change waits to be confirmed")
            }
            Cause::FileChanged => (S::CONFLICT, "file-changed", "The file on disk has changed"),
            Cause::NoFile => (S::CONFLICT, "no-file", "There is no file"),
            Cause::FileUnusable => (S::CONFLICT, "file-unusable", "The file cannot be used"),
            Cause::Refused => (S::CONFLICT, "refused", "The change cannot be carried out"),
            Cause::VersionMismatch => (
                S::PRECONDITION_FAILED,
                "version-mismatch",
                "The configuration has changed meanwhile",
            ),
            Cause::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The content is too large"),
            Cause::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content is not application/json",
            ),
            Cause::Misdirected => {
                (S::MISDIRECTED_REQUEST, "misdirected", "The admin API does not have this name")
            }
            Cause::Invalid => {
                (S::UNPROCESSABLE_ENTITY, "invalid", "The configuration would be invalid")
            }
            Cause::TooSlow => (S::SERVICE_UNAVAILABLE, "too-slow", "The request took too long"),
            Cause::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "limpet has made a mistake"),
        }
    }

    pub fn status(self) -> StatusCode {
        self.words().0
    }

    /// The last part of the problem's type.
    #[cfg(any(test, feature = "internals"))]
    pub fn slug(self) -> &'static str {
        self.words().1
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub cause: Cause,
    /// One sentence for the operator.
    pub detail: String,
    /// The mistakes of a configuration; with [`Cause::Invalid`] only.
    pub problems: Option<Vec<config::Problem>>,
    /// The configuration version now; with [`Cause::VersionMismatch`] only.
    pub version: Option<u64>,
}

impl Problem {
    pub fn new(cause: Cause, detail: impl Into<String>) -> Problem {
        Problem { cause, detail: detail.into(), problems: None, version: None }
    }

    /// One mistake in the content of a request, in the form of a file's mistakes.
    pub fn invalid(key: &str, what: impl Into<String>, found: &str, allowed: &str) -> Problem {
        let problem = config::Problem {
            file: "request".to_owned(),
            line: 1,
            column: 1,
            path: key.to_owned(),
            what: what.into(),
            found: Some(found.to_owned()),
            allowed: Some(allowed.to_owned()),
        };
        Problems(vec![problem]).into()
    }

    /// For a group that does not exist; lists those that do.
    pub fn no_group(group: &str, allowed: String) -> Problem {
        ChangeError::NoGroup { group: group.to_owned(), allowed }.into()
    }

    fn document(&self) -> Document<'_> {
        let (status, slug, title) = self.cause.words();
        let problems = self.problems.as_ref();
        Document {
            kind: format!("{TYPES}{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            problems: problems.map(|problems| problems.iter().map(Mistake::of).collect()),
            version: self.version,
        }
    }
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Problem {
        let detail = problems.to_string();
        Problem { problems: Some(problems.0), ..Problem::new(Cause::Invalid, detail) }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        let cause = match &error {
            ChangeError::NoGroup { .. } => Cause::NoGroup,
            ChangeError::NoTarget { .. } => Cause::NoTarget,
            ChangeError::Conflict { .. } => Cause::VersionMismatch,
            ChangeError::Pending => Cause::Pending,
            ChangeError::NothingPending => Cause::NothingPending,
            ChangeError::NoSuchChange(_) => Cause::NoChange,
            ChangeError::Invalid(_) | ChangeError::Compile(_) => Cause::Invalid,
            ChangeError::NoFile => Cause::NoFile,
            ChangeError::File { .. } => Cause::FileUnusable,
            ChangeError::FileChanged => Cause::FileChanged,
            ChangeError::Irrevocable { .. } | ChangeError::Refused(_) => Cause::Refused,
        };
        let mut problem = Problem::new(cause, error.to_string());
        match error {
            ChangeError::Invalid(problems) => problem.problems = Some(problems.0),
            ChangeError::Compile(_) => problem.problems = Some(Vec::new()),
            ChangeError::Conflict { current, .. } => problem.version = Some(current),
            _ => {}
        }
        problem
    }
}

#[derive(Serialize)]
struct Document<'p> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<Mistake<'p>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// One mistake of a configuration.
#[derive(Serialize)]
struct Mistake<'p> {
    file: &'p str,
    line: usize,
    column: usize,
    key: &'p str,
    what: &'p str,
    found: Option<&'p str>,
    allowed: Option<&'p str>,
}

impl Mistake<'_> {
    fn of(problem: &config::Problem) -> Mistake<'_> {
        Mistake {
            file: &problem.file,
            line: problem.line,
            column: problem.column,
            key: &problem.path,
            what: &problem.what,
            found: problem.found.as_deref(),
            allowed: problem.allowed.as_deref(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        // Texts and numbers only: this cannot fail.
        let text = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = Response::new(text.into());
        *response.status_mut() = self.cause.status();
        // The guard counts refusals by this.
        response.extensions_mut().insert(self.cause);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.cause == Cause::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"limpet\""),
            );
        }
        if let Some(version) = self.version.and_then(super::etag::tag) {
            headers.insert(header::ETAG, version);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use crate::control::admin::problem::*;

    #[test]
    fn every_cause_has_a_type_of_its_own_and_the_status_of_an_error() {
        let mut slugs: Vec<_> = Cause::ALL.iter().map(|cause| cause.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            let status = cause.status();
            assert!(status.is_client_error() || status.is_server_error(), "{cause:?}");
        }
    }

    #[test]
    fn mistakes_of_a_configuration_keep_their_place() {
        let problem: Problem = config::parse("listener = 1", "web.toml").unwrap_err().into();
        let document = serde_json::to_value(problem.document()).unwrap();
        assert_eq!(document["status"], 422);
        assert_eq!(document["type"], "https://limpet.dev/problems/invalid");
        let first = &document["problems"][0];
        assert_eq!((&first["file"], &first["line"]), (&"web.toml".into(), &1.into()));
        assert_eq!((&first["key"], &first["found"]), (&"listener".into(), &"1".into()));
        assert!(first["allowed"].is_string());
    }

    #[test]
    fn a_version_mismatch_says_the_version_there_is() {
        let problem: Problem = ChangeError::Conflict { current: 7, expected: 3 }.into();
        let response = problem.into_response();
        assert_eq!(response.status(), 412);
        assert_eq!(response.headers()["etag"], "\"7\"");
    }
}
