//! The balancer's configuration for the demo, as the file that a user would write.
//!
//! Owns: the text. Never: a setting that a file could not have. Tested below for what it says and by
//! `tests/demo.rs` for being accepted by `limpet check`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::authority::Files;

/// The target group of the two instances.
pub const GROUP: &str = "demo";

/// Where an instance answers health checks.
pub const HEALTH_PATH: &str = "/health";

/// What the instances are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// A page that knows its visitor by a cookie.
    Pages,
    /// A server of the Model Context Protocol, which knows its client by a field.
    Mcp,
}

impl Application {
    /// The target group's stickiness, as far as it is not its default.
    fn stickiness(self) -> &'static str {
        match self {
            Application::Pages => "",
            Application::Mcp => {
                r#", type = "app_header", app_header = "Mcp-Session-Id", on_lost = 404"#
            }
        }
    }
}

/// What differs from one demo to the next.
#[derive(Debug, Clone)]
pub struct Configuration<'c> {
    pub application: Application,
    /// Where the balancer listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Target ids and their addresses.
    pub instances: &'c [(&'static str, SocketAddr)],
    pub sticky: bool,
    pub access_log: bool,
    /// Where the console is served; `None` = not at all.
    pub console: Option<SocketAddr>,
    /// The certificate that the balancer presents; `None` = it speaks in clear.
    pub certificate: Option<&'c Files>,
    /// Seals the stickiness cookie.
    pub secret: [u8; 32],
}

impl Configuration<'_> {
    /// The whole file.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            r#"# The whole configuration of the demo's balancer.

[process]
grace_period = "2s"

[access_log]
output = "{output}"
format = "combined"

# Made anew for every demo. A real balancer keeps its key: see config/limpet.toml.
[stickiness_keys]
keys = [{{ id = 1, secret = "{secret}" }}]

[[listener]]
name = "demo"
address = "{address}"
forward = "{GROUP}"
{tls}
[[target_group]]
name = "{GROUP}"
algorithm = "round_robin"
stickiness = {{ enabled = {sticky}{stickiness} }}
health_check = {{ type = "http", path = "{HEALTH_PATH}", interval = "1s" }}
"#,
            output = if self.access_log { "stdout" } else { "off" },
            secret = BASE64_STANDARD.encode(self.secret),
            address = self.address,
            tls = self.certificate.map_or(String::new(), tls),
            sticky = self.sticky,
            stickiness = self.application.stickiness(),
        );
        if let Some(console) = self.console {
            // Writing into a String cannot fail.
            let _ = write!(text, "\n[admin]\naddress = \"{console}\"\n");
        }
        for (id, address) in self.instances {
            // Writing into a String cannot fail.
            let _ =
                write!(text, "\n[[target_group.target]]\nid = \"{id}\"\naddress = \"{address}\"\n");
        }
        text
    }
}

/// The listener's own table.
fn tls(Files { chain, key }: &Files) -> String {
    let [chain, key] = [chain, key].map(|path| toml::Value::from(path.as_str()));
    format!("\n[listener.tls]\ncertificates = [{{ chain = {chain}, key = {key} }}]\n")
}

/// Why there is no key.
pub const NO_RANDOM: &str = "the system has no random bytes to give";

/// A key of its own for one demo.
///
/// # Errors
/// When the system has no random bytes to give.
pub fn new_secret() -> Result<[u8; 32], String> {
    let mut secret = [0; 32];
    let filled = aws_lc_rs::rand::fill(&mut secret);
    filled.map_err(|_| NO_RANDOM.to_owned())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use crate::cli::demo::configuration::*;

    #[test]
    fn the_file_is_toml_and_names_every_instance_with_stickiness_as_asked() {
        let instances =
            [("a", SocketAddr::from(([127, 0, 0, 1], 9001))), ("b", "[::1]:9002".parse().unwrap())];
        for sticky in [false, true] {
            let address = SocketAddr::from(([127, 0, 0, 1], 8080));
            let secret = new_secret().unwrap();
            let access_log = false;
            let console = Some(SocketAddr::from(([127, 0, 0, 1], 9901)));
            let demo = Configuration {
                application: Application::Pages,
                address,
                instances: &instances,
                sticky,
                access_log,
                console,
                certificate: None,
                secret,
            };
            let table: toml::Table = demo.to_toml().parse().unwrap();
            assert_eq!(table["listener"][0]["address"].as_str(), Some("127.0.0.1:8080"));
            assert_eq!(table["admin"]["address"].as_str(), Some("127.0.0.1:9901"));
            let group = &table["target_group"][0];
            assert_eq!(group["stickiness"]["enabled"].as_bool(), Some(sticky));
            assert_eq!(group["target"][0]["id"].as_str(), Some("a"));
            assert_eq!(group["target"][1]["address"].as_str(), Some("[::1]:9002"));
            assert_eq!(group["health_check"]["path"].as_str(), Some(HEALTH_PATH));
            let key = table["stickiness_keys"]["keys"][0]["secret"].as_str().unwrap();
            assert_eq!(BASE64_STANDARD.decode(key).unwrap(), secret);
        }
    }

    #[test]
    fn a_certificate_is_named_whatever_its_folder_is_called() {
        let certificate = Files { chain: "/tmp/a \"b\"/c.pem".into(), key: r"/tmp/\n.key".into() };
        let demo = Configuration {
            application: Application::Pages,
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            instances: &[],
            sticky: false,
            access_log: false,
            console: None,
            certificate: Some(&certificate),
            secret: new_secret().unwrap(),
        };
        let table: toml::Table = demo.to_toml().parse().unwrap();
        let shown = &table["listener"][0]["tls"]["certificates"][0];
        assert_eq!(shown["chain"].as_str(), Some(&*certificate.chain));
        assert_eq!(shown["key"].as_str(), Some(&*certificate.key));
    }

    #[test]
    fn every_demo_has_a_key_of_its_own() {
        assert_ne!(new_secret(), new_secret());
    }
}
