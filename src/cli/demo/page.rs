//! The session page: as HTML for a browser, as one line of text for curl.
//!
//! Owns: everything a visitor reads. Never: sessions or sockets; a page is a pure function of what
//! the instance knows. The HTML loads nothing from anywhere, works without JavaScript, and follows
//! the reader's dark or light preference. Tested below.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::sessions::{NAME_CHARACTERS_MAX, Session};
use crate::control::config::units::show_age;

const STYLE: &str = include_str!("page.css");

/// Turns the history entry of a form that was just sent into a plain visit, so that the browser's
/// refresh visits again rather than sending the form again. Without it there is the link.
pub const SCRIPT: &str = "history.replaceState(null,'','/')";

/// SHA-256 of [`SCRIPT`], the only script that the page's policy lets run.
const SCRIPT_HASH: &str = "/pjm5mjVC8qSf3E2vn/Jvti9PA65a7Nkc8TYEuKfhyQ=";

/// One colour per instance, dark enough for white letters (at least 4.5 to 1).
const COLOURS: [&str; 4] = ["#0f766e", "#6d28d9", "#9a3412", "#1d4ed8"];

/// What the answering instance knows of the visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// No session cookie came with the request.
    Stranger,
    /// A session cookie came, but this instance holds no such session.
    Unknown,
    /// The session was created by this very request.
    Created(Session),
    /// The session is held here.
    Known(Session),
    /// The form came without a usable name.
    Nameless,
    /// The visitor has just logged out.
    LoggedOut,
}

impl Visitor {
    /// The word of the `X-Session` field.
    pub fn code(&self) -> &'static str {
        match self {
            Visitor::Stranger => "none",
            Visitor::Unknown => "unknown",
            Visitor::Created(_) => "created",
            Visitor::Known(_) => "known",
            Visitor::Nameless => "refused",
            Visitor::LoggedOut => "ended",
        }
    }

    fn session(&self) -> Option<&Session> {
        match self {
            Visitor::Created(session) | Visitor::Known(session) => Some(session),
            Visitor::Stranger | Visitor::Unknown | Visitor::Nameless | Visitor::LoggedOut => None,
        }
    }

    /// Class of the state's box, its headline and one sentence below it.
    fn words(&self, instance: &str, now: Timestamp) -> (&'static str, String, String) {
        match self {
            Visitor::Stranger => (
                "",
                "You are not logged in.".to_owned(),
                "Give a name, and this instance will remember it.".to_owned(),
            ),
            Visitor::Unknown => (
                "lost",
                "Please log in again.".to_owned(),
                format!(
                    "Your browser sent its session cookie, but instance {instance} does not know \
                     that session. The instance that created it would."
                ),
            ),
            Visitor::Created(session) => (
                "in",
                format!("Welcome, {}.", session.name),
                format!("Your session now lives in the memory of instance {instance}, only there."),
            ),
            Visitor::Known(session) => {
                let age_s = now.as_second().saturating_sub(session.created.as_second());
                let age_s = u64::try_from(age_s).unwrap_or(0);
                (
                    "in",
                    format!("Hello again, {}.", session.name),
                    format!(
                        "Instance {instance} knows you: session created at {} ({} ago), visit {}.",
                        session.created.strftime("%H:%M:%S UTC"),
                        show_age(Duration::from_secs(age_s)),
                        session.visits
                    ),
                )
            }
            Visitor::Nameless => (
                "lost",
                "A name is needed.".to_owned(),
                "Any name will do; it must not be empty.".to_owned(),
            ),
            Visitor::LoggedOut => (
                "",
                "You are logged out.".to_owned(),
                "Give a name to start a new session.".to_owned(),
            ),
        }
    }
}

/// The value of `Content-Security-Policy`: nothing from elsewhere, no script but ours.
pub fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
         script-src 'sha256-{SCRIPT_HASH}'; form-action 'self'; base-uri 'none'"
    )
}

/// One line for programs that did not ask for HTML.
pub fn text(instance: &str, visitor: &Visitor, now: Timestamp) -> String {
    let (_, headline, sentence) = visitor.words(instance, now);
    format!("instance {instance}: {headline} {sentence}\n")
}

