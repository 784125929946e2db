//! Every limit on what a client may send or hold: 414, 431, 413, 429, requests and connections.

mod connections;
mod heads;
mod room;

use crate::support::{Limpet, Target, config, group, listener};

fn with(settings: &[(&str, toml::Value)]) -> (Limpet, Target) {
    let target = Target::echo("a");
    let web =
        settings.iter().fold(listener("web"), |web, (key, value)| web.set(key, value.clone()));
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    (limpet, target)
}
