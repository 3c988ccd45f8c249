//! What can be checked without state: envelope, enrolment, bytes, effects, rules, signer set.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_chain::{Decoded, SigningInput};
use limen_mpc::{ChildKey, DerivationPath, DeriveError, Point, SignInput, derive_public};
use limen_policy::charter::{Charter, Duty};
use limen_policy::check::Quotes;
use limen_policy::decide::{Decision, When, decide};
use limen_policy::ledger::Demand;
use limen_policy::succession::{Ages, AgesAt};
use limen_wire::effects::{Address, ChainId, Effects};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, FreezeEpoch, LedgerId, PartyIndex, Scheme, SessionId, SignerSet};
use limen_wire::intent::Intent;
use limen_wire::keys::PublicKey;
use limen_wire::pb;

use super::state::check_destroyed;
use super::{KeyFacts, LEAF_PATIENCE_MS};
use crate::clock::Now;
use crate::store::rows::{ClaimKey, Tally};

/// An intent whose signature, bytes and effects this signer has checked itself. The decision may still be "no".
#[derive(Debug, Clone)]
pub struct Examined {
    pub(super) intent: Intent,
    pub(super) requester_key: PublicKey,
    pub(super) key: Arc<KeyFacts>,
    pub(super) path: DerivationPath,
    pub(super) child: ChildKey,
    pub(super) account: Address,
    pub(super) decoded: Decoded,
    pub(super) input: SignInput,
    pub(super) decision: Decision,
    pub(super) quotes: Quotes,
    pub(super) effects_digest: [u8; 32],
    pub(super) freeze_epoch: FreezeEpoch,
    pub(super) charter: CharterHash,
    pub(super) ages: Arc<Ages>,
}

impl Examined {
    /// The checked intent.
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }
    /// What it claims of ledgers by its bytes alone, whether or not rules allow it now and whatever things are worth.
    pub fn demands(&self, charter: &Charter) -> Result<BTreeMap<LedgerId, Demand>, String> {
        charter.demands(&self.intent, &self.decoded.effects)
    }
    /// The prices by which it was decided: those that came with it.
    pub const fn quotes(&self) -> &Quotes {
        &self.quotes
    }
    /// What the charter's rules say.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }
    /// The charter under which it was examined.
    pub const fn charter(&self) -> CharterHash {
        self.charter
    }
    /// Decides again where the answer depends on the moment. Prices are forgotten: they come with each request anew.
    #[must_use]
    pub fn at(self, charter: &Charter, now: Now) -> Self {
        self.priced(charter, now, Quotes::default())
    }
    /// Decides again where the answer depends on the moment or on what things are worth.
    #[must_use]
    pub fn priced(mut self, charter: &Charter, now: Now, quotes: Quotes) -> Self {
        self.quotes = quotes;
        if self.decision.timed {
            let ages = self.ages.at(now.uptime.0);
            let when = When { quotes: &self.quotes, ..when(now, &ages) };
            self.decision = decide(charter, &self.intent, &self.decoded.effects, &when);
        }
        self
    }
    /// As what it is counted among its requester's: nothing if it could be signed as it stands, because a rule allows it and
    /// asks for nothing.
    pub const fn counted_as(&self) -> Option<Tally> {
        match self.decision.allowed && self.decision.requirements.is_empty() {
            true => None,
            false if self.decision.for_good => Some(Tally::Denied),
            false => Some(Tally::Waiting),
        }
    }

    /// The public key under which the signature will verify: 33 bytes for ECDSA, 32 otherwise.
    pub fn public_key(&self) -> Vec<u8> {
        self.child.public_key.to_key(self.key.public.scheme).to_vec()
    }
    /// The key that signs.
    pub fn key(&self) -> &KeyFacts {
        &self.key
    }
    /// The point under which the signature will verify.
    pub const fn child_key(&self) -> Point {
        self.child.public_key
    }
    /// What the bytes do.
    pub const fn effects(&self) -> &Effects {
        &self.decoded.effects
    }
    /// What is signed, computed from the intent's bytes.
    pub const fn input(&self) -> &SignInput {
        &self.input
    }
    /// The account that signs.
    pub const fn account(&self) -> &Address {
        &self.account
    }
    /// The claim on the account's sequence number, if the bytes burn one.
    pub fn nonce_claim(&self) -> Option<ClaimKey> {
        let effects = &self.decoded.effects;
        effects.nonce.map(|nonce| ClaimKey::nonce(effects.chain.as_str(), effects.account.as_str(), nonce))
    }
    /// The claim on the requester's own name for it.
    pub fn idempotency_claim(&self) -> ClaimKey {
        ClaimKey::idempotency(&self.intent.cluster, &self.intent.requester, &self.intent.idempotency_key)
    }
}

/// The moment of a decision: hours are those of the wall, ages are on this signer's running time.
pub(super) const fn when<'a>(now: Now, in_force: &'a AgesAt<'a>) -> When<'a> {
    When { now_secs: now.wall.as_secs(), in_force, quotes: Quotes::none() }
}

