//! cli/mod.rs
pub mod demo;
