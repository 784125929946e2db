//! The rules for single texts of `[listener.tls.acme]`. Tested as a table in `tests/config.rs`.

use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

use super::schema::Check;

/// Longest name and label of a host (RFC 1035 §2.3.4), the name without its final dot.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Longest text that goes into a request to the authority.
const TEXT_BYTES_MAX: usize = 256;

pub(super) static DIRECTORY: Check =
    Check::new("an https URL such as \"https://acme-v02.api.letsencrypt.org/directory\"", |text| {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        // RFC 8555 §6.1: ACME is spoken over HTTPS alone.
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err("does not begin with \"https://\"".into());
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err("names a user".into()),
            Some(_) => Ok(()),
            None => Err("names no host".into()),
        }
    });

pub(super) static NAME: Check = Check::new("a name such as \"shop.example\"", |text| {
    if text.starts_with("*.") {
        return Err("is a wildcard, which authorities issue only for a proof in the DNS \
                    (dns-01), and limpet proves names by tls-alpn-01 and http-01; list the names, \
                    or have a wildcard's files made elsewhere and put them into certificates"
            .into());
    }
    let is_address = text.parse::<IpAddr>().is_ok() || text.starts_with('[');
    if is_address {
        return Err("is an address; certificates are obtained for names".into());
    }
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > NAME_BYTES_MAX {
        return Err("is too long".into());
    }
    if !text.is_ascii() {
        return Err("is not ASCII; write it in its form with \"xn--\"".into());
    }
    if text.split('.').all(is_label) { Ok(()) } else { Err("is no name of a host".into()) }
});

/// RFC 8555 §7.3: one address, and no fields for the message.
pub(super) static CONTACT: Check =
    Check::new("one address, such as \"mailto:ops@shop.example\"", |text| {
        let Some(address) = text.strip_prefix("mailto:") else {
            return Err("does not begin with \"mailto:\"".into());
        };
        let is_address = address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@')
        });
        let is_plain =
            address.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,&".contains(&byte));
        if is_address && is_plain && text.len() <= TEXT_BYTES_MAX {
            Ok(())
        } else {
            Err("is not one address".into())
        }
    });

pub(super) static PROFILE: Check = Check::new("a name that the authority lists", visible);

pub(super) static KEY_ID: Check = Check::new("the id that the authority gave", visible);

fn visible(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err("is too long".into());
    }
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(()) } else { Err("has a character that is not allowed".into()) }
}