/// Examines an envelope. `ages` are those of this charter at this signer; `key` looks a key up by name.
pub fn examine(
    charter: &Charter,
    ages: &Arc<Ages>,
    key: impl FnOnce(&limen_wire::ids::KeyId) -> Option<Arc<KeyFacts>>,
    envelope: &pb::Envelope,
    now: Now,
) -> Result<Examined, ApiError> {
    let (intent, opened) = Intent::open(envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    if intent.cluster != charter.cluster {
        let message = format!("the intent is for cluster {}, this is {}", intent.cluster, charter.cluster);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    let requester = charter.requesters.get(&intent.requester).ok_or_else(|| {
        ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", intent.requester))
    })?;
    opened
        .verify(intent.requester.as_str(), &requester.public_key)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    if !requester.duties.contains(&Duty::Request) {
        let message = format!("requester {} may not request signatures", intent.requester);
        return Err(ApiError::new(Code::NotPermitted, message));
    }
    check_destroyed(charter, &intent.key_id)?;
    let key = key(&intent.key_id)
        .ok_or_else(|| ApiError::new(Code::UnknownKey, format!("this signer has no share of key {}", intent.key_id)))?;
    judge((charter, ages), (intent, requester.public_key), key, now)
}

/// Bytes to effects to decision.
fn judge(
    (charter, ages): (&Charter, &Arc<Ages>),
    (intent, requester_key): (Intent, PublicKey),
    key: Arc<KeyFacts>,
    now: Now,
) -> Result<Examined, ApiError> {
    let scheme = key.public.scheme;
    let path =
        DerivationPath::new(intent.path.clone()).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let child = derive_public(&key.public.public_key, &key.public.chain_code, &path).map_err(|error| {
        let code = if error == DeriveError::NoChildren { Code::NoChildKeys } else { Code::Malformed };
        ApiError::new(code, error.to_string())
    })?;
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let account = limen_chain::address(&chain, scheme, child.public_key.to_key(scheme))
        .map_err(|error| ApiError::new(Code::WrongScheme, error.to_string()))?;
    let kinds = |chain: &ChainId, contract: &Address| charter.token_kind(chain, contract);
    let decoded = limen_chain::decode(&(&intent.payload).into(), &chain, &account, &kinds)
        .map_err(|error| ApiError::new(Code::Undecodable, error.to_string()))?;
    let input = sign_input(&decoded.signing, scheme)?;
    let decision = decide(charter, &intent, &decoded.effects, &when(now, &ages.at(now.uptime.0)));
    let effects_digest = decoded.effects.digest();
    let (charter, freeze_epoch, ages) = (charter.hash(), FreezeEpoch::NONE, Arc::clone(ages));
    Ok(Examined {
        intent,
        requester_key,
        key,
        path,
        child,
        account,
        decoded,
        input,
        decision,
        quotes: Quotes::default(),
        effects_digest,
        freeze_epoch,
        charter,
        ages,
    })
}

fn sign_input(signing: &SigningInput, scheme: Scheme) -> Result<SignInput, ApiError> {
    let wrong = || ApiError::new(Code::WrongScheme, format!("a {scheme} key cannot sign this kind of payload"));
    let bytes = signing.for_scheme(scheme).ok_or_else(wrong)?;
    let input = match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
            SignInput::Digest(bytes.as_ref().try_into().map_err(|_| wrong())?)
        }
        Scheme::EddsaEd25519 | Scheme::SchnorrBip340 => SignInput::Message(bytes.to_vec()),
    };
    if input.fits(scheme) { Ok(input) } else { Err(wrong()) }
}

/// Session and signer set that a coordinator proposes: checked in themselves, not yet against key and journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignCall {
    /// The session's name.
    pub session: SessionId,
    /// The participants.
    pub signers: SignerSet,
    /// Why this signer does not know well enough how its peers stand: then nothing is allowed.
    pub no_standing: Option<ApiError>,
    /// Milliseconds of running time for which an own leaf may be missing from the log.
    pub leaf_patience_ms: u64,
}

/// Checks the shape of session id and signer set.
pub fn sign_call(session_id: &[u8], signers: &[u32]) -> Result<SignCall, ApiError> {
    let session =
        SessionId::from_slice(session_id).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let bad = |error: limen_wire::ids::IdError| ApiError::new(Code::BadSignerSet, error.to_string());
    let parties: Result<Vec<_>, _> =
        signers.iter().take(256).map(|index| PartyIndex::new(u16::try_from(*index).unwrap_or(u16::MAX))).collect();
    let signers = SignerSet::new(parties.map_err(bad)?).map_err(bad)?;
    Ok(SignCall { session, signers, no_standing: None, leaf_patience_ms: LEAF_PATIENCE_MS })
}

/// Checks a signer set against a key: exactly `signers_required` of its members, this node among them.
pub(super) fn check_set(key: &KeyFacts, signers: &SignerSet) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(Code::BadSignerSet, message));
    let size = key.public.size;
    if signers.len() != usize::from(size.signers_required()) {
        return refuse(format!("{} signers were chosen, key {} needs {}", signers.len(), key.public.key, size));
    }
    if signers.parties().iter().any(|party| party.as_u8() > size.signers_total()) {
        return refuse(format!("a signer was chosen that is no member of key {} ({size})", key.public.key));
    }
    if !signers.contains(key.me) {
        return refuse(format!("this signer has index {} and is not in the set", key.me));
    }
    Ok(())
}
