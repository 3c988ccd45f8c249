//! `limen receipt`: fetches the evidence of a signature. What it proves, `limen verify receipt` says.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Session;
use crate::args::FetchArgs;

pub(crate) async fn run(session: &Session, args: &FetchArgs) -> Result<()> {
    let receipt = session.client.receipt(args.id).await?;
    let file = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.receipt", args.id)));
    let failed = || format!("could not write {}", file.display());
    // Never over another one: the file may be the only copy.
    let written =
        File::create_new(&file).and_then(|mut out| out.write_all(&receipt.bytes).and_then(|()| out.sync_all()));
    written.with_context(failed)?;
    let json = json!({
        "intent_id": args.id.to_string(),
        "file": file.display().to_string(),
        "bytes": receipt.bytes.len(),
        "final": receipt.is_final,
        "cosignatures": receipt.cosignatures,
        "quorum": receipt.quorum,
    });
    session.output.result(&json, || {
        let cosigned = format!("{} of the {} cosignatures needed", receipt.cosignatures, receipt.quorum);
        let state = if receipt.is_final { "final" } else { "NOT FINAL YET, ask again later" };
        format!("{}: {state}, {cosigned}; not verified: `limen verify receipt`", file.display())
    })
}
