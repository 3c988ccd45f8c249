//! Where a case comes from: files, or the coordinator. Nothing of it is believed here.

use anyhow::{Context as _, Result, bail};
use limen_client::{Client, Error};
use limen_wire::approval::SignedApproval;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{FreezeEpoch, IntentId};
use limen_wire::pb;

use super::case;
use crate::args::CaseArgs;

/// What a case is made from; each paper with the words by which people know it.
pub(super) struct Papers {
    /// The requester's signed intent.
    pub(super) intent: (String, pb::Envelope),
    /// The certificate of the key.
    pub(super) certificate: (String, pb::Envelope),
    /// The live freezes, as enough signers name them; `None` while too few have answered.
    pub(super) freeze_epoch: Option<FreezeEpoch>,
    /// What others are said to have said, oldest first.
    pub(super) said: Vec<SignedApproval>,
}

impl Papers {
    /// From the files that the command names.
    pub(super) fn of_files(args: &CaseArgs) -> Result<Self> {
        let (Some(intent), Some(certificate)) = (&args.intent, &args.certificate) else {
            bail!("name a request, or the files with intent and certificate");
        };
        let paper =
            |path: &std::path::Path| Ok::<_, anyhow::Error>((path.display().to_string(), case::envelope(path)?));
        let (intent, certificate) = (paper(intent)?, paper(certificate)?);
        Ok(Self { intent, certificate, freeze_epoch: Some(FreezeEpoch::of([])), said: Vec::new() })
    }

    /// From the coordinator.
    pub(super) async fn of_request(client: &Client, id: IntentId) -> Result<Self> {
        let request = client.get(id).await?;
        let key_id = &request.intent.key_id;
        let info = client.list_keys(Some(key_id)).await?.into_iter().find(|info| info.key_id == *key_id);
        let unknown = || Error::from(ApiError::new(Code::UnknownKey, format!("there is no key {key_id}")));
        let info = info.ok_or_else(unknown)?;
        // What the signers attest tells how many of them make enough.
        let required = usize::from(client.admit(&info)?.size.signers_required());
        let missing = || format!("key {key_id} has no certificate");
        let certificate = info.certificate.with_context(missing)?;
        let freeze_epoch = request.freeze_epoch(required);
        let place = "the coordinator's answer".to_owned();
        let said = request.approvals.clone();
        Ok(Self { intent: (place.clone(), request.envelope), certificate: (place, certificate), freeze_epoch, said })
    }
}
