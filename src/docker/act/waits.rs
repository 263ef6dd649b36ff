//! Waiting for containers: by inspection, woken early by events where somebody reads them.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::super::connect::{Ask, segment};
use super::super::look::Inspection;
use super::super::{Engine, EngineError};
use super::{CallOptions, Progress};
use crate::model::{ContainerHandle, ContainerState, HealthCheckState};

/// The first look comes this soon; each further one after twice the time, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// An Engine that brings a container back this often during one wait will not get it up.
const MOST_RESTARTS: u32 = 3;
/// A wait call is asked anew after this: on a wedged Engine it would not return although the container ended.
const WAIT_SLICE: Duration = Duration::from_secs(20);

/// What a container did when it was last looked at, as far as it tells progress.
#[derive(PartialEq, Eq, Clone)]
struct Sighting {
    state: ContainerState,
    health: HealthCheckState,
    started_at: String,
    restarts: u32,
}

impl Sighting {
    fn of(seen: &Inspection) -> Self {
        Self {
            state: seen.state.what(),
            health: seen.state.health(),
            started_at: seen.state.started_at().to_owned(),
            restarts: seen.restart_count(),
        }
    }
}

/// How a wait stands.
enum Verdict {
    Done,
    NotYet,
}

impl Engine {
    /// Waits until a container runs and is healthy, or, without a health check, has run for `monitor` without a break.
    pub(super) async fn await_healthy(
        &self,
        container: &ContainerHandle,
        monitor: Duration,
        limit: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let waited = self.is_up(container, monitor, limit, terms).await;
        self.with_last_words(container, waited).await
    }

