//! Signing: ePrint 2023/765, protocol 3.6.
//!
//! | round | broadcast | direct |
//! |---|---|---|
//! | 1 | – | commitment to the nonce point, oblivious-transfer extension |
//! | 2 | – | opened nonce point, multiplication, consistency values |
//! | 3 (three or more sign) | the nonce points as the sender saw them | – |
//! | last | hash of the nonce point, `u`, `w` | – |
//!
//! The library sends each nonce point to each signer separately. A signer that shows different points to different
//! signers would make them add up different nonces `R`, so with three or more all compare every point before the last
//! message leaves. With two there is nobody else to tell another point, and `R` is compared on arrival.

use std::collections::{BTreeMap, BTreeSet};

use dkls23::protocols::signing::{
    Broadcast3to4, KeepPhase1to2, KeepPhase2to3, SignData, TransmitPhase1to2, TransmitPhase2to3, UniqueKeep1to2,
    UniqueKeep2to3,
};
use dkls23::protocols::{PartiesMessage, Party, PartyIndex as LibIndex};
use k256_14::ProjectivePoint;
use limen_wire::ids::PartyIndex;
use serde::{Deserialize, Serialize};

use super::keygen::{index, lib_index};
use super::{Curve, blame, points};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::codec::{decode, encode};
use crate::derive::{DerivationPath, derive_public};
use crate::key::{KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::point::Point;
use crate::seed::Seed;
use crate::session::{Output, StartError};
use crate::signature::{SignInput, Signature};

/// Dimensions of the oblivious-transfer extension, as the library's constants have them.
mod dims {
    /// Rows of the extension matrix, base transfers.
    pub(super) const KAPPA: usize = 256;
    /// Transfers per multiplication.
    pub(super) const BATCH: usize = 256 + 2 * 80;
    /// Vectors of corrections per multiplication.
    pub(super) const WIDTH: usize = 4;
    /// Values multiplied at once.
    pub(super) const L: usize = 2;
    /// Bytes of a commitment's salt.
    pub(super) const SALT: usize = 64;
}

/// Last round.
#[derive(Serialize, Deserialize)]
struct LastMessage {
    nonce: [u8; 32],
    u: [u8; 32],
    w: [u8; 32],
}

enum State {
    Committed { unique: UniqueKeep1to2<Curve>, kept: BTreeMap<LibIndex, KeepPhase1to2<Curve>> },
    Multiplied { unique: UniqueKeep2to3<Curve>, kept: BTreeMap<LibIndex, KeepPhase2to3<Curve>> },
    Ready { r: String, nonce: [u8; 32], own: Broadcast3to4<Curve> },
    Ended,
}

struct Sign {
    binding: Binding,
    me: PartyIndex,
    others: BTreeSet<PartyIndex>,
    rounds: Vec<Round>,
    party: Box<Party<Curve>>,
    data: SignData,
    public_key: Point,
    input: SignInput,
    state: State,
    /// The nonce point of each signer, as it was opened to us.
    nonce_points: BTreeMap<PartyIndex, Point>,
    nonces_compared: bool,
}

/// Starts signing under the child key at `path`. The library draws its own randomness: see the module's exception.
pub(crate) fn sign(
    binding: &Binding,
    me: PartyIndex,
    key: &KeyShare,
    path: &DerivationPath,
    input: &SignInput,
    _seed: Seed,
) -> Result<Started, StartError> {
    let message_hash = input.ecdsa_digest().ok_or(StartError::Input(key.public().scheme))?;
    let ProtocolSetup::Dkls23(setup) = key.setup() else { return Err(StartError::ShareMismatch("protocol")) };
    let child = derive_public(&key.public().public_key, &key.public().chain_code, path)?;
    let party = setup.party(key.public(), key.core(), &child);
    let party = Box::new(party.ok_or_else(|| Abort::local("the share does not make a party"))?);
    let others: BTreeSet<_> = binding.params().signers.others(me).collect();
    let counterparties = others.iter().map(|other| lib_index(*other)).collect::<Result<Vec<_>, _>>()?;
    let data = SignData { sign_id: binding.digest().to_vec(), counterparties, message_hash };
    let (unique, kept, messages) = party.sign_phase1(&data).map_err(|abort| blame::translate(&abort, &others))?;
    let outgoing = direct(messages, |message| message.parties.receiver)?;
    let machine = Sign {
        binding: binding.clone(),
        me,
        rounds: rounds(binding.params().signers.len()),
        others,
        party,
        data,
        public_key: child.public_key,
        input: input.clone(),
        nonce_points: BTreeMap::new(),
        state: State::Committed { unique, kept },
        nonces_compared: false,
    };
    Ok((Box::new(machine), outgoing))
}

fn rounds(signers: usize) -> Vec<Round> {
    let mut rounds = vec![
        Round { broadcast: 0, direct: 64 << 10, echo: false },
        Round { broadcast: 0, direct: 96 << 10, echo: false },
    ];
    if signers > 2 {
        rounds.push(Round { broadcast: 33 * signers, direct: 0, echo: false });
    }
    rounds.push(Round { broadcast: 96, direct: 0, echo: false });
    rounds
}

fn direct<T: Serialize>(messages: Vec<T>, receiver: impl Fn(&T) -> LibIndex) -> Result<Outgoing, Abort> {
    let mut outgoing = Outgoing::default();
    for message in messages {
        outgoing.direct.insert(index(receiver(&message))?, encode(&message)?);
    }
    Ok(outgoing)
}

impl Machine for Sign {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Committed { unique, kept } => self.multiply(unique, kept, inbox).map(Advance::Next),
            State::Multiplied { unique, kept } => self.reveal_nonce(unique, kept, inbox).map(Advance::Next),
            State::Ready { r, nonce, own } if self.others.len() > 1 && !self.nonces_compared => {
                self.compare_nonces(&inbox)?;
                let last = last_message(nonce, &own)?;
                self.state = State::Ready { r, nonce, own };
                Ok(Advance::Next(last))
            }
            State::Ready { r, nonce, own } => self.assemble(&r, nonce, own, inbox).map(Advance::Done),
            State::Ended => Err(Abort::local("signing has ended")),
        }
    }
}

