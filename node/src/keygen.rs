//! Making a key: a session among all members, a share that is durable and read back, a statement, a certificate.
//!
//! Each step can be repeated after a crash: a stored share is read back and stated at the next start, a certificate proves
//! itself whoever brings it. A node states at most one share per key name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use limen_mpc::{KeyPublic, KeyShare, Output, Primes, Seed, Session, StartError, Step};
use limen_policy::charter::index_in;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, IntentId, KeyId, NodeId, PartyIndex, Protocol, SessionId};
use limen_wire::intent::KeyGeneration;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::guard::{KeyFacts, KeygenToken, KeygenVerdict, examine_order};
use crate::identity::IdentityError;
use crate::memory::leaving_no_trace;
use crate::metrics::SessionLabels;
use crate::sessions::{Drive, Ended, Inbox, OpenError, deadline_in, drive};
use crate::shared::Shared;
use crate::signing::{Refusal, session_error};
use crate::store::StoreError;
use crate::store::journal::Event;
use crate::store::rows::{KeyPhase, KeyRow, ShareRow};
use crate::vault::{Group, SealedShare, VaultError, decode_public};
use crate::{admission, entropy};

/// Time between two tries to seal a new share.
const SEAL_AGAIN: Duration = Duration::from_secs(1);

/// Takes part in key generation; answers with this node's statement.
pub async fn generate(shared: Arc<Shared>, request: pb::GenerateKeyRequest) -> Result<pb::Envelope, Refusal> {
    shared.check_running()?;
    let envelope = request.order.unwrap_or_default();
    let examined = examine_order(&shared.charter(), &shared.me, &envelope)?;
    let session = SessionId::from_slice(&request.session_id)
        .map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let key = examined.order().key_id.clone();
    let (charter, now) = (shared.charter(), shared.now());
    let verdict =
        shared.store.write(move |txn| admission::keygen(txn, &charter, examined, &envelope, session, now)).await;
    let token = match verdict.map_err(|error| Shared::store_error(&error))? {
        KeygenVerdict::Allowed(token) => token,
        KeygenVerdict::Repeat => return Ok(stated(&shared, &key).await?),
        KeygenVerdict::Refused(error) => return Err(error.into()),
    };
    let deadline = deadline_in(shared.limits.keygen_timeout(request.timeout_ms));
    let (task, answer) = (Arc::clone(&shared), tokio::sync::oneshot::channel());
    shared.tasks.spawn(async move {
        drop(answer.0.send(run(&task, token, deadline).await));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

fn statement(shared: &Shared, key: &KeyId) -> Result<pb::Envelope, ApiError> {
    let view = shared.store.view().map_err(|error| Shared::store_error(&error))?;
    let row = view.key(key).map_err(|error| Shared::store_error(&error))?;
    let bytes = row.and_then(|row| row.share).map(|share| share.statement).unwrap_or_default();
    if bytes.is_empty() {
        return Err(ApiError::new(Code::KeyNotActive, format!("the share of key {key} is not yet read back here")));
    }
    pb::Envelope::decode(bytes.as_slice()).map_err(|error| ApiError::new(Code::Internal, error.to_string()))
}

/// The statement of a share that is stored; reads the share back first if that was cut off.
async fn stated(shared: &Arc<Shared>, key: &KeyId) -> Result<pb::Envelope, ApiError> {
    match statement(shared, key) {
        Err(error) if error.code == Code::KeyNotActive => {
            confirm(shared, key).await.map_err(|error| vault_error(&error))?;
            statement(shared, key)
        }
        answer => answer,
    }
}

fn vault_error(error: &VaultError) -> ApiError {
    tracing::error!(%error, "a new share could not be kept");
    error.to_api()
}

/// The session of an order.
struct Making<'a> {
    shared: &'a Arc<Shared>,
    token: &'a KeygenToken,
    members: HashMap<NodeId, PartyIndex>,
    deadline: Instant,
}

/// Makes a key in the token, or takes up the one that an attempt of this order made before it was cut off.
async fn make_in_token(shared: &Arc<Shared>, token: &KeygenToken) -> Result<pb::Envelope, ApiError> {
    let (vault, order) = (Arc::clone(&shared.vault), token.order().clone());
    let making = tokio::task::spawn_blocking(move || SealedShare::in_token(&vault.make_in_token(&order)?));
    let made = making.await.map_err(|_| stopping())?.map_err(|error| vault_error(&error));
    let outcome = if made.is_ok() { "done" } else { "aborted" };
    let labels = SessionLabels { protocol: token.order().protocol.as_str(), purpose: "keygen", outcome };
    shared.metrics.sessions.get_or_create(&labels).inc();
    keep(shared, token, (made?, u64::from_be_bytes(*entropy::random::<8>()))).await
}

async fn run(shared: &Arc<Shared>, token: KeygenToken, deadline: Instant) -> Result<pb::Envelope, Refusal> {
    if !token.order().protocol.is_threshold() {
        return Ok(make_in_token(shared, &token).await?);
    }
    let members: HashMap<NodeId, PartyIndex> = token
        .nodes()
        .iter()
        .zip(token.params().signers.parties())
        .filter(|(_, party)| **party != token.me())
        .map(|(node, party)| (node.clone(), *party))
        .collect();
    let making = Making { shared, token: &token, members, deadline };
    // The inbox opens now, because the others may have their primes, and start, minutes before this node does.
    let inbox = making.open(*token.session())?;
    let (params, me, seed) = (token.params(), token.me(), Seed::new(*entropy::random()));
    // Minutes of work of all members end in a share that a token must take.
    let group = Group::of(&shared.charter(), &shared.me, &token.order().key_id, Epoch::FIRST);
    let (vault, rehearsed) = (Arc::clone(&shared.vault), group.clone());
    let ready = tokio::task::spawn_blocking(move || vault.rehearse(&rehearsed)).await;
    ready.map_err(|_| stopping())?.map_err(|error| vault_error(&error))?;
    let share = match token.order().protocol {
        Protocol::Dkls23 | Protocol::Frost => making.drive(inbox, move || Session::keygen(params, me, seed)).await?,
        Protocol::Cggmp24 => {
            let primes = making.primes().await?;
            making.drive(inbox, move || Session::keygen_with_primes(params, me, primes, seed)).await?
        }
        Protocol::Hsm => return Err(ApiError::new(Code::Internal, "a key in the token has no session").into()),
    };
    let sealed = seal(shared, share, group, deadline).await?;
    Ok(keep(shared, &token, sealed).await?)
}

impl Making<'_> {
    fn open(&self, session: SessionId) -> Result<Inbox, ApiError> {
        self.shared.sessions.open(session, self.members.clone()).map_err(|error| match error {
            OpenError::TooMany => ApiError::new(Code::Overloaded, error.to_string()),
            OpenError::Running => ApiError::new(Code::SessionDead, error.to_string()),
        })
    }

    async fn drive(
        &self,
        inbox: Inbox,
        start: impl FnOnce() -> Result<(Session, Step), StartError> + Send + 'static,
    ) -> Result<Box<KeyShare>, Refusal> {
        let context = Drive {
            inbox,
            members: self.members.clone(),
            deadline: self.deadline,
            mesh: Arc::clone(&self.shared.mesh),
            crypto: self.shared.crypto.clone(),
            quarantine: Arc::clone(&self.shared.quarantine),
            protocol: self.token.order().protocol,
            trace: None,
        };
        let ended = drive(context, start).await;
        let protocol = self.token.order().protocol.as_str();
        let count = |outcome| {
            let labels = SessionLabels { protocol, purpose: "keygen", outcome };
            self.shared.metrics.sessions.get_or_create(&labels).inc();
        };
        let Ended::Done(Output::Key(share)) = ended else {
            count("aborted");
            return Err(session_error(self.shared, self.token.nodes(), self.token.session().as_bytes(), ended).await);
        };
        count("done");
        Ok(share)
    }

    /// The safe primes of this node's own that a CGGMP24 key's Paillier set-up is made from.
    async fn primes(&self) -> Result<Primes, Refusal> {
        let key = &self.token.order().key_id;
        tracing::info!(%key, "looking for safe primes; this takes minutes unless a set is ready");
        let found = tokio::time::timeout_at(self.deadline, self.shared.primes.take()).await;
        let primes = found
            .map_err(|_| ApiError::new(Code::SessionTimeout, format!("no safe primes for key {key} in time")))?
            .ok_or_else(|| ApiError::new(Code::ShuttingDown, "this signer is stopping"))?;
        tracing::info!(%key, "safe primes found; making the key with the other signers");
        Ok(primes)
    }
}

fn stopping() -> ApiError {
    ApiError::new(Code::ShuttingDown, "this signer is stopping")
}

/// Seals a new share. A token that is away for a moment is waited for: the other members may have stored theirs already.
async fn seal(
    shared: &Arc<Shared>,
    share: Box<KeyShare>,
    group: Group,
    deadline: Instant,
) -> Result<(SealedShare, u64), ApiError> {
    let generation = u64::from_be_bytes(*entropy::random::<8>());
    let (share, group): (Arc<KeyShare>, _) = (Arc::from(share), Arc::new(group));
    loop {
        let (vault, share, group) = (Arc::clone(&shared.vault), Arc::clone(&share), Arc::clone(&group));
        let sealing =
            tokio::task::spawn_blocking(move || leaving_no_trace(|| vault.seal(&share, &group, generation))).await;
        let error = match sealing.map_err(|_| stopping())? {
            Ok(sealed) => return Ok((sealed, generation)),
            Err(error) => error,
        };
        let may_pass = matches!(&error, VaultError::Provider(error) if error.kind().may_pass());
        let again = deadline_in(SEAL_AGAIN);
        if !may_pass || again > deadline {
            return Err(vault_error(&error));
        }
        tracing::warn!(%error, "a new share waits for what seals it");
        tokio::select! {
            () = tokio::time::sleep_until(again) => {}
            () = shared.stopping.cancelled() => return Err(vault_error(&error)),
        }
    }
}

/// Stores the sealed share, reads it back, states it.
async fn keep(
    shared: &Arc<Shared>,
    token: &KeygenToken,
    (sealed, generation): (SealedShare, u64),
) -> Result<pb::Envelope, ApiError> {
    let key = token.order().key_id.clone();
    let (name, now, epoch) = (key.clone(), shared.now(), Epoch::FIRST);
    let stored = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)? else { return Ok(false) };
        if row.share.is_some() {
            return Ok(false);
        }
        sealed.put(txn, &name, epoch)?;
        row.phase = KeyPhase::Pending;
        let public = sealed.public.clone();
        row.share = Some(ShareRow { epoch: epoch.0, generation, public, statement: Vec::new() });
        txn.put_key(&name, &row)?;
        let (key, sealed_hash) = (name.to_string(), sealed.hash());
        txn.append(now, Event::ShareStored { key, epoch: epoch.0, generation, sealed_hash })?;
        Ok(true)
    });
    if !stored.await.map_err(|error| Shared::store_error(&error))? {
        let message = format!("another session has made a share of key {key} meanwhile");
        return Err(ApiError::new(Code::KeyExists, message));
    }
    confirm(shared, &key).await.map_err(|error| vault_error(&error))?;
    statement(shared, &key)
}

