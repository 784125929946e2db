//! A log line by the operator's own template: text with `{fields}`.

/// A template that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
}

/// What is wrong with a template; reads as the predicate of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("has an unknown field {0:?}")]
    UnknownField(String),
    #[error("has a \"{{\" that is not closed")]
    Unclosed,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`TemplateFault`].
    pub fn parse(text: &str) -> Result<Template, TemplateFault> {
        Ok(Template { text: text.into() })
    }
}
