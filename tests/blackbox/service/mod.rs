//! limpet as a service: what it tells the service manager, and whose rights it has.

mod notify;
mod user;
