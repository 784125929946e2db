//! Rules by priority: their conditions, their actions, and the one normal form of a path that is
//! both matched and forwarded.

mod actions;
mod conditions;
mod path;

use crate::support::config::Section;
use crate::support::{Limpet, Target, config, group, listener};

/// A limpet whose default group answers as `default`; the group `hit` answers as `hit`.
fn with_rules(rules: &[&str]) -> (Limpet, [Target; 2]) {
    with_listener(listener("web"), rules)
}

fn with_listener(web: Section, rules: &[&str]) -> (Limpet, [Target; 2]) {
    let [default, hit] = ["default", "hit"].map(Target::echo);
    let web = rules.iter().fold(web.set("forward", "default"), |web, rule| web.rule(rule));
    let limpet = config()
        .listener(web)
        .group(group("default").target("d", &default))
        .group(group("hit").target("h", &hit))
        .start();
    (limpet, [default, hit])
}
