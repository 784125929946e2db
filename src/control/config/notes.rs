//! What is allowed and yet hardly meant: said by `limpet check` and at start, never a refusal. Tested
//! beside it.

use std::collections::HashMap;

use super::file::{File, Forward, HealthCheck, HealthCheckType};

/// One sentence each.
pub fn notes(file: &File) -> Vec<String> {
    let mut notes = Vec::new();
    let bypassed = bypassed(file);
    for group in &file.target_groups {
        let name = &group.name;
        let is_bypassed = bypassed.get(name.as_str()).copied();
        if is_bypassed.is_none() {
            notes.push(format!("nothing forwards to target group {name:?}"));
        } else if group.targets.is_empty() {
            notes.push(format!(
                "target group {name:?} has no targets: requests to it are answered 503"
            ));
        } else if group.targets.iter().all(|target| target.weight == 0) {
            notes
                .push(format!("all targets of {name:?} have weight 0: new users are answered 503"));
        }
        if is_check_forgotten(&group.health_check) {
            notes.push(format!(
                "target group {name:?} says how it is checked and is not: health_check.type is \"off\""
            ));
        }
        if group.stickiness.enabled && is_bypassed == Some(true) {
            notes.push(format!(
                "the stickiness of target group {name:?} has no effect: all that forwards to it is \
                 sticky itself"
            ));
        }
        if group.stickiness.enabled && group.stickiness.cross_site_twin {
            notes.push(format!(
                "target group {name:?} issues a cross-site twin, which browsers take over TLS only"
            ));
        }
    }
    notes
}

/// Whether there is a setting that only a check has a use for.
fn is_check_forgotten(check: &HealthCheck) -> bool {
    let is_set = check.path != "/" || check.port.is_some();
    check.kind == HealthCheckType::Off
        && (is_set || !check.host.is_empty() || !check.body.is_empty())
}

/// Every group that something forwards to, and whether only sticky forwards lead to it: their cookie names the
/// target, its own is never asked.
fn bypassed(file: &File) -> HashMap<&str, bool, ahash::RandomState> {
    let forwards = file.listeners.iter().flat_map(|listener| {
        let rules = listener.rules.iter().map(|rule| rule.forward.as_ref());
        rules.chain([listener.forward.as_ref()])
    });
    let mut bypassed = HashMap::default();
    let mut lead = |group, is_sticky| *bypassed.entry(group).or_insert(true) &= is_sticky;
    for forward in forwards.flatten() {
        match forward {
            Forward::One(name) => lead(name.as_str(), false),
            Forward::Weighted(weighted) => {
                let is_sticky = weighted.sticky.as_ref().is_some_and(|one| one.enabled);
                weighted.groups.iter().for_each(|one| lead(one.group.as_str(), is_sticky));
            }
        }
    }
    bypassed
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_is_hardly_meant_is_said() {
        let text = r#"
            listener = [{ name = "w", address = "127.0.0.1:0", forward = "empty", rule = [
                { priority = 1, forward = { groups = [{ group = "idle" }, { group = "doubly" }], sticky.enabled = true } }
            ] }]
            target_group = [
                { name = "empty" },
                { name = "unused", target = [{ address = "127.0.0.1:1" }] },
                { name = "doubly", stickiness.enabled = true, target = [{ address = "127.0.0.1:1" }] },
                { name = "idle", health_check.path = "/up", target = [{ address = "127.0.0.1:1", weight = 0 }] },
            ]
        "#;
        let notes = notes(&parse(text, "x").unwrap());
        assert_eq!(notes.len(), 5);
        assert!(notes[0].contains("\"empty\" has no targets"));
        assert!(notes[1].contains("nothing forwards to target group \"unused\""));
        assert!(notes[2].contains("the stickiness of target group \"doubly\" has no effect"));
        assert!(notes[3].contains("all targets of \"idle\" have weight 0"));
        assert!(notes[4].contains("target group \"idle\" says how it is checked and is not"));
    }
}
