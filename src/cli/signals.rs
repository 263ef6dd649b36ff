//! Work that goes on until it is done or a signal comes: the first asks for an end, the second demands it.

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

/// Runs something to its end or until a signal.
pub(super) fn with_runtime<T, F: Future<Output = anyhow::Result<T>>>(
    work: impl FnOnce(CancellationToken) -> F,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let result = runtime.block_on(async {
        let listening = listen(stop.clone(), abort.clone());
        tokio::select! {
            result = work(stop.clone()) => result,
            () = abort.cancelled() => Err(anyhow::anyhow!("stopped")),
            () = listening => Err(anyhow::anyhow!("stopped")),
        }
    });
    runtime.shutdown_background();
    result
}
