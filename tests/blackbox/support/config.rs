//! Configuration files for tests, in the order of `config/limpet.toml`, with what every test wants:
//! loopback and port 0, one shard, a short grace period, a fixed key ring, the access log in a file.

use std::fmt::Write as _;

use super::limpet::Limpet;
use super::target::Target;
use super::tls;

/// Stands for the test's own directory in every text of a file.
pub const DIRECTORY: &str = "{dir}";

pub const KEY_ONE: &str = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=";
pub const KEY_TWO: &str = "b25lIG5ldyBrZXkgZXZlcnkgcXVhcnRlciBvZiB5ZWE=";

/// Settings of one table: dotted key and value, then tables that belong below it as they are.
#[derive(Debug, Clone, Default)]
pub struct Section {
    name: String,
    settings: Vec<(String, toml::Value)>,
    below: String,
}

impl Section {
    fn named(name: &str) -> Section {
        Section { name: name.to_owned(), ..Section::default() }.set("name", name)
    }

    /// Sets `key` (dotted where it stands in a table), in place of what was set before.
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Section {
        self.put(key, value);
        self
    }

    fn put(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.settings.retain(|(k, _)| k != key);
        self.settings.push((key.to_owned(), value.into()));
    }

    fn has(&self, key: &str) -> bool {
        self.settings.iter().any(|(k, _)| k == key)
    }

    /// Whether an action is set, in whole or by one of its keys.
    fn acts(&self, action: &str) -> bool {
        let of_action =
            |key: &str| key.strip_prefix(action).is_some_and(|rest| rest.starts_with('.'));
        self.settings.iter().any(|(key, _)| key == action || of_action(key))
    }

    /// Whether the table of this key, or a setting in it, is there.
    fn names(&self, key: &str) -> bool {
        self.acts(key) || self.below.contains(&format!("[listener.{key}"))
    }

    fn write(&self, out: &mut String) {
        for (key, value) in &self.settings {
            writeln!(out, "{key} = {value}").expect("a String takes all");
        }
        out.push_str(&self.below);
    }

    /// Listeners: a rule, as the lines of its table.
    pub fn rule(mut self, lines: &str) -> Section {
        write!(self.below, "[[listener.rule]]\n{}\n", lines.trim()).expect("a String takes all");
        self
    }

    /// Listeners: tables that belong below it, as they are.
    pub fn below(mut self, lines: &str) -> Section {
        self.below.push_str(lines);
        self
    }

    /// Listeners: TLS with the certificate that every limpet finds in its directory.
    pub fn tls(self) -> Section {
        self.certificate("common")
    }

    /// Listeners: TLS with this certificate of the test's directory besides those named before.
    pub fn certificate(mut self, name: &str) -> Section {
        const KEY: &str = "tls.certificates";
        let before = self.settings.iter().find(|(key, _)| key == KEY);
        let mut all = match before {
            Some((_, toml::Value::Array(all))) => all.clone(),
            _ => Vec::new(),
        };
        let file = |end: &str| toml::Value::from(format!("{DIRECTORY}/{name}.{end}"));
        let files = [("chain".to_owned(), file("pem")), ("key".to_owned(), file("key"))];
        all.push(toml::Value::Table(files.into_iter().collect()));
        self.put(KEY, all);
        self
    }

    /// Groups: a target with weight 1.
    pub fn target(self, id: &str, target: &Target) -> Section {
        self.target_with(id, target, "")
    }

    /// Groups: a target with further settings, such as `weight = 3`.
    pub fn target_with(self, id: &str, target: &Target, lines: &str) -> Section {
        self.target_at(id, &target.address(), lines)
    }

    /// Groups: a target at any address.
    pub fn target_at(mut self, id: &str, address: &str, lines: &str) -> Section {
        write!(
            self.below,
            "[[target_group.target]]\nid = {id:?}\naddress = {address:?}\n{lines}\n"
        )
        .expect("a String takes all");
        self
    }

    /// Groups: stickiness by limpet's own cookie.
    pub fn sticky(self) -> Section {
        self.set("stickiness.enabled", true)
    }
}

pub fn listener(name: &str) -> Section {
    Section::named(name)
}

pub fn group(name: &str) -> Section {
    Section::named(name)
}

#[derive(Debug, Clone, Default)]
pub struct Config {
    process: Section,
    access_log: Section,
    keys: String,
    admin: Section,
    listeners: Vec<Section>,
    groups: Vec<Section>,
}

/// A file with the tests' own defaults and nothing to serve yet.
pub fn config() -> Config {
    let process = Section::default()
        .set("shards", 1)
        .set("grace_period", "5s")
        .set("state_directory", format!("{DIRECTORY}/state"))
        .set("log_level", "debug");
    let access_log = Section::default().set("output", format!("{DIRECTORY}/access.log"));
    Config { process, access_log, ..Config::default() }.keys(&[(1, KEY_ONE)])
}

impl Config {
    pub fn process(mut self, key: &str, value: impl Into<toml::Value>) -> Config {
        self.process.put(key, value);
        self
    }

    pub fn access_log(mut self, key: &str, value: impl Into<toml::Value>) -> Config {
        self.access_log.put(key, value);
        self
    }

    pub fn admin(mut self, key: &str, value: impl Into<toml::Value>) -> Config {
        self.admin.put(key, value);
        self
    }

    /// With the admin API on the socket that [`Limpet::admin`] asks.
    pub fn with_admin(self) -> Config {
        self.admin("socket", format!("{DIRECTORY}/admin.sock"))
    }

    /// The key ring, the first key seals; none at all when empty.
    pub fn keys(mut self, keys: &[(u8, &str)]) -> Config {
        let one = |(id, secret): &(u8, &str)| format!("{{ id = {id}, secret = {secret:?} }}");
        let keys: Vec<String> = keys.iter().map(one).collect();
        self.keys = if keys.is_empty() {
            String::new()
        } else {
            format!("[stickiness_keys]\nkeys = [{}]\n", keys.join(", "))
        };
        self
    }

    pub fn listener(mut self, listener: Section) -> Config {
        self.listeners.push(listener);
        self
    }

    pub fn group(mut self, group: Section) -> Config {
        self.groups.push(group);
        self
    }

    /// The commonest file: one listener in front of one group with one target.
    pub fn serving(self, target: &Target) -> Config {
        self.group(group("app").target("a", target))
    }

    /// The file's text, where [`DIRECTORY`] still stands for the directory.
    pub fn text(&self) -> String {
        let mut out = String::from("[process]\n");
        self.process.write(&mut out);
        out.push_str("[access_log]\n");
        self.access_log.write(&mut out);
        out.push_str("[admin]\n");
        self.admin.write(&mut out);
        out.push_str(&self.keys);
        let default = [listener("web")];
        let listeners = if self.listeners.is_empty() { &default[..] } else { &self.listeners };
        for listener in listeners {
            let mut listener = listener.clone();
            if !listener.has("address") {
                listener.put("address", "127.0.0.1:0");
            }
            if !["forward", "redirect", "respond"].iter().any(|action| listener.acts(action)) {
                listener.put("forward", self.groups[0].name.clone());
            }
            if tls::is_everywhere() && !listener.names("tls") {
                listener = listener.tls();
            }
            out.push_str("[[listener]]\n");
            listener.write(&mut out);
        }
        for group in &self.groups {
            out.push_str("[[target_group]]\n");
            group.write(&mut out);
        }
        out
    }

    #[track_caller]
    pub fn start(&self) -> Limpet {
        Limpet::start(&self.text())
    }
}
