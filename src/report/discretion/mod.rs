//! What may be said to whom: secrets are taken out, and what nobody would see is shown as what it is.

pub mod mask;
pub mod replaced;
pub mod secrets;
pub mod visible;
