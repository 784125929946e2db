//! Operators among each other and towards limpet: versions, the audit log, and clients of the admin API that
//! mean it ill.

mod audit;
mod hardening;
mod versions;
