//! Configurations, written from the templates in `loadtest/peers`.
//!
//! Owns: the words that templates may use. Never: a value that a template does not ask for, or a word
//! left empty because it was misspelt. Tested here: every template is rendered and read.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::peers::Peer;
use crate::tls::certificates::Certificate;

/// Host that every request asks for.
pub const HOST: &str = "www.example.com";

/// Where Apache's modules may be.
const MODULES: [&str; 3] =
    ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];

/// A target as templates see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// A letter and a number: every peer takes it as a name.
    pub id: String,
    /// Both, as `host:port`.
    pub address: String,
    /// Its IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Target {
    /// The `index`th target, at an address.
    pub fn new(index: usize, address: SocketAddrV4) -> Target {
        Target {
            id: target_id(index),
            address: address.to_string(),
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

/// Name of the `index`th target.
pub fn target_id(index: usize) -> String {
    format!("t{index}")
}

/// Address of the `index`th of many targets that are one program on one port: 127/8 is all loopback.
pub fn alias(index: usize, port: u16) -> SocketAddrV4 {
    let [_, _, high, low] = u32::try_from(index + 1).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), port)
}

/// The words of a template.
#[derive(Debug, Clone, Serialize)]
pub struct Words {
    /// Where the peer listens, as `ip:port`.
    pub listen: String,
    /// The address of it.
    pub address: String,
    /// The port of it.
    pub port: u16,
    /// A port for its administration.
    pub admin_port: u16,
    /// Its targets.
    pub targets: Vec<Target>,
    /// Numbers of the rules; none: everything goes to the targets.
    pub rules: Vec<usize>,
    /// Whether it checks its targets' health.
    pub health: bool,
    /// Workers: one per core given.
    pub threads: usize,
    /// Most client connections that the scenarios open.
    pub connections: usize,
    /// Most open files of a process.
    pub descriptors: u64,
    /// Its folder.
    pub directory: String,
    /// Apache's modules.
    pub modules: &'static str,
    /// Host of the requests.
    pub host: &'static str,
    /// Which writing of the file it is.
    pub generation: usize,
    /// What it presents to clients, who speak TLS then.
    pub tls: Option<Tls>,
    /// Whether clients speak HTTP/2: over TLS as ALPN names it, in clear by prior knowledge.
    pub http2: bool,
    /// What it speaks to targets.
    pub upstream: Upstream,
}

/// What balancers speak to targets.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Upstream {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// The same, and all of it is gRPC.
    Grpc,
}

/// The certificate of a balancer, as templates see it: files in PEM.
#[derive(Debug, Clone, Serialize)]
pub struct Tls {
    /// The certificate, and behind it the intermediate authority's.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// Both in one.
    pub combined: String,
}

impl Tls {
    /// As templates see a certificate.
    pub fn new(certificate: &Certificate) -> Tls {
        let text = |path: &Path| path.display().to_string();
        Tls {
            chain: text(&certificate.chain),
            key: text(&certificate.key),
            combined: text(&certificate.combined),
        }
    }
}

impl Words {
    /// The words for a peer that listens at an address, in its folder; everything else as small as it can be.
    pub fn new(listen: SocketAddr, admin_port: u16, directory: &Path) -> Words {
        Words {
            listen: listen.to_string(),
            address: listen.ip().to_string(),
            port: listen.port(),
            admin_port,
            targets: Vec::new(),
            rules: Vec::new(),
            health: false,
            threads: 1,
            connections: 9_500,
            descriptors: 20_000,
            directory: directory.display().to_string(),
            modules: MODULES
                .into_iter()
                .find(|path| Path::new(path).is_dir())
                .unwrap_or(MODULES[0]),
            host: HOST,
            generation: 1,
            tls: None,
            http2: false,
            upstream: Upstream::Http1,
        }
    }

