//! One line for each request: what was asked, who answered, how long it took, and who ended it.

mod fields;
mod formats;
mod live;
mod rotation;
mod termination;
mod times;

use crate::support::{Limpet, Target, config};

fn serving() -> (Limpet, Target) {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    (limpet, target)
}
