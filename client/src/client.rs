//! The connection and its calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limen_wire::approval::SignedApproval;
use limen_wire::check::Check;
use limen_wire::effects::{Address, ChainId};
use limen_wire::envelope::{self, PayloadType};
use limen_wire::handover::{KeyHandover, statement_hash};
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, Protocol, RequesterId, Scheme};
use limen_wire::imported::ImportedKey;
use limen_wire::intent::KeyGeneration;
use limen_wire::keys::SigningKey;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::admin_client::AdminClient;
use limen_wire::pb::custody_client::CustodyClient;
use limen_wire::request::RequestState;
use limen_wire::statement::KeyStatement;
use limen_wire::tls::{self, Dial, TlsIdentity};
use prost::Message as _;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::clock::now_secs;
use crate::config::ClientConfig;
use crate::error::{ConfigError, Error, Untrue};
use crate::intent::{NewIntent, SignedIntent};
use crate::keys::{self, KeyDirectory};
use crate::patience::Patience;
use crate::request::{Filter, HandoverInfo, KeyInfo, Page, Request, Simulation, Submitted};
use crate::retry::Retry;
use crate::stream::Watch;
use crate::verify::{self, Signed};

/// A cluster's health as its coordinator sees it.
pub type ClusterView = pb::ClusterStatusResponse;

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its name, never used before.
    pub key_id: KeyId,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol.
    pub protocol: Protocol,
    /// How many of the nodes must take part.
    pub size: CommitteeSize,
    /// The members in index order.
    pub nodes: Vec<NodeId>,
    /// How long from now signers may take part in making it.
    pub expires_in: Duration,
}

/// New shares for a key, to be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewShares {
    /// The key as its signers attest it: the order is for these shares, and worthless for any others.
    pub present: KeyStatement,
    /// The lowest epoch that an attempt takes; above the present one.
    pub first_epoch: Epoch,
    /// The protocol that signs with the new shares.
    pub protocol: Protocol,
    /// How many of the nodes must take part from then on.
    pub size: CommitteeSize,
    /// The new members in index order. The present ones, or those that the charter names for this key.
    pub nodes: Vec<NodeId>,
    /// How long from now signers may take part in it.
    pub expires_in: Duration,
}

/// The evidence of a signature, as the coordinator hands it out: nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The file: docs/evidence.md says what is in it, byte by byte.
    pub bytes: Bytes,
    /// Enough members of the committee have cosigned the log that it is in, says the coordinator.
    pub is_final: bool,
    /// How many have.
    pub cosignatures: u32,
    /// How many must.
    pub quorum: u32,
}

/// A client of one cluster. Cheap to clone; connects when first used and again whenever the connection is lost.
#[derive(Debug, Clone)]
pub struct Client {
    custody: CustodyClient<Channel>,
    admin: AdminClient<Channel>,
    shared: Arc<Shared>,
    retry: Retry,
}

#[derive(Debug)]
struct Shared {
    cluster: ClusterId,
    requester: RequesterId,
    signing_key: SigningKey,
    keys: KeyDirectory,
}

