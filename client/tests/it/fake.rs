//! A coordinator in one process that holds the whole key: a fake, with manners that tests choose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use k256::ecdsa::SigningKey as CustodyKey;
use limen_chain::{NoTokenKinds, Payload as ChainPayload, SigningInput, decode};
use limen_client::config::PinnedNode;
use limen_client::{Client, ClientConfig, Retry};
use limen_wire::approval::SignedApproval;
use limen_wire::effects::ChainId;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, Protocol, RequesterId, Scheme};
use limen_wire::intent::{Intent, Payload};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::pb::admin_server::{Admin, AdminServer};
use limen_wire::pb::custody_server::{Custody, CustodyServer};
use limen_wire::statement::{self, KeyStatement};
use limen_wire::tls::{self, TlsIdentity};
use p256::pkcs8::EncodePrivateKey as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// How the fake behaves.
#[derive(Default)]
pub(crate) struct Manners {
    /// Answer this many calls with an error of the transport, without doing anything.
    pub(crate) unavailable: u32,
    /// Store this many submitted intents and then lose the answer.
    pub(crate) lose_answers: u32,
    /// Refuse intents whose note contains this.
    pub(crate) refuse_note: Option<&'static str>,
    /// Take these nonces for somebody else.
    pub(crate) taken_nonces: Vec<u64>,
    /// Sign other bytes than were asked for.
    pub(crate) sign_other_bytes: bool,
    /// Hand out this as the signed transaction.
    pub(crate) other_transaction: Option<Vec<u8>>,
    /// Hand out this certificate.
    pub(crate) certificate: Option<pb::Envelope>,
    /// Say this of a handover that was ordered.
    pub(crate) handover: pb::Handover,
    /// Leave requests unsigned.
    pub(crate) never_sign: bool,
    /// End streams after this many messages.
    pub(crate) short_streams: bool,
}

#[derive(Default)]
struct State {
    manners: Manners,
    requests: BTreeMap<IntentId, pb::Request>,
    /// Every envelope that was ever submitted, repeats included.
    submitted: Vec<pb::Envelope>,
    charters: Vec<pb::CharterView>,
}

/// The fake and what a client needs to reach it.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    key: Arc<CustodyKey>,
    nodes: Arc<Vec<SigningKey>>,
    pub(crate) config: ClientConfig,
    _folder: Arc<tempfile::TempDir>,
}

pub(crate) fn key_id() -> KeyId {
    KeyId::new("treasury").unwrap()
}

