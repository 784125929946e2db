//! A target that answers as it is told and costs next to nothing: what a balancer is measured with.
//!
//! Owns: its listeners and its answers. Never: state between requests, or a second thread for a
//! connection. Tested by the tables beside the code, and by `tests/respond.rs` over real sockets.
//!
//! ```text
//!   address ─▶ serve (ring, timers) ─▶ connection ─▶ talk ─▶ request, content ─▶ script ─▶ answer
//!                                  └──▶ streams, where a client begins with the preface of HTTP/2
//! ```
//!
//! Every answer has `X-Target`, the request's `X-Echo` as `X-Request-Echo`, and after a request with
//! content `X-Request-Received`, the count of its bytes. A request's query may say `size`, `delay`,
//! `chunked`, `status` and `fault` for itself.

pub mod address;
mod answer;
mod connection;
mod content;
mod delay;
mod mix;
mod request;
mod script;
mod serve;
mod streams;
mod talk;

use std::error::Error;
use std::sync::Arc;

use crate::service::{self, Cores, Readiness};
use address::Address;
use answer::Answers;
use delay::Delay;
use mix::{Faults, Statuses};
use script::Script;

/// Options of `loadtest respond`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "IP:PORT|unix:PATH")]
    address: Address,
    /// Value of X-Target
    #[arg(long, default_value = "a", value_parser = id)]
    id: String,
    /// Content of each answer, in bytes [?size=]
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    size: u64,
    /// How long each answer is held back: fixed:1ms, uniform:1ms-5ms or exponential:2ms [?delay=]
    #[arg(long, default_value = "fixed:0s")]
    delay: Delay,
    /// Statuses by weight, as in 200=98,500=2 [?status=, one of them]
    #[arg(long, default_value = "200")]
    status: Statuses,
    /// Shares of requests that are not answered but have the connection closed, reset, left without a
    /// word, or filled with garbage, as in close=0.1%,reset=0.1%,stall=1%,garbage=0.1% [?fault=]
    #[arg(long)]
    fault: Option<Faults>,
    /// Send content in chunks [?chunked=0 or 1]
    #[arg(long)]
    chunked: bool,
    #[command(flatten)]
    cores: Cores,
}

/// A text that can stand in a field.
fn id(text: &str) -> Result<String, &'static str> {
    let fits = |byte: u8| byte.is_ascii_graphic();
    let is_right = !text.is_empty() && text.bytes().all(fits);
    is_right.then(|| text.to_owned()).ok_or("an id is of visible ASCII characters")
}

/// Answers until SIGTERM or SIGINT.
///
/// # Errors
/// When the address cannot be had, or the kernel refuses the ring.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (listeners, address) = options
        .address
        .listen(options.cores.count())
        .map_err(|error| format!("cannot listen on {}: {error}", options.address))?;
    let answers = Answers::new(&options.id);
    let script = Arc::new(Script {
        size: options.size,
        delay: options.delay,
        statuses: options.status.clone(),
        faults: options.fault.clone().unwrap_or_default(),
        chunked: options.chunked,
    });
    let workers = listeners.into_iter().map(|listener| {
        let (answers, script) = (answers.clone(), Arc::clone(&script));
        move |readiness: &Readiness| serve::run(listener, script, answers, readiness)
    });
    let ended = service::run(&address.to_string(), &options.cores, workers.collect());
    address.remove();
    ended
}
