//! The lines of curl that show a session of the protocol lost and kept; each works as it is printed.
//!
//! Owns: the words of `limpet demo --mcp` in the terminal. Pure; `tests/demo.rs` runs the lines.

use std::net::SocketAddr;

use super::super::guide::{Front, quoted};

/// What stands where.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'l> {
    pub balancer: Front<'l>,
    pub console: Option<SocketAddr>,
    pub sticky: bool,
    /// The program as a shell finds it.
    pub program: &'l str,
}

impl Lines<'_> {
    /// All of them, to be pasted into one shell.
    pub fn text(&self) -> String {
        let mut text = format!(
            r#"
Paste into a shell what a client sends. curl leaves the session's field out while $ID is empty:

  mcp() {{ {curl} -sS {balancer}/mcp -H 'Accept: application/json, text/event-stream' -H 'Content-Type: application/json' -H "Mcp-Session-Id: $ID" "$@"; echo; }}
  begin() {{ ID=; ID=$(mcp -D - -d '{INITIALIZE}' | sed -n 's/^mcp-session-id: \([!-~]*\).*/\1/Ip'); echo "$ID"; }}
  count() {{ mcp -d '{COUNT}'; }}
"#,
            curl = self.balancer.curl(),
            balancer = self.balancer.url(),
        );
        if !self.sticky {
            text.push_str(LOST);
            if let Some(console) = self.console {
                text.push_str(&format!(
                    "
  {program} ctl --admin http://{console} stickiness on {group}
      enable stickiness of the type app_header: nothing restarts, no connection is closed
",
                    program = quoted(self.program),
                    group = super::super::configuration::GROUP,
                ));
            }
        }
        text.push_str(KEPT);
        text
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"8"}}}"#;

const COUNT: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"count","arguments":{}}}"#;

const LOST: &str = "
  begin
  count; count; count; count
      the instance that answers makes the session's id; the next call reaches the other instance: Session not found
";

const KEPT: &str = "
  begin
  count; count; count; count
      behind the id's dot the balancer has sealed which instance made it: the count goes up with every call

  mcp -N -m 3
      the session's events, for three seconds, from the same instance

  mcp -X DELETE; count
      the end of the session: Session not found, as it should be
";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sticky: bool) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let balancer = Front { address, authority: None };
        let console = Some(SocketAddr::from(([127, 0, 0, 1], 9901)));
        Lines { balancer, console, sticky, program: "/opt/it's here/limpet" }.text()
    }

    #[test]
    fn the_loss_and_its_cure_are_told_only_while_stickiness_is_off() {
        let off = lines(false);
        assert!(off.contains("reaches the other instance"), "{off}");
        let cure =
            r"'/opt/it'\''s here/limpet' ctl --admin http://127.0.0.1:9901 stickiness on demo";
        assert!(off.contains(cure), "{off}");
        let on = lines(true);
        assert!(!on.contains("the other instance") && !on.contains(" ctl "), "{on}");
        assert!(on.contains("goes up with every call"), "{on}");
    }
}
