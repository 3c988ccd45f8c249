//! Key generation: ePrint 2020/852, figure 1, with a second proof and a chain code.
//!
//! | round | broadcast | direct |
//! |---|---|---|
//! | 1 (made consistent) | commitments to the polynomial, two proofs of its constant term, commitment to a chain-code part | – |
//! | 2 | chain-code part | value of the sender's polynomial at the receiver |
//! | 3 | hash of the key and of all round 1 as the sender sees them | – |
//!
//! The figure's proof of knowledge has a context against replay that the library leaves out, so a copied proof of another
//! run would pass. The second proof is a Schnorr signature by the constant term over the session's binding, the sender and
//! all its commitments; it closes that. The chain code is the hash of all parts, each committed to before any is seen
//! (Blum's coin tossing): nobody can choose it, at worst make the run fail.

use std::collections::BTreeMap;

use frost_core::keys::dkg::{self, round1, round2};
use frost_core::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifiableSecretSharingCommitment};
use frost_core::{Identifier, Signature, SigningKey, VerifyingKey};
use limen_wire::ids::{PartyIndex, Protocol};
use rand_core::RngCore;
use zeroize::Zeroizing;

use super::suite::{Suite, coefficient, identifier, point, translate};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::key::{CoreShare, KeyPublic, KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::seed::Seed;
use crate::session::Output;

/// Round 1 has room for more commitments than any key has, so that a polynomial of too high a degree is seen and blamed.
const ROUNDS: [Round; 3] = [
    Round { broadcast: 2048, direct: 0, echo: true },
    Round { broadcast: 32, direct: 32, echo: false },
    Round { broadcast: 32, direct: 0, echo: false },
];
/// Bytes of a proof of either kind.
const PROOF_LEN: usize = 64;

/// What one party broadcasts in round 1, once it is checked.
struct Contribution<C: Suite> {
    package: round1::Package<C>,
    chain_commitment: [u8; 32],
}

enum State<C: Suite> {
    Committed(Box<round1::SecretPackage<C>>),
    Shared(Box<round2::SecretPackage<C>>),
    Made(Box<KeyShare>),
    Ended,
}

struct Keygen<C: Suite> {
    binding: Binding,
    me: PartyIndex,
    others: Vec<PartyIndex>,
    state: State<C>,
    own_body: Vec<u8>,
    own_part: Zeroizing<[u8; 32]>,
    packages: BTreeMap<Identifier<C>, round1::Package<C>>,
    chain_commitments: BTreeMap<PartyIndex, [u8; 32]>,
    transcript: [u8; 32],
}

/// Starts key generation.
pub(super) fn start<C: Suite>(binding: &Binding, me: PartyIndex, seed: Seed) -> Result<Started, Abort> {
    let size = binding.params().size;
    let (total, required) = (u16::from(size.signers_total()), u16::from(size.signers_required()));
    let mut rng = seed.into_rng();
    let made = dkg::part1::<C, _>(identifier(me)?, total, required, &mut rng);
    let (secret, package) = made.map_err(|error| Abort::local(error.to_string()))?;
    let mut own_part = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut own_part[..]);

    let mut body = Vec::new();
    for coefficient in package.commitment().coefficients() {
        let point = point::<C>(&coefficient.value()).ok_or_else(|| Abort::local("a coefficient is zero"))?;
        body.extend_from_slice(point.as_bytes());
    }
    let message = proof_message(binding, me, &body);
    let proof = constant_term(&secret)?.sign(&mut rng, &message);
    body.extend(encode(package.proof_of_knowledge())?);
    body.extend(encode(&proof)?);
    body.extend(chain_commitment(binding, me, &own_part));
    let machine = Keygen {
        binding: binding.clone(),
        me,
        others: binding.params().signers.others(me).collect(),
        state: State::Committed(Box::new(secret)),
        own_body: body.clone(),
        own_part,
        packages: BTreeMap::new(),
        chain_commitments: BTreeMap::new(),
        transcript: [0; 32],
    };
    Ok((Box::new(machine), Outgoing::broadcast(body)))
}

/// The key whose public side is the first commitment.
fn constant_term<C: Suite>(secret: &round1::SecretPackage<C>) -> Result<SigningKey<C>, Abort> {
    let mut coefficients = secret.coefficients();
    let key = coefficients.first().map(|first| SigningKey::from_scalar(*first));
    coefficients.iter_mut().for_each(C::wipe);
    key.and_then(Result::ok).ok_or_else(|| Abort::local("a coefficient is zero"))
}

