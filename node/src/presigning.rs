//! Presignatures (CGGMP24): made ahead in sessions of their own, kept in memory, used once.
//!
//! A presignature is bound to key, epoch, path, ordered signer set and the boots of its signers; whoever signs with it takes
//! it out of the pool for ever. Bare digests are never signed with one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_mpc::{Output, PreimageHash, Presignature, Seed, Session, SignInput, SignMode};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, SessionId, SignerSet, tagged_hash};
use limen_wire::intent::Payload;
use limen_wire::pb;

use crate::guard::{self, Examined, KeyFacts, PresignToken, SignCall, Verdict};
use crate::metrics::{Metrics, SessionLabels};
use crate::sessions::{Drive, Ended, Inbox, SetUp, deadline_in, drive};
use crate::shared::Shared;
use crate::signing::{Refusal, members, open, session_error, unusable};
use crate::vault::Opened;
use crate::{admission, entropy};

/// The pools of all keys.
pub struct Presignatures {
    pools: Mutex<HashMap<KeyId, HashMap<SessionId, Box<Presignature>>>>,
    per_key: usize,
    metrics: Arc<Metrics>,
}

impl Presignatures {
    /// Empty pools of at most `per_key` presignatures each.
    pub fn new(per_key: usize, metrics: Arc<Metrics>) -> Self {
        Self { pools: Mutex::default(), per_key, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, HashMap<SessionId, Box<Presignature>>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, key: &KeyId) -> bool {
        self.lock().get(key).map_or(0, HashMap::len) < self.per_key
    }

    fn put(&self, key: &KeyId, session: SessionId, presignature: Box<Presignature>) -> usize {
        let mut pools = self.lock();
        let pool = pools.entry(key.clone()).or_default();
        pool.insert(session, presignature);
        let size = pool.len();
        self.metrics.presignatures.inc();
        size
    }

    fn take(&self, key: &KeyId, session: &SessionId) -> Option<Box<Presignature>> {
        let taken = self.lock().get_mut(key)?.remove(session)?;
        self.metrics.presignatures.dec();
        Some(taken)
    }

    /// Drops all of a key whose shares are others now.
    pub fn forget(&self, key: &KeyId) {
        let dropped = self.lock().remove(key).map_or(0, |pool| pool.len());
        self.metrics.presignatures.dec_by(i64::try_from(dropped).unwrap_or(i64::MAX));
    }

    fn holds(&self, key: &KeyId, session: &SessionId) -> bool {
        self.lock().get(key).is_some_and(|pool| pool.contains_key(session))
    }

    /// How many there are for all keys.
    pub fn len(&self) -> usize {
        self.lock().values().fold(0, |sum, pool| sum.saturating_add(pool.len()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Presignatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presignatures({}, redacted)", self.len())
    }
}

fn unavailable(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::NonceUnavailable, message)
}

/// Hash of the signers' boots in the order of the set: when one restarts, its part is gone and the hash is another.
fn boots(shared: &Shared, key: &KeyFacts, signers: &SignerSet) -> Result<[u8; 32], ApiError> {
    let mut boots = Vec::new();
    for party in signers.parties() {
        let boot = match key.node_at(*party) {
            Some(node) if *node == shared.me => Some(shared.boot),
            Some(node) => shared.mesh.boot(node),
            None => None,
        };
        boots.push(boot.ok_or_else(|| unavailable(format!("signer {party} has not told its boot yet")))?);
    }
    Ok(tagged_hash("limen node boots v1", boots.iter().map(<[u8; 16]>::as_slice)))
}

/// The bytes whose digest is signed, where they are at hand: presignatures sign nothing else.
fn preimage(examined: &Examined) -> Result<SignInput, ApiError> {
    let bytes = match &examined.intent().payload {
        Payload::EvmTransaction(bytes) => bytes.to_vec(),
        // EIP-191 version 0x45
        Payload::EvmMessage(text) => {
            let prefix = format!("\u{19}Ethereum Signed Message:\n{}", text.len());
            [prefix.as_bytes(), text].concat()
        }
        other => return Err(unavailable(format!("a {} is not signed with a presignature", other.kind()))),
    };
    let hash = PreimageHash::Keccak256;
    // What the decoder has judged is what is signed.
    if *examined.input() != SignInput::Digest(hash.digest(&bytes)) {
        return Err(unavailable("these bytes are not the preimage of what the decoder gives"));
    }
    Ok(SignInput::Preimage { hash, bytes })
}

/// Looks whether a presignature can serve. Nothing is used up before the guard has allowed the session.
pub fn check(shared: &Shared, examined: &Examined, presignature: &SessionId) -> Result<(), ApiError> {
    preimage(examined)?;
    if shared.presignatures.holds(&examined.key().public.key, presignature) {
        return Ok(());
    }
    Err(unavailable(format!("presignature {presignature} is used, unknown or of another boot")))
}

/// Takes a presignature out for ever and gives what the session needs.
pub fn take(
    shared: &Shared,
    examined: &Examined,
    call: &SignCall,
    presignature: &SessionId,
) -> Result<(SignMode, SignInput), ApiError> {
    let key = examined.key();
    let gone = || unavailable(format!("presignature {presignature} was used by another session meanwhile"));
    let taken = shared.presignatures.take(&key.public.key, presignature).ok_or_else(gone)?;
    let boots = boots(shared, key, &call.signers)?;
    Ok((SignMode::Presignature { presignature: taken, boots }, preimage(examined)?))
}

/// Takes part in presigning; answers with the number of presignatures now in memory for the key.
pub async fn presign(shared: Arc<Shared>, request: pb::PresignRequest) -> Result<u32, Refusal> {
    shared.check_running()?;
    let key = KeyId::new(request.key_id).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let facts = shared.key(&key);
    let facts = facts.ok_or_else(|| ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here")))?;
    guard::check_epoch_named(&facts, request.epoch)?;
    let call = guard::presign_call(Arc::clone(&facts), &request.path, &request.session_id, &request.signers)?;
    if !shared.presignatures.has_room(&key) {
        let message = format!("key {key} has as many presignatures as may be kept");
        return Err(ApiError::new(Code::Overloaded, message).into());
    }
    let shape = guard::sign_call(&request.session_id, &request.signers)?;
    let boots = boots(&shared, &facts, &shape.signers)?;
    let inbox = open(&shared, &shape, &members(&facts, &shape))?;
    let share = shared.open_share(&key, facts.public.epoch).await.map_err(|error| unusable(&error))?;
    let (charter, now) = (shared.charter(), shared.now());
    let verdict = shared.store.write(move |txn| admission::presign(txn, &charter, call, now));
    let token = match verdict.await.map_err(|error| Shared::store_error(&error))? {
        Verdict::Allowed(token) => token,
        Verdict::Refused(error) => return Err(error.into()),
        Verdict::Repeat(_) => return Err(ApiError::new(Code::SessionDead, "a presignature is made once").into()),
    };
    let (task, answer) = (Arc::clone(&shared), tokio::sync::oneshot::channel());
    shared.tasks.spawn(async move {
        drop(answer.0.send(run(&task, (token, share), shape, inbox, boots).await));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

async fn run(
    shared: &Arc<Shared>,
    (token, share): (PresignToken, Opened),
    shape: SignCall,
    inbox: Inbox,
    boots: [u8; 32],
) -> Result<u32, Refusal> {
    let share = shared.vault.to_presign(&share, &token).map_err(|error| error.to_api())?;
    let context = Drive {
        inbox,
        members: members(token.key(), &shape),
        deadline: deadline_in(shared.limits.keygen_timeout(0)),
        mesh: Arc::clone(&shared.mesh),
        crypto: shared.crypto.clone(),
        quarantine: Arc::clone(&shared.quarantine),
        lifted: token.lifted().clone(),
        protocol: token.key().public.protocol,
        set_up: SetUp::InUse,
        trace: None,
    };
    let (params, me, path) = (token.params(), token.key().me, token.path().clone());
    let seed = Seed::new(*entropy::random());
    let ended = drive(context, move || Session::presign(params, me, &share, &path, boots, seed)).await;
    let labels = |outcome| SessionLabels { protocol: "cggmp24", purpose: "presign", outcome };
    let Ended::Done(Output::Presignature(presignature)) = ended else {
        shared.metrics.sessions.get_or_create(&labels("aborted")).inc();
        return Err(session_error(shared, &token.key().nodes, token.session().as_bytes(), ended).await);
    };
    shared.metrics.sessions.get_or_create(&labels("done")).inc();
    let is_of_this_epoch = |known: Arc<KeyFacts>| known.public.epoch == token.key().public.epoch;
    if !shared.key(&token.key().public.key).is_some_and(is_of_this_epoch) {
        return Err(ApiError::new(Code::EpochChanged, "the key's shares were made anew meanwhile").into());
    }
    // What was made while the key went out of use is not kept.
    shared.charter().check_key_in_use(&token.key().public.key).map_err(|error| guard::state_refused(&error))?;
    let size = shared.presignatures.put(&token.key().public.key, *token.session(), presignature);
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}
