//! Key generation: ePrint 2023/602, protocol 9.1, with the set-up of signing in the same rounds.
//!
//! | round | broadcast (made consistent) | direct |
//! |---|---|---|
//! | 1 | – | value of the sender's polynomial at the receiver |
//! | 2 | commitments to proof and chain-code part | commitment to a zero-share seed |
//! | 3 | proof and chain-code part | zero-share seed, base oblivious transfers |
//! | 4 | hash of the key as the sender sees it | – |

use std::collections::{BTreeMap, BTreeSet};

use dkls23::DkgSession;
use dkls23::protocols::dkg::{
    BroadcastDerivationPhase2to4, BroadcastDerivationPhase3to4, ProofCommitment, TransmitInitMulPhase3to4,
    TransmitInitZeroSharePhase2to4, TransmitInitZeroSharePhase3to4,
};
use dkls23::protocols::{Parameters, PartiesMessage, Party, PartyIndex as LibIndex, PublicKeyPackage};
use dkls23::utilities::proofs::DLogProof;
use k256_14::Scalar;
use limen_wire::ids::{PartyIndex, Protocol, Scheme};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Curve, Setup, blame, points};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::codec::{decode, encode};
use crate::key::{CoreShare, KeyPublic, KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::point::Point;
use crate::seed::Seed;
use crate::session::Output;

/// The rounds.
pub(crate) const ROUNDS: [Round; 4] = [
    Round { broadcast: 0, direct: 32, echo: false },
    Round { broadcast: 64, direct: 32, echo: true },
    Round { broadcast: 8 << 10, direct: 256 << 10, echo: true },
    Round { broadcast: 32, direct: 0, echo: false },
];

/// The rounds of [`setup_for`]: those of key generation after the first.
pub(crate) const SETUP_ROUNDS: [Round; 3] = {
    let [_, commitments, openings, confirmation] = ROUNDS;
    [commitments, openings, confirmation]
};

/// Base oblivious transfers per direction (the library's `KAPPA`).
const BASE_TRANSFERS: usize = 256;

/// Round 2, to all.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Commitments {
    proof: [u8; 32],
    chain_code: [u8; 32],
}

/// Round 3, to all.
#[derive(Clone, Serialize, Deserialize)]
struct Openings {
    proof: DLogProof<Curve>,
    chain_code: [u8; 32],
    chain_code_salt: Vec<u8>,
}

/// Round 3, to one.
#[derive(Serialize, Deserialize)]
struct PairSetup {
    zero_share: TransmitInitZeroSharePhase3to4,
    transfers: TransmitInitMulPhase3to4<Curve>,
}

struct Keygen {
    binding: Binding,
    me: PartyIndex,
    others: BTreeSet<PartyIndex>,
    step: u8,
    library: Option<DkgSession<Curve>>,
    own_fragment: Scalar,
    /// The shares that are there, which each has to prove; `None` if they are being made.
    shares: Option<BTreeMap<PartyIndex, Point>>,
    own_proof: Option<ProofCommitment<Curve>>,
    own_chain_code: Option<(BroadcastDerivationPhase2to4, BroadcastDerivationPhase3to4)>,
    commitments: BTreeMap<PartyIndex, Commitments>,
    zero_commitments: Vec<TransmitInitZeroSharePhase2to4>,
    finished: Option<Box<KeyShare>>,
}

impl Drop for Keygen {
    fn drop(&mut self) {
        self.own_fragment.zeroize();
    }
}

/// Starts key generation. The library draws its own randomness: see the module's exception.
pub(crate) fn keygen(binding: &Binding, me: PartyIndex, _seed: Seed) -> Result<Started, Abort> {
    let library = library(binding, me)?;
    let fragments = Zeroizing::new(library.phase1());
    let others: BTreeSet<_> = binding.params().signers.others(me).collect();
    let fragment_of = |party: PartyIndex| {
        let position = usize::from(party.as_u8()).checked_sub(1);
        position.and_then(|position| fragments.get(position)).ok_or_else(|| Abort::local("too few fragments"))
    };
    let mut outgoing = Outgoing::default();
    for party in &others {
        outgoing.direct.insert(*party, points::to_bytes(fragment_of(*party)?).to_vec());
    }
    let machine = Keygen::new(binding, me, library, *fragment_of(me)?);
    Ok((Box::new(machine), outgoing))
}

