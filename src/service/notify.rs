//! What systemd, or whoever set NOTIFY_SOCKET, is told: sd_notify(3).
//!
//! Without NOTIFY_SOCKET nothing happens. A message that cannot be sent is a warning and no more: the
//! service manager will say what it misses. Tested by the black-box suite with a socket of its own.
use std::time::Duration;

use sd_notify::NotifyState;

/// Every listener accepts; also ends what [`reloading`] began. `text` is what `systemctl status` shows.
pub fn ready(text: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(text))]);
}

/// A reload begins; [`ready`] ends it, however it went.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // systemd from 253 on tells this reload from an earlier one by the time.
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

/// How often [`watchdog`] is to be called, when the service manager watches: half of what it waits.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

/// Calls [`watchdog`] as often as the service manager wants, for as long as it is polled; waits forever
/// where nobody watches. Belongs on the control thread, whose being stuck is what is watched for.
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

/// A line feed would begin another message.
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
