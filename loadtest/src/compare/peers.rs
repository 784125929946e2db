//! The balancers that can be compared: how each is found, started, and told to load its file again.
//!
//! Owns: the table of peers, and the search for their programs. Never: a figure, or an ability that a
//! peer has not. Tested here: every template is rendered; `stage` tests starting with a made-up peer.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

/// How a running peer is told to load its file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// A signal to the process that was started.
    Signal(Signal),
    /// Commands, one after the other; `PROGRAM` first stands for the peer's own program.
    Commands(&'static [&'static [&'static str]]),
    /// It notices that the file has been replaced.
    Watches,
    /// It cannot, for this reason.
    No(&'static str),
}

/// Something that a scenario needs and not every peer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// A user stays with a target.
    Stickiness,
    /// Requests go to one of several targets.
    Targets,
    /// Requests are told apart by their paths.
    Rules,
    /// The file is loaded again while it runs.
    Reload,
    /// Clients speak TLS.
    Tls,
    /// Clients speak HTTP/2.
    Http2,
    /// So do targets.
    Http2Targets,
    /// Clients and targets speak gRPC.
    Grpc,
}

/// A file that is written for a peer before it starts.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// Name in the peer's folder.
    pub file: &'static str,
    /// What is rendered into it.
    pub text: &'static str,
}

macro_rules! template {
    ($file:literal, $name:literal) => {
        Template { file: $file, text: include_str!(concat!("../../peers/", $name)) }
    };
}

/// A balancer that can be compared. In its arguments, `{{ … }}` is rendered as in its files.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Name on the command line, in `LIMPET_PEER_<NAME>` and in reports.
    pub name: &'static str,
    /// Programs it may be installed as.
    pub programs: &'static [&'static str],
    /// Arguments that make it say its version.
    pub version: &'static [&'static str],
    /// Files it reads.
    pub templates: &'static [Template],
    /// Arguments it is started with.
    pub arguments: &'static [&'static str],
    /// A second program that belongs to it, for its access log, with arguments.
    pub companion: Option<&'static [&'static str]>,
    /// Added to its environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// Whether it logs to a syslog socket, `log.sock` in its folder.
    pub syslog: bool,
    /// How its file is loaded again.
    pub reload: Reload,
    /// Most targets that it can be started with in reasonable time, and why.
    pub targets_max: Option<(usize, &'static str)>,
    /// What it cannot, and why not.
    pub cannot: &'static [(Ability, &'static str)],
    /// How its stickiness works, for the report.
    pub stickiness: &'static str,
    /// Whether a user whose target goes away is moved without a new cookie, as with a hash of a cookie.
    pub moves_silently: bool,
}

const PLAIN: Peer = Peer {
    name: "",
    programs: &[],
    version: &["--version"],
    templates: &[],
    arguments: &[],
    companion: None,
    environment: &[],
    syslog: false,
    reload: Reload::No("it has no way to"),
    targets_max: None,
    cannot: &[],
    stickiness: "none",
    moves_silently: false,
};

const ONE_TARGET: &str = "a bare relay has one target and reads nothing";

/// limpet itself.
pub const LIMPET: Peer = Peer {
    name: "limpet",
    programs: &["limpet"],
    templates: &[template!("limpet.toml", "limpet.toml")],
    arguments: &["run", "--config", "limpet.toml"],
    reload: Reload::Signal(Signal::SIGHUP),
    stickiness: "its own sealed cookie",
    ..PLAIN
};

/// The bare relay of this tool.
pub const FLOOR: Peer = Peer {
    name: "floor",
    arguments: &["floor", "--listen", "{{ listen }}", "--target", "{{ targets[0].address }}"],
    cannot: &[
        (Ability::Stickiness, ONE_TARGET),
        (Ability::Targets, ONE_TARGET),
        (Ability::Rules, ONE_TARGET),
        (Ability::Reload, ONE_TARGET),
        (Ability::Tls, ONE_TARGET),
        (Ability::Http2, ONE_TARGET),
    ],
    ..PLAIN
};

/// Everybody else, in the order in which they are reported.
pub const PEERS: [Peer; 9] =
    [HAPROXY, NGINX, NGHTTPX, ENVOY, CADDY, APACHE, VARNISH, TRAEFIK, SOZU];

const HAPROXY: Peer = Peer {
    name: "haproxy",
    programs: &["haproxy"],
    version: &["-v"],
    templates: &[template!("haproxy.cfg", "haproxy.cfg"), template!("haproxy.map", "haproxy.map")],
    // Master and worker: the mode in which it loads its file again.
    arguments: &["-W", "-f", "haproxy.cfg"],
    syslog: true,
    reload: Reload::Signal(Signal::SIGUSR2),
    stickiness: "its own cookie that names the server",
    ..PLAIN
};