fn last_message(nonce: [u8; 32], own: &Broadcast3to4<Curve>) -> Result<Outgoing, Abort> {
    let message = LastMessage { nonce, u: *points::to_bytes(&own.u), w: *points::to_bytes(&own.w) };
    encode(&message).map(Outgoing::broadcast)
}

impl Sign {
    /// After round 1: answers each multiplication and opens our nonce point.
    fn multiply(
        &mut self,
        unique: UniqueKeep1to2<Curve>,
        kept: BTreeMap<LibIndex, KeepPhase1to2<Curve>>,
        inbox: Inbox,
    ) -> Result<Outgoing, Abort> {
        let mut messages = Vec::with_capacity(inbox.direct.len());
        for (from, body) in &inbox.direct {
            let message: TransmitPhase1to2 = decode(*from, "multiplication request", body)?;
            self.check_parties(*from, &message.parties)?;
            if message.mul_transmit.u.len() != dims::KAPPA || message.mul_transmit.verify_t.len() != dims::KAPPA {
                return Err(Abort::malformed(*from, "multiplication request"));
            }
            messages.push(message);
        }
        let result = self.party.sign_phase2(&self.data, unique, kept, &messages);
        let (unique, kept, messages) = result.map_err(|abort| blame::translate(&abort, &self.others))?;
        self.state = State::Multiplied { unique, kept };
        direct(messages, |message| message.parties.receiver)
    }

    /// After round 2: finishes the multiplications; all nonce points are known.
    fn reveal_nonce(
        &mut self,
        unique: UniqueKeep2to3<Curve>,
        kept: BTreeMap<LibIndex, KeepPhase2to3<Curve>>,
        inbox: Inbox,
    ) -> Result<Outgoing, Abort> {
        let own =
            points::to_point(&unique.instance_point).ok_or_else(|| Abort::local("own nonce point is the identity"))?;
        self.nonce_points.insert(self.me, own);
        let mut sum = ProjectivePoint::from(unique.instance_point);
        let mut messages = Vec::with_capacity(inbox.direct.len());
        for (from, body) in &inbox.direct {
            let message: TransmitPhase2to3<Curve> = decode(*from, "multiplication answer", body)?;
            self.check_answer(*from, &message)?;
            let point = points::to_point(&message.instance_point);
            self.nonce_points.insert(*from, point.ok_or_else(|| Abort::malformed(*from, "nonce point"))?);
            sum += message.instance_point;
            messages.push(message);
        }
        let result = self.party.sign_phase3(&self.data, unique, kept, &messages);
        let (r, own) = result.map_err(|abort| blame::translate(&abort, &self.others))?;
        let suspects = || Blame::suspects(self.others.iter().copied());
        let sum = points::to_point(&sum.to_affine());
        let sum = sum.ok_or_else(|| Abort::new(suspects(), AbortReason::InconsistentShares))?;
        let nonce = self.binding.derive("limen mpc dkls23 nonce v1", [sum.as_bytes()]);
        let outgoing = if self.others.len() > 1 {
            Outgoing::broadcast(self.nonce_points.values().flat_map(|point| point.as_bytes()).copied().collect())
        } else {
            last_message(nonce, &own)?
        };
        self.state = State::Ready { r, nonce, own };
        Ok(outgoing)
    }

