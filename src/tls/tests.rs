//! Tests of certificates, policies, tickets, targets and client authentication, with both ends in memory.

mod acme;
mod certificates;
mod choice;
mod clients;
mod pki;
mod policies;
mod profiles;
mod sessions;
mod targets;
