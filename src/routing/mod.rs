//! Rules by priority, compiled so that a thousand cost about what one costs.
//!
//! Pure: no sockets, no clock, no randomness of its own; it knows no other module than
//! `http`. A request meets [`path`] (its normal form), [`table`] (the first rule whose
//! [`conditions`] all hold) and the rule's [`actions`]. The compiled table is tested against the
//! naive model "first rule in order all of whose conditions hold", the normal form for idempotence.
//! What finding a rule may cost has a limit (see [`budget`]).
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
