//! Secrets that no line of the log, the journal or a command's output may hold: everything that is known to be one, of all repositories.
//!
//! Messages of Engines and servers quote what they were sent, and are logged as they come. Whoever learns of a secret
//! says so here; whoever writes the log asks here, line by line.

use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use crate::model::{Desired, Observed};
use crate::report::mask::{SecretSet, mask, mask_coloured, without};
use crate::report::{replaced, secrets};

static KNOWN: RwLock<SecretSet> = RwLock::new(SecretSet::none());

/// Hides these from now on, besides those that are known already.
pub fn hide(secrets: &SecretSet) {
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).extend(secrets);
}

/// Hides what runs on a host, besides what is asked of it: what was changed in Git or beside it still serves there.
pub fn hide_what_runs(desired: &Desired, observed: &Observed) {
    hide(&secrets::of_observed(observed));
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone();
    hide(&replaced::of_replaced(desired, observed, &known));
}

/// A text without secrets.
pub fn hushed(text: &str) -> String {
    mask(text, &KNOWN.read().unwrap_or_else(PoisonError::into_inner))
}

/// The same for a terminal, where our own colours stay.
pub fn hushed_coloured(text: &str) -> String {
    mask_coloured(text, &KNOWN.read().unwrap_or_else(PoisonError::into_inner))
}

/// Data whose texts hold no secret; otherwise the same.
pub fn hushed_value(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
            Value::String(without(&text, &known))
        }
        Value::Array(items) => items.into_iter().map(hushed_value).collect(),
        Value::Object(fields) => {
            let quiet = |(name, value): (String, Value)| (name, hushed_value(value));
            Value::Object(fields.into_iter().map(quiet).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
