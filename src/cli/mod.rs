//! cli/mod.rs
