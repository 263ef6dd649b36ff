//! Values that are not what they seem: not there, or standing for another one. And for whom that matters.

pub mod sealed;
pub(super) mod unset;

use crate::model::UnsetPolicy;

/// What a model is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadPurpose {
    /// To be shown: as with `docker compose config`, variables without a value stand for nothing, with a warning.
    #[default]
    Show,
    /// To be run: values that are not there, or that no container can read, are errors.
    Run {
        /// What becomes of variables without a value and without a default.
        unset: UnsetPolicy,
    },
}
