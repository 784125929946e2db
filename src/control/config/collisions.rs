//! Addresses that the kernel could not tell apart: of two listeners, or of a listener and the admin API.
//!
//! Opening the second one would fail, with an error that suggests another process. Never opens a socket. Tested by
//! `tests/config.rs`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::checks;
use super::file::{self, File};
use super::problems::Report;
use crate::snapshot::Bind;

/// A listening address, and the key that sets it.
struct Place<'f> {
    key: String,
    /// `None` for the admin API.
    listener: Option<&'f str>,
    bind: Bind,
    ipv6_only: bool,
}

/// Reports every listener and every address of the admin API that collides with one before.
pub(super) fn collisions(file: &File, report: &mut Report<'_>) {
    let places: Vec<Place<'_>> = listeners(file).chain(admin(&file.admin)).collect();
    for (position, this) in places.iter().enumerate() {
        let mut earlier = places.iter().take(position);
        let Some(other) = earlier.find(|one| collide(one, this)) else { continue };
        let line = report.line_note(&other.key);
        let what = match other.listener {
            Some(name) => format!("collides with listener {name:?}{line}"),
            None => format!("collides with {}{line}", other.key),
        };
        let allowed = match this.bind {
            Bind::Tcp(_) => "another port or address",
            Bind::Unix(_) => "another path",
        };
        report.at(&this.key, what, Some(allowed.into()));
    }
}

fn listeners(file: &File) -> impl Iterator<Item = Place<'_>> {
    file.listeners.iter().enumerate().filter_map(|(index, listener)| {
        Some(Place {
            key: format!("listener[{index}].address"),
            listener: Some(&listener.name),
            bind: checks::listener_address(&listener.address).ok()?,
            ipv6_only: listener.socket.ipv6_only,
        })
    })
}

/// The address of the admin API; its TCP socket takes IPv4 as well when it is bound to `[::]`.
fn admin(admin: &file::Admin) -> impl Iterator<Item = Place<'_>> {
    let place =
        |key: &str, bind| Place { key: key.to_owned(), listener: None, bind, ipv6_only: false };
    let address = admin.address.map(|address| place("admin.address", Bind::Tcp(address)));
    let socket = admin.socket.clone().map(|path| place("admin.socket", Bind::Unix(path)));
    address.into_iter().chain(socket)
}

fn collide(one: &Place<'_>, other: &Place<'_>) -> bool {
    match (&one.bind, &other.bind) {
        (Bind::Unix(one), Bind::Unix(other)) => one == other,
        (Bind::Tcp(a), Bind::Tcp(b)) => {
            // Port 0 is a different port each time.
            a.port() == b.port() && a.port() != 0 && overlap(hosts(a, one), hosts(b, other))
        }
        (Bind::Tcp(_), Bind::Unix(_)) | (Bind::Unix(_), Bind::Tcp(_)) => false,
    }
}

/// Which connections a bound socket takes: of one address, or of all addresses of one or both families.
#[derive(Clone, Copy)]
enum Hosts {
    One(IpAddr),
    AllIpv4,
    AllIpv6,
    All,
}

fn hosts(address: &SocketAddr, place: &Place<'_>) -> Hosts {
    match address.ip().to_canonical() {
        // [::] takes IPv4 as well unless the listener forbids it.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if place.ipv6_only => Hosts::AllIpv6,
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Hosts::All,
        ip if ip.is_unspecified() => Hosts::AllIpv4,
        ip => Hosts::One(ip),
    }
}

fn overlap(one: Hosts, other: Hosts) -> bool {
    match (one, other) {
        (Hosts::One(one), Hosts::One(other)) => one == other,
        (Hosts::All, _)
        | (_, Hosts::All)
        | (Hosts::AllIpv4, Hosts::AllIpv4)
        | (Hosts::AllIpv6, Hosts::AllIpv6) => true,
        (Hosts::AllIpv4, Hosts::AllIpv6) | (Hosts::AllIpv6, Hosts::AllIpv4) => false,
        (Hosts::AllIpv4, Hosts::One(ip)) | (Hosts::One(ip), Hosts::AllIpv4) => ip.is_ipv4(),
        (Hosts::AllIpv6, Hosts::One(ip)) | (Hosts::One(ip), Hosts::AllIpv6) => ip.is_ipv6(),
    }
}
