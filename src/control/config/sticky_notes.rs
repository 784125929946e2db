//! Notes about settings of stickiness that do nothing with its type: said, never refused, so that an operator may
//! change the type and change it back.
//!
//! A setting counts as stated where it differs from its default. Tested beside it.

use std::time::Duration;

use super::file::{StickinessType, Sticky, TargetGroup};
use super::notes::sticky_rules;
use super::{File, units};
use crate::group::target_group::OnFull;
use crate::stickiness::options::{Failback, OnLost, SameSite};

/// The default of duration, where max_age is not shorter.
const DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// One sentence for each group or rule.
pub(super) fn notes(file: &File) -> Vec<String> {
    let mut notes = Vec::new();
    for group in file.target_groups.iter().filter(|group| group.stickiness.enabled) {
        let whose = format!("target group {:?}", group.name);
        notes.extend(of_type(&whose, &of_group(group)));
        if group.stickiness.kind == StickinessType::AppHeader && group.on_full == OnFull::Restick {
            notes.push(format!(
                "{whose} has on_full = \"restick\", which with app_header is as \"spill\": clients keep the id that \
                 they have"
            ));
        }
    }
    for (listener, rule, sticky) in sticky_rules(file) {
        let whose = format!("rule {rule:?} of listener {:?}", listener.name);
        notes.extend(of_type(&whose, &of_rule(sticky)));
    }
    notes
}

/// What is stated of a scope, and means something with one type only.
struct Stated {
    kind: StickinessType,
    on_lost: OnLost,
    of_cookies: Vec<String>,
}

/// The sentence about settings that have no effect with the type.
fn of_type(whose: &str, stated: &Stated) -> Option<String> {
    let kind = stated.kind;
    match (kind, stated.of_cookies.as_slice(), stated.on_lost) {
        (StickinessType::AppHeader, [], _) => None,
        (StickinessType::AppHeader, [only], _) => Some(format!(
            "{whose} is sticky by app_header, and {only} has no effect: of the lifetimes only max_age holds, and no \
             cookie is set"
        )),
        (StickinessType::AppHeader, several, _) => Some(format!(
            "{whose} is sticky by app_header, and {} have no effect: of the lifetimes only max_age holds, and no \
             cookie is set",
            several.join(", ")
        )),
        (StickinessType::LbCookie | StickinessType::AppCookie, _, OnLost::Balance) => None,
        (StickinessType::LbCookie | StickinessType::AppCookie, _, OnLost::Answer(status)) => {
            Some(format!(
                "{whose} is sticky by {}, and on_lost = {status} has no effect: it is a setting of app_header",
                kind.code()
            ))
        }
    }
}

/// The settings of cookies that a group and a rule share, with what is theirs.
struct Cookies<'f> {
    duration: Duration,
    max_age: Duration,
    cookie_name: Option<&'f str>,
    domain: &'f str,
    path: &'f str,
    same_site: SameSite,
    flags: [(&'static str, bool); 3],
}

impl Cookies<'_> {
    fn stated(&self) -> Vec<String> {
        let mut stated = Vec::new();
        if self.duration != DURATION.min(self.max_age) {
            stated.push(format!("duration = \"{}\"", units::show_duration(self.duration)));
        }
        let texts = [
            ("cookie_name", self.cookie_name.is_some()),
            ("domain", !self.domain.is_empty()),
            ("path", self.path != "/"),
            ("same_site", self.same_site != SameSite::Lax),
        ];
        let keys = texts.into_iter().chain(self.flags);
        stated.extend(keys.filter(|(_, is_stated)| *is_stated).map(|(key, _)| key.to_owned()));
        stated
    }
}

fn of_group(group: &TargetGroup) -> Stated {
    let one = &group.stickiness;
    let cookies = Cookies {
        duration: one.duration,
        max_age: one.max_age,
        cookie_name: one.cookie_name.as_deref(),
        domain: &one.domain,
        path: &one.path,
        same_site: one.same_site,
        flags: flags(one.partitioned, one.cross_site_twin, one.forward_cookie),
    };
    let mut of_cookies = cookies.stated();
    if one.failback == Failback::Healthy {
        of_cookies.push("failback = \"healthy\"".to_owned());
    }
    if !one.session_cookies.is_empty() {
        of_cookies.push("session_cookies".to_owned());
    }
    Stated { kind: one.kind, on_lost: one.on_lost, of_cookies }
}

