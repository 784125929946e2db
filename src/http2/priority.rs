//! Priorities (RFC 9218 §4): urgency and incrementality, from the Priority field or from PRIORITY_UPDATE.
//!
//! The value is a dictionary of structured fields (RFC 8941 §3.2). What is not one is ignored as a whole, as RFC 9218
//! §4 and RFC 8941 §4.2 say; so are members that are unknown, out of range or of another type. Tested by tables.

/// How soon a response is wanted, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// From 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether parts of the response are of use before it is complete.
    pub incremental: bool,
}

/// RFC 9218 §4.1, §4.2.
impl Default for Priority {
    fn default() -> Priority {
        Priority { urgency: 3, incremental: false }
    }
}

/// The part of a member's value that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Integer(i64),
    Boolean(bool),
    /// Of any other type.
    Other,
}

/// Most digits of an integer (RFC 8941 §3.3.1).
const DIGIT_COUNT_MAX: usize = 15;

impl Priority {
    /// Reads the value of a Priority field or of PRIORITY_UPDATE; the defaults stand for what it does not say.
    pub fn parse(value: &[u8]) -> Priority {
        Priority::parsed(value).unwrap_or_default()
    }

    /// `None` when `value` is no dictionary.
    fn parsed(value: &[u8]) -> Option<Priority> {
        let mut priority = Priority::default();
        let mut input = Input { rest: value };
        input.skip(|byte| byte == b' ');
        while !input.rest.is_empty() {
            let key = input.key()?;
            let item = if input.take(b'=') { input.member()? } else { Item::Boolean(true) };
            input.parameters()?;
            // The last member with a key counts (RFC 8941 §3.2), so that one which does not count resets it.
            let default = Priority::default();
            match (key, item) {
                (b"u", Item::Integer(urgency @ 0..=7)) => priority.urgency = urgency as u8,
                (b"u", _) => priority.urgency = default.urgency,
                (b"i", Item::Boolean(incremental)) => priority.incremental = incremental,
                (b"i", _) => priority.incremental = default.incremental,
                _ => {}
            }
            input.next_member()?;
        }
        Some(priority)
    }
}

/// The rest of a dictionary.
struct Input<'v> {
    rest: &'v [u8],
}

impl<'v> Input<'v> {
    fn first(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes off `byte` if it is the next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.first() == Some(byte);
        if is_next {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        is_next
    }

    /// Takes off all bytes in front that `is_part` holds of.
    fn skip(&mut self, is_part: impl Fn(u8) -> bool) -> &'v [u8] {
        let end = self.rest.iter().position(|byte| !is_part(*byte)).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        part
    }

    /// RFC 8941 §3.1.2.
    fn key(&mut self) -> Option<&'v [u8]> {
        matches!(self.first()?, b'a'..=b'z' | b'*').then_some(())?;
        Some(
            self.skip(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')),
        )
    }

    /// The comma behind a member and the white space around it; `None` when something else follows, or nothing does.
    fn next_member(&mut self) -> Option<()> {
        let is_space = |byte| matches!(byte, b' ' | b'\t');
        self.skip(is_space);
        if self.rest.is_empty() {
            return Some(());
        }
        let is_comma = self.take(b',');
        self.skip(is_space);
        (is_comma && !self.rest.is_empty()).then_some(())
    }

    /// An item or an inner list (RFC 8941 §3.1.1), without its parameters.
    fn member(&mut self) -> Option<Item> {
        if !self.take(b'(') {
            return self.item();
        }
        loop {
            self.skip(|byte| byte == b' ');
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.item()?;
            self.parameters()?;
            matches!(self.first()?, b' ' | b')').then_some(())?;
        }
    }

