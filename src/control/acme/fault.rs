//! Why no certificate was obtained.

use instant_acme::Error;

use super::store::StoreError;

/// One sentence for people. What the authority says is quoted, shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

/// Characters of an authority's words that are kept.
const CHARS_MAX: usize = 500;

impl Fault {
    pub fn of(text: impl Into<String>) -> Fault {
        let text: String = text.into();
        // What comes from outside ends up in logs and terminals.
        let plain = text.chars().map(|one| if one.is_control() { ' ' } else { one });
        Fault(plain.take(CHARS_MAX).collect())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::of(match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().unwrap_or_default();
                let kind = kind.rsplit(':').next().unwrap_or_default();
                let mut text = format!(
                    "the authority refuses: {}",
                    problem.detail.as_deref().unwrap_or("it gives no reason")
                );
                for part in &problem.subproblems {
                    let detail = part.detail.as_deref().unwrap_or_default();
                    text.push_str(&format!("; {detail}"));
                }
                if kind.is_empty() { text } else { format!("{text} ({kind})") }
            }
            Error::Timeout(_) => "the authority took too long over the order".to_owned(),
            // Shown without what the library knows of the content.
            Error::Json(_) => "the authority's answer is not that of an ACME server".to_owned(),
            other => other.to_string(),
        })
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::of(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use crate::control::acme::fault::*;

    #[test]
    fn the_words_of_an_authority_are_shortened_and_cannot_steer_a_terminal() {
        let detail = format!("\u{1b}[2J{}", "x".repeat(10_000));
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "urn:ietf:params:acme:error:rateLimited", "detail": detail, "status": 429
        }))
        .unwrap();
        let text = Fault::from(Error::Api(problem)).to_string();
        assert!(text.starts_with("the authority refuses:  [2J"), "{text}");
        assert_eq!(text.chars().count(), CHARS_MAX);
    }

    #[test]
    fn an_authoritys_refusal_is_told_with_its_kind() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "urn:ietf:params:acme:error:dns", "detail": "no such host"
        }))
        .unwrap();
        let text = Fault::from(Error::Api(problem)).to_string();
        assert_eq!(text, "the authority refuses: no such host (dns)");
    }
}