fn of_rule(one: &Sticky) -> Stated {
    let cookies = Cookies {
        duration: one.duration,
        max_age: one.max_age,
        cookie_name: one.cookie_name.as_deref(),
        domain: &one.domain,
        path: &one.path,
        same_site: one.same_site,
        flags: flags(one.partitioned, one.cross_site_twin, one.forward_cookie),
    };
    Stated { kind: one.kind, on_lost: one.on_lost, of_cookies: cookies.stated() }
}

fn flags(partitioned: bool, twin: bool, forwarded: bool) -> [(&'static str, bool); 3] {
    [("partitioned", partitioned), ("cross_site_twin", twin), ("forward_cookie", forwarded)]
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::control::config::sticky_notes::*;

    /// What is said of a group with these settings, and of a rule over several groups.
    fn said(group: &str, stickiness: &str, sticky: &str) -> Vec<String> {
        let text = format!(
            "listener = [{{ name = \"w\", address = \"127.0.0.1:0\", forward = \"a\", rule = [\
             {{ name = \"r\", priority = 1, forward = {{ groups = [{{ group = \"a\" }}], sticky = {{ enabled = true, {sticky} }} }} }}] }}]\n\
             target_group = [{{ name = \"a\", {group} target = [{{ address = \"127.0.0.1:1\" }}],\n\
             stickiness = {{ enabled = true, {stickiness} }} }}]"
        );
        notes(&parse(&text, "x").unwrap())
    }

    const BY_FIELD: &str = "type = \"app_header\", app_header = \"Mcp-Session-Id\"";

    #[test]
    fn what_has_no_effect_with_a_session_id_in_a_field_is_named() {
        assert_eq!(said("", BY_FIELD, BY_FIELD), Vec::<String>::new());
        let short = format!("{BY_FIELD}, max_age = \"1h\", on_lost = 404");
        assert_eq!(said("", &short, &short), Vec::<String>::new());
        for (setting, named) in [
            ("duration = \"2h\"", "duration = \"2h\""),
            ("cookie_name = \"c\"", "cookie_name"),
            ("domain = \"example.com\"", "domain"),
            ("path = \"/a\"", "path"),
            ("same_site = \"strict\"", "same_site"),
            ("partitioned = true", "partitioned"),
            ("cross_site_twin = true", "cross_site_twin"),
            ("forward_cookie = true", "forward_cookie"),
        ] {
            let with = format!("{BY_FIELD}, {setting}");
            // Two cookies of one name would be refused.
            let notes = said("", &with, &with.replace("\"c\"", "\"d\""));
            let end = format!("by app_header, and {named} has no effect: ");
            assert_eq!(notes.len(), 2, "{notes:?}");
            assert!(notes.iter().all(|note| note.contains(&end)), "{notes:?}");
            assert!(notes[0].starts_with("target group \"a\" is"), "{notes:?}");
            assert!(notes[1].starts_with("rule \"r\" of listener \"w\" is"), "{notes:?}");
            assert_eq!(said("", setting, ""), Vec::<String>::new());
        }
        let group = format!("{BY_FIELD}, failback = \"healthy\", session_cookies = [\"s\"]");
        let notes = said("on_full = \"restick\",", &group, "");
        assert!(notes[0].contains("and failback = \"healthy\", session_cookies have no effect"));
        assert!(notes[1].contains("on_full = \"restick\"") && notes[1].contains("\"spill\""));
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    #[test]
    fn what_is_lost_is_asked_of_session_ids_in_a_field_only() {
        let notes = said("", "on_lost = 404", "on_lost = 410");
        assert!(notes[0].contains("by lb_cookie, and on_lost = 404 has no effect"), "{notes:?}");
        assert!(notes[1].contains("by lb_cookie, and on_lost = 410 has no effect"), "{notes:?}");
        assert_eq!(said("", "on_lost = \"balance\"", ""), Vec::<String>::new());
    }
}
