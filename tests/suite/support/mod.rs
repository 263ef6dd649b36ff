//! What several tests need.

pub mod accidents;
pub mod daemon;
pub mod engine_fill;
pub mod engines;
pub mod fake_engine;
pub mod fake_forge;
pub mod foreseen;
pub mod git_servers;
pub mod git_world;
pub mod golden;
pub mod proxy;
pub mod real_stack;
pub mod schema;
pub mod story;
pub mod world;

pub use fake_engine::clock;

/// Longer than anything that a test waits for may take on a busy machine. A test that waits this long has failed.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Between two looks at something that is not so yet.
pub async fn a_moment() {
    tokio::time::sleep(LOOK).await;
}

/// Waits until something is so; fails, and says what, when that never comes.
pub async fn until(what: &str, so: impl FnMut() -> bool) {
    assert!(comes(so, PATIENCE).await, "not within {PATIENCE:?}: {what}");
}

/// Whether something becomes so within a limit.
pub async fn comes(mut so: impl FnMut() -> bool, limit: std::time::Duration) -> bool {
    let begun = tokio::time::Instant::now();
    while !so() {
        if limit < begun.elapsed() {
            return false;
        }
        a_moment().await;
    }
    true
}

/// Watches that something stays so for a while: what must not happen has that long to happen. Where another event can
/// only come after it, wait for that event instead.
pub async fn stays(what: &str, while_: std::time::Duration, mut so: impl FnMut() -> bool) {
    let broken = comes(|| !so(), while_).await;
    assert!(!broken, "it did not stay so: {what}");
}

/// The same where no runtime is.
pub fn until_blocking(what: &str, so: impl FnMut() -> bool) {
    assert!(comes_blocking(so), "not within {PATIENCE:?}: {what}");
}

/// Whether something becomes so, where no runtime is.
pub fn comes_blocking(mut so: impl FnMut() -> bool) -> bool {
    let begun = std::time::Instant::now();
    while !so() {
        if PATIENCE < begun.elapsed() {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// Time passes on a paused clock, as long as nothing else happens.
pub async fn time_passes(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}

/// Ends a process at a moment that was drawn: there is nothing to wait for.
pub fn kill_after(mut child: std::process::Child, moment: std::time::Duration) {
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
}
