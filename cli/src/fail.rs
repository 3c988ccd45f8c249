//! Errors as people and programs see them, and the exit codes.

use std::process::ExitCode;

use limen_client::evm::TransferError;
use limen_client::{ConfigError, Error};

use crate::output::Output;

/// Prints the error once, with code and remedy where there are any.
pub(crate) fn report(output: Output, error: &anyhow::Error) -> ExitCode {
    let message = format!("{error:#}");
    if let Some(cause) = cluster_error(error) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::from(exit_code(cause));
    }
    if error.chain().any(|cause| cause.is::<ConfigError>()) {
        output.error("bad_configuration", &message, "Name another file by --config or LIMEN_CONFIG.");
        return ExitCode::from(2);
    }
    output.error("failed", &message, "");
    ExitCode::FAILURE
}

fn cluster_error(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| {
        cause.downcast_ref::<Error>().or_else(|| match cause.downcast_ref::<TransferError>() {
            Some(TransferError::Cluster(error)) => Some(error),
            _ => None,
        })
    })
}

const fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Api(_) => 3,
        Error::Unreachable { .. } => 4,
        Error::Untrue(_) => 5,
        Error::NotEnded { .. } => 6,
        Error::Intent(_) => 2,
        Error::Random(_) => 1,
    }
}