    /// RFC 8941 §3.1.2: `;key` or `;key=item`, any number of times.
    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    /// RFC 8941 §3.3.
    fn item(&mut self) -> Option<Item> {
        match self.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'?' => {
                self.take(b'?');
                let is_true = self.take(b'1');
                (is_true || self.take(b'0')).then_some(Item::Boolean(is_true))
            }
            b'"' => self.string(),
            b':' => {
                self.take(b':');
                let is_base64 =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
                self.skip(is_base64);
                self.take(b':').then_some(Item::Other)
            }
            first if first.is_ascii_alphabetic() || first == b'*' => {
                self.skip(|byte| {
                    crate::http::fields::is_token_byte(byte) || matches!(byte, b':' | b'/')
                });
                Some(Item::Other)
            }
            _ => None,
        }
    }

    /// An integer, or a decimal, which is of another type.
    fn number(&mut self) -> Option<Item> {
        let is_negative = self.take(b'-');
        let digits = self.skip(|byte| byte.is_ascii_digit());
        if digits.is_empty() || digits.len() > DIGIT_COUNT_MAX {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.skip(|byte| byte.is_ascii_digit());
            return ((1..=3).contains(&fraction.len()) && digits.len() <= 12)
                .then_some(Item::Other);
        }
        let digit = |byte: &u8| i64::from(byte.wrapping_sub(b'0'));
        let sum = digits.iter().fold(0_i64, |sum, byte| sum * 10 + digit(byte));
        Some(Item::Integer(if is_negative { -sum } else { sum }))
    }

    fn string(&mut self) -> Option<Item> {
        self.take(b'"');
        loop {
            self.skip(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
            if self.take(b'"') {
                return Some(Item::Other);
            }
            (self.take(b'\\') && (self.take(b'"') || self.take(b'\\'))).then_some(())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http2::priority::Priority;

    #[test]
    fn urgency_and_incrementality_are_read() {
        for (value, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i,u=1", 1, true),
            ("i=?0", 3, false),
            ("i=?1", 3, true),
            ("  u=2 ,\t i  ", 2, true),
            ("u=5, u=1", 1, false),
            ("i, i=?0", 3, false),
            ("u=-0", 0, false),
            ("u=00006", 6, false),
            // Out of range or of another type.
            ("u=8", 3, false),
            ("u=-1, i", 3, true),
            ("u=1.0, i", 3, true),
            ("u=\"1\", i=1", 3, false),
            ("u, i=yes", 3, false),
            ("u=(1 2), i", 3, true),
            ("u=1, u=8", 3, false),
            ("u=999999999999999", 3, false),
            // Unknown members and parameters.
            ("foo, u=1;a;b=2, bar=(a \"b\" ?1 :YQ==:;c=d 1.5), i;x=\"\\\"\"", 1, true),
            ("*a-b_c.d=a/b:c, u=4", 4, false),
            ("x=(), u=4", 4, false),
        ] {
            let expected = Priority { urgency, incremental };
            assert_eq!(Priority::parse(value.as_bytes()), expected, "{value}");
            assert!(Priority::parsed(value.as_bytes()).is_some(), "{value}");
        }
    }

    #[test]
    fn a_value_that_is_no_dictionary_is_ignored_as_a_whole() {
        for value in [
            "u=1,",
            "u=1,,i",
            ",u=1",
            "u=1 i",
            "u=",
            "u=1;",
            "u=1;=",
            "U=1",
            "1",
            "u=?2",
            "u=?",
            "u=\"1",
            "u=\"\\a\"",
            "u=:a",
            "u=(1",
            "u=(1,2)",
            "u=(1\"\")",
            "u=1.",
            "u=1.0000",
            "u=-",
            "u=1234567890123456",
            "u=1234567890123.0",
            "u=1\0",
            "u=1, i=?1x",
            "\tu=1",
            "u=1, \u{e9}",
            "u=;",
            "u=@1",
        ] {
            assert_eq!(Priority::parsed(value.as_bytes()), None, "{value:?}");
            assert_eq!(Priority::parse(value.as_bytes()), Priority::default());
        }
    }
}
