//! Rules by priority, compiled so that a thousand cost about as much as one.
//!
//! Pure: no sockets, no clock, no randomness of its own; it uses no other module than `http`. A request is matched by
//! its [`path`] (in normal form) in the [`table`] (the first rule whose [`conditions`] all hold), which gives the
//! rule's [`actions`]. The compiled table is tested against the naive model "first rule in order all of whose
//! conditions hold", the normal form for idempotence. The cost of finding a rule is limited (see [`budget`]).
pub mod actions;
pub mod budget;
pub mod conditions;
pub mod cover;
pub mod glob;
mod index;
mod literals;
pub mod path;
pub mod redirect;
pub mod rule;
pub mod table;
pub mod weighted;

#[cfg(test)]
mod conditions_tests;
#[cfg(test)]
mod redirect_tests;
#[cfg(test)]
mod table_tests;
