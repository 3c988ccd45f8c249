//! The gRPC door: who calls is what TLS proves; everything else goes to its module.

mod listing;
mod peer;

use std::sync::Arc;

use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::envelope::PayloadType;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::FreezeEpoch;
use limen_wire::intent::Cancellation;
use limen_wire::pb;
use limen_wire::pb::sign_response::Outcome;
use limen_wire::pb::signer_server::Signer;
use limen_wire::tls;
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::approvals::Shown;
use crate::guard::{Examined, Progress};
use crate::shared::{CallerKind, Shared, parse_caller};
use crate::{admission, approvals, keygen, presigning, signing};

pub use peer::PeerService;

/// The service for coordinators.
#[derive(Debug, Clone)]
pub struct SignerService {
    shared: Arc<Shared>,
}

impl SignerService {
    /// Serves this signer.
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn coordinator<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let name = tls::caller(request, &self.shared.pins);
        match name.as_deref().and_then(parse_caller) {
            Some((CallerKind::Coordinator, _)) => Ok(()),
            _ => Err(self.status(ApiError::new(Code::NotEnrolled, "only a coordinator of the charter may call this"))),
        }
    }

    fn status(&self, error: ApiError) -> Status {
        self.shared.refuse(error).into()
    }

    fn examine(&self, envelope: &pb::Envelope) -> Result<Examined, Status> {
        signing::examine(&self.shared, envelope).map_err(|error| self.status(error))
    }
}

fn announced(examined: &Examined, first_seen_ms: u64, progress: Progress) -> Response<pb::AnnounceResponse> {
    Response::new(pb::AnnounceResponse {
        intent_id: examined.intent().id.as_bytes().to_vec().into(),
        decision: Some(examined.decision().to_wire()),
        first_seen_ms,
        requirements: progress.statuses,
        freeze_epoch: FreezeEpoch::NONE.as_bytes().to_vec().into(),
    })
}

#[tonic::async_trait]
impl Signer for SignerService {
    async fn announce(&self, request: Request<pb::AnnounceRequest>) -> Result<Response<pb::AnnounceResponse>, Status> {
        self.coordinator(&request)?;
        self.shared.check_running().map_err(|error| self.status(error))?;
        let request = request.into_inner();
        let envelope = request.intent.unwrap_or_default();
        let examined = self.examine(&envelope)?;
        let shown = signing::show(&self.shared, &examined, &request.approvals).map_err(|error| self.status(error))?;
        let (charter, now) = (Arc::clone(&self.shared.charter), self.shared.time());
        let noting = self.shared.store.write(move |txn| {
            let first_seen_ms = match admission::note(txn, &charter, &examined, &envelope, now)? {
                Ok(first_seen_ms) => first_seen_ms,
                Err(error) => return Ok(Err(error)),
            };
            let progress = approvals::settle(txn, &charter, &examined, shown, now)?;
            Ok(Ok((examined, first_seen_ms, progress)))
        });
        let noted = noting.await.map_err(|error| self.status(Shared::store_error(&error)))?;
        let (examined, first_seen_ms, progress) = noted.map_err(|error| self.status(error))?;
        tell(&self.shared, &progress.news);
        if progress.rejected.is_some() {
            progress.check().map_err(|error| self.status(error))?;
        }
        Ok(announced(&examined, first_seen_ms, progress))
    }

    async fn simulate(&self, request: Request<pb::AnnounceRequest>) -> Result<Response<pb::AnnounceResponse>, Status> {
        self.coordinator(&request)?;
        let request = request.into_inner();
        let examined = self.examine(&request.intent.unwrap_or_default())?;
        let shown = Shown::read(&self.shared.charter, &examined, None, &request.approvals, self.shared.time());
        Ok(announced(&examined, 0, shown.progress(&self.shared.charter, &examined, self.shared.time())))
    }

    async fn sign(&self, request: Request<pb::SignRequest>) -> Result<Response<pb::SignResponse>, Status> {
        self.coordinator(&request)?;
        let request = request.into_inner();
        let key = signing::key_of(&request);
        let result = signing::sign(Arc::clone(&self.shared), request).await;
        let (outcome, suspects) = match result {
            Ok(signature) => (Outcome::Signature(signature), Vec::new()),
            Err(refusal) => (Outcome::Refusal(self.shared.refuse(refusal.error).to_wire()), refusal.suspects),
        };
        let suspects = suspects.into_iter().map(|party| party.as_u16().into()).collect();
        Ok(Response::new(pb::SignResponse {
            outcome: Some(outcome),
            suspects,
            nonce_pool: key.and_then(|key| self.shared.nonces.pool(&key)),
        }))
    }

    async fn generate_key(
        &self,
        request: Request<pb::GenerateKeyRequest>,
    ) -> Result<Response<pb::GenerateKeyResponse>, Status> {
        self.coordinator(&request)?;
        let answer = match keygen::generate(Arc::clone(&self.shared), request.into_inner()).await {
            Ok(statement) => pb::GenerateKeyResponse { statement: Some(statement), refusal: None },
            Err(refusal) => {
                let refusal = Some(self.shared.refuse(refusal.error).to_wire());
                pb::GenerateKeyResponse { statement: None, refusal }
            }
        };
        Ok(Response::new(answer))
    }