const NGINX: Peer = Peer {
    name: "nginx",
    programs: &["nginx"],
    version: &["-v"],
    templates: &[template!("nginx.conf", "nginx.conf")],
    arguments: &["-p", "{{ directory }}", "-c", "{{ directory }}/nginx.conf"],
    reload: Reload::Signal(Signal::SIGHUP),
    cannot: &[(Ability::Http2Targets, "it asks targets over HTTP/2 for gRPC only, before 1.29.4")],
    stickiness: "a hash of a cookie that its userid module gives",
    moves_silently: true,
    ..PLAIN
};

const NGHTTPX: Peer = Peer {
    name: "nghttpx",
    programs: &["nghttpx"],
    templates: &[template!("nghttpx.conf", "nghttpx.conf")],
    arguments: &["--conf={{ directory }}/nghttpx.conf"],
    reload: Reload::Signal(Signal::SIGHUP),
    stickiness: "its own cookie, by whose hash it finds the target",
    moves_silently: true,
    ..PLAIN
};

const ENVOY: Peer = Peer {
    name: "envoy",
    programs: &["envoy"],
    templates: &[
        template!("envoy.yaml", "envoy.yaml"),
        template!("clusters.yaml", "envoy-clusters.yaml"),
    ],
    arguments: &[
        "-c",
        "envoy.yaml",
        "--concurrency",
        "{{ threads }}",
        "--disable-hot-restart",
        "-l",
        "error",
    ],
    reload: Reload::Watches,
    stickiness: "its own cookie that holds the target's address",
    ..PLAIN
};

const CADDY: Peer = Peer {
    name: "caddy",
    programs: &["caddy"],
    version: &["version"],
    templates: &[template!("Caddyfile", "Caddyfile")],
    arguments: &["run", "--adapter", "caddyfile", "--config", "Caddyfile"],
    environment: &[("GOMAXPROCS", "{{ threads }}"), ("HOME", "{{ directory }}")],
    reload: Reload::Commands(&[&[
        "PROGRAM",
        "reload",
        "--adapter",
        "caddyfile",
        "--config",
        "Caddyfile",
        "--address",
        "127.0.0.1:{{ admin_port }}",
    ]]),
    stickiness: "its own cookie, a keyed hash of the target",
    ..PLAIN
};

const APACHE: Peer = Peer {
    name: "apache",
    programs: &["apache2", "httpd"],
    version: &["-v"],
    templates: &[template!("apache.conf", "apache.conf")],
    arguments: &["-DFOREGROUND", "-f", "{{ directory }}/apache.conf"],
    reload: Reload::Signal(Signal::SIGUSR1),
    cannot: &[
        (Ability::Http2Targets, "its mod_proxy_http2 is experimental"),
        (Ability::Grpc, "its mod_proxy_http2 is experimental"),
    ],
    stickiness: "a cookie that names the balancer member",
    ..PLAIN
};

const VARNISH: Peer = Peer {
    name: "varnish",
    programs: &["varnishd"],
    version: &["-V"],
    templates: &[template!("varnish.vcl", "varnish.vcl")],
    arguments: &[
        "-F",
        "-j",
        "none",
        "-n",
        "{{ directory }}/varnish",
        "-a",
        "{{ listen }}",
        "-f",
        "{{ directory }}/varnish.vcl",
        "-s",
        "default,32M",
        "-p",
        "thread_pools=1",
        "-p",
        "thread_pool_min=256",
        "-p",
        "thread_pool_max=5000",
        "-p",
        "listen_depth=4096",
        "-p",
        "timeout_idle=75",
        "-T",
        "127.0.0.1:{{ admin_port }}",
        "-S",
        "none",
    ],
    companion: Some(&[
        "varnishncsa",
        "-n",
        "{{ directory }}/varnish",
        "-a",
        "-w",
        "{{ directory }}/access.log",
    ]),
    reload: Reload::Commands(&[
        &[
            "varnishadm",
            "-n",
            "{{ directory }}/varnish",
            "vcl.load",
            "g{{ generation }}",
            "{{ directory }}/varnish.vcl",
        ],
        &["varnishadm", "-n", "{{ directory }}/varnish", "vcl.use", "g{{ generation }}"],
    ]),
    targets_max: Some((2000, "its configuration is compiled by a C compiler, for minutes")),
    cannot: &[
        (Ability::Tls, "it speaks none; its documentation puts another proxy in front"),
        (Ability::Http2, "its HTTP/2 is off as shipped, and experimental"),
    ],
    stickiness: "a hash of a cookie that its configuration gives",
    moves_silently: true,
    ..PLAIN
};

