//! Signing: RFC 9591 section 5; every signer aggregates and verifies for itself.
//!
//! | mode | round 1, broadcast | round 2, broadcast |
//! |---|---|---|
//! | fresh nonces | the sender's commitments | signature share, and a hash of each signer's commitments as the sender saw them |
//! | shared nonces | signature share | – |
//!
//! Shares for different lists of commitments do not fit together, which would look like a wrong share of an honest
//! signer. With fresh nonces the hashes tell who showed two commitments; with shared nonces the list is part of the
//! session's binding, so signers with different lists never take each other's frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use frost_core::keys::{KeyPackage, PublicKeyPackage};
use frost_core::round1::SigningNonces;
use frost_core::round2::SignatureShare;
use frost_core::{CheaterDetection, SigningPackage, aggregate_custom};
use limen_wire::ids::PartyIndex;

use super::nonce::{NonceCommitment, SharedNonces};
use super::suite::{OutputKey, Suite, identifier, key_package, public_package, translate};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Blame};
use crate::derive::ChildKey;
use crate::key::KeyShare;
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::seed::Seed;
use crate::session::{Output, StartError};
use crate::signature::SignInput;

/// Bytes of a signature share.
const SHARE_LEN: usize = 32;
/// Bytes of a hash of one signer's commitments.
const HASH_LEN: usize = 32;

type Commitments = BTreeMap<PartyIndex, NonceCommitment>;

/// The session's signer, its key and what it signs.
pub(super) struct Signer<C: Suite> {
    binding: Binding,
    me: PartyIndex,
    others: Vec<PartyIndex>,
    key: Arc<KeyShare>,
    child: ChildKey,
    own: KeyPackage<C>,
    message: Vec<u8>,
}

enum State<C: Suite> {
    /// Our commitments are out.
    Committed(Box<SigningNonces<C>>, NonceCommitment),
    /// Our share is out; `hashes` come with each share if the nonces were fresh.
    Shared {
        package: Box<SigningPackage<C>>,
        share: SignatureShare<C>,
        hashes: Option<Vec<u8>>,
    },
    Ended,
}

struct Sign<C: Suite> {
    signer: Signer<C>,
    rounds: Vec<Round>,
    state: State<C>,
}

impl<C: Suite> Signer<C> {
    pub(super) fn new(
        binding: &Binding,
        me: PartyIndex,
        key: &Arc<KeyShare>,
        child: ChildKey,
        message: &[u8],
    ) -> Result<Self, Abort> {
        let own = key_package(key, &child, OutputKey::Child);
        Ok(Self {
            binding: binding.clone(),
            me,
            others: binding.params().signers.others(me).collect(),
            key: key.clone(),
            own: own.ok_or_else(|| Abort::local("the share does not fit its key"))?,
            child,
            message: message.to_vec(),
        })
    }

    /// Two rounds, with nonces from the seed and the share.
    pub(super) fn start_fresh(self, seed: Seed) -> Result<Started, Abort> {
        let nonces = SigningNonces::<C>::new(self.own.signing_share(), &mut seed.into_rng());
        let commitment =
            NonceCommitment::of_own(nonces.commitments()).ok_or_else(|| Abort::local("a nonce is zero"))?;
        let signers = self.binding.params().signers.len();
        let rounds = vec![
            Round { broadcast: C::POINT_LEN.saturating_mul(2), direct: 0, echo: false },
            Round { broadcast: HASH_LEN.saturating_mul(signers).saturating_add(SHARE_LEN), direct: 0, echo: false },
        ];
        let outgoing = Outgoing::broadcast(commitment.to_bytes());
        Ok((Box::new(Sign { signer: self, rounds, state: State::Committed(Box::new(nonces), commitment) }), outgoing))
    }

    /// One round, with a nonce and commitments from before the session.
    pub(super) fn start_shared(self, shared: SharedNonces) -> Result<Started, StartError> {
        let nonces = shared.own.into_library::<C>()?;
        let (package, share) = self.sign(&nonces, &shared.commitments)?;
        let outgoing = Outgoing::broadcast(share.serialize());
        let rounds = vec![Round { broadcast: SHARE_LEN, direct: 0, echo: false }];
        let state = State::Shared { package: Box::new(package), share, hashes: None };
        Ok((Box::new(Sign { signer: self, rounds, state }), outgoing))
    }

    /// Our share. The binding factor covers the child key, the message and every commitment, which is what defeats
    /// Drijvers' attack on concurrent sessions (RFC 9591 section 4.4).
    pub(super) fn sign(
        &self,
        nonces: &SigningNonces<C>,
        commitments: &Commitments,
    ) -> Result<(SigningPackage<C>, SignatureShare<C>), Abort> {
        let mut list = BTreeMap::new();
        for (party, commitment) in commitments {
            let commitment = commitment.to_library().ok_or_else(|| Abort::local("a commitment is of another curve"))?;
            list.insert(identifier(*party)?, commitment);
        }
        let package = SigningPackage::new(list, &self.message);
        let share = frost_core::round2::sign(&package, nonces, &self.own);
        Ok((package, share.map_err(|error| Abort::local(error.to_string()))?))
    }

