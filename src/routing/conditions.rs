//! Conditions of a rule: each has several values (any matches); all conditions of a rule must match.
use std::net::IpAddr;

/// Everything routing may look at. `fields` are (name, value) pairs in order, names in any case.
pub struct Request<'a> {
    pub method: &'a [u8],
    /// Host without port, any case.
    pub host: &'a [u8],
    /// In normal form (see `path`).
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub source: Option<IpAddr>,
    pub fields: &'a [crate::http1::fields::Field<'a>],
}

#[derive(Debug, Clone)]
pub enum Condition {
    Host(Vec<HostPattern>),
    Path(Vec<PathPattern>),
    Method(Vec<Box<str>>),
    Header {
        name: Box<str>,
        values: Vec<Glob>,
    },
    /// `key = None` matches any key having the value.
    Query(Vec<(Option<Glob>, Glob)>),
    Source(Vec<ipnet::IpNet>),
}
#[derive(Debug, Clone)]
pub enum HostPattern {
    Exact(Box<str>),
    /// `*.example.com`, any depth
    Suffix(Box<str>),
    Glob(Glob),
}
#[derive(Debug, Clone)]
pub enum PathPattern {
    Exact(Box<str>),
    /// "/api/*": the prefix "/api/"
    Prefix(Box<str>),
    Glob(Glob),
}
/// `*` is any run, `?` is one byte; linear time.
#[derive(Debug, Clone)]
pub struct Glob {}
impl HostPattern {
    /// Parses and checks one value of the file.
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
impl PathPattern {
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
impl Glob {
    pub fn parse(_text: &str, _case_sensitive: bool) -> Result<Self, String> {
        todo!()
    }
}
