//! Changes by the admin API: those that have to be confirmed, and where the others are kept.

mod confirm;
mod kept;
