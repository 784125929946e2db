//! One record of the JSON access log; the only place where the tests name its fields.

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Record {
    pub line: String,
    value: Value,
}

impl Record {
    #[track_caller]
    pub fn parse(line: &str) -> Record {
        let value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("no JSON in the access log ({error}): {line}"));
        Record { line: line.to_owned(), value }
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {}", self.line))
    }

    #[track_caller]
    pub fn number(&self, field: &str) -> f64 {
        self.value[field].as_f64().unwrap_or_else(|| panic!("no number {field:?} in {}", self.line))
    }

    /// Whether the field is absent, null, empty or "-".
    pub fn lacks(&self, field: &str) -> bool {
        let value = &self.value[field];
        value.is_null() || matches!(value.as_str(), Some("" | "-"))
    }

    pub fn flag(&self, field: &str) -> bool {
        self.value[field].as_bool().unwrap_or_else(|| panic!("no flag {field:?} in {}", self.line))
    }
}

/// What the suites ask for by meaning.
impl Record {
    /// Why a sticky request went where it went.
    #[track_caller]
    pub fn reason(&self) -> &str {
        self.text("sticky")
    }

    /// Who ended the exchange, in which phase, and why.
    #[track_caller]
    pub fn termination(&self) -> &str {
        self.text("ended")
    }

    /// The client, as trusted hops tell it.
    #[track_caller]
    pub fn client(&self) -> &str {
        self.text("client")
    }

    #[track_caller]
    pub fn retries(&self) -> f64 {
        self.number("retries")
    }
}