/// The whole page. `number` is the instance's position, which chooses its colour.
pub fn html(instance: &str, number: usize, visitor: &Visitor, now: Timestamp) -> String {
    let (class, headline, sentence) = visitor.words(instance, now);
    let instance = escape(instance);
    let colour = COLOURS.iter().cycle().nth(number).copied().unwrap_or_default();
    let mut page = String::with_capacity(8 * 1024);
    head(&mut page, &instance, colour);
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        r#"<main>
<section class="card">
<div class="who">
<div class="badge" aria-hidden="true">{instance}</div>
<div><h1>Instance <span id="instance">{instance}</span> answered</h1>
<p>Each instance keeps its sessions in its own memory.</p></div>
</div>
<div class="state {class}" id="session" data-session="{code}" role="status">
<strong>{headline}</strong> {sentence}
</div>
"#,
        code = visitor.code(),
        headline = escape(&headline),
        sentence = escape(&sentence),
    );
    if visitor.session().is_some() {
        page.push_str(LOGGED_IN);
    } else {
        let _ = write!(page, "{FORM_START}{NAME_CHARACTERS_MAX}{FORM_END}");
    }
    page.push_str("</section>\n");
    page.push_str(STORY);
    page.push_str("</main>\n");
    if matches!(visitor, Visitor::Created(_) | Visitor::LoggedOut | Visitor::Nameless) {
        let _ = writeln!(page, "<script>{SCRIPT}</script>");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// The icon stands in the page itself: a browser that fetched /favicon.ico would use up every second
/// turn of the round-robin, and each refresh would seem to reach the same instance.
fn head(page: &mut String, instance: &str, colour: &str) {
    let _ = write!(
        page,
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Instance {instance}: limpet demo</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'%3E%3Ccircle cx='.5' cy='.5' r='.5' fill='%23{icon}'/%3E%3C/svg%3E">
<style>{STYLE}:root {{ --instance: {colour}; }}</style>
</head>
<body>
"##,
        icon = colour.trim_start_matches('#'),
    );
}

const LOGGED_IN: &str = r#"<form method="post" action="/session/end">
<a class="again" href="/">Visit again</a>
<button class="quiet">Log out</button>
</form>
"#;

const FORM_START: &str = r#"<form method="post" action="/session">
<label for="name">Your name <input id="name" name="name" required autocomplete="nickname" maxlength=""#;
const FORM_END: &str = r#""></label>
<button>Log in</button>
</form>
<p><a href="/">Visit again</a></p>
"#;

const STORY: &str = r"<h2>The story in short</h2>
<ol>
<li>Refresh: two instances take turns to answer.</li>
<li>Log in, then refresh: the other instance does not know you and asks you to log in again.</li>
<li>Enable stickiness on the running balancer, log in once more and refresh as often as you like:
you stay with the instance that created your session.</li>
</ol>
<footer>To enable it, open the console, whose address <code>limpet demo</code> prints, and edit the
Stickiness of the target group; or press Enter in that terminal. Nothing restarts and no connection is
dropped.</footer>
";

/// Text as HTML content or as a quoted attribute value.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use crate::cli::demo::page::*;
    use crate::cli::demo::sessions::Sessions;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000).unwrap()
    }

    fn known(name: &str) -> Visitor {
        let mut sessions = Sessions::new(1);
        let created = Timestamp::from_second(990).unwrap();
        sessions.create("id".into(), name.into(), created);
        Visitor::Known(sessions.visit("id", now()).unwrap())
    }

    #[test]
    fn a_known_session_is_greeted_by_name_with_creation_time_and_visits() {
        let text = text("a", &known("Ada"), now());
        assert!(text.starts_with("instance a: Hello again, Ada."), "{text}");
        assert!(text.contains("created at 00:16:30 UTC (10s ago), visit 2"), "{text}");
    }

    #[test]
    fn an_unknown_session_is_asked_to_log_in_again() {
        assert!(text("b", &Visitor::Unknown, now()).contains("log in again"));
        let page = html("b", 1, &Visitor::Unknown, now());
        assert!(page.contains("log in again") && page.contains(r#"action="/session""#));
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let page = html("a", 0, &known("<script>alert('x')</script>\"&"), now());
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let visitors = [Visitor::Stranger, Visitor::Unknown, known("Ada"), Visitor::Nameless];
        for visitor in visitors {
            let page = html("a", 0, &visitor, now());
            let namespace = "xmlns='http://www.w3.org/2000/svg'";
            assert!(!page.replace(namespace, "").contains("//"), "{visitor:?}");
            assert!(page.contains(r#"rel="icon" href="data:"#), "{visitor:?}");
        }
    }

    #[test]
    fn instances_have_colours_of_their_own() {
        let first = html("a", 0, &Visitor::Stranger, now());
        let second = html("a", 1, &Visitor::Stranger, now());
        assert_ne!(first, second);
        assert!(first.contains(COLOURS[0]) && second.contains(COLOURS[1]));
    }

    #[test]
    fn the_policy_allows_exactly_our_script() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SCRIPT.as_bytes());
        assert_eq!(SCRIPT_HASH, BASE64_STANDARD.encode(digest.as_ref()));
    }
}
