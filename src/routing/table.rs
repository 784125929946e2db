//! The compiled table of one listener.
use super::{
    actions::Action,
    conditions::{Condition, Request},
};

/// One rule of the file. Lower `priority` first; the default rule has none and stands last.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: Box<str>,
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// Rules ready to be searched.
#[derive(Debug)]
pub struct Table {}
impl Table {
    pub fn compile(_rules: Vec<Rule>, _default: Action) -> Table {
        todo!()
    }
    /// The first rule by priority all of whose conditions hold; no allocation.
    pub fn find(&self, _request: &Request<'_>) -> &Rule {
        todo!()
    }
    /// All rules in order, the default last (named "default", priority u32::MAX).
    pub fn rules(&self) -> &[Rule] {
        todo!()
    }
    /// Why: each rule in order with the first condition that failed, up to the one that matched. For `explain`.
    pub fn explain(&self, _request: &Request<'_>) -> Vec<Considered> {
        todo!()
    }
}
pub struct Considered {
    pub rule: usize,
    pub failed: Option<String>,
}
