//! proxy
use super::connection::Connection;
use crate::snapshot::Listener;
pub async fn receive(_connection: &mut Connection, _listener: &Listener) -> Option<Vec<u8>> {
    None
}
