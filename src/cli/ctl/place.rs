//! How the admin API's address is found.
//!
//! The command line comes first, then the file that it names, then the environment, then the default places. Never
//! shows a token. Tested below and by `tests/ctl`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hyper::Uri;

/// The default socket.
pub(super) const SOCKET: &str = "/run/limpet/admin.sock";
/// The default address, used where the socket does not exist.
pub(super) const ADDRESS: &str = "127.0.0.1:9901";

/// The place of an admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub at: At,
    /// Whether it is a default that was not named.
    is_usual: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// The same over TLS, and the name that the certificate must have.
    Tls {
        authority: String,
        name: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Unix(path) => write!(out, "{}", path.display()),
            At::Tcp(authority) => write!(out, "http://{authority}"),
            At::Tls { authority, .. } => write!(out, "https://{authority}"),
        }
    }
}

impl Place {
    fn named(at: At) -> Place {
        Place { at, is_usual: false }
    }

    /// The default place: the socket if it exists, else the address.
    fn usual(socket: &Path) -> Place {
        let at = match socket.exists() {
            true => At::Unix(socket.to_owned()),
            false => At::Tcp(ADDRESS.to_owned()),
        };
        Place { at, is_usual: true }
    }

    /// The places that were tried, if none was named.
    pub(super) fn looked(&self) -> Option<String> {
        let at = match (&self.at, self.is_usual) {
            (_, false) => return None,
            (At::Unix(_), true) => format!("looked at {SOCKET}"),
            (At::Tcp(_) | At::Tls { .. }, true) => {
                format!("looked at {SOCKET}, which does not exist, then at http://{ADDRESS}")
            }
        };
        Some(at)
    }

    /// Reads `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT`, `unix:PATH` or `PATH`.
    pub(super) fn parse(text: &str) -> Result<Place, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Place::named(At::Unix(PathBuf::from(path))));
        }
        if !text.contains("://") && text.contains('/') {
            return Ok(Place::named(At::Unix(PathBuf::from(text))));
        }
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let allowed = "allowed: http://HOST:PORT, https://HOST:PORT or the path of a Unix socket";
        let wrong = |what: &str| format!("{text:?} {what}; {allowed}");
        let uri: Uri = url.parse().map_err(|_| wrong("is no address of an admin API"))?;
        let has_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("has a scheme that the admin API does not speak")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let Some(authority) = authority else { return Err(wrong("has no host")) };
        let (host, port) = (authority.host(), authority.port_u16());
        if !has_tls {
            return Ok(Place::named(At::Tcp(format!("{host}:{}", port.unwrap_or(80)))));
        }
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let name = literal.unwrap_or(host).to_owned();
        let authority = format!("{host}:{}", port.unwrap_or(443));
        Ok(Place::named(At::Tls { authority, name }))
    }
}

/// The `[admin]` table of a file. The rest of the file may be wrong: an operator who repairs it needs the running
/// process all the more.
#[derive(Default)]
struct FileSays {
    place: Option<Place>,
    token: Option<String>,
}

fn file_says(path: &Path) -> Result<FileSays, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("{}: {}", path.display(), error.message()))?;
    let admin = table.get("admin").and_then(toml::Value::as_table);
    let value = |key: &str| admin?.get(key)?.as_str().map(str::to_owned);
    let socket = value("socket").map(PathBuf::from);
    let address = value("address").and_then(|text| text.parse::<SocketAddr>().ok());
    let has_tls = admin.is_some_and(|admin| admin.contains_key("tls"));
    let hosts = admin.and_then(|admin| admin.get("hosts")?.as_array()?.first()?.as_str());
    let address = address.map(|address| {
        let reached = reachable(address);
        let authority = reached.to_string();
        if !has_tls {
            return At::Tcp(authority);
        }
        // Certificates rarely name addresses; the file says under which names this one is reached.
        let name = hosts.map_or_else(|| reached.ip().to_string(), str::to_owned);
        At::Tls { authority, name }
    });
    // A missing socket is used if the file has nothing else, so that the error names it.
    let at = match (socket, address) {
        (Some(socket), address) if socket.exists() || address.is_none() => Some(At::Unix(socket)),
        (_, address) => address,
    };
    Ok(FileSays { place: at.map(Place::named), token: value("token") })
}

/// A listener on all addresses is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The sources of the admin API's place; empty texts count as absent.
pub(super) struct Hints<'a> {
    pub admin: Option<&'a str>,
    pub config: Option<&'a Path>,
    pub token: Option<&'a str>,
    /// LIMPET_ADMIN
    pub environment_admin: Option<&'a str>,
    /// LIMPET_TOKEN
    pub environment_token: Option<&'a str>,
}

/// The place of the API, and the token to send there.
pub(super) fn find(hints: &Hints<'_>) -> Result<(Place, Option<String>), String> {
    let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let file = hints.config.map(file_says).transpose()?.unwrap_or_default();
    let place = match (said(hints.admin), file.place, said(hints.environment_admin)) {
        (Some(text), _, _) => Place::parse(&text)?,
        (None, Some(place), _) => place,
        (None, None, _) if hints.config.is_some() => {
            return Err("the file has no admin.socket and no admin.address: the admin API is off"
                .to_owned());
        }
        (None, None, Some(text)) => {
            Place::parse(&text).map_err(|what| format!("LIMPET_ADMIN: {what}"))?
        }
        (None, None, None) => Place::usual(Path::new(SOCKET)),
    };
    let token = said(hints.token).or(said(hints.environment_token)).or(file.token);
    Ok((place, token))
}

