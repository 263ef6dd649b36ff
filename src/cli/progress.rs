//! What is happening, step by step: moving lines on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::docker::Progress;
use crate::model::{Outcome, Step, StepId, StepOutcome};
use crate::oneshot::Listeners;
use crate::reconcile::apply::{Event, Listener};
use crate::report::Target;

use super::output;

/// Listeners that show steps on standard error.
pub(super) fn listeners() -> Listeners {
    if output::colour() {
        let screen = MultiProgress::new();
        Arc::new(move |target| moving(&screen, target))
    } else {
        Arc::new(plain)
    }
}

/// Listeners that show nothing.
pub(super) fn silent() -> Listeners {
    Arc::new(|_| Arc::new(|_| {}))
}

fn plain(target: &Target) -> Listener {
    let target = target.clone();
    Arc::new(move |event| {
        if let Event::Ended(step, outcome) = event {
            output::note(&line(&target, step, outcome));
        }
    })
}

/// One line on how a step ended.
fn line(target: &Target, step: &Step, outcome: &StepOutcome) -> String {
    let seconds = Duration::from_millis(outcome.millis).as_secs_f32();
    match &outcome.outcome {
        Outcome::Done => format!("{target}  {} ({seconds:.1} s): {}", step.action, step.because),
        other => format!("{target}  {} {other}", step.action),
    }
}

fn moving(screen: &MultiProgress, target: &Target) -> Listener {
    let (screen, target) = (screen.clone(), target.clone());
    let bars: Mutex<BTreeMap<StepId, ProgressBar>> = Mutex::new(BTreeMap::new());
    Arc::new(move |event| {
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begun(step) => {
                let bar = screen.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(style);
                }
                bar.set_message(format!("{target}  {}", step.action));
                bar.enable_steady_tick(Duration::from_millis(120));
                bars.insert(step.id, bar);
            }
            Event::Progress(step, progress) => {
                if let Some(bar) = bars.get(&step.id) {
                    bar.set_message(format!("{target}  {}: {}", step.action, said(progress)));
                }
            }
            Event::Ended(step, outcome) => {
                if let Some(bar) = bars.remove(&step.id) {
                    bar.finish_and_clear();
                }
                let line = line(&target, step, outcome);
                screen.suspend(|| output::note(&line));
            }
        }
    })
}

fn said(progress: &Progress) -> String {
    match progress.total {
        Some(total) if total > 0 => {
            format!("{} {}/{} MB", progress.text, progress.done >> 20, total >> 20)
        }
        _ => progress.text.clone(),
    }
}
