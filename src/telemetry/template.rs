//! A log line by the operator's own template: text with `{fields}`.
//!
//! ```text
//! {status}        the field's value, "-" where there is none; quotes, backslashes and bytes that are not
//!                 visible ASCII are \xhh, so no request can end the line or leave its quotes
//! {status:json}   the value as JSON: "text" in quotes, 200, true, null
//! {{ and }}       braces
//! ```
//! Parses templates; `format` writes lines by them. Must never offer a field that JSON leaves out for secrecy. Tested
//! beside it.
use super::format::fields::{FIELDS, Field, RARE_FIELDS};

/// Names that differ more than this are no typing errors.
const DISTANCE_MAX: usize = 3;

/// A template after parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(Box<str>),
    Field(Field, Form),
}

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Json,
}

/// The fault of a template; reads as the predicate of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("has an unknown field {name:?}{}", suggestion(.nearest))]
    UnknownField { name: String, nearest: Option<&'static str> },
    #[error("has an unknown form {0:?} of a field; there is only \"json\"")]
    UnknownForm(String),
    #[error("has a \"{{\" that is not closed; a brace itself is \"{{{{\"")]
    Unclosed,
    #[error("has a \"}}\" that closes nothing; a brace itself is \"}}}}\"")]
    Unopened,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |name| format!(", did you mean {name:?}?"))
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// See [`TemplateFault`].
    pub fn parse(text: &str) -> Result<Template, TemplateFault> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, brace, after)) = split_at_brace(rest) {
            literal.push_str(before);
            rest = match (brace, after.strip_prefix(brace)) {
                (_, Some(after)) => {
                    literal.push(brace);
                    after
                }
                ('{', None) => {
                    let (inside, after) = after.split_once('}').ok_or(TemplateFault::Unclosed)?;
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                    }
                    parts.push(field(inside)?);
                    after
                }
                (_, None) => return Err(TemplateFault::Unopened),
            };
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Template { parts: parts.into() })
    }

    /// Whether it names this field.
    pub fn names(&self, wanted: Field) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(field, _) if *field == wanted))
    }

    /// The parts of the template, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// The text before the first brace, the brace, and the text behind it.
fn split_at_brace(text: &str) -> Option<(&str, char, &str)> {
    let at = text.find(['{', '}'])?;
    let (before, after) = text.split_at_checked(at)?;
    let mut after = after.chars();
    let brace = after.next()?;
    Some((before, brace, after.as_str()))
}

/// "status" or "status:json"
fn field(inside: &str) -> Result<Part, TemplateFault> {
    let (name, form) = match inside.split_once(':') {
        None => (inside, Form::Plain),
        Some((name, "json")) => (name, Form::Json),
        Some((_, form)) => return Err(TemplateFault::UnknownForm(form.to_owned())),
    };
    let found = Field::named(name).ok_or_else(|| TemplateFault::UnknownField {
        name: name.to_owned(),
        nearest: nearest(name),
    })?;
    Ok(Part::Field(found, form))
}

/// The name most similar to this one, if it is similar enough.
fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &str| strsim::osa_distance(known, name);
    let names = FIELDS.iter().chain(RARE_FIELDS).map(|info| info.name);
    let best = names.min_by_key(|known| distance(known))?;
    (distance(best) <= DISTANCE_MAX.min(name.chars().count() / 3)).then_some(best)
}

#[cfg(test)]
mod tests {
    use crate::telemetry::template::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.into())
    }

    #[test]
    fn text_and_fields_are_told_apart() {
        let plain = |field| Part::Field(field, Form::Plain);
        for (text, parts) in [
            ("", vec![]),
            ("a", vec![literal("a")]),
            ("{status}", vec![plain(Field::Status)]),
            ("{status}{method}", vec![plain(Field::Status), plain(Field::Method)]),
            ("a {status} b", vec![literal("a "), plain(Field::Status), literal(" b")]),
            ("{{{status}}}", vec![literal("{"), plain(Field::Status), literal("}")]),
            ("{{status}}", vec![literal("{status}")]),
            ("é{path:json}", vec![literal("é"), Part::Field(Field::Path, Form::Json)]),
        ] {
            let template = Template::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(template.parts(), parts, "{text}");
        }
    }

    #[test]
    fn every_field_has_a_name_of_its_own_and_can_be_used() {
        for info in FIELDS.iter().chain(RARE_FIELDS) {
            assert_eq!(Field::named(info.name), Some(info.field), "{}", info.name);
            let template = Template::parse(&format!("{{{}}}", info.name)).expect("a template");
            assert_eq!(template.parts(), [Part::Field(info.field, Form::Plain)]);
        }
    }

    #[test]
    fn faults_say_what_is_wrong_and_what_was_meant() {
        for (text, says) in [
            ("{stauts}", "has an unknown field \"stauts\", did you mean \"status\"?"),
            ("{user-agent}", "has an unknown field \"user-agent\", did you mean \"user_agent\"?"),
            (
                "{tls_client_sujbect}",
                "has an unknown field \"tls_client_sujbect\", did you mean \"tls_client_subject\"?",
            ),
            ("{cookie}", "has an unknown field \"cookie\""),
            ("{}", "has an unknown field \"\""),
            ("{status:hex}", "has an unknown form \"hex\" of a field; there is only \"json\""),
            ("a {status", "has a \"{\" that is not closed; a brace itself is \"{{\""),
            ("{", "has a \"{\" that is not closed; a brace itself is \"{{\""),
            ("a } b", "has a \"}\" that closes nothing; a brace itself is \"}}\""),
        ] {
            let fault = Template::parse(text).expect_err(text);
            assert_eq!(fault.to_string(), says);
        }
    }
}
