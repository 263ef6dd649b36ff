//! Calls of bollard, under our limits and in our errors.

use std::io::ErrorKind;
use std::time::Duration;

use bollard::errors::Error;

use super::super::{Engine, EngineError};

impl Engine {
    /// One call, from the first byte sent to the last byte read.
    pub(super) async fn verb(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| self.verb_failed(what, error)),
            Err(_) => Err(EngineError::TimedOut { what: what.to_owned(), limit }),
        }
    }

    pub(in crate::docker) fn verb_failed(&self, what: &str, error: Error) -> EngineError {
        let what = what.to_owned();
        match error {
            Error::DockerResponseServerError { status_code, message } => EngineError::Refused {
                what,
                status: status_code,
                message: message.trim().to_owned(),
            },
            Error::HyperLegacyError { err } => self.wire().failed(&what, err),
            error @ (Error::JsonDataError { .. } | Error::JsonSerdeError { .. }) => {
                EngineError::Garbled { what, source: error.into() }
            }
            Error::IOError { err } if err.kind() == ErrorKind::InvalidData => {
                EngineError::Garbled { what, source: err.into() }
            }
            error => EngineError::Broken { what, source: error.into() },
        }
    }
}
