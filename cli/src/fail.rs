//! Errors as people and programs see them, and the exit codes.

use std::process::ExitCode;

use limen_client::evm::TransferError;
use limen_client::{ConfigError, Error};
use limen_terminal::TokenError;

use crate::commands::charter::BadCharter;
use crate::commands::parse::Usage;
use crate::commands::policy::BadTests;
use crate::commands::verify::{BadTrust, NotVerified};
use crate::output::Output;

/// Prints the error once, with code and remedy where there are any.
pub(crate) fn report(output: Output, error: &anyhow::Error) -> ExitCode {
    let message = message(error);
    if let Some(cause) = cluster_error(error) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::from(exit_code(cause));
    }
    if error.chain().any(|cause| cause.is::<ConfigError>()) {
        let remedy = "Correct the file, or name another by --config or LIMEN_CONFIG.";
        output.error("bad_configuration", &message, remedy);
        return ExitCode::from(2);
    }
    if let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<NotVerified>()) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::from(5);
    }
    if error.chain().any(|cause| cause.is::<BadTrust>()) {
        let remedy = "Correct the file given by --trust; docs/evidence.md shows its form.";
        output.error("bad_configuration", &message, remedy);
        return ExitCode::from(2);
    }
    if let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<BadCharter>()) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::FAILURE;
    }
    if let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<TokenError>()) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::FAILURE;
    }
    if let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<BadTests>()) {
        output.error(cause.code(), &message, cause.remedy());
        return ExitCode::from(cause.exit_code());
    }
    if error.chain().any(|cause| cause.is::<Usage>()) {
        output.error("bad_usage", &message, "`--help` after the command shows how to write it.");
        return ExitCode::from(2);
    }
    output.error("failed", &message, "");
    ExitCode::FAILURE
}

/// What went wrong and why, each cause once: many errors name their cause themselves.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        before if before.contains(&cause) => said,
        before => format!("{before}: {cause}"),
    })
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
        Error::Intent(_) | Error::NoAddress { .. } => 2,
        Error::Random(_) => 1,
    }
}
