//! The network address of a target, and its position in its group.

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(std::net::SocketAddr),
    Unix(std::path::PathBuf),
}

/// Position of a target in its group's `targets`.
pub type TargetIndex = usize;