const TRAEFIK: Peer = Peer {
    name: "traefik",
    programs: &["traefik"],
    version: &["version"],
    templates: &[
        template!("traefik.toml", "traefik.toml"),
        template!("dynamic.toml", "traefik-dynamic.toml"),
    ],
    arguments: &["--configFile={{ directory }}/traefik.toml"],
    environment: &[("GOMAXPROCS", "{{ threads }}")],
    reload: Reload::Watches,
    stickiness: "its own cookie, a hash of the target",
    ..PLAIN
};

const SOZU: Peer = Peer {
    name: "sozu",
    programs: &["sozu"],
    templates: &[template!("sozu.toml", "sozu.toml")],
    arguments: &["start", "-c", "{{ directory }}/sozu.toml"],
    reload: Reload::Commands(&[&["PROGRAM", "reload", "-c", "{{ directory }}/sozu.toml"]]),
    cannot: &[(Ability::Http2, "it speaks HTTP/1.1")],
    stickiness: "its own cookie that names the target, read once for a connection: users who share one share a target",
    ..PLAIN
};

impl Peer {
    /// Why it cannot take part in something that needs certain abilities, if so.
    pub fn refusal(&self, needs: &[Ability]) -> Option<&'static str> {
        let listed = self.cannot.iter().find(|(ability, _)| needs.contains(ability));
        match self.reload {
            Reload::No(why) if needs.contains(&Ability::Reload) => Some(why),
            _ => listed.map(|(_, why)| *why),
        }
    }

    /// Why it cannot be started with so many targets, if so.
    pub fn too_many(&self, targets: usize) -> Option<String> {
        let (most, why) = self.targets_max.filter(|(most, _)| targets > *most)?;
        Some(format!("more than {most} targets: {why}"))
    }

    /// Its program: what `LIMPET_PEER_<NAME>` says, or the first that PATH has.
    pub fn find(&self) -> Option<PathBuf> {
        let variable = format!("LIMPET_PEER_{}", self.name.to_ascii_uppercase());
        if let Some(path) = env::var_os(variable) {
            return Some(PathBuf::from(path)).filter(|path| path.is_file());
        }
        self.programs.iter().find_map(|program| in_path(program))
    }

    /// What it says its version is.
    pub fn version(&self, program: &Path) -> String {
        let said = Command::new(program).args(self.version).output();
        said.ok()
            .and_then(|said| {
                let text = [said.stdout, said.stderr].concat();
                version_in(&String::from_utf8_lossy(&text))
            })
            .unwrap_or_else(|| "unknown".to_owned())
    }
}

/// The full path of a program that PATH, or a place where daemons are kept, has.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(OsStr::new(program)))
        .find(|path| path.is_file())
}

/// The first word that looks like a version: digits with a point between them.
fn version_in(text: &str) -> Option<String> {
    text.split(|c: char| c.is_whitespace() || "/(),-".contains(c))
        .map(|word| word.trim_start_matches('v'))
        .find(|word| {
            word.starts_with(|c: char| c.is_ascii_digit())
                && word.contains('.')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "._+".contains(c))
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let said = [
            ("limpet 0.1.0", "0.1.0"),
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("Server version: Apache/2.4.71 (Debian)\nServer built: …", "2.4.71"),
            ("varnishd (varnish-7.1.1 revision 7cee1c5)", "7.1.1"),
            ("v2.11.7 h1:abc=", "2.11.7"),
            ("envoy  version: abcdef/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("Version:      3.7.15\nCodename:     x", "3.7.15"),
        ];
        for (text, version) in said {
            assert_eq!(version_in(text).as_deref(), Some(version), "{text}");
        }
        assert_eq!(version_in("no version here"), None);
    }

    #[test]
    fn a_peer_that_lacks_an_ability_says_why() {
        assert_eq!(FLOOR.refusal(&[Ability::Rules]), Some(ONE_TARGET));
        assert_eq!(FLOOR.refusal(&[]), None);
        assert_eq!(LIMPET.refusal(&[Ability::Rules, Ability::Reload]), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> =
            PEERS.iter().chain([&LIMPET, &FLOOR]).map(|peer| peer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PEERS.len() + 2);
    }
}