    /// After round 3 of three or more: everyone must have seen the same points.
    fn compare_nonces(&mut self, inbox: &Inbox) -> Result<(), Abort> {
        for (witness, body) in &inbox.broadcast {
            if body.len() != 33 * self.nonce_points.len() {
                return Err(Abort::malformed(*witness, "nonce points"));
            }
            let lists = self.nonce_points.iter().zip(body.chunks_exact(33));
            if let Some(((signer, _), _)) = lists.into_iter().find(|((_, ours), theirs)| ours.as_bytes() != *theirs) {
                // either the signer showed two points or the witness lies; what we showed ourselves we know
                let suspects = [*signer, *witness].into_iter().filter(|party| *party != self.me);
                return Err(Abort::new(Blame::suspects(suspects), AbortReason::NonceDiffers { from: *witness }));
            }
        }
        self.nonces_compared = true;
        Ok(())
    }

    /// After the last round: the signature, checked by another library than the one that made it.
    fn assemble(&mut self, r: &str, nonce: [u8; 32], own: Broadcast3to4<Curve>, inbox: Inbox) -> Result<Output, Abort> {
        let mut shares = vec![own];
        for (from, body) in &inbox.broadcast {
            let message: LastMessage = decode(*from, "last message", body)?;
            if message.nonce != nonce {
                return Err(Abort::new(
                    Blame::party(*from, Action::Replace),
                    AbortReason::NonceDiffers { from: *from },
                ));
            }
            let scalar = |bytes| points::from_bytes(bytes).ok_or_else(|| Abort::malformed(*from, "last message"));
            shares.push(Broadcast3to4 { u: scalar(&message.u)?, w: scalar(&message.w)? });
        }
        let result = self.party.sign_phase4(&self.data, r, &shares, true);
        let (s, recovery_id) = result.map_err(|abort| blame::translate(&abort, &self.others))?;
        let signature = signature(r, &s, recovery_id).ok_or_else(|| Abort::local("the signature is not 64 bytes"))?;
        let suspects = || Blame::suspects(self.others.iter().copied());
        match signature.verify(&self.public_key, &self.input) {
            Ok(()) => Ok(Output::Signature(signature)),
            Err(_) => Err(Abort::new(suspects(), AbortReason::BadSignature)),
        }
    }

    fn check_parties(&self, from: PartyIndex, parties: &PartiesMessage) -> Result<(), Abort> {
        if parties.sender.as_u8() == from.as_u8() && parties.receiver.as_u8() == self.me.as_u8() {
            Ok(())
        } else {
            Err(Abort::malformed(from, "sender and receiver"))
        }
    }

    fn check_answer(&self, from: PartyIndex, message: &TransmitPhase2to3<Curve>) -> Result<(), Abort> {
        self.check_parties(from, &message.parties)?;
        let multiplication = &message.mul_transmit;
        let formed = multiplication.vector_of_tau.len() == dims::WIDTH
            && multiplication.vector_of_tau.iter().all(|row| row.len() == dims::BATCH)
            && multiplication.verify_u.len() == dims::L
            && multiplication.gamma_sender.len() == dims::L
            && message.salt.len() == dims::SALT;
        if formed { Ok(()) } else { Err(Abort::malformed(from, "multiplication answer")) }
    }
}

/// From the library's hexadecimal; `r` is the nonce point's x, reduced here as ECDSA wants it.
fn signature(x: &str, s: &str, recovery_id: u8) -> Option<Signature> {
    let bytes = |text: &str| hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let x = bytes(x)?;
    let r = <k256::Scalar as k256::elliptic_curve::ops::Reduce<k256::U256>>::reduce_bytes(&x.into());
    Some(Signature::Ecdsa { r: r.to_bytes().into(), s: bytes(s)?, recovery_id })
}