/// Reads a stored share back from disk, opens and checks it, and only then states it to the others. Also run for shares whose
/// statement a crash or a token that went away has cut off.
pub async fn confirm(shared: &Arc<Shared>, key: &KeyId) -> Result<(), VaultError> {
    let (task, name) = (Arc::clone(shared), key.clone());
    let read = tokio::task::spawn_blocking(move || leaving_no_trace(|| read_back(&task, &name))).await;
    let (mut facts, statement) = read.map_err(|_| VaultError::Store(StoreError::Stopped))??;
    let hash = Sha256::digest(&statement).into();
    let (name, now) = (key.clone(), shared.now());
    let is_active = shared
        .store
        .write(move |txn| {
            let Some(mut row) = txn.key(&name)? else { return Ok(false) };
            if let Some(share) = &mut row.share
                && share.statement.is_empty()
            {
                share.statement = statement;
                txn.put_key(&name, &row)?;
                txn.append(now, Event::ShareConfirmed { key: name.to_string(), statement: hash })?;
            }
            Ok(row.phase == KeyPhase::Active)
        })
        .await?;
    // It may have become active while the share was read.
    facts.active = is_active || shared.key(key).is_some_and(|known| known.active);
    shared.put_key(facts);
    Ok(())
}

/// What a key's rows say of it: the order is this node's own record, the public part is still to be checked.
struct Recorded {
    order: KeyGeneration,
    order_id: IntentId,
    phase: KeyPhase,
    share: ShareRow,
}

