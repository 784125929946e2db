//! Everything that may take long has a deadline of its own, and says which one passed.

mod client;
mod gone;
mod interim;
mod target;

use crate::support::{Limpet, Target, config, group, listener};

/// One target behind a listener and a group with further settings.
fn with(
    target: &Target,
    listener_settings: &[(&str, &str)],
    group_settings: &[(&str, &str)],
) -> Limpet {
    let web = listener_settings.iter().fold(listener("web"), |web, (k, v)| web.set(k, *v));
    let app = group_settings.iter().fold(group("app"), |app, (k, v)| app.set(k, *v));
    config().listener(web).group(app.target("a", target)).start()
}