fn node_id(index: usize) -> NodeId {
    NodeId::new(format!("n{}", index + 1)).unwrap()
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nodes: Vec<SigningKey> =
            (1..=3).map(|seed| SigningKey::ed25519_from_seed(&Zeroizing::new([seed; 32]))).collect();
        let config = write_identities(folder.path(), &listener.local_addr().unwrap().to_string(), &nodes);
        let fake = Self {
            state: Arc::default(),
            key: Arc::new(CustodyKey::from_slice(&[0x11; 32]).unwrap()),
            nodes: Arc::new(nodes),
            config,
            _folder: Arc::new(folder),
        };
        let identity = read_identity(&fake, "server");
        let server = tls::authority_server(&identity, &fake.config.ca).unwrap();
        let incoming = tls::incoming(listener, server, |_, _| {});
        let router = tonic::transport::Server::builder()
            .add_service(CustodyServer::new(fake.clone()))
            .add_service(AdminServer::new(fake.clone()));
        tokio::spawn(router.serve_with_incoming(incoming));
        fake
    }

    pub(crate) fn client(&self) -> Client {
        let quick = Retry {
            first_pause: std::time::Duration::from_millis(1),
            longest_pause: std::time::Duration::from_millis(5),
            ..Retry::default()
        };
        Client::connect(&self.config).unwrap().with_retry(quick)
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.lock().manners);
    }

    pub(crate) fn submitted(&self) -> Vec<pb::Envelope> {
        self.lock().submitted.clone()
    }

    /// The intents that are stored, in no order.
    pub(crate) fn stored(&self) -> Vec<Intent> {
        let stored = self.lock();
        stored.requests.values().map(|request| Intent::open(request.envelope.as_ref().unwrap()).unwrap().0).collect()
    }

    pub(crate) fn finish(&self, id: IntentId, state: pb::RequestState) {
        self.change(id, |request| request.state = state as i32);
    }

    /// The request as from now on.
    pub(crate) fn change(&self, id: IntentId, change: impl FnOnce(&mut pb::Request)) {
        let mut stored = self.lock();
        let request = stored.requests.get_mut(&id).unwrap();
        change(request);
        request.version += 1;
    }

    /// The truth about the key.
    pub(crate) fn statement(&self) -> KeyStatement {
        KeyStatement {
            cluster: self.config.cluster.clone(),
            key_id: key_id(),
            scheme: Scheme::EcdsaSecp256k1,
            protocol: Protocol::Dkls23,
            epoch: Epoch::FIRST,
            size: CommitteeSize::new(2, 3).unwrap(),
            nodes: (0..3).map(node_id).collect(),
            public_key: self.key.verifying_key().to_encoded_point(true).as_bytes().to_vec(),
            chain_code: [7; 32],
            verifying_shares_hash: [8; 32],
            generation_id: IntentId::new([9; 32]),
            was_whole: false,
        }
    }

    /// A statement with the signatures of these nodes.
    pub(crate) fn certificate(&self, statement: &KeyStatement, nodes: &[usize]) -> pb::Envelope {
        let signed: Vec<_> = nodes.iter().map(|index| statement.sign(&node_id(*index), &self.nodes[*index])).collect();
        statement::combine(&signed).unwrap()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn rude(&self) -> Result<(), Status> {
        let mut state = self.lock();
        match state.manners.unavailable.checked_sub(1) {
            None => Ok(()),
            Some(left) => {
                state.manners.unavailable = left;
                Err(Status::unavailable("the fake is rude"))
            }
        }
    }

    fn sign(&self, intent: &Intent) -> pb::SignatureResult {
        let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
        let account = limen_chain::address(&chain, Scheme::EcdsaSecp256k1, &self.statement().public_key).unwrap();
        let Payload::EvmTransaction(bytes) = &intent.payload else { panic!("the fake signs transactions only") };
        let decoded = decode(&ChainPayload::EvmTransaction(bytes), &chain, &account, &NoTokenKinds).unwrap();
        let SigningInput::Digest(mut digest) = decoded.signing else { panic!("transactions sign a digest") };
        let state = self.lock();
        if state.manners.sign_other_bytes {
            digest[0] ^= 1;
        }
        let (signature, recovery) = self.key.sign_prehash_recoverable(&digest).unwrap();
        let (r, s) = (signature.r().to_bytes().into(), signature.s().to_bytes().into());
        let signed = limen_chain::evm::attach_signature(bytes, &account, &r, &s, recovery.to_byte());
        let (raw, hash) = signed.map(|signed| (signed.raw, signed.hash)).unwrap_or_default();
        pb::SignatureResult {
            signature: Bytes::copy_from_slice(&signature.to_bytes()),
            recovery_id: recovery.to_byte().into(),
            public_key: self.statement().public_key.into(),
            signed_transaction: state.manners.other_transaction.clone().unwrap_or(raw).into(),
            transaction_hash: Bytes::copy_from_slice(&hash),
            session_id: Bytes::from_static(&[5; 32]),
            signers: vec![1, 2],
        }
    }

    fn accept(&self, envelope: pb::Envelope) -> Result<pb::SubmitResponse, ApiError> {
        let (intent, _) = Intent::open(&envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
        self.lock().submitted.push(envelope.clone());
        if let Some(request) = self.lock().requests.get(&intent.id) {
            return Ok(pb::SubmitResponse { request: Some(request.clone()), repeated_submit: true });
        }
        if self.lock().manners.refuse_note.is_some_and(|words| intent.note.contains(words)) {
            return Err(ApiError::new(Code::PolicyDenied, "the fake does not like the note"));
        }
        if nonce_of(&intent).is_some_and(|nonce| self.lock().manners.taken_nonces.contains(&nonce)) {
            return Err(ApiError::new(Code::NonceConflict, "the nonce belongs to somebody else"));
        }
        let signs = !self.lock().manners.never_sign;
        let state = if signs { pb::RequestState::Signed } else { pb::RequestState::Signing };
        let result = signs.then(|| self.sign(&intent));
        let intent_id = Bytes::copy_from_slice(intent.id.as_bytes());
        let request = pb::Request {
            intent_id,
            state: state as i32,
            envelope: Some(envelope),
            version: 1,
            result,
            ..pb::Request::default()
        };
        self.lock().requests.insert(intent.id, request.clone());
        Ok(pb::SubmitResponse { request: Some(request), repeated_submit: false })
    }

    fn find(&self, id: &[u8]) -> Result<pb::Request, Status> {
        let id = IntentId::from_slice(id).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let found = self.lock().requests.get(&id).cloned();
        found.ok_or_else(|| ApiError::new(Code::UnknownRequest, "there is no such request").into())
    }
}

/// The sequence number inside a transaction.
pub(crate) fn nonce_of(intent: &Intent) -> Option<u64> {
    let Payload::EvmTransaction(bytes) = &intent.payload else { return None };
    match limen_chain::evm::UnsignedTransaction::from_signing_bytes(bytes).ok()? {
        limen_chain::evm::UnsignedTransaction::Eip1559(transaction) => Some(transaction.nonce),
        _ => None,
    }
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl Custody for Fake {
    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        self.rude()?;
        let answer = self.accept(request.into_inner().envelope.unwrap_or_default())?;
        let mut state = self.lock();
        if let Some(left) = state.manners.lose_answers.checked_sub(1) {
            state.manners.lose_answers = left;
            return Err(Status::unavailable("the fake lost the answer"));
        }
        Ok(Response::new(answer))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        self.rude()?;
        match request.into_inner().name {
            Some(pb::get_request::Name::IntentId(id)) => {
                Ok(Response::new(pb::GetResponse { request: Some(self.find(&id)?) }))
            }
            Some(pb::get_request::Name::Idempotency(name)) => {
                let found = self.stored().into_iter().find(|intent| intent.idempotency_key == name.idempotency_key);
                let found = found.ok_or_else(|| ApiError::new(Code::UnknownRequest, "there is no such request"))?;
                Ok(Response::new(pb::GetResponse { request: Some(self.find(found.id.as_bytes())?) }))
            }
            None => Err(Status::invalid_argument("no name")),
        }
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListResponse>, Status> {
        self.rude()?;
        let question = request.into_inner();
        let skip: usize = question.cursor.parse().unwrap_or(0);
        let size = if question.page_size == 0 { 50 } else { question.page_size as usize };
        let all: Vec<_> = self.lock().requests.values().cloned().collect();
        let requests: Vec<_> = all.iter().skip(skip).take(size).cloned().collect();
        let end = skip + requests.len();
        let next_cursor = if end < all.len() { end.to_string() } else { String::new() };
        Ok(Response::new(pb::ListResponse { requests, next_cursor }))
    }

    type WatchStream = Stream<pb::WatchResponse>;
    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.rude()?;
        let id = request.into_inner().intent_id;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let fake = self.clone();
        tokio::spawn(async move {
            let mut told = 0;
            while !sender.is_closed() {
                let Ok(request) = fake.find(&id) else { return };
                if request.version > told {
                    told = request.version;
                    if sender.send(Ok(pb::WatchResponse { sequence: told, request: Some(request) })).await.is_err() {
                        return;
                    }
                    if fake.lock().manners.short_streams {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn cancel(&self, request: Request<pb::CancelRequest>) -> Result<Response<pb::CancelResponse>, Status> {
        let envelope = request.into_inner().envelope.unwrap_or_default();
        let (record, _) =
            limen_wire::intent::Cancellation::open(&envelope).map_err(|e| Status::internal(e.to_string()))?;
        self.finish(record.intent_id, pb::RequestState::Cancelled);
        Ok(Response::new(pb::CancelResponse { request: Some(self.find(record.intent_id.as_bytes())?) }))
    }

    async fn approve(&self, request: Request<pb::ApproveRequest>) -> Result<Response<pb::ApproveResponse>, Status> {
        self.rude()?;
        let envelope = request.into_inner().approval.unwrap_or_default();
        let said = SignedApproval::open(&envelope).map_err(|error| Status::internal(error.to_string()))?;
        let id = said.approval.intent_id;
        self.find(id.as_bytes())?;
        self.change(id, |request| request.approvals.push(envelope));
        Ok(Response::new(pb::ApproveResponse { request: Some(self.find(id.as_bytes())?) }))
    }

    async fn submit_charter(
        &self,
        request: Request<pb::SubmitCharterRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        self.rude()?;
        let signed = request.into_inner().signed.unwrap_or_default();
        limen_wire::charter::SignedCharter::open(&signed).map_err(|error| Status::internal(error.to_string()))?;
        let version = pb::CharterView { signed: Some(signed), ..pb::CharterView::default() };
        self.lock().charters.push(version);
        self.charter_status(Request::new(pb::CharterStatusRequest::default())).await
    }

    async fn veto_charter(
        &self,
        request: Request<pb::VetoCharterRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        let veto = request.into_inner().veto.unwrap_or_default();
        SignedApproval::open(&veto).map_err(|error| Status::internal(error.to_string()))?;
        self.lock().charters.clear();
        self.charter_status(Request::new(pb::CharterStatusRequest::default())).await
    }

    async fn charter_status(
        &self,
        _request: Request<pb::CharterStatusRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        self.rude()?;
        let versions = self.lock().charters.clone();
        let one = pb::SignerCharters { node: "n1".to_owned(), versions, ..pb::SignerCharters::default() };
        Ok(Response::new(pb::CharterStatusResponse { signers: vec![one] }))
    }

    async fn shadow(&self, _request: Request<pb::ShadowRequest>) -> Result<Response<pb::ShadowResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::ShadowResponse { judged: 3, ..pb::ShadowResponse::default() }))
    }

    async fn simulate(&self, request: Request<pb::SimulateRequest>) -> Result<Response<pb::SimulateResponse>, Status> {
        let envelope = request.into_inner().envelope.unwrap_or_default();
        let (intent, _) = Intent::open(&envelope).map_err(|error| Status::internal(error.to_string()))?;
        let decision = Some(pb::Decision { allowed: true, ..pb::Decision::default() });
        let intent_id = Bytes::copy_from_slice(intent.id.as_bytes());
        Ok(Response::new(pb::SimulateResponse { intent_id, decision, ..pb::SimulateResponse::default() }))
    }

    async fn receipt(&self, request: Request<pb::ReceiptRequest>) -> Result<Response<pb::ReceiptResponse>, Status> {
        self.rude()?;
        let receipt = request.into_inner().intent_id;
        Ok(Response::new(pb::ReceiptResponse { receipt, r#final: true, cosignatures: 3, quorum: 3 }))
    }

    async fn list_keys(&self, _: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        self.rude()?;
        let truth = self.certificate(&self.statement(), &[0, 1, 2]);
        let certificate = self.lock().manners.certificate.clone().unwrap_or(truth);
        let key = pb::Key {
            key_id: key_id().to_string(),
            state: pb::KeyState::Active as i32,
            certificate: Some(certificate),
            handover: Some(self.lock().manners.handover.clone()).filter(|handover| handover.order.is_some()),
            ..pb::Key::default()
        };
        Ok(Response::new(pb::ListKeysResponse { keys: vec![key] }))
    }
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn create_key(&self, _: Request<pb::CreateKeyRequest>) -> Result<Response<pb::CreateKeyResponse>, Status> {
        Err(Status::unimplemented("the fake makes no keys"))
    }
    async fn hand_over(&self, request: Request<pb::HandOverRequest>) -> Result<Response<pb::HandOverResponse>, Status> {
        self.rude()?;
        let order = request.into_inner().envelope;
        let mut state = self.lock();
        state.manners.handover.order.clone_from(&order);
        let key = pb::Key { key_id: key_id().to_string(), ..pb::Key::default() };
        Ok(Response::new(pb::HandOverResponse { key: Some(key) }))
    }
    async fn cluster_status(
        &self,
        _: Request<pb::ClusterStatusRequest>,
    ) -> Result<Response<pb::ClusterStatusResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::ClusterStatusResponse { cluster: "test".to_owned(), ..Default::default() }))
    }
    async fn list_backups(
        &self,
        _: Request<pb::ListBackupsRequest>,
    ) -> Result<Response<pb::ListBackupsResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::ListBackupsResponse::default()))
    }
    async fn fetch_backup(
        &self,
        _: Request<pb::FetchBackupRequest>,
    ) -> Result<Response<pb::FetchBackupResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::FetchBackupResponse::default()))
    }
    async fn prove_backup(
        &self,
        _: Request<pb::ProveBackupRequest>,
    ) -> Result<Response<pb::ProveBackupResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::ProveBackupResponse::default()))
    }
    async fn file_drill(&self, _: Request<pb::FileDrillRequest>) -> Result<Response<pb::FileDrillResponse>, Status> {
        self.rude()?;
        Ok(Response::new(pb::FileDrillResponse::default()))
    }
}