impl Client {
    /// Prepares a client by its configuration. Nothing is sent yet; must be called inside a tokio runtime.
    pub fn connect(config: &ClientConfig) -> Result<Self, ConfigError> {
        let identity = TlsIdentity::from_pem_files(&config.cert, &config.key)?;
        let signing_key = tls::read_signing_key(&config.envelope_key)?;
        let tls = tls::authority_client(&identity, &config.ca)?;
        let channel = Dial::new(config.endpoint.clone(), config.server_name.clone()).lazy(tls)?;
        let shared = Shared {
            cluster: config.cluster.clone(),
            requester: config.requester.clone(),
            signing_key,
            keys: KeyDirectory::new(config.trust()),
        };
        Ok(Self {
            custody: CustodyClient::new(channel.clone()).max_decoding_message_size(GRPC_MESSAGE_BYTES),
            admin: AdminClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES),
            shared: Arc::new(shared),
            retry: Retry::default(),
        })
    }

    /// The same client with other bounds on repeating calls.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Who this client is.
    pub fn requester(&self) -> &RequesterId {
        &self.shared.requester
    }

    /// The cluster asked.
    pub fn cluster(&self) -> &ClusterId {
        &self.shared.cluster
    }

    /// Writes the exact bytes of an intent and signs them with the enrolled key. Nothing is sent.
    pub fn sign_intent(&self, intent: NewIntent) -> Result<SignedIntent, Error> {
        intent.sign(&self.shared.cluster, &self.shared.requester, &self.shared.signing_key)
    }

    /// Hands in a signed intent. The same intent again gives the same request, for ever.
    pub async fn submit(&self, intent: &SignedIntent) -> Result<Submitted, Error> {
        let question = pb::SubmitRequest { envelope: Some(intent.envelope().clone()) };
        let answer = self
            .retry
            .run("Submit", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.submit(question).await?.into_inner()) }
            })
            .await?;
        let request = self.same_intent(intent.id(), answer.request)?;
        Ok(Submitted { request, repeated: answer.repeated_submit })
    }

    /// One request by its id.
    pub async fn get(&self, id: IntentId) -> Result<Request, Error> {
        let name = pb::get_request::Name::IntentId(Bytes::copy_from_slice(id.as_bytes()));
        self.same_intent(id, self.get_by(name).await?)
    }

    /// One of our own requests by the idempotency key that we gave it.
    pub async fn get_by_idempotency_key(&self, key: &str) -> Result<Request, Error> {
        let (requester, idempotency_key) = (self.shared.requester.to_string(), key.to_owned());
        let name = pb::get_request::Name::Idempotency(pb::IdempotencyName { requester, idempotency_key });
        let request = Request::from_wire(self.get_by(name).await?)?;
        let ours = request.intent.requester == self.shared.requester && request.intent.idempotency_key == key;
        if ours { Ok(request) } else { Err(Untrue::OtherIntent.into()) }
    }

    async fn get_by(&self, name: pb::get_request::Name) -> Result<Option<pb::Request>, Error> {
        let question = pb::GetRequest { name: Some(name) };
        let answer = self
            .retry
            .run("Get", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.get(question).await?.into_inner()) }
            })
            .await?;
        Ok(answer.request)
    }

    fn same_intent(&self, id: IntentId, answer: Option<pb::Request>) -> Result<Request, Error> {
        let request = Request::from_wire(answer)?;
        if request.id() == id { Ok(request) } else { Err(Untrue::OtherIntent.into()) }
    }

    /// Follows one request, beginning with its present state, or everything from now on.
    pub fn watch(&self, intent: Option<IntentId>) -> Watch {
        self.watch_after(intent, 0)
    }

    /// Follows on after a sequence number of an earlier [`Watch`].
    pub fn watch_after(&self, intent: Option<IntentId>, sequence: u64) -> Watch {
        Watch::new(self.custody.clone(), self.retry, intent, sequence)
    }

    /// Hands in what a person said, an approval, a rejection or a withdrawal, or what an external checker found. Safe to repeat.
    pub async fn approve(&self, said: &pb::Envelope) -> Result<Request, Error> {
        let id = match said.payload_type == PayloadType::Check.as_str() {
            true => Check::open(said)?.0.intent_id,
            false => SignedApproval::open(said)?.approval.intent_id,
        };
        let question = pb::ApproveRequest { approval: Some(said.clone()) };
        let answer = self
            .retry
            .run("Approve", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.approve(question).await?.into_inner()) }
            })
            .await?;
        self.same_intent(id, answer.request)
    }

    /// Hands a signed version of the charter to every signer; says where the versions from its number on stand at each.
    /// Safe to repeat.
    pub async fn submit_charter(&self, signed: &pb::Envelope) -> Result<Vec<pb::SignerCharters>, Error> {
        let question = pb::SubmitCharterRequest { signed: Some(signed.clone()) };
        let call = || {
            let (mut custody, question) = (self.custody.clone(), question.clone());
            async move { Ok(custody.submit_charter(question).await?.into_inner()) }
        };
        Ok(self.retry.run("SubmitCharter", call).await?.signers)
    }

    /// Hands the veto of a version to every signer. Safe to repeat.
    pub async fn veto_charter(&self, veto: &pb::Envelope) -> Result<Vec<pb::SignerCharters>, Error> {
        let question = pb::VetoCharterRequest { veto: Some(veto.clone()) };
        let call = || {
            let (mut custody, question) = (self.custody.clone(), question.clone());
            async move { Ok(custody.veto_charter(question).await?.into_inner()) }
        };
        Ok(self.retry.run("VetoCharter", call).await?.signers)
    }

    /// Where the versions of the charter from this number on stand at each signer.
    pub async fn charter_status(&self, from_number: u64) -> Result<Vec<pb::SignerCharters>, Error> {
        let question = pb::CharterStatusRequest { from_number };
        let call = || {
            let mut custody = self.custody.clone();
            async move { Ok(custody.charter_status(question).await?.into_inner()) }
        };
        Ok(self.retry.run("CharterStatus", call).await?.signers)
    }

    /// Submits, waits for the end, and verifies the signature against what the signers attest about the key.
    /// A request that ends without a signature becomes its error.
    pub async fn sign(&self, intent: &SignedIntent, patience: impl Into<Patience>) -> Result<Signed, Error> {
        let submitted = self.submit(intent).await?.request;
        let request = if submitted.state.is_end() { submitted } else { self.wait(intent.id(), patience).await? };
        self.verify(&request).await
    }

    /// Verifies the signature of a request in state signed; other ends become their error.
    pub async fn verify(&self, request: &Request) -> Result<Signed, Error> {
        if request.state != RequestState::Signed {
            return Err(match &request.error {
                Some(error) => error.clone().into(),
                None => ended_without_reason(request).into(),
            });
        }
        let result = request.result.as_ref().ok_or_else(|| Untrue::missing("request.result"))?;
        let key = self.key(&request.intent.key_id).await?;
        Ok(verify::verify(&request.intent, &key, result)?)
    }

    /// The evidence of a request's signature, to be kept and verified offline. Not believed here: see `limen verify receipt`.
    pub async fn receipt(&self, id: IntentId) -> Result<Receipt, Error> {
        let question = pb::ReceiptRequest { intent_id: Bytes::copy_from_slice(id.as_bytes()) };
        let call = || {
            let (mut custody, question) = (self.custody.clone(), question.clone());
            async move { Ok(custody.receipt(question).await?.into_inner()) }
        };
        let answer = self.retry.run("Receipt", call).await?;
        let pb::ReceiptResponse { receipt, r#final, cosignatures, quorum } = answer;
        Ok(Receipt { bytes: receipt, is_final: r#final, cosignatures, quorum })
    }

    /// Our signed cancellation of a request of ours: any signer takes it.
    pub fn cancellation(&self, id: IntentId, reason: &str) -> pb::Envelope {
        let record = pb::Cancellation {
            version: 1,
            cluster: self.shared.cluster.to_string(),
            requester: self.shared.requester.to_string(),
            intent_id: Bytes::copy_from_slice(id.as_bytes()),
            reason: reason.to_owned(),
        };
        self.seal(PayloadType::Cancellation, record.encode_to_vec())
    }

    /// Ends a request that has not reached signing.
    pub async fn cancel(&self, id: IntentId, reason: &str) -> Result<Request, Error> {
        let question = pb::CancelRequest { envelope: Some(self.cancellation(id, reason)) };
        let answer = self
            .retry
            .run("Cancel", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.cancel(question).await?.into_inner()) }
            })
            .await?;
        self.same_intent(id, answer.request)
    }

    /// What would happen to an intent; leaves no trace.
    pub async fn simulate(&self, intent: &SignedIntent) -> Result<Simulation, Error> {
        let question = pb::SimulateRequest { envelope: Some(intent.envelope().clone()) };
        let answer = self
            .retry
            .run("Simulate", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.simulate(question).await?.into_inner()) }
            })
            .await?;
        if answer.intent_id.as_ref() != intent.id().as_bytes() {
            return Err(Untrue::OtherIntent.into());
        }
        Ok(Simulation {
            intent_id: intent.id(),
            effects: answer.effects,
            decision: answer.decision.ok_or_else(|| Untrue::missing("decision"))?,
            signer_decisions: answer.signer_decisions,
        })
    }

    /// What the coordinator's draft of the charter would have decided otherwise: its word, and advice.
    pub async fn shadow(&self) -> Result<pb::ShadowResponse, Error> {
        self.retry
            .run("Shadow", || {
                let mut custody = self.custody.clone();
                async move { Ok(custody.shadow(pb::ShadowRequest {}).await?.into_inner()) }
            })
            .await
    }

    /// A page of requests, newest first; `cursor` comes from the page before.
    pub async fn list(&self, filter: &Filter, cursor: Option<&str>) -> Result<Page, Error> {
        let question = pb::ListRequest {
            page_size: filter.page_size,
            cursor: cursor.unwrap_or_default().to_owned(),
            states: filter.states.iter().map(|state| state.to_wire() as i32).collect(),
            key_id: filter.key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let answer = self
            .retry
            .run("List", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.list(question).await?.into_inner()) }
            })
            .await?;
        let requests =
            answer.requests.into_iter().map(|raw| Request::from_wire(Some(raw))).collect::<Result<_, _>>()?;
        let next = if answer.next_cursor.is_empty() { None } else { Some(answer.next_cursor) };
        Ok(Page { requests, next })
    }

    /// The keys as the coordinator tells of them, one or all: unverified.
    pub async fn list_keys(&self, key: Option<&KeyId>) -> Result<Vec<KeyInfo>, Error> {
        let question = pb::ListKeysRequest { key_id: key.map(ToString::to_string).unwrap_or_default() };
        let answer = self
            .retry
            .run("ListKeys", || {
                let (mut custody, question) = (self.custody.clone(), question.clone());
                async move { Ok(custody.list_keys(question).await?.into_inner()) }
            })
            .await?;
        answer.keys.into_iter().map(KeyInfo::from_wire).collect()
    }

    /// The key as its signers attest it, verified against the pinned nodes; fetched once, then remembered.
    pub async fn key(&self, key: &KeyId) -> Result<KeyStatement, Error> {
        if let Some(statement) = self.shared.keys.known(key) {
            return Ok(statement);
        }
        let info = self.list_keys(Some(key)).await?.into_iter().find(|info| info.key_id == *key);
        let info = info.ok_or_else(|| {
            limen_wire::error::ApiError::new(limen_wire::error::Code::UnknownKey, format!("there is no key {key}"))
        })?;
        self.admit(&info)
    }

    /// Verifies the certificate that the coordinator handed out for a key.
    pub fn admit(&self, info: &KeyInfo) -> Result<KeyStatement, Error> {
        let Some(certificate) = &info.certificate else {
            let what = format!("key {} has no certificate yet: {}", info.key_id, info.progress);
            return Err(limen_wire::error::ApiError::new(limen_wire::error::Code::KeyNotActive, what).into());
        };
        Ok(self.shared.keys.admit(&info.key_id, certificate)?)
    }

    /// The receive address of a key below a path, derived here from what the signers attest.
    pub async fn address(&self, key: &KeyId, path: &[u32], chain: &ChainId) -> Result<Address, Error> {
        keys::receive_address(&self.key(key).await?, path, chain).map_err(|error| match error {
            // The statement is verified: what does not fit is the caller's chain.
            Untrue::Address(source) => Error::NoAddress { key: key.clone(), source },
            other => other.into(),
        })
    }

    /// Orders a key. Answers at once; [`Client::wait_for_key`] follows it.
    pub async fn create_key(&self, key: &NewKey) -> Result<KeyInfo, Error> {
        self.order_key(key, None, Vec::new()).await
    }

    /// Orders that a key is imported that was dealt outside, with each member's encrypted piece in the order of the members. The
    /// charter has to name it. Answers at once; [`Client::wait_for_key`] follows it.
    pub async fn import_key(
        &self,
        key: &NewKey,
        imported: ImportedKey,
        pieces: Vec<Vec<u8>>,
    ) -> Result<KeyInfo, Error> {
        self.order_key(key, Some(imported), pieces.into_iter().map(Into::into).collect()).await
    }

    async fn order_key(
        &self,
        key: &NewKey,
        imported: Option<ImportedKey>,
        pieces: Vec<Bytes>,
    ) -> Result<KeyInfo, Error> {
        let order = KeyGeneration {
            // Not part of the bytes.
            id: IntentId::new([0; 32]),
            cluster: self.shared.cluster.clone(),
            requester: self.shared.requester.clone(),
            key_id: key.key_id.clone(),
            scheme: key.scheme,
            protocol: key.protocol,
            size: key.size,
            nodes: key.nodes.clone(),
            expires_at_secs: now_secs().saturating_add(key.expires_in.as_secs()),
            imported,
        };
        let envelope = self.seal(PayloadType::KeyGeneration, order.to_wire().encode_to_vec());
        KeyGeneration::open(&envelope)?;
        let question = pb::CreateKeyRequest { envelope: Some(envelope), pieces };
        let answer = self
            .retry
            .run("CreateKey", || {
                let (mut admin, question) = (self.admin.clone(), question.clone());
                async move { Ok(admin.create_key(question).await?.into_inner()) }
            })
            .await?;
        KeyInfo::from_wire(answer.key.ok_or_else(|| Untrue::missing("key"))?)
    }

    /// Waits until a key is active and verified; tells of progress whenever its words change.
    pub async fn wait_for_key(
        &self,
        key: &KeyId,
        at_most: Duration,
        mut progress: impl FnMut(&KeyInfo),
    ) -> Result<KeyStatement, Error> {
        let started = Instant::now();
        let mut told: Option<KeyInfo> = None;
        loop {
            let info = self.list_keys(Some(key)).await?.into_iter().find(|info| info.key_id == *key);
            if let Some(info) = info {
                if told.as_ref() != Some(&info) {
                    progress(&info);
                    told = Some(info.clone());
                }
                match (info.state, &info.error) {
                    (pb::KeyState::Active, _) => return self.admit(&info),
                    (pb::KeyState::Failed, Some(error)) => return Err(error.clone().into()),
                    _ => {}
                }
            }
            if started.elapsed() >= at_most {
                let state = told.map_or("unknown", |info| info.state_word()).to_owned();
                return Err(Error::NotEnded { state, waited: started.elapsed() });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Orders new shares for a key. Answers at once; [`Client::wait_for_handover`] follows the order, which is named by its id.
    pub async fn hand_over(&self, shares: &NewShares) -> Result<IntentId, Error> {
        let order = KeyHandover {
            // Not part of the bytes.
            id: IntentId::new([0; 32]),
            cluster: self.shared.cluster.clone(),
            requester: self.shared.requester.clone(),
            key_id: shares.present.key_id.clone(),
            first_epoch: shares.first_epoch,
            protocol: shares.protocol,
            size: shares.size,
            nodes: shares.nodes.clone(),
            expires_at_secs: now_secs().saturating_add(shares.expires_in.as_secs()),
            present: statement_hash(&shares.present.to_payload()),
        };
        let envelope = self.seal(PayloadType::KeyHandover, order.to_wire().encode_to_vec());
        let id = KeyHandover::open(&envelope)?.0.id;
        let question = pb::HandOverRequest { envelope: Some(envelope) };
        let answer = self
            .retry
            .run("HandOver", || {
                let (mut admin, question) = (self.admin.clone(), question.clone());
                async move { Ok(admin.hand_over(question).await?.into_inner()) }
            })
            .await?;
        KeyInfo::from_wire(answer.key.ok_or_else(|| Untrue::missing("key"))?)?;
        Ok(id)
    }

    /// Waits until an order of new shares has ended; tells of progress whenever its words change. What is given back is what the
    /// signers attest of the key then.
    pub async fn wait_for_handover(
        &self,
        (key, order): (&KeyId, &IntentId),
        at_most: Duration,
        mut progress: impl FnMut(&HandoverInfo),
    ) -> Result<KeyStatement, Error> {
        let started = Instant::now();
        let mut told: Option<HandoverInfo> = None;
        loop {
            let info = self.list_keys(Some(key)).await?.into_iter().find(|info| info.key_id == *key);
            let ours =
                info.as_ref().and_then(|info| info.handover.as_ref()).filter(|handover| handover.order == *order);
            if let (Some(info), Some(handover)) = (&info, ours) {
                if told.as_ref() != Some(handover) {
                    progress(handover);
                    told = Some(handover.clone());
                }
                match (handover.state, &handover.error) {
                    (pb::HandoverState::Done, _) => {
                        let statement = self.admit(info)?;
                        // What is attested counts, whatever was said: the order's id is in the statement.
                        return match statement.generation_id == *order {
                            true => Ok(statement),
                            false => Err(Untrue::Superseded { key: key.clone(), epoch: statement.epoch }.into()),
                        };
                    }
                    (pb::HandoverState::Failed, Some(error)) => return Err(error.clone().into()),
                    _ => {}
                }
            }
            if started.elapsed() >= at_most {
                let state = told.map_or("unknown", |info| info.state_word()).to_owned();
                return Err(Error::NotEnded { state, waited: started.elapsed() });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How the cluster is.
    pub async fn status(&self) -> Result<ClusterView, Error> {
        self.retry
            .run("ClusterStatus", || {
                let mut admin = self.admin.clone();
                async move { Ok(admin.cluster_status(pb::ClusterStatusRequest {}).await?.into_inner()) }
            })
            .await
    }

    /// The signers' backups of their shares, of one key or of all: nothing of it is verified.
    pub async fn list_backups(&self, key: Option<&KeyId>) -> Result<pb::ListBackupsResponse, Error> {
        let question = pb::ListBackupsRequest { key_id: key.map(ToString::to_string).unwrap_or_default() };
        let call = || {
            let (mut admin, question) = (self.admin.clone(), question.clone());
            async move { Ok(admin.list_backups(question).await?.into_inner()) }
        };
        self.retry.run("ListBackups", call).await
    }

    /// One signer's backup of its share of an epoch, of the newest one if none is named. What it is worth `limen-recover` says.
    pub async fn fetch_backup(
        &self,
        key: &KeyId,
        node: &NodeId,
        epoch: Option<u64>,
    ) -> Result<pb::FetchBackupResponse, Error> {
        let (node, key_id) = (node.to_string(), key.to_string());
        let question = pb::FetchBackupRequest { node, key_id, epoch: epoch.unwrap_or_default() };
        let call = || {
            let (mut admin, question) = (self.admin.clone(), question.clone());
            async move { Ok(admin.fetch_backup(question).await?.into_inner()) }
        };
        self.retry.run("FetchBackup", call).await
    }

    /// Hands a custodian's signed proof to the signer that asked for it. The same one again changes nothing.
    pub async fn prove_backup(&self, proof: &pb::Envelope) -> Result<pb::BackupRecord, Error> {
        let question = pb::ProveBackupRequest { proof: Some(proof.clone()) };
        let call = || {
            let (mut admin, question) = (self.admin.clone(), question.clone());
            async move { Ok(admin.prove_backup(question).await?.into_inner()) }
        };
        Ok(self.retry.run("ProveBackup", call).await?.backup.unwrap_or_default())
    }

    /// Hands the record of a drill to every signer that can be reached; says what became of it at each. The same one again changes
    /// nothing.
    pub async fn file_drill(&self, record: &[u8]) -> Result<Vec<pb::DrillFiled>, Error> {
        let question = pb::FileDrillRequest { record: record.to_vec().into() };
        let call = || {
            let (mut admin, question) = (self.admin.clone(), question.clone());
            async move { Ok(admin.file_drill(question).await?.into_inner()) }
        };
        Ok(self.retry.run("FileDrill", call).await?.signers)
    }

    fn seal(&self, payload_type: PayloadType, payload: Vec<u8>) -> pb::Envelope {
        envelope::seal(payload_type, payload, self.shared.requester.as_str(), &self.shared.signing_key)
    }
}

/// Where a request stands, and what its last session ran into.
pub(crate) fn standing(request: &Request) -> String {
    match &request.error {
        Some(error) => format!("{} ({error})", request.state),
        None => request.state.to_string(),
    }
}

fn ended_without_reason(request: &Request) -> limen_wire::error::ApiError {
    use limen_wire::error::{ApiError, Code};
    let code = match request.state {
        RequestState::Denied => Code::PolicyDenied,
        RequestState::Rejected => Code::Rejected,
        RequestState::Expired => Code::Expired,
        RequestState::Cancelled => Code::Stopped,
        RequestState::PossiblySigned => Code::PossiblySigned,
        _ => Code::WrongState,
    };
    ApiError::new(code, format!("request {} stands at {} and has no signature", request.id(), request.state))
}