/// Starts making a set-up for the shares of a key that is there. Zero-share seeds and oblivious transfers depend on the session
/// and the pair of parties alone; where key generation proves the points of a new polynomial, each proves its share. What
/// comes out is a share with another chain code, of which the set-up is to be kept.
pub(crate) fn setup_for(
    binding: &Binding,
    me: PartyIndex,
    share: &CoreShare,
    shares: BTreeMap<PartyIndex, Point>,
) -> Result<Started, Abort> {
    let share = points::from_bytes(share.scalar()).ok_or_else(|| Abort::local("the share is no scalar"))?;
    let library = library(binding, me)?;
    let mut machine = Keygen::new(binding, me, library, share);
    (machine.shares, machine.step) = (Some(shares), 1);
    let outgoing = machine.commitments(&Zeroizing::new(vec![share]))?;
    Ok((Box::new(machine), outgoing))
}

fn library(binding: &Binding, me: PartyIndex) -> Result<DkgSession<Curve>, Abort> {
    let size = binding.params().size;
    let parameters = Parameters::new(size.signers_required(), size.signers_total());
    let parameters = parameters.map_err(|error| Abort::local(error.to_string()))?;
    Ok(DkgSession::<Curve>::new(parameters, lib_index(me)?, binding.digest().to_vec()))
}

impl Machine for Keygen {
    fn rounds(&self) -> &[Round] {
        if self.shares.is_some() { &SETUP_ROUNDS } else { &ROUNDS }
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        self.step = self.step.saturating_add(1);
        match self.step {
            1 => self.commit(inbox).map(Advance::Next),
            2 => self.open(inbox).map(Advance::Next),
            3 => self.finish(inbox).map(Advance::Next),
            4 => self.confirm(inbox).map(Advance::Done),
            step => Err(Abort::local(format!("key generation has no step {step}"))),
        }
    }
}

impl Keygen {
    fn new(binding: &Binding, me: PartyIndex, library: DkgSession<Curve>, own_fragment: Scalar) -> Self {
        Self {
            binding: binding.clone(),
            me,
            others: binding.params().signers.others(me).collect(),
            step: 0,
            library: Some(library),
            own_fragment,
            shares: None,
            own_proof: None,
            own_chain_code: None,
            commitments: BTreeMap::new(),
            zero_commitments: Vec::new(),
            finished: None,
        }
    }

    /// After round 1: our share is the sum of the fragments; commits to a proof that we know it.
    fn commit(&mut self, inbox: Inbox) -> Result<Outgoing, Abort> {
        let mut fragments = Zeroizing::new(vec![self.own_fragment]);
        for (from, body) in &inbox.direct {
            let bytes = body.as_slice().try_into().map_err(|_| Abort::malformed(*from, "fragment"))?;
            fragments.push(points::from_bytes(bytes).ok_or_else(|| Abort::malformed(*from, "fragment"))?);
        }
        self.commitments(&fragments)
    }

    /// Commits to a proof that we know the sum of these.
    fn commitments(&mut self, fragments: &[Scalar]) -> Result<Outgoing, Abort> {
        let others = &self.others;
        let library = self.library.as_mut().ok_or_else(|| Abort::local("key generation has ended"))?;
        let (proof, zero, chain_code) = library.phase2(fragments).map_err(|abort| blame::translate(&abort, others))?;
        let commitments = Commitments { proof: proof.commitment, chain_code: chain_code.cc_commitment };
        let mut outgoing = Outgoing::broadcast(encode(&commitments)?);
        for message in zero {
            outgoing.direct.insert(index(message.parties.receiver)?, message.commitment.to_vec());
        }
        self.own_proof = Some(proof);
        let opening = BroadcastDerivationPhase3to4 {
            sender_index: lib_index(self.me)?,
            aux_chain_code: [0; 32],
            cc_salt: Vec::new(),
        };
        self.own_chain_code = Some((chain_code, opening));
        self.commitments.insert(self.me, commitments);
        Ok(outgoing)
    }

