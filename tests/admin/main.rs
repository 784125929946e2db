//! The admin API: who may ask, what is answered, and that its description is true. In process against the
//! router, and once over real sockets.

#[path = "../tls/authority.rs"]
mod authority;
mod description;
mod guards;
mod reading;
mod sockets;
mod support;
mod tls;
mod writing;
