//! Joins the two halves of the data plane: shards, which accept, and clients, whose requests are served.
//!
//! Neither half knows the other. Makes no decision about a connection or a request. Tested by the black-box suite and
//! by the simulation, which join them as the program does.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use crate::client::clients::Clients;
use crate::client::connection::Arrival;
use crate::client::serving::{self, Serving};
use crate::exchange::caller::{Origin, Peer, port_text};
use crate::exchange::local::Local;
use crate::shard::local::Shard;
use crate::shard::reclaim;
use crate::shard::serve::{Accepted, Lent, Serve};
use crate::shard::server::{Server, StartError};
use crate::snapshot::{Bind, ProcessOptions, Published};
use crate::transport::stream::Stream;
use crate::upstream::Room;

/// Opens every listener of the published snapshot and starts the shards; returns once all accept.
///
/// # Errors
/// See [`Server::start`].
pub fn start(published: Arc<Published>, options: &ProcessOptions) -> Result<Server, StartError> {
    let snapshot = published.load_full();
    Server::start(&snapshot, options, move |lent| clients(Arc::clone(&published), lent))
}

/// The clients of one shard, with everything that they share.
pub fn clients(published: Arc<Published>, lent: Lent) -> Clients {
    let Lent { shard, log } = lent;
    let counters = Arc::clone(&shard.counters);
    let local = Local::new(shard.index, shard.time.clone(), log, counters);
    Clients::new(published, local, shard)
}

impl Serve for Clients {
    type Origin = Origin;
    type Connection = Serving;

    fn origin(listener: &Arc<str>, bound: &Bind) -> Origin {
        let port = match bound {
            Bind::Tcp(address) => Some(address.port()),
            Bind::Unix(_) => None,
        };
        Origin {
            listener_name: Arc::clone(listener),
            port: port.unwrap_or(0),
            port_text: port.map(port_text).unwrap_or_default(),
        }
    }

    fn begin(self: &Rc<Self>, accepted: Accepted<Origin>) -> Option<Serving> {
        Serving::begin(self, arrival(accepted))
    }

    fn refuse(self: &Rc<Self>, accepted: Accepted<Origin>) -> impl Future<Output = ()> + 'static {
        serving::refuse(self, arrival(accepted))
    }

    fn counts_peers(&self, origin: &Origin) -> bool {
        self.are_peers_of(&origin.listener_name)
    }

    fn tick(&self) {
        Clients::tick(self);
    }

    fn stop_idle(&self) {
        Clients::stop_idle(self);
    }

    fn close_kept(&self) -> bool {
        Clients::close_kept(self)
    }

    fn end(&self) {
        self.flush();
    }
}

fn arrival(accepted: Accepted<Origin>) -> Arrival {
    let Accepted { socket, peer, origin } = accepted;
    Arrival { client: Stream::plain(socket), origin, peer: Peer::new(peer) }
}

/// A shard closes idle connections to make room for those to targets, and the other way round.
impl Room for Shard {
    fn is_shortage(&self, error: &io::Error) -> bool {
        reclaim::is_shortage(error)
    }

    fn descriptor(&self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        // Boxed, because it is rare.
        Box::pin(Shard::descriptor(self))
    }
}