fn encode<C: Suite>(signature: &Signature<C>) -> Result<Vec<u8>, Abort> {
    signature.serialize().map_err(|error| Abort::local(error.to_string()))
}

fn proof_message(binding: &Binding, from: PartyIndex, commitments: &[u8]) -> [u8; 32] {
    binding.derive("limen mpc frost key proof v1", [&[from.as_u8()][..], commitments])
}

fn chain_commitment(binding: &Binding, from: PartyIndex, part: &[u8; 32]) -> [u8; 32] {
    // the sender is in it, so a copied commitment cannot be opened; 32 random bytes need no salt to stay hidden
    binding.derive("limen mpc frost chain code commitment v1", [&[from.as_u8()][..], &part[..]])
}

impl<C: Suite> Machine for Keygen<C> {
    fn rounds(&self) -> &[Round] {
        &ROUNDS
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Committed(secret) => self.share(*secret, &inbox).map(Advance::Next),
            State::Shared(secret) => self.finish(&secret, &inbox).map(Advance::Next),
            State::Made(share) => self.confirm(share, &inbox).map(Advance::Done),
            State::Ended => Err(Abort::local("key generation has ended")),
        }
    }
}

impl<C: Suite> Keygen<C> {
    /// After round 1, which all saw alike: checks every contribution; sends each party its share and opens our part.
    fn share(&mut self, secret: round1::SecretPackage<C>, inbox: &Inbox) -> Result<Outgoing, Abort> {
        for (from, body) in &inbox.broadcast {
            let contribution = self.read(*from, body)?;
            self.packages.insert(identifier(*from)?, contribution.package);
            self.chain_commitments.insert(*from, contribution.chain_commitment);
        }
        self.transcript = self.transcript_of(inbox);
        let proof = |from| AbortReason::Proof { from, what: "knowledge of the constant term" };
        let shared = dkg::part2(secret, &self.packages);
        let (secret, shares) = shared.map_err(|error| translate(&error, &self.others, proof))?;
        let mut outgoing = Outgoing::broadcast(self.own_part.to_vec());
        for party in &self.others {
            let share = shares.get(&identifier(*party)?).ok_or_else(|| Abort::local("a share is missing"))?;
            outgoing.direct.insert(*party, scalar_bytes(share.signing_share()).to_vec());
        }
        self.state = State::Shared(Box::new(secret));
        Ok(outgoing)
    }

    /// Reads `commitments ‖ proof of knowledge ‖ session proof ‖ chain-code commitment`. The number of commitments is
    /// `signers_required`: one more would raise the threshold unseen.
    fn read(&self, from: PartyIndex, body: &[u8]) -> Result<Contribution<C>, Abort> {
        let malformed = |what| Abort::malformed(from, what);
        let degree = usize::from(self.binding.params().size.signers_required());
        let (commitments, rest) =
            body.split_at_checked(degree.saturating_mul(C::POINT_LEN)).ok_or_else(|| malformed("contribution"))?;
        let (knowledge, rest) = rest.split_at_checked(PROOF_LEN).ok_or_else(|| malformed("contribution"))?;
        let (session, chain) = rest.split_at_checked(PROOF_LEN).ok_or_else(|| malformed("contribution"))?;
        let chain_commitment = chain.try_into().map_err(|_| malformed("contribution"))?;

        let coefficients: Option<Vec<_>> = commitments.chunks_exact(C::POINT_LEN).map(coefficient::<C>).collect();
        let coefficients = coefficients.ok_or_else(|| malformed("commitment to a coefficient"))?;
        let first = coefficients.first().map(|first| VerifyingKey::<C>::new(first.value()));
        let key = first.ok_or_else(|| malformed("contribution"))?;
        let proof = Signature::deserialize(session).map_err(|_| malformed("proof"))?;
        let knowledge = Signature::deserialize(knowledge).map_err(|_| malformed("proof"))?;
        let message = proof_message(&self.binding, from, commitments);
        if key.verify(&message, &proof).is_err() {
            let reason = AbortReason::Proof { from, what: "constant term, bound to this session" };
            return Err(Abort::new(Blame::party(from, Action::Replace), reason));
        }
        let package = round1::Package::new(VerifiableSecretSharingCommitment::new(coefficients), knowledge);
        Ok(Contribution { package, chain_commitment })
    }

    /// Hash over all contributions, in the order of the signers.
    fn transcript_of(&self, inbox: &Inbox) -> [u8; 32] {
        let bodies = self.binding.params().signers.parties().iter().map(|party| {
            let body = inbox.broadcast.get(party).map_or(&self.own_body[..], |body| &body[..]);
            (party.as_u8(), body)
        });
        let hashes: Vec<[u8; 32]> = bodies
            .map(|(party, body)| self.binding.derive("limen mpc frost contribution v1", [&[party][..], body]))
            .collect();
        self.binding.derive("limen mpc frost transcript v1", hashes.iter().map(|hash| &hash[..]))
    }