    /// After round 2, when all have the same commitments: opens ours.
    fn open(&mut self, inbox: Inbox) -> Result<Outgoing, Abort> {
        for (from, body) in &inbox.broadcast {
            let theirs: Commitments = decode(*from, "commitments", body)?;
            // a copied commitment could be opened by copying its opening, which would cancel the copied party's part
            let same = |known: &Commitments| known.proof == theirs.proof || known.chain_code == theirs.chain_code;
            if let Some((original, _)) = self.commitments.iter().find(|(_, known)| same(known)) {
                // who copied whom cannot be told, unless one of the two is ours
                let suspects = [*original, *from].into_iter().filter(|party| *party != self.me);
                let reason = AbortReason::CopiedCommitment { one: *original, other: *from };
                return Err(Abort::new(Blame::suspects(suspects), reason));
            }
            self.commitments.insert(*from, theirs);
        }
        for (from, body) in &inbox.direct {
            let commitment = body.as_slice().try_into().map_err(|_| Abort::malformed(*from, "seed commitment"))?;
            let parties = self.from(*from)?;
            self.zero_commitments.push(TransmitInitZeroSharePhase2to4 { parties, commitment });
        }
        let others = &self.others;
        let library = self.library.as_mut().ok_or_else(|| Abort::local("key generation has ended"))?;
        let (zero, transfers, chain_code) = library.phase3().map_err(|abort| blame::translate(&abort, others))?;
        let proof = self.own_proof.as_ref().ok_or_else(|| Abort::local("no proof of our own"))?;
        let openings = Openings {
            proof: proof.proof.clone(),
            chain_code: chain_code.aux_chain_code,
            chain_code_salt: chain_code.cc_salt.clone(),
        };
        let mut outgoing = Outgoing::broadcast(encode(&openings)?);
        for (zero_share, transfers) in zero.into_iter().zip(transfers) {
            let receiver = index(zero_share.parties.receiver)?;
            outgoing.direct.insert(receiver, encode(&PairSetup { zero_share, transfers })?);
        }
        if let Some((_, opening)) = &mut self.own_chain_code {
            *opening = chain_code;
        }
        Ok(outgoing)
    }

    /// After round 3: checks every proof and opening; confirms the key that comes of it.
    fn finish(&mut self, inbox: Inbox) -> Result<Outgoing, Abort> {
        let own = (self.own_proof.take(), self.own_chain_code.take());
        let (Some(own_proof), Some((own_commitment, own_opening))) = own else {
            return Err(Abort::local("no contribution of our own"));
        };
        let mut proofs = vec![own_proof];
        let mut chain_commitments = BTreeMap::from([(lib_index(self.me)?, own_commitment)]);
        let mut chain_openings = BTreeMap::from([(lib_index(self.me)?, own_opening)]);
        for (from, body) in &inbox.broadcast {
            let openings: Openings = decode(*from, "openings", body)?;
            let proven = points::to_point(&openings.proof.point);
            if self.shares.as_ref().is_some_and(|shares| shares.get(from) != proven.as_ref()) {
                let reason = AbortReason::Proof { from: *from, what: "its share" };
                return Err(Abort::new(Blame::party(*from, Action::Replace), reason));
            }
            let committed = self.commitments.get(from).ok_or_else(|| Abort::local("a commitment is missing"))?;
            let index = lib_index(*from)?;
            proofs.push(ProofCommitment { index, proof: openings.proof, commitment: committed.proof });
            let commitment = BroadcastDerivationPhase2to4 { sender_index: index, cc_commitment: committed.chain_code };
            chain_commitments.insert(index, commitment);
            let opening = BroadcastDerivationPhase3to4 {
                sender_index: index,
                aux_chain_code: openings.chain_code,
                cc_salt: openings.chain_code_salt,
            };
            chain_openings.insert(index, opening);
        }
        let (zero, transfers) = self.pair_setups(&inbox)?;
        let library = self.library.take().ok_or_else(|| Abort::local("key generation has ended"))?;
        let (party, package) = library
            .phase4(&proofs, &self.zero_commitments, &zero, &transfers, &chain_commitments, &chain_openings, |_| {
                String::new()
            })
            .map_err(|abort| blame::translate(&abort, &self.others))?;
        let share = self.key_share(&party, &package)?;
        let confirmation = self.confirmation(share.public());
        self.finished = Some(Box::new(share));
        Ok(Outgoing::broadcast(confirmation.to_vec()))
    }

