//! listener.rs
