//! exchange/mod.rs