fn recorded(key: &KeyId, row: KeyRow) -> Result<Recorded, VaultError> {
    let share = row.share.ok_or_else(|| VaultError::NoShare(key.clone()))?;
    let order = pb::Envelope::decode(row.order.as_slice()).map_err(|_| VaultError::Public(key.clone()))?;
    let (order, _) = KeyGeneration::open(&order).map_err(|_| VaultError::Public(key.clone()))?;
    Ok(Recorded { order, order_id: IntentId::new(row.order_id), phase: row.phase, share })
}

/// The share as it is on disk, opened and checked: its facts, and this node's signed statement of it.
fn read_back(shared: &Shared, key: &KeyId) -> Result<(KeyFacts, Vec<u8>), VaultError> {
    let view = shared.store.view()?;
    let row = view.key(key)?.ok_or_else(|| VaultError::NoShare(key.clone()))?;
    let Recorded { order, order_id, phase, share } = recorded(key, row.clone())?;
    let (public, me) = if order.protocol.is_threshold() {
        let share = shared.vault.read(&view, key, &share)?;
        (share.public().clone(), share.index())
    } else {
        let damaged = || VaultError::Public(key.clone());
        let me = index_in(&order.nodes, &shared.me).ok_or_else(damaged)?;
        (shared.vault.read_in_token(key, &row)?, me)
    };
    let statement = key_statement(&public, &order.nodes, order_id);
    // On a thread that may wait, as the share's opening is.
    let unsigned = statement.unsigned();
    let signature = shared.identity.sign(&unsigned.message()).map_err(IdentityError::into_hsm)?;
    let envelope = unsigned.signed(shared.me.as_str(), &signature);
    let active = phase == KeyPhase::Active;
    Ok((KeyFacts { public, nodes: order.nodes, me, active }, envelope.encode_to_vec()))
}

