//! What a rule does with a request.
use crate::http1::answers::Answer;

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
#[derive(Debug, Clone)]
pub enum PathRewrite {
    StripPrefix(Box<str>),
    ReplacePrefix { prefix: Box<str>, with: Box<str> },
    Replace(Box<str>),
}
impl PathRewrite {
    /// Writes the new path (always starting with "/") into `out`, cleared first.
    pub fn apply(&self, _path: &[u8], _out: &mut Vec<u8>) {
        todo!()
    }
}

/// A redirect; its URL is built from a template with `#{protocol} #{host} #{port} #{path} #{query}` (ALB's placeholders).
#[derive(Debug, Clone)]
pub struct Redirect {
    pub status: u16,
    pub template: Box<str>,
}
impl Redirect {
    /// Parses and checks a template; the error says what is wrong and what is allowed.
    pub fn compile(_status: u16, _template: &str) -> Result<Redirect, String> {
        todo!()
    }
    /// Appends the Location value; bytes that may not stand in a field value are percent-encoded.
    pub fn location(&self, _parts: &RedirectParts<'_>, _out: &mut Vec<u8>) {
        todo!()
    }
}
pub struct RedirectParts<'a> {
    pub protocol: &'a [u8],
    pub host: &'a [u8],
    pub port: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

#[derive(Debug, Clone)]
pub struct Respond {
    pub status: u16,
    pub answer: Answer,
}