    async fn is_up(
        &self,
        container: &ContainerHandle,
        monitor: Duration,
        limit: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let mut woken = self.touched();
        let mut pause = SHORTEST_PAUSE;
        let mut last: Option<Sighting> = None;
        let mut first_restarts = None;
        let (mut up_since, mut progress_at) = (Instant::now(), Instant::now());
        loop {
            let seen = self.inspection(container.address()).await?;
            let now = Sighting::of(&seen);
            if last.as_ref() != Some(&now) {
                (up_since, progress_at, pause) = (Instant::now(), Instant::now(), SHORTEST_PAUSE);
                tell(terms, container, &now);
            }
            let restarts = now.restarts.saturating_sub(*first_restarts.get_or_insert(now.restarts));
            if let Verdict::Done = judge(container, &seen, restarts, up_since.elapsed() >= monitor)?
            {
                return Ok(());
            }
            if progress_at.elapsed() >= limit {
                return Err(no_progress(container, &seen, limit));
            }
            let unwatched =
                now.state == ContainerState::Running && now.health == HealthCheckState::None;
            let rest = if unwatched { monitor.saturating_sub(up_since.elapsed()) } else { pause };
            last = Some(now);
            self.rest(container, &mut woken, rest.min(LONGEST_PAUSE), terms).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until a container ended with code 0.
    pub(super) async fn await_completion(
        &self,
        container: &ContainerHandle,
        limit: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let waited = self.has_ended(container, limit, terms).await;
        self.with_last_words(container, waited).await
    }

    /// What a process said last tells more than the code that it ended with.
    async fn with_last_words(
        &self,
        container: &ContainerHandle,
        waited: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut waited = waited;
        if let Err(EngineError::Ended { tail, .. } | EngineError::CrashLoop { tail, .. }) =
            &mut waited
        {
            *tail = self.last_words(container.address()).await;
        }
        waited
    }

    async fn has_ended(
        &self,
        container: &ContainerHandle,
        limit: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let began = Instant::now();
        let mut woken = self.touched();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let seen = self.inspection(container.address()).await?;
            match seen.state.what() {
                ContainerState::Exited(0) => return Ok(()),
                ContainerState::Exited(_) | ContainerState::Dead => {
                    return Err(ended(container, &seen));
                }
                _ if began.elapsed() >= limit => return Err(no_progress(container, &seen, limit)),
                ContainerState::Running => {
                    let left = limit.saturating_sub(began.elapsed());
                    self.wait_call(container, left.min(WAIT_SLICE), terms).await?;
                }
                _ => {
                    self.rest(container, &mut woken, pause, terms).await?;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Returns when the container ends, or the slice does. What it tells is not looked at: an inspection follows.
    async fn wait_call(
        &self,
        container: &ContainerHandle,
        slice: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        let path = format!("/containers/{}/wait", segment(container.address()));
        let ask = Ask::post(path, format!("wait for {}", container.name()));
        tokio::select! {
            () = terms.stop.cancelled() => Err(EngineError::Cancelled),
            answer = self.wire().write(ask, slice) => match answer {
                Ok(_) | Err(EngineError::TimedOut { .. }) => Ok(()),
                Err(EngineError::Broken { .. }) => {
                    tokio::time::sleep(SHORTEST_PAUSE).await;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Sleeps, unless an event of the container or the stop comes first.
    async fn rest(
        &self,
        container: &ContainerHandle,
        woken: &mut broadcast::Receiver<String>,
        pause: Duration,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        tokio::select! {
            () = terms.stop.cancelled() => Err(EngineError::Cancelled),
            () = tokio::time::sleep(pause) => Ok(()),
            () = touch_of(container, woken) => Ok(()),
        }
    }
}

/// Returns when an event names the container; never when there are no events.
async fn touch_of(container: &ContainerHandle, woken: &mut broadcast::Receiver<String>) {
    loop {
        match woken.recv().await {
            Ok(touched) if touched == container.address() || touched == container.name() => return,
            Ok(_) => {}
            // Too many at once: one of them may have been ours.
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn judge(
    container: &ContainerHandle,
    seen: &Inspection,
    restarts: u32,
    long_enough: bool,
) -> Result<Verdict, EngineError> {
    let name = || container.name().to_owned();
    if restarts >= MOST_RESTARTS {
        return Err(EngineError::CrashLoop { container: name(), restarts, tail: Vec::new() });
    }
    match (seen.state.what(), seen.state.health()) {
        (ContainerState::Exited(_) | ContainerState::Dead, _) => Err(ended(container, seen)),
        (ContainerState::Running, HealthCheckState::Unhealthy) => {
            Err(EngineError::Unhealthy { container: name(), output: seen.state.last_check() })
        }
        (ContainerState::Running, HealthCheckState::Healthy) => Ok(Verdict::Done),
        (ContainerState::Running, HealthCheckState::None) if long_enough => Ok(Verdict::Done),
        _ => Ok(Verdict::NotYet),
    }
}

fn tell(terms: &CallOptions<'_>, container: &ContainerHandle, now: &Sighting) {
    let health = match now.health {
        HealthCheckState::None => String::new(),
        HealthCheckState::Starting => ", health: starting".to_owned(),
        HealthCheckState::Healthy => ", healthy".to_owned(),
        HealthCheckState::Unhealthy => ", unhealthy".to_owned(),
    };
    let state = format!("{:?}", now.state).to_lowercase();
    let text = format!("waiting for {}: {state}{health}", container.name());
    (terms.tell)(Progress { text, ..Progress::default() });
}

fn ended(container: &ContainerHandle, seen: &Inspection) -> EngineError {
    EngineError::Ended {
        container: container.name().to_owned(),
        code: seen.state.exit_code(),
        error: seen.state.error().to_owned(),
        tail: Vec::new(),
    }
}

fn no_progress(container: &ContainerHandle, seen: &Inspection, limit: Duration) -> EngineError {
    let state = match seen.state.health() {
        HealthCheckState::Starting => "starting".to_owned(),
        _ => seen.state.status().to_owned(),
    };
    EngineError::NoProgress { container: container.name().to_owned(), state, limit }
}
