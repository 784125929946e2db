//! uring/mod.rs
