//! What systemd is told: ready, stopping, alive. Without systemd all of it is nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Everything has started.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The main loop goes round.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear that we are alive: twice in the time that it allows.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