/// The facts of a key whose share was read back before: by this node's own statement of them, without the share.
fn facts(shared: &Shared, key: &KeyId, row: KeyRow) -> Result<KeyFacts, VaultError> {
    let damaged = || VaultError::Public(key.clone());
    let Recorded { order, order_id, phase, share } = recorded(key, row)?;
    let public = decode_public(key, &share.public)?;
    let statement = pb::Envelope::decode(share.statement.as_slice()).map_err(|_| damaged())?;
    let opened = envelope::open(&statement, PayloadType::KeyStatement).map_err(|_| damaged())?;
    opened.verify(shared.me.as_str(), &shared.identity.public_key()).map_err(|_| damaged())?;
    public.validate().map_err(|source| VaultError::Import { key: key.clone(), source })?;
    if public.key != *key || opened.payload() != key_statement(&public, &order.nodes, order_id).to_payload() {
        return Err(damaged());
    }
    let me = index_in(&order.nodes, &shared.me).ok_or_else(damaged)?;
    Ok(KeyFacts { public, nodes: order.nodes, me, active: phase == KeyPhase::Active })
}

/// What every member states alike.
pub fn key_statement(public: &KeyPublic, nodes: &[NodeId], order: IntentId) -> KeyStatement {
    let shares =
        public.verifying_shares.values().fold(Sha256::new(), |hash, share| hash.chain_update(share.as_bytes()));
    KeyStatement {
        cluster: public.cluster.clone(),
        key_id: public.key.clone(),
        scheme: public.scheme,
        protocol: public.protocol,
        epoch: public.epoch,
        size: public.size,
        nodes: nodes.to_vec(),
        public_key: public.public_key.to_key(public.scheme).to_vec(),
        chain_code: public.chain_code,
        verifying_shares_hash: shares.finalize().into(),
        generation_id: order,
    }
}

/// Takes a certificate: signatures of all members over the very statement that this node has made.
pub async fn activate(shared: &Arc<Shared>, certificate: pb::Envelope) -> Result<(), ApiError> {
    let key =
        KeyStatement::decode(&certificate).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?.key_id;
    let facts = shared.key(&key);
    let facts = facts.ok_or_else(|| ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here")))?;
    // Signatures are looked at only where they matter: certificates come again with every new link.
    if facts.active {
        return Ok(());
    }
    let pinned = |node: &NodeId| shared.charter().node_key(node);
    KeyStatement::from_certificate(&certificate, &pinned)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    let (name, now, payload) = (key.clone(), shared.now(), certificate.payload.clone());
    let (bytes, hash) = (certificate.encode_to_vec(), Sha256::digest(&certificate.payload).into());
    let activated = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)? else { return Ok(false) };
        let own = row.share.as_ref().and_then(|share| pb::Envelope::decode(share.statement.as_slice()).ok());
        if own.is_none_or(|own| own.payload != payload) {
            return Ok(false);
        }
        row.phase = KeyPhase::Active;
        row.certificate = bytes;
        txn.put_key(&name, &row)?;
        txn.append(now, Event::KeyActive { key: name.to_string(), certificate: hash })?;
        Ok(true)
    });
    if !activated.await.map_err(|error| Shared::store_error(&error))? {
        let message = format!("the certificate of key {key} is not over the statement that this signer made");
        return Err(ApiError::new(Code::WrongState, message));
    }
    shared.put_key(KeyFacts { active: true, ..KeyFacts::clone(&facts) });
    tracing::info!(%key, "key active");
    shared.nonces.low.notify_one();
    shared.mesh.send_all(&pb::peer_message::Kind::KeyCertificate(certificate));
    Ok(())
}

/// Takes up the facts of every key at start; shares are opened when they are wanted. A share that was never read back is,
/// and a key of which that fails now is looked at again with the token.
pub async fn load(shared: &Arc<Shared>) -> Result<(), VaultError> {
    let keys = shared.store.view()?.keys()?;
    for (key, row) in keys {
        let Some(share) = &row.share else { continue };
        if share.statement.is_empty() {
            if let Err(error) = confirm(shared, &key).await {
                tracing::error!(%key, %error, "a share could not be read back: the key is not stated yet");
            }
            continue;
        }
        match facts(shared, &key, row) {
            Ok(facts) => shared.put_key(facts),
            Err(error) => tracing::error!(%key, %error, "the key does not sign here"),
        }
    }
    Ok(())
}
