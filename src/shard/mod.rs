//! shard/mod.rs