    fn pair_setups(
        &self,
        inbox: &Inbox,
    ) -> Result<(Vec<TransmitInitZeroSharePhase3to4>, Vec<TransmitInitMulPhase3to4<Curve>>), Abort> {
        let mut zero = Vec::with_capacity(inbox.direct.len());
        let mut transfers = Vec::with_capacity(inbox.direct.len());
        for (from, body) in &inbox.direct {
            let pair: PairSetup = decode(*from, "pair set-up", body)?;
            let well_addressed = |parties: &PartiesMessage| {
                parties.sender.as_u8() == from.as_u8() && parties.receiver.as_u8() == self.me.as_u8()
            };
            let routed = well_addressed(&pair.zero_share.parties) && well_addressed(&pair.transfers.parties);
            if !routed || pair.transfers.enc_proofs.len() != BASE_TRANSFERS {
                return Err(Abort::malformed(*from, "pair set-up"));
            }
            zero.push(pair.zero_share);
            transfers.push(pair.transfers);
        }
        Ok((zero, transfers))
    }

    fn key_share(&self, party: &Party<Curve>, package: &PublicKeyPackage<Curve>) -> Result<KeyShare, Abort> {
        let params = self.binding.params();
        let unusable = || Abort::new(Blame::suspects(self.others.iter().copied()), AbortReason::InconsistentShares);
        let mut verifying_shares = BTreeMap::new();
        for signer in params.signers.parties() {
            let share = package.verifying_share(lib_index(*signer)?).and_then(points::to_point);
            verifying_shares.insert(*signer, share.ok_or_else(unusable)?);
        }
        let public = KeyPublic {
            cluster: params.cluster.clone(),
            key: params.key.clone(),
            epoch: params.epoch,
            scheme: Scheme::EcdsaSecp256k1,
            protocol: Protocol::Dkls23,
            size: params.size,
            public_key: points::to_point(&party.pk).ok_or_else(unusable)?,
            chain_code: *party.chain_code(),
            verifying_shares,
        };
        let core = CoreShare::new(self.me, points::to_bytes(&party.poly_point));
        let setup = ProtocolSetup::Dkls23(Box::new(Setup::of(party, &public)));
        KeyShare::assemble(public, core, setup).map_err(|_| unusable())
    }

    fn confirmation(&self, public: &KeyPublic) -> [u8; 32] {
        self.binding.derive("limen mpc key confirmation v1", [&public.digest()[..]])
    }

    /// After round 4: all must have made the same key.
    fn confirm(&mut self, inbox: Inbox) -> Result<Output, Abort> {
        let share = self.finished.take().ok_or_else(|| Abort::local("there is no key to confirm"))?;
        let expected = self.confirmation(share.public());
        match inbox.broadcast.iter().find(|(_, body)| body.as_slice() != expected) {
            // every input to the key was made consistent before, so only a liar can differ
            Some((from, _)) => {
                Err(Abort::new(Blame::party(*from, Action::Replace), AbortReason::KeyConfirmation { from: *from }))
            }
            None => Ok(Output::Key(share)),
        }
    }

    fn from(&self, sender: PartyIndex) -> Result<PartiesMessage, Abort> {
        Ok(PartiesMessage { sender: lib_index(sender)?, receiver: lib_index(self.me)? })
    }
}

/// Our index as the library's.
pub(super) fn lib_index(party: PartyIndex) -> Result<LibIndex, Abort> {
    LibIndex::new(party.as_u8()).map_err(|error| Abort::local(error.to_string()))
}

/// The library's index as ours.
pub(super) fn index(party: LibIndex) -> Result<PartyIndex, Abort> {
    PartyIndex::new(u16::from(party.as_u8())).map_err(|error| Abort::local(error.to_string()))
}

#[cfg(test)]
mod tests;
