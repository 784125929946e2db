//! Rules by priority, compiled so that a thousand cost about what one costs. Pure: no sockets, no clock.
pub mod actions;
pub mod conditions;
pub mod path;
pub mod table;