    async fn activate_key(
        &self,
        request: Request<pb::ActivateKeyRequest>,
    ) -> Result<Response<pb::ActivateKeyResponse>, Status> {
        self.coordinator(&request)?;
        let certificate = request.into_inner().certificate.unwrap_or_default();
        keygen::activate(&self.shared, certificate).await.map_err(|error| self.status(error))?;
        Ok(Response::new(pb::ActivateKeyResponse { state: pb::KeyState::Active as i32 }))
    }

    async fn presign(&self, request: Request<pb::PresignRequest>) -> Result<Response<pb::PresignResponse>, Status> {
        self.coordinator(&request)?;
        let answer = match presigning::presign(Arc::clone(&self.shared), request.into_inner()).await {
            Ok(pool_size) => pb::PresignResponse { refusal: None, pool_size },
            Err(refusal) => {
                let refusal = Some(self.shared.refuse(refusal.error).to_wire());
                pb::PresignResponse { refusal, pool_size: 0 }
            }
        };
        Ok(Response::new(answer))
    }

    async fn stop(&self, request: Request<pb::StopRequest>) -> Result<Response<pb::StopResponse>, Status> {
        self.coordinator(&request)?;
        let record = request.into_inner().record.unwrap_or_default();
        let possibly_signed = stop(&self.shared, record, true).await.map_err(|error| self.status(error))?;
        Ok(Response::new(pb::StopResponse { possibly_signed }))
    }

    async fn status(&self, request: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        self.coordinator(&request)?;
        listing::status(&self.shared).map(Response::new).map_err(|error| self.status(error))
    }

    async fn list_intents(
        &self,
        request: Request<pb::ListIntentsRequest>,
    ) -> Result<Response<pb::ListIntentsResponse>, Status> {
        self.coordinator(&request)?;
        let (shared, request) = (Arc::clone(&self.shared), request.into_inner());
        let page = tokio::task::spawn_blocking(move || listing::intents(&shared, &request)).await;
        let page = page.map_err(|error| self.status(ApiError::new(Code::Internal, error.to_string())))?;
        page.map(Response::new).map_err(|error| self.status(error))
    }

    async fn list_key_shares(
        &self,
        request: Request<pb::ListKeySharesRequest>,
    ) -> Result<Response<pb::ListKeySharesResponse>, Status> {
        self.coordinator(&request)?;
        listing::key_shares(&self.shared).map(Response::new).map_err(|error| self.status(error))
    }
}

/// Tells the peers what somebody said against an intent, so that no coordinator can keep it to itself.
pub(crate) fn tell(shared: &Shared, news: &[pb::Envelope]) {
    for record in news {
        shared.mesh.send_all(&pb::peer_message::Kind::StopRecord(record.clone()));
    }
}

/// Hears a rejection or a withdrawal of an intent that is known here.
async fn hear(shared: &Arc<Shared>, record: pb::Envelope, pass_on: bool) -> Result<bool, ApiError> {
    let signed = SignedApproval::open(&record).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    if signed.approval.verdict == Verdict::Approve {
        return Err(ApiError::new(Code::Malformed, "an approval stops nothing: it comes with its intent"));
    }
    let id = signed.approval.intent_id;
    let view = shared.store.view().map_err(|error| Shared::store_error(&error))?;
    let row = view.intent(&id).map_err(|error| Shared::store_error(&error))?;
    let unknown = || ApiError::new(Code::UnknownRequest, format!("intent {id} is not waiting here"));
    let (allowed, live) = row.and_then(|(_, row)| Some((row.allowed, row.live?))).ok_or_else(unknown)?;
    let envelope = pb::Envelope::decode(live.envelope.as_slice()).unwrap_or_default();
    let examined = signing::examine(shared, &envelope)?;
    let shown = signing::show(shared, &examined, &[record])?;
    let (charter, now) = (Arc::clone(&shared.charter), shared.time());
    let settling = shared.store.write(move |txn| approvals::settle(txn, &charter, &examined, shown, now));
    let progress = settling.await.map_err(|error| Shared::store_error(&error))?;
    if pass_on {
        tell(shared, &progress.news);
    }
    Ok(allowed)
}

/// Takes a stop record: signed by the intent's own requester, or by a person who has a say. True if a last-round message may
/// have left before it.
pub(crate) async fn stop(shared: &Arc<Shared>, record: pb::Envelope, pass_on: bool) -> Result<bool, ApiError> {
    if record.payload_type == PayloadType::Approval.as_str() {
        return hear(shared, record, pass_on).await;
    }
    let malformed = |error: String| ApiError::new(Code::Malformed, error);
    let (cancellation, opened) = Cancellation::open(&record).map_err(|error| malformed(error.to_string()))?;
    if cancellation.cluster != shared.charter.cluster {
        return Err(ApiError::new(Code::WrongCluster, format!("the stop record is for {}", cancellation.cluster)));
    }
    let requester = shared.charter.requesters.get(&cancellation.requester).ok_or_else(|| {
        ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", cancellation.requester))
    })?;
    opened
        .verify(cancellation.requester.as_str(), &requester.public_key)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    let (bytes, now) = (record.encode_to_vec(), shared.now());
    // Passed on whatever becomes of it here: every signer decides for itself.
    if pass_on {
        shared.mesh.send_all(&pb::peer_message::Kind::StopRecord(record));
    }
    let writing = shared.store.write(move |txn| admission::stop(txn, &cancellation, &bytes, now));
    writing.await.map_err(|error| Shared::store_error(&error))?
}
