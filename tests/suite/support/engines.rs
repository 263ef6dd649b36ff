//! The real Engines that the environment offers, see `tests/README.md`.

use std::path::PathBuf;

use moorline::docker::{Endpoint, Engine, EngineSettings};

/// Sockets of the real Engines; empty, and said so, when there are none.
pub fn sockets() -> Vec<PathBuf> {
    let allowed = std::env::var("MOORLINE_REAL_ENGINE").is_ok_and(|value| value == "1");
    let sockets: Vec<PathBuf> = std::env::var("MOORLINE_ENGINE_SOCKETS")
        .unwrap_or_default()
        .split(',')
        .filter(|path| allowed && !path.is_empty())
        .map(PathBuf::from)
        .collect();
    if sockets.is_empty() {
        println!("skipped: no real Engine (MOORLINE_REAL_ENGINE, MOORLINE_ENGINE_SOCKETS)");
    }
    sockets
}

/// A connection to the first real Engine.
pub async fn first() -> Option<Engine> {
    let socket = sockets().into_iter().next()?;
    let endpoint = Endpoint::Unix(socket);
    Some(Engine::connect(&endpoint, &EngineSettings::default()).await.unwrap())
}
