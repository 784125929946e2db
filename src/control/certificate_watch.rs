//! Looks after the certificates of TLS listeners, of the admin API and of targets while they serve: reads them anew when
//! their files have changed, and speaks up before they end.
//!
//! A certificate that is bad keeps its own old one in use, and holds up no other. Never touches a connection. Tested
//! with `certificates`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::certificates::watch::{Endings, Seen};
use super::certificates::{Fault, now_s};
use super::config::file::File;
use super::events::EventKind;
use super::runtime::{Control, Renewal};
use super::write_back::Stamp;
use crate::uring::Courtesy;

/// How often the files are examined.
const EVERY: Duration = Duration::from_secs(2);

/// Looks for as long as the process lives.
pub async fn run(control: &Arc<Control>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        if !has_tls(&control.file()) {
            watch = Watch::default();
            continue;
        }
        let (control, mut looking) = (Arc::clone(control), std::mem::take(&mut watch));
        // A file system may not answer.
        let looked = tokio::task::spawn_blocking(move || {
            let _courtesy = Courtesy::begin();
            looking.look(&control);
            looking
        });
        watch = looked.await.unwrap_or_default();
    }
}

/// Whether there is anything to look after.
fn has_tls(file: &File) -> bool {
    file.admin.tls.is_some()
        || file.listeners.iter().any(|listener| listener.tls.is_some())
        || file.target_groups.iter().any(|group| group.tls().is_some())
}

/// What was seen at earlier looks.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Seen,
    /// What the last reading found; `None` before the first, so that nothing between start and first look is missed.
    read: Option<Seen>,
    endings: Endings,
    /// What the last reading has found bad, with the state of the file, so that it is told once.
    told: Vec<(Fault, Option<Stamp>)>,
}

impl Watch {
    /// Reads certificates anew whose files have changed since the last reading, and not since the last look: whoever
    /// writes a chain and its key gets the time to write both. Also once those are valid that came too early.
    pub fn look(&mut self, control: &Control) {
        let seen = Seen::of(&control.file());
        let is_quiet = seen == self.seen;
        self.seen = seen;
        let is_other = self.read.as_ref() != Some(&self.seen);
        if is_quiet && (is_other || control.certificates().are_due(now_s())) {
            self.read = Some(Seen::of(&control.file()));
            self.renew(control);
        }
        for (tone, text) in self.endings.due(&control.certificates(), now_s()) {
            control.events().push(EventKind::Warning.toned(tone), None, None, text);
        }
    }

    fn renew(&mut self, control: &Control) {
        let Renewal { renewed, kept } = match control.renew_certificates() {
            Ok(renewal) => renewal,
            Err(error) => {
                let text = format!("the certificates stay as they are: {error}");
                control.events().push(EventKind::Warning, None, None, text);
                return;
            }
        };
        for text in renewed {
            control.events().push(EventKind::Reload, None, None, text);
        }
        let stamped = |fault: Fault| {
            let stamp = Stamp::of(&fault.path).ok();
            (fault, stamp)
        };
        let kept: Vec<_> = kept.into_iter().map(stamped).collect();
        for (fault, _) in kept.iter().filter(|one| !self.told.contains(one)) {
            control.events().push(EventKind::Warning, None, None, fault.text.clone());
        }
        self.told = kept;
    }
}