#[cfg(test)]
mod tests {
    use crate::cli::ctl::place::*;

    fn tcp(authority: &str) -> At {
        At::Tcp(authority.to_owned())
    }

    fn unix(path: &str) -> At {
        At::Unix(PathBuf::from(path))
    }

    const NOTHING: Hints<'static> = Hints {
        admin: None,
        config: None,
        token: None,
        environment_admin: None,
        environment_token: None,
    };

    #[test]
    fn places_are_read_as_people_write_them() {
        let cases = [
            ("http://127.0.0.1:9901", tcp("127.0.0.1:9901")),
            ("http://localhost:1/", tcp("localhost:1")),
            ("http://[::1]:2", tcp("[::1]:2")),
            ("http://edge.example", tcp("edge.example:80")),
            ("10.0.0.1:9901", tcp("10.0.0.1:9901")),
            ("localhost:9901", tcp("localhost:9901")),
            ("/run/a.sock", unix("/run/a.sock")),
            ("./a.sock", unix("./a.sock")),
            ("unix:a.sock", unix("a.sock")),
        ];
        for (text, expected) in cases {
            assert_eq!(Place::parse(text).unwrap().at, expected, "{text}");
        }
        for (text, authority, name) in [
            ("https://a.example:1", "a.example:1", "a.example"),
            ("https://a.example", "a.example:443", "a.example"),
            ("https://[::1]:9901/", "[::1]:9901", "::1"),
        ] {
            let (authority, name) = (authority.to_owned(), name.to_owned());
            assert_eq!(Place::parse(text).unwrap().at, At::Tls { authority, name });
        }
        for text in [
            "ftp://a:1",
            "https://u:p@a:1",
            "http://a:1/v1",
            "http://a/?x",
            "http://u:p@a:1",
            "http://",
            "",
        ] {
            let said = Place::parse(text).unwrap_err();
            assert!(said.contains("allowed: http://HOST:PORT"), "{text}: {said}");
        }
    }

    #[test]
    fn the_command_line_comes_before_the_file_and_the_file_before_the_environment() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("limpet.toml");
        // Only [admin] has to be correct.
        std::fs::write(&path, "listener = 1\n[admin]\naddress = \"0.0.0.0:7\"\ntoken = \"f\"\n")
            .unwrap();
        let all = Hints {
            admin: Some("a:1"),
            config: Some(&path),
            token: Some("t"),
            environment_admin: Some("e:1"),
            environment_token: Some("et"),
        };
        let found = |hints: &Hints<'_>| {
            let (place, token) = find(hints).unwrap();
            (place.at, token)
        };
        assert_eq!(found(&all), (tcp("a:1"), Some("t".to_owned())));
        let file = Hints { admin: None, token: None, environment_token: None, ..all };
        assert_eq!(found(&file), (tcp("127.0.0.1:7"), Some("f".to_owned())));
        let environment = Hints { config: None, environment_token: Some("et"), ..file };
        assert_eq!(found(&environment), (tcp("e:1"), Some("et".to_owned())));
        assert_eq!(find(&NOTHING).unwrap().1, None);
    }

    #[test]
    fn a_file_with_a_socket_that_exists_leads_to_it() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("s");
        let path = home.path().join("limpet.toml");
        let text = format!("[admin]\nsocket = {socket:?}\naddress = \"127.0.0.1:7\"\n");
        std::fs::write(&path, text).unwrap();
        let hints = Hints { config: Some(&path), ..NOTHING };
        assert_eq!(find(&hints).unwrap().0.at, tcp("127.0.0.1:7"));
        std::fs::write(&socket, "").unwrap();
        assert_eq!(find(&hints).unwrap().0.at, At::Unix(socket));
    }

    #[test]
    fn a_file_with_tls_leads_there_under_the_name_that_it_has() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("limpet.toml");
        for (hosts, name) in [("", "127.0.0.1"), ("hosts = [\"lb.example\"]\n", "lb.example")] {
            let text = format!("[admin]\naddress = \"0.0.0.0:7\"\n{hosts}[admin.tls]\n");
            std::fs::write(&path, text).unwrap();
            let found = find(&Hints { config: Some(&path), ..NOTHING }).unwrap().0.at;
            let (authority, name) = ("127.0.0.1:7".to_owned(), name.to_owned());
            assert_eq!(found, At::Tls { authority, name });
        }
    }

    #[test]
    fn a_file_without_an_admin_api_says_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("limpet.toml");
        std::fs::write(&path, "").unwrap();
        let said = find(&Hints { config: Some(&path), ..NOTHING }).unwrap_err();
        assert!(said.contains("the admin API is off"), "{said}");
        std::fs::write(&path, "[admin\n").unwrap();
        assert!(find(&Hints { config: Some(&path), ..NOTHING }).is_err());
    }

    #[test]
    fn the_usual_place_is_the_socket_if_there_is_one() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("s");
        assert_eq!(Place::usual(&socket).at, tcp(ADDRESS));
        assert!(Place::usual(&socket).looked().unwrap().contains("does not exist"));
        std::fs::write(&socket, "").unwrap();
        assert_eq!(Place::usual(&socket).at, At::Unix(socket));
        assert_eq!(Place::parse("a:1").unwrap().looked(), None);
    }
}
