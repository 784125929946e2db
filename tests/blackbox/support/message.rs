//! Messages as the tests see them: start line, field lines in order, content, how it was framed.
//!
//! Bytes above 0x7f are kept one to one as Latin-1, so a comparison of strings is a comparison of bytes.

/// How the content of a message was delimited on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// Field lines in the order in which they arrived, names in the case in which they arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldLines(pub Vec<(String, String)>);

impl FieldLines {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands {} times: {all:?}", all.len());
        all.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

#[derive(Debug, Clone)]
pub struct Request {
    /// The head as received, its empty line included.
    pub head: String,
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: FieldLines,
    pub framing: Framing,
    pub content: Vec<u8>,
    /// Size lines as received, the last chunk's included.
    pub size_lines: Vec<String>,
    pub trailers: FieldLines,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub head: String,
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: FieldLines,
    pub framing: Framing,
    pub content: Vec<u8>,
    pub size_lines: Vec<String>,
    pub trailers: FieldLines,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    pub fn text(&self) -> String {
        latin1(&self.content)
    }

    /// The content of a response of [`super::target::Target::echo`].
    #[track_caller]
    pub fn echo(&self) -> Echoed {
        assert_eq!(self.status, 200, "not an echo: {}{}", self.head, self.text());
        let value: serde_json::Value = serde_json::from_slice(&self.content)
            .unwrap_or_else(|error| panic!("no echo ({error}): {}{}", self.head, self.text()));
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let lines = value["fields"].as_array().cloned().unwrap_or_default();
        let pair = |line: &serde_json::Value| {
            let part = |i: usize| line[i].as_str().unwrap_or_default().to_owned();
            (part(0), part(1))
        };
        Echoed {
            target: text("target"),
            method: text("method"),
            path: text("path"),
            fields: FieldLines(lines.iter().map(pair).collect()),
            content: text("content"),
        }
    }

    /// The id of the echo target that answered.
    #[track_caller]
    pub fn target(&self) -> String {
        self.echo().target
    }

    /// `name=value` of the Set-Cookie field that sets `name`.
    pub fn set_cookie(&self, name: &str) -> Option<Cookie> {
        self.fields.all("set-cookie").into_iter().map(Cookie::parse).find(|c| c.name == name)
    }
}

/// What an echo target saw of a request.
#[derive(Debug)]
pub struct Echoed {
    pub target: String,
    pub method: String,
    pub path: String,
    pub fields: FieldLines,
    pub content: String,
}

/// A Set-Cookie value, taken apart; attribute names in lower case.
#[derive(Debug, Clone)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub attributes: Vec<(String, String)>,
}

impl Cookie {
    pub fn parse(text: &str) -> Cookie {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap_or_default().split_once('=').unwrap_or_default();
        let attributes = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        Cookie { name: name.to_owned(), value: value.to_owned(), attributes }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// As it stands in a Cookie field.
    pub fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    /// Whether it tells the browser to forget the cookie.
    pub fn deletes(&self) -> bool {
        self.attribute("max-age") == Some("0")
            || self.attribute("expires").is_some_and(|at| at.contains("1970"))
    }
}

pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| byte as char).collect()
}

/// Splits a head (without its empty line) into the start line and the field lines; strict about
/// line ends, white space before the colon and folding.
pub fn split_head(head: &str) -> Result<(String, FieldLines), String> {
    let body = head.strip_suffix("\r\n\r\n").ok_or("a head ends in an empty line")?;
    let mut lines = body.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    for line in lines {
        if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
            return Err(format!("bad field line {line:?}"));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("bad field name in {line:?}"));
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok((start, FieldLines(fields)))
}
