//! The gRPC door: who calls is what TLS proves; everything else goes to its module.

mod evidence;
mod ledger;
mod listing;
mod peer;
mod stops;
mod witness;

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::sign_response::Outcome;
use limen_wire::pb::signer_server::Signer;
use limen_wire::tls;
use tonic::{Request, Response, Status};

use crate::approvals::Papers;
use crate::decisions::Announced;
use crate::guard::Examined;
use crate::shared::{CallerKind, Shared, parse_caller};
use crate::{backups, charters, epochs, handover, keygen, presigning, signing, stops as records};

pub use evidence::{EvidenceService, FollowsLog};
pub use ledger::{Keeps, LedgerService};
pub use peer::PeerService;
pub use stops::StopsService;
pub use witness::WitnessService;

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
            Some((CallerKind::Coordinator, id))
                if self.shared.charter().coordinators.iter().any(|one| one.id == id) =>
            {
                Ok(())
            }
            _ => Err(self.status(ApiError::new(Code::NotEnrolled, "only a coordinator of the charter may call this"))),
        }
    }

    fn status(&self, error: ApiError) -> Status {
        self.shared.refuse(error).into()
    }

    fn examine(&self, envelope: &pb::Envelope) -> Result<Examined, Status> {
        self.shared.decisions().examine(envelope).map_err(|error| self.status(error))
    }
}

fn announced(announced: Announced) -> Response<pb::AnnounceResponse> {
    let Announced { examined, first_seen_ms, progress, frozen } = announced;
    Response::new(pb::AnnounceResponse {
        intent_id: examined.intent().id.as_bytes().to_vec().into(),
        decision: Some(examined.decision().to_wire()),
        first_seen_ms,
        // Whoever waits for people waits for those who lift a freeze too.
        requirements: progress.statuses.into_iter().chain(frozen).collect(),
        freeze_epoch: examined.freeze_epoch().as_bytes().to_vec().into(),
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
        let papers = Papers { approvals: &request.approvals, checks: &request.external_checks };
        let examined = self.shared.decisions().priced(examined, &papers);
        let shown = signing::show(&self.shared, &examined, &papers).map_err(|error| self.status(error))?;
        let announcing = self.shared.decisions().announce(examined, envelope, shown).await;
        let shown = announcing.map_err(|error| self.status(error))?;
        records::tell(self.shared.as_ref(), &shown.progress.news);
        if shown.progress.rejected.is_some() {
            shown.progress.check().map_err(|error| self.status(error))?;
        }
        Ok(announced(shown))
    }

    async fn simulate(&self, request: Request<pb::AnnounceRequest>) -> Result<Response<pb::AnnounceResponse>, Status> {
        self.coordinator(&request)?;
        let request = request.into_inner();
        let examined = self.examine(&request.intent.unwrap_or_default())?;
        let papers = Papers { approvals: &request.approvals, checks: &request.external_checks };
        let imagined = self.shared.decisions().imagine(examined, &papers);
        Ok(announced(imagined.map_err(|error| self.status(error))?))
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
        let pb::ActivateKeyRequest { certificate, order } = request.into_inner();
        let news = pb::KeyEpoch { certificate, order, ..pb::KeyEpoch::default() };
        epochs::take(&self.shared, news).await.map_err(|error| self.status(error))?;
        Ok(Response::new(pb::ActivateKeyResponse { state: pb::KeyState::Active as i32 }))
    }

    async fn hand_over_key(
        &self,
        request: Request<pb::HandOverKeyRequest>,
    ) -> Result<Response<pb::HandOverKeyResponse>, Status> {
        self.coordinator(&request)?;
        let answer = match handover::hand_over(Arc::clone(&self.shared), request.into_inner()).await {
            Ok(statement) => pb::HandOverKeyResponse { statement, refusal: None },
            Err(refusal) => {
                let refusal = Some(self.shared.refuse(refusal.error).to_wire());
                pb::HandOverKeyResponse { statement: None, refusal }
            }
        };
        Ok(Response::new(answer))
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
        let pb::StopRequest { record, intent } = request.into_inner();
        let record = record.unwrap_or_default();
        let taking = records::take(self.shared.as_ref(), record.clone(), charters::Door::People).await;
        let possibly_signed = taking.map_err(|error| self.status(error))?;
        let void = records::voided(self.shared.as_ref(), &record, intent.as_ref()).await;
        let void = void.map_err(|error| self.status(error))?;
        Ok(Response::new(pb::StopResponse { possibly_signed, void }))
    }

    async fn take_charter(
        &self,
        request: Request<pb::TakeCharterRequest>,
    ) -> Result<Response<pb::TakeCharterResponse>, Status> {
        self.coordinator(&request)?;
        let signed = request.into_inner().signed.unwrap_or_default();
        let hash = charters::take_and_tell(self.shared.as_ref(), signed).await.map_err(|error| self.status(error))?;
        let version = charters::view_of(&self.shared, hash).map_err(|error| self.status(error))?;
        Ok(Response::new(pb::TakeCharterResponse { version: Some(version) }))
    }

    async fn list_charters(
        &self,
        request: Request<pb::ListChartersRequest>,
    ) -> Result<Response<pb::ListChartersResponse>, Status> {
        self.coordinator(&request)?;
        charters::list(&self.shared, request.get_ref()).map(Response::new).map_err(|error| self.status(error))
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

    async fn list_backups(
        &self,
        request: Request<pb::ListBackupsRequest>,
    ) -> Result<Response<pb::ListBackupsResponse>, Status> {
        self.coordinator(&request)?;
        let listed = backups::listing::list(&self.shared, request.get_ref());
        listed.map(Response::new).map_err(|error| self.status(error))
    }

    async fn fetch_backup(
        &self,
        request: Request<pb::FetchBackupRequest>,
    ) -> Result<Response<pb::FetchBackupResponse>, Status> {
        self.coordinator(&request)?;
        let fetched = backups::listing::fetch(&self.shared, request.get_ref());
        fetched.map(Response::new).map_err(|error| self.status(error))
    }

    async fn prove_backup(
        &self,
        request: Request<pb::ProveBackupRequest>,
    ) -> Result<Response<pb::ProveBackupResponse>, Status> {
        self.coordinator(&request)?;
        let taken = backups::proofs::take(&self.shared, request.into_inner().proof.unwrap_or_default()).await;
        let backup = Some(taken.map_err(|error| self.status(error))?);
        Ok(Response::new(pb::ProveBackupResponse { backup }))
    }
}
