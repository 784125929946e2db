//! telemetry/mod.rs
