//! What is allowed and yet hardly meant: said by `limpet check` and at start, never a refusal. Tested
//! beside it.

use super::file::{File, Forward, HealthCheck, HealthCheckType};

/// One sentence each.
pub fn notes(file: &File) -> Vec<String> {
    let mut notes = Vec::new();
    for group in &file.target_groups {
        let name = &group.name;
        if !is_used(file, name) {
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
        if group.stickiness.enabled && is_used(file, name) && is_bypassed(file, name) {
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

fn is_used(file: &File, group: &str) -> bool {
    forwards_to(file, group).next().is_some()
}

/// Whether only sticky forwards lead to the group: their cookie names the target, its own is never asked.
fn is_bypassed(file: &File, group: &str) -> bool {
    forwards_to(file, group).all(|forward| match forward {
        Forward::One(_) => false,
        Forward::Weighted(weighted) => weighted.sticky.as_ref().is_some_and(|one| one.enabled),
    })
}

fn forwards_to<'f>(file: &'f File, group: &'f str) -> impl Iterator<Item = &'f Forward> {
    let forwards = file.listeners.iter().flat_map(|listener| {
        let rules = listener.rules.iter().map(|rule| rule.forward.as_ref());
        rules.chain([listener.forward.as_ref()])
    });
    forwards.flatten().filter(move |forward| match forward {
        Forward::One(name) => name == group,
        Forward::Weighted(weighted) => weighted.groups.iter().any(|one| one.group == group),
    })
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