    /// Renders one text.
    ///
    /// # Errors
    /// When it is no template, or asks for a word that there is not.
    pub fn render(&self, name: &str, text: &str) -> Result<String, Failure> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut rendered =
            environment.render_str(text, Value::from(Serde(self))).map_err(|error| {
                Failure::Template { name: name.to_owned(), error: error.to_string() }
            })?;
        // The engine drops a last line's end, without which some peers do not read that line.
        if text.ends_with('\n') && !rendered.ends_with('\n') {
            rendered.push('\n');
        }
        Ok(rendered)
    }

    /// Writes a peer's files. One that is there is replaced as a whole, for peers that watch.
    ///
    /// # Errors
    /// When a template is wrong or a file cannot be written.
    pub fn write(&self, peer: &Peer) -> Result<(), Failure> {
        let directory = Path::new(&self.directory);
        for template in peer.templates {
            let text = self.render(template.file, template.text)?;
            let path = directory.join(template.file);
            let fresh = directory.join(format!("{}.new", template.file));
            fs::write(&fresh, text)
                .and_then(|()| fs::rename(&fresh, &path))
                .map_err(|error| Failure::File { path, error })?;
        }
        Ok(())
    }

    /// Renders each of some arguments.
    ///
    /// # Errors
    /// As [`Words::render`].
    pub fn arguments(&self, name: &str, arguments: &[&str]) -> Result<Vec<String>, Failure> {
        arguments.iter().map(|argument| self.render(name, argument)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::peers::{Ability, FLOOR, LIMPET, PEERS};
    use super::*;

    fn words(targets: usize, rules: usize) -> Words {
        let listen = "127.0.0.1:8080".parse().unwrap();
        let mut words = Words::new(listen, 9901, Path::new("/tmp/compare"));
        words.targets = (0..targets).map(|index| Target::new(index, alias(index, 9000))).collect();
        words.rules = (1..=rules).collect();
        words
    }

    #[test]
    fn every_template_is_rendered_with_all_targets_and_rules() {
        for peer in PEERS.iter().chain([&LIMPET]) {
            for (targets, rules, health) in [(2, 0, false), (2, 3, true), (300, 1, false)] {
                let mut words = words(targets, rules);
                words.health = health;
                let text: String = peer
                    .templates
                    .iter()
                    .map(|template| words.render(template.file, template.text).unwrap())
                    .collect();
                let last = words.targets.last().unwrap();
                assert!(text.contains(&last.host), "{}: {}", peer.name, last.host);
                assert!(!text.contains("{{") && !text.contains("{%"), "{}", peer.name);
                for rule in 1..=rules {
                    assert!(text.contains(&format!("/section-{rule}/")), "{}: {rule}", peer.name);
                }
                assert!(!text.contains(&format!("/section-{}/", rules + 1)), "{}", peer.name);
            }
        }
    }

    #[test]
    fn every_peer_that_speaks_tls_is_told_of_the_certificate_and_only_then() {
        let speaks = |peer: &&Peer| peer.refusal(&[Ability::Tls]).is_none();
        for peer in PEERS.iter().chain([&LIMPET]).filter(speaks) {
            let mut words = words(2, 0);
            let text = |words: &Words| -> String {
                let rendered = peer.templates.iter().map(|one| words.render(one.file, one.text));
                rendered.map(Result::unwrap).collect()
            };
            assert!(!text(&words).contains(".pem"), "{}", peer.name);
            words.tls = Some(Tls {
                chain: "/c.pem".to_owned(),
                key: "/k.pem".to_owned(),
                combined: "/b.pem".to_owned(),
            });
            let text = text(&words);
            let separate = text.contains("/c.pem") && text.contains("/k.pem");
            assert!(separate || text.contains("/b.pem"), "{}: {text}", peer.name);
            assert!(!text.contains("{{") && !text.contains("{%"), "{}", peer.name);
        }
    }

    #[test]
    fn every_peer_that_speaks_http_2_is_told_to_and_only_then() {
        let able = |peer: &&Peer, ability| peer.refusal(&[ability]).is_none();
        let all = || PEERS.iter().chain([&LIMPET]);
        let text = |peer: &Peer, words: &Words| -> String {
            let rendered = peer.templates.iter().map(|one| words.render(one.file, one.text));
            rendered.map(Result::unwrap).collect()
        };
        for peer in all().filter(|peer| able(peer, Ability::Http2)) {
            let plain = text(peer, &words(2, 0));
            // Who tells the version by its first bytes, and always does, is told nothing in clear.
            let tls = Tls {
                chain: "/c.pem".to_owned(),
                key: "/k.pem".to_owned(),
                combined: "/b.pem".to_owned(),
            };
            let over_tls = Words { tls: Some(tls), ..words(2, 0) };
            let streams = text(peer, &Words { http2: true, ..over_tls.clone() });
            assert_ne!(streams, text(peer, &over_tls), "{}", peer.name);
            for (upstream, ability) in
                [(Upstream::Http2, Ability::Http2Targets), (Upstream::Grpc, Ability::Grpc)]
            {
                if able(&peer, ability) {
                    let words = Words { http2: true, upstream, ..words(2, 0) };
                    let through = text(peer, &words);
                    assert_ne!(through, plain, "{}", peer.name);
                    assert!(!through.contains("{{") && !through.contains("{%"), "{}", peer.name);
                }
            }
        }
    }

    #[test]
    fn every_argument_is_rendered() {
        for peer in PEERS.iter().chain([&LIMPET, &FLOOR]) {
            let arguments = words(2, 0).arguments(peer.name, peer.arguments).unwrap();
            assert!(arguments.iter().all(|argument| !argument.contains('{')), "{arguments:?}");
        }
    }

    #[test]
    fn a_misspelt_word_is_refused() {
        let error = words(1, 0).render("x.conf", "listen {{ lissten }};").unwrap_err().to_string();
        assert!(error.contains("x.conf"), "{error}");
    }

    #[test]
    fn a_thousand_targets_have_a_thousand_addresses() {
        let mut all: Vec<_> = (0..10_000).map(|index| alias(index, 1)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }
}
