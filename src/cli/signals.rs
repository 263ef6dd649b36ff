//! The first signal asks for an end, the second demands it.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two tokens: the first signal (INT or TERM) ends the first, the second ends the second. Runs until both have ended.
pub(super) async fn listen(stop: CancellationToken, abort: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        super::output::note("cannot listen for signals");
        return std::future::pending::<()>().await;
    };
    for token in [stop, abort] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    }
    std::future::pending::<()>().await;
}
