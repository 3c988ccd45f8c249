//! Telling witnesses what signers know: versions of the charter and stop records. A witness has no links, and a coordinator is
//! not to decide what it hears, so every signer asks every witness what it has and brings what it lacks.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::ApiError;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::witness_client::WitnessClient;
use limen_wire::tls::{self, Dial, TlsError, TlsIdentity};
use tokio::time::MissedTickBehavior;
use tonic::transport::Channel;

use crate::charters::history;
use crate::shared::Shared;
use crate::stops::exchange;
use crate::store::StoreError;

/// How long a witness may lack what it could have heard.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls in one go; the rest comes with the next.
const CALLS: usize = 256;
/// After a refusal: what a witness does not take now it may take later.
const REST: Duration = Duration::from_secs(30);

/// Why a witness was not told everything.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("it did not answer: {}", .0.message())]
    Status(#[from] tonic::Status),
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins to tell every witness of the charter.
pub(crate) fn tell_all(shared: &Arc<Shared>, identity: &TlsIdentity) -> Result<(), TlsError> {
    for witness in &shared.charter().witnesses {
        let config = tls::pinned_client(identity, witness.id.as_str(), &witness.public_key)?;
        let channel = Dial::new(&witness.address, witness.id.as_str()).lazy(config)?;
        let client = WitnessClient::new(channel)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES);
        let (task, stop, name) = (Arc::clone(shared), shared.mesh_stop.clone(), witness.id.clone());
        shared.links.spawn(stop.run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(TELL_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Err(error) = tell(&task, client.clone()).await else { continue };
                tracing::debug!(witness = %name, %error, "a witness is told later");
                let refused = matches!(&error, NotTold::Status(status) if ApiError::from_status(status).is_some());
                if refused {
                    tokio::time::sleep(REST).await;
                }
            }
        }));
    }
    Ok(())
}

async fn hear(client: &mut WitnessClient<Channel>, request: pb::HearRequest) -> Result<pb::HearResponse, NotTold> {
    let call = tokio::time::timeout(PATIENCE, client.hear(request));
    Ok(call.await.map_err(|_| NotTold::Silent)??.into_inner())
}

/// Brings what the witness lacks.
async fn tell(shared: &Shared, mut client: WitnessClient<Channel>) -> Result<(), NotTold> {
    let mut request = pb::HearRequest::default();
    for _ in 0..CALLS {
        let brought = request.page.is_some();
        let (has, refused) = match hear(&mut client, request).await {
            // It may rest on what the witness lacks, and asks for.
            Err(NotTold::Status(status)) if brought => {
                (hear(&mut client, pb::HearRequest::default()).await?, Some(status))
            }
            has => (has?, None),
        };
        let texts = history::texts(&shared.store, &has.wanted)?;
        if let Some(status) = refused.filter(|_| texts.is_empty()) {
            return Err(status.into());
        }
        // What it lacks of old comes first: the page may rest on it.
        request = match texts.is_empty() {
            true => {
                let page = exchange::page(&shared.store, &has.read.unwrap_or_default())?;
                pb::HearRequest { page, texts }
            }
            false => pb::HearRequest { page: None, texts },
        };
        if request.page.is_none() && request.texts.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}