    fn hashes(&self, commitments: &Commitments) -> Vec<u8> {
        let hash = |(party, commitment): (&PartyIndex, &NonceCommitment)| {
            let commitment = commitment.to_bytes();
            self.binding.derive("limen mpc frost commitment v1", [&[party.as_u8()][..], &commitment[..]])
        };
        commitments.iter().flat_map(hash).collect()
    }

    /// Whether `witness` saw the same commitments as we did.
    fn compare(&self, witness: PartyIndex, ours: &[u8], theirs: &[u8]) -> Result<(), Abort> {
        let lists = ours.chunks_exact(HASH_LEN).zip(theirs.chunks_exact(HASH_LEN));
        let mut places = self.binding.params().signers.parties().iter().zip(lists);
        let Some((broadcaster, _)) = places.find(|(_, (ours, theirs))| ours != theirs) else { return Ok(()) };
        // either the one showed two commitments or the other lies; what we showed ourselves we know
        let suspects = [*broadcaster, witness].into_iter().filter(|party| *party != self.me);
        let reason = AbortReason::BroadcastDiffers { broadcaster: *broadcaster, witness, round: 1 };
        Err(Abort::new(Blame::suspects(suspects), reason))
    }

    /// The signature of all shares, or who sent a wrong one.
    fn aggregate(
        &self,
        package: &SigningPackage<C>,
        shares: BTreeMap<PartyIndex, SignatureShare<C>>,
    ) -> Result<Output, Abort> {
        let mut by_identifier = BTreeMap::new();
        for (party, share) in shares {
            by_identifier.insert(identifier::<C>(party)?, share);
        }
        // the verifying shares serve only to find who is wrong, so they are not made until somebody is
        let public = PublicKeyPackage::new(BTreeMap::new(), *self.own.verifying_key(), Some(*self.own.min_signers()));
        let made = aggregate_custom(package, &by_identifier, &public, CheaterDetection::Disabled);
        let Ok(signature) = made else { return Err(self.find_culprit(package, &by_identifier)) };
        let bytes = signature.serialize().ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let signature = bytes.map(C::signature).ok_or_else(|| self.bad_signature())?;
        // another library than the one that made it has the last word
        match signature.verify(&self.child.public_key, &SignInput::Message(self.message.clone())) {
            Ok(()) => Ok(Output::Signature(signature)),
            Err(_) => Err(self.bad_signature()),
        }
    }

    fn find_culprit(
        &self,
        package: &SigningPackage<C>,
        shares: &BTreeMap<frost_core::Identifier<C>, SignatureShare<C>>,
    ) -> Abort {
        let signers = self.binding.params().signers.parties();
        let Some(public) = public_package::<C>(&self.key, signers, &self.child, OutputKey::Child) else {
            return Abort::local("the verifying shares do not fit their key");
        };
        match aggregate_custom(package, shares, &public, CheaterDetection::AllCheaters) {
            Err(error) => translate(&error, &self.others, |from| AbortReason::SignatureShare { from }),
            Ok(_) => self.bad_signature(),
        }
    }

    fn bad_signature(&self) -> Abort {
        Abort::new(Blame::suspects(self.others.iter().copied()), AbortReason::BadSignature)
    }
}

impl<C: Suite> Machine for Sign<C> {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Committed(nonces, own) => self.share(&nonces, own, &inbox).map(Advance::Next),
            State::Shared { package, share, hashes } => {
                self.assemble(&package, share, hashes.as_deref(), &inbox).map(Advance::Done)
            }
            State::Ended => Err(Abort::local("signing has ended")),
        }
    }
}

impl<C: Suite> Sign<C> {
    /// After round 1 with fresh nonces: the list is complete.
    fn share(&mut self, nonces: &SigningNonces<C>, own: NonceCommitment, inbox: &Inbox) -> Result<Outgoing, Abort> {
        let mut commitments = Commitments::from([(self.signer.me, own)]);
        for (from, body) in &inbox.broadcast {
            let commitment = NonceCommitment::read::<C>(body).map_err(|_| Abort::malformed(*from, "commitments"))?;
            commitments.insert(*from, commitment);
        }
        let (package, share) = self.signer.sign(nonces, &commitments)?;
        let hashes = self.signer.hashes(&commitments);
        let body = [share.serialize(), hashes.clone()].concat();
        self.state = State::Shared { package: Box::new(package), share, hashes: Some(hashes) };
        Ok(Outgoing::broadcast(body))
    }

    /// After the last round.
    fn assemble(
        &self,
        package: &SigningPackage<C>,
        own: SignatureShare<C>,
        hashes: Option<&[u8]>,
        inbox: &Inbox,
    ) -> Result<Output, Abort> {
        let ours = hashes.unwrap_or_default();
        let mut shares = BTreeMap::from([(self.signer.me, own)]);
        for (from, body) in &inbox.broadcast {
            let malformed = || Abort::malformed(*from, "signature share");
            let (share, theirs) = body.split_at_checked(SHARE_LEN).ok_or_else(malformed)?;
            if theirs.len() != ours.len() {
                return Err(malformed());
            }
            shares.insert(*from, SignatureShare::deserialize(share).map_err(|_| malformed())?);
        }
        // who lies about commitments comes first: with different lists an honest share looks wrong
        for (from, body) in &inbox.broadcast {
            self.signer.compare(*from, ours, body.get(SHARE_LEN..).unwrap_or_default())?;
        }
        self.signer.aggregate(package, shares)
    }
}
