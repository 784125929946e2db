//! Rules of a listener as the compiled table of `routing`, and the stickiness of rules over several
//! groups. Tested as part of `compile`.

use std::sync::Arc;

use super::groups::rule_stickiness;
use super::{CompileError, Positions, options};
use crate::control::config::conditions;
use crate::control::config::file::{self, DEFAULT_RULE, Forward, StickinessType};
use crate::routing::actions::{self, Action, GroupIndex, PathRewrite, normal_path};
use crate::routing::redirect::Redirect;
use crate::routing::rule::Rule;
use crate::routing::table::Table;
use crate::stickiness::keyring::KeyRing;
use crate::stickiness::verdict::Stickiness;

/// The objects that rules refer to.
pub(super) struct Context<'c> {
    /// Positions in the file, which are equal to those in the snapshot.
    pub(super) groups: &'c Positions<'c>,
    pub(super) ring: &'c Arc<KeyRing>,
}

/// The table of a listener and, parallel to its rules, their stickiness.
pub(super) struct Routes {
    pub(super) table: Table,
    pub(super) stickiness: Vec<Option<Arc<Stickiness>>>,
}

/// The possible actions of a rule or a listener, exactly one of which is set.
struct Actions<'f> {
    forward: Option<&'f Forward>,
    redirect: Option<&'f file::Redirect>,
    respond: Option<&'f file::Respond>,
    rewrite: Option<&'f file::Rewrite>,
}

pub(super) fn routes(
    listener: &file::Listener,
    context: &Context<'_>,
) -> Result<Routes, CompileError> {
    // In the order of the table, so that positions agree.
    let mut ordered: Vec<&file::Rule> = listener.rules.iter().collect();
    ordered.sort_by_key(|rule| rule.priority);
    let mut rules = Vec::with_capacity(ordered.len());
    let mut stickiness = Vec::with_capacity(ordered.len().saturating_add(1));
    for rule in ordered {
        let name = rule.effective_name();
        let fail = |what: String| {
            CompileError(format!("listener {:?}, rule {name:?}: {what}", listener.name))
        };
        let actions = Actions {
            forward: rule.forward.as_ref(),
            redirect: rule.redirect.as_ref(),
            respond: rule.respond.as_ref(),
            rewrite: rule.rewrite.as_ref(),
        };
        stickiness.push(sticky(actions.forward, &name, context).map_err(fail)?);
        rules.push(Rule {
            conditions: conditions(&rule.when).map_err(fail)?,
            action: action(&actions, context).map_err(fail)?,
            priority: rule.priority,
            name: name.clone().into(),
        });
    }
    let fail = |what| CompileError(format!("listener {:?}: {what}", listener.name));
    let default = Actions {
        forward: listener.forward.as_ref(),
        redirect: listener.redirect.as_ref(),
        respond: listener.respond.as_ref(),
        rewrite: None,
    };
    stickiness.push(sticky(default.forward, DEFAULT_RULE, context).map_err(fail)?);
    let table = Table::compile(rules, action(&default, context).map_err(fail)?);
    Ok(Routes { table, stickiness })
}

fn action(actions: &Actions<'_>, context: &Context<'_>) -> Result<Action, String> {
    if let Some(redirect) = actions.redirect {
        return Redirect::compile(redirect.status, &redirect.to).map(Action::Redirect);
    }
    if let Some(respond) = actions.respond {
        let answer = options::answer(&respond.content_type, &respond.body);
        return Ok(Action::Respond(actions::Respond { status: respond.status, answer }));
    }
    let Some(forward) = actions.forward else { return Err("has no action".into()) };
    let index = |name: &str| -> Result<GroupIndex, String> {
        let position = context.groups.get(name).copied();
        position.ok_or_else(|| format!("{name:?} is no target group"))
    };
    let (groups, sticky) = match forward {
        Forward::One(name) => (vec![(index(name)?, 1)], false),
        Forward::Weighted(weighted) => {
            let pair = |one: &file::WeightedGroup| Ok((index(&one.group)?, one.weight));
            let groups = weighted.groups.iter().map(pair).collect::<Result<_, String>>()?;
            (groups, weighted.sticky.as_ref().is_some_and(|sticky| sticky.enabled))
        }
    };
    let rewrite_path = actions.rewrite.map(rewrite_path).transpose()?.flatten();
    let rewrite_host = actions.rewrite.and_then(|rewrite| rewrite.host.as_deref().map(Box::from));
    Ok(Action::Forward(actions::Forward { groups, sticky, rewrite_path, rewrite_host }))
}

fn rewrite_path(rewrite: &file::Rewrite) -> Result<Option<PathRewrite>, String> {
    Ok(if let Some(prefix) = &rewrite.strip_prefix {
        Some(PathRewrite::StripPrefix(normal_path(prefix)?))
    } else if let Some(file::ReplacePrefix { prefix, with }) = &rewrite.replace_prefix {
        let (prefix, with) = (normal_path(prefix)?, normal_path(with)?);
        Some(PathRewrite::ReplacePrefix { prefix, with })
    } else {
        rewrite.path.as_deref().map(normal_path).transpose()?.map(PathRewrite::Replace)
    })
}

fn sticky(
    forward: Option<&Forward>,
    rule: &str,
    context: &Context<'_>,
) -> Result<Option<Arc<Stickiness>>, String> {
    match forward {
        // Clients keep their sealed session ids when the rule's stickiness is turned off.
        Some(Forward::Weighted(file::Weighted { sticky: Some(sticky), .. }))
            if sticky.enabled || sticky.kind == StickinessType::AppHeader =>
        {
            let stickiness = rule_stickiness(rule, sticky, context.ring)?;
            Ok(Some(Arc::new(stickiness)))
        }
        _ => Ok(None),
    }
}
