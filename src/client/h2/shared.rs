//! The state of a client's connection that its task and the tasks of its streams share.

use std::rc::Rc;

use crate::client::connection::Connection;
use crate::multiplex::shared;

pub type Shared = shared::Shared<Rc<Connection>>;