fn write_identities(folder: &std::path::Path, endpoint: &str, nodes: &[SigningKey]) -> ClientConfig {
    let path = |name: &str| folder.join(name);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(path("ca.crt"), params.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, authority_key);
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        std::fs::write(path(&format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let envelope_key = p256::SecretKey::from_slice(&[0x22; 32]).unwrap();
    std::fs::write(path("envelope.key"), envelope_key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap()).unwrap();
    ClientConfig {
        version: limen_client::config::VERSION,
        cluster: ClusterId::new("test").unwrap(),
        requester: RequesterId::new("backend").unwrap(),
        endpoint: endpoint.to_owned(),
        server_name: "server".to_owned(),
        ca: path("ca.crt"),
        cert: path("client.crt"),
        key: path("client.key"),
        envelope_key: path("envelope.key"),
        min_signers_required: 2,
        nodes: nodes
            .iter()
            .enumerate()
            .map(|(index, key)| PinnedNode { id: node_id(index), public_key: key.public_key(), address: None })
            .collect(),
        hsm_keys: Vec::new(),
        former_identities: Vec::new(),
        chains: BTreeMap::new(),
    }
}

fn read_identity(fake: &Fake, name: &str) -> TlsIdentity {
    let folder = fake.config.ca.parent().unwrap();
    TlsIdentity::from_pem_files(&folder.join(format!("{name}.crt")), &folder.join(format!("{name}.key"))).unwrap()
}
