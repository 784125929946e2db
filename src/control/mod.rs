//! control/mod.rs
