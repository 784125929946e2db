//! Health: who is checked and how, who therefore takes requests, and who is taken out because of what
//! live requests met.

mod checks;
mod draining;
mod ejection;
mod slow_start;
mod standing;
mod unchecked;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::config::Section;
use crate::support::target::echo_response;
use crate::support::{Limpet, Response, Target, group};

/// An echo target whose checks at `/up` pass while its switch is on; everything else it always serves.
fn switched(id: &str, is_up: &Arc<AtomicBool>) -> Target {
    let (id, is_up) = (id.to_owned(), Arc::clone(is_up));
    Target::answering(move |request| {
        if request.target == "/up" && !is_up.load(Ordering::SeqCst) {
            return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        echo_response(&id, request, "")
    })
}

fn switch(is_up: bool) -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(is_up))
}

/// The group `app`, checked at `/up` twice a second, each result deciding.
fn checked() -> Section {
    group("app")
        .set("health_check.type", "http")
        .set("health_check.path", "/up")
        .set("health_check.interval", "500ms")
        .set("health_check.timeout", "500ms")
        .set("health_check.rise", 1)
        .set("health_check.fall", 1)
}

/// Who serves the next requests, each on a connection of its own, in order of their names.
fn serving(limpet: &Limpet) -> Vec<String> {
    let mut names: Vec<String> = (0..12).map(|_| server(&limpet.get("/who"))).collect();
    names.sort();
    names.dedup();
    names
}

/// Who served a request; "" when it was limpet itself.
fn server(response: &Response) -> String {
    response.fields.all("x-target").concat()
}