    /// After round 2: checks every share against its sender's commitments, and every opening; confirms what comes of it.
    fn finish(&mut self, secret: &round2::SecretPackage<C>, inbox: &Inbox) -> Result<Outgoing, Abort> {
        let mut shares = BTreeMap::new();
        for (from, body) in &inbox.direct {
            let malformed = || Abort::malformed(*from, "share");
            let bytes = Zeroizing::new(<[u8; 32]>::try_from(&body[..]).map_err(|_| malformed())?);
            let share = SigningShare::<C>::new(C::scalar(&bytes).ok_or_else(malformed)?);
            shares.insert(identifier(*from)?, round2::Package::new(share));
        }
        let chain_code = self.chain_code(inbox)?;
        let wrong = |from| AbortReason::DealtShare { from };
        let made = dkg::part3(secret, &self.packages, &shares);
        let (own, public) = made.map_err(|error| translate(&error, &self.others, wrong))?;
        let (own, public) = C::normal(own, public);
        let share = Box::new(self.key_share(&own, &public, chain_code)?);
        let confirmation = self.confirmation(share.public());
        self.state = State::Made(share);
        Ok(Outgoing::broadcast(confirmation.to_vec()))
    }

    /// The hash of all parts, in the order of the signers, if each is the one that was committed to.
    fn chain_code(&self, inbox: &Inbox) -> Result<[u8; 32], Abort> {
        let mut parts = BTreeMap::from([(self.me, *self.own_part)]);
        for (from, body) in &inbox.broadcast {
            let part = body.as_slice().try_into().map_err(|_| Abort::malformed(*from, "chain-code part"))?;
            if self.chain_commitments.get(from) != Some(&chain_commitment(&self.binding, *from, &part)) {
                let reason = AbortReason::Commitment { from: *from };
                return Err(Abort::new(Blame::party(*from, Action::Replace), reason));
            }
            parts.insert(*from, part);
        }
        Ok(self.binding.derive("limen mpc frost chain code v1", parts.values().map(|part| &part[..])))
    }

    fn key_share(
        &self,
        own: &KeyPackage<C>,
        library: &PublicKeyPackage<C>,
        chain_code: [u8; 32],
    ) -> Result<KeyShare, Abort> {
        let params = self.binding.params();
        let unusable = || Abort::new(Blame::suspects(self.others.iter().copied()), AbortReason::InconsistentShares);
        let mut verifying_shares = BTreeMap::new();
        for signer in params.signers.parties() {
            let share = library.verifying_shares().get(&identifier(*signer)?);
            let share = share.and_then(|share| point::<C>(&share.to_element()));
            verifying_shares.insert(*signer, share.ok_or_else(unusable)?);
        }
        let public = KeyPublic {
            cluster: params.cluster.clone(),
            key: params.key.clone(),
            epoch: params.epoch,
            scheme: C::SCHEME,
            protocol: Protocol::Frost,
            size: params.size,
            public_key: point::<C>(&library.verifying_key().to_element()).ok_or_else(unusable)?,
            chain_code,
            verifying_shares,
        };
        let core = CoreShare::new(self.me, scalar_bytes(own.signing_share()));
        KeyShare::assemble(public, core, ProtocolSetup::None).map_err(|_| unusable())
    }

    fn confirmation(&self, public: &KeyPublic) -> [u8; 32] {
        self.binding.derive("limen mpc key confirmation v1", [&public.digest()[..], &self.transcript[..]])
    }

    /// After round 3: all must have made the same key from the same contributions.
    fn confirm(&self, share: Box<KeyShare>, inbox: &Inbox) -> Result<Output, Abort> {
        let expected = self.confirmation(share.public());
        match inbox.broadcast.iter().find(|(_, body)| body.as_slice() != expected) {
            // every public input was made consistent or committed to before, so only a liar can differ
            Some((from, _)) => {
                let reason = AbortReason::KeyConfirmation { from: *from };
                Err(Abort::new(Blame::party(*from, Action::Replace), reason))
            }
            None => Ok(Output::Key(share)),
        }
    }
}

fn scalar_bytes<C: Suite>(share: &SigningShare<C>) -> Zeroizing<[u8; 32]> {
    let mut scalar = share.to_scalar();
    let bytes = C::scalar_bytes(&scalar);
    C::wipe(&mut scalar);
    bytes
}
