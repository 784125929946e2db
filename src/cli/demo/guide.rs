//! What the demo tells its user to open and to try; every line of curl works as it is printed.
//!
//! Owns: the words in the terminal. Pure; tested below, and `tests/demo.rs` runs the printed lines.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::configuration::Application;
use super::mcp;
use super::mcp::guide::Lines;

/// The balancer as its clients reach it.
#[derive(Debug, Clone, Copy)]
pub struct Front<'f> {
    pub address: SocketAddr,
    /// The file of the authority whose certificate it shows; `None` = it speaks in clear.
    pub authority: Option<&'f str>,
}

impl Front<'_> {
    /// The beginning of its URLs, without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// curl with what it must be told to trust.
    pub fn curl(&self) -> String {
        self.authority.map_or("curl".to_owned(), |file| format!("curl --cacert {}", quoted(file)))
    }
}

/// What stands where.
#[derive(Debug, Clone, Copy)]
pub struct Guide<'g> {
    pub application: Application,
    pub balancer: Front<'g>,
    pub console: Option<SocketAddr>,
    pub instances: &'g [(&'static str, SocketAddr)],
    pub sticky: bool,
    /// A terminal is attached, so that Enter can switch stickiness.
    pub interactive: bool,
    /// The program as a shell finds it.
    pub program: &'g str,
}

impl Guide<'_> {
    /// The text that is printed once everything has started.
    pub fn text(&self) -> String {
        let balancer = self.balancer.url();
        let state = stickiness_word(self.sticky);
        let (what, path) = match self.application {
            Application::Pages => ("instances", "/"),
            Application::Mcp => ("servers of the Model Context Protocol", mcp::PATH),
        };
        let mut text = format!(
            "limpet demo: a balancer, and {what} that keep their sessions in memory\n\n  \
             balancer    {balancer}{path}   stickiness {state}\n"
        );
        // Writing into a String cannot fail.
        for (id, address) in self.instances {
            let _ = writeln!(text, "  instance {id}  http://{address}{path}");
        }
        if let Some(console) = self.console {
            let _ = writeln!(text, "  console     http://{console}/");
        }
        if let Some(file) = self.balancer.authority {
            let _ = writeln!(text, "  authority   {file}");
            text.push_str(OF_AUTHORITY);
        }
        text.push_str(&match self.application {
            Application::Pages => self.pages(),
            Application::Mcp => self.mcp().text(),
        });
        text.push('\n');
        if self.interactive {
            text.push_str("Press Enter to switch stickiness on the running balancer. ");
        }
        text.push_str("Press Ctrl-C to end.\n");
        text
    }

    /// What to open and to try where the instances are pages.
    fn pages(&self) -> String {
        let (balancer, curl) = (self.balancer.url(), self.balancer.curl());
        let mut text = format!(
            "
Open {balancer}/ in a browser, refresh, log in, refresh again. Or with curl:

  {curl} -i {balancer}/
      again and again: the instances take turns to answer

  {curl} -b {JAR} -c {JAR} -d name=Ada {balancer}/session
  {curl} -b {JAR} -c {JAR} {balancer}/
      log in, then visit: {outcome}
",
            outcome = if self.sticky {
                "however often you visit, you stay with the instance that knows you"
            } else {
                "the other instance answers and asks you to log in again"
            },
        );
        if let Some(console) = self.console {
            let _ = write!(
                text,
                "
Then open the console, http://{console}/, choose the target group, edit its Stickiness attribute, switch it
on, save: from the next request on every user stays.
"
            );
        }
        text
    }

    fn mcp(&self) -> Lines<'_> {
        let Guide { balancer, console, sticky, program, .. } = *self;
        Lines { balancer, console, sticky, program }
    }

    /// The line that is printed when stickiness has been switched.
    pub fn switched(&self, enabled: bool) -> String {
        let advice = match (self.application, enabled) {
            (Application::Pages, true) => "log in once more, then refresh as often as you like",
            (Application::Mcp, true) => "begin once more, then count as often as you like",
            (Application::Pages, false) => {
                "the next refresh goes to whichever instance has its turn"
            }
            (Application::Mcp, false) => "the next call goes to whichever instance has its turn",
        };
        format!("stickiness is {} now: {advice}", stickiness_word(enabled))
    }
}

/// What a browser says, and what can be done about it.
const OF_AUTHORITY: &str = "
The balancer shows a certificate that this authority has signed, which was made for this demo alone and ends with it.
A browser warns that it does not know the authority (Chrome: NET::ERR_CERT_AUTHORITY_INVALID, Firefox:
SEC_ERROR_UNKNOWN_ISSUER). Go on all the same, or import the file above as an authority before.
";

/// One word of a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Where the printed lines of curl keep their cookies.
const JAR: &str = "/tmp/limpet-demo.jar";

fn stickiness_word(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use crate::cli::demo::guide::*;

    fn guide(sticky: bool, interactive: bool) -> String {
        guide_with(None, sticky, interactive)
    }

    fn guide_with(authority: Option<&str>, sticky: bool, interactive: bool) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let instances = [("a", SocketAddr::from(([127, 0, 0, 1], 9001)))];
        let console = Some(SocketAddr::from(([127, 0, 0, 1], 9901)));
        Guide {
            application: Application::Pages,
            balancer: Front { address, authority },
            console,
            instances: &instances,
            sticky,
            interactive,
            program: "limpet",
        }
        .text()
    }

    #[test]
    fn the_guide_names_every_address_and_the_state_of_stickiness() {
        let off = guide(false, true);
        assert!(off.contains("http://127.0.0.1:8080/   stickiness off"), "{off}");
        assert!(off.contains("instance a  http://127.0.0.1:9001/"), "{off}");
        assert!(off.contains("console     http://127.0.0.1:9901/"), "{off}");
        assert!(off.contains("asks you to log in again"), "{off}");
        let on = guide(true, true);
        assert!(on.contains("stickiness on") && on.contains("you stay with the instance"), "{on}");
    }

    #[test]
    fn the_authority_is_named_only_where_there_is_one_and_curl_is_told_to_trust_it() {
        let plain = guide(false, false);
        assert!(!plain.contains("https:") && !plain.contains("authority"), "{plain}");
        let secure = guide_with(Some("/tmp/it's here/authority.pem"), false, false);
        assert!(secure.contains("https://127.0.0.1:8080/   stickiness off"), "{secure}");
        assert!(secure.contains("authority   /tmp/it's here/authority.pem\n"), "{secure}");
        let line = r"curl --cacert '/tmp/it'\''s here/authority.pem' -i https://127.0.0.1:8080/";
        assert!(secure.contains(line), "{secure}");
        assert!(!secure.contains("http://127.0.0.1:8080"), "{secure}");
    }

    #[test]
    fn enter_is_offered_only_where_somebody_can_press_it() {
        assert!(guide(false, true).contains("Press Enter"));
        assert!(!guide(false, false).contains("Press Enter"));
    }
}
