//! The messages to systemd, or to whatever set NOTIFY_SOCKET: sd_notify(3).
//!
//! Without NOTIFY_SOCKET nothing happens. A message that cannot be sent is only a warning: the service manager reports
//! what it misses. Tested by the black-box suite with a socket of its own.
use std::time::Duration;

use sd_notify::NotifyState;

/// Every listener accepts; also ends a [`reloading`]. `text` appears in `systemctl status`.
pub fn ready(text: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(text))]);
}

/// A reload begins; [`ready`] ends it, however it went.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // From version 253 on, systemd tells reloads apart by this time.
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of a reload"),
    }
}

/// No more connections are accepted.
pub fn stopping(text: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(text))]);
}

/// The process is alive.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] must be called, if the service manager watches: twice in its timeout.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

/// Calls [`watchdog`] as often as the service manager wants, for as long as it is polled; waits forever where it does
/// not watch. Belongs on the control thread, because that thread is the one that may get stuck.
pub async fn watch() {
    let Some(interval) = watchdog_interval() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        watchdog();
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Replaces line feeds, which would begin another message.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use crate::service::notify::*;

    #[test]
    fn a_status_cannot_hold_another_message() {
        assert_eq!(one_line("web\nREADY=1\r\0"), "web READY=1  ");
    }
}
