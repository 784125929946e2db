//! What belongs to one connection stays there, and what limpet adds: heads exactly as the target
//! and the client see them. RFC 9110 §7.6.1.

mod added;
mod max_forwards;
mod request_id;
mod stripped;
mod trust;

use crate::support::{Limpet, Target, config, group, listener};

/// One echo target behind a listener with further settings.
fn with(settings: &[(&str, toml::Value)]) -> (Limpet, Target) {
    let target = Target::echo("a");
    let mut web = listener("web");
    for (key, value) in settings {
        web = web.set(key, value.clone());
    }
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    (limpet, target)
}

/// Networks that hold the tests' own address.
fn trusting() -> (&'static str, toml::Value) {
    ("trusted_proxies", vec!["127.0.0.0/8"].into())
}
