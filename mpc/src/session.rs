//! One session: the round-by-round frame machine that every protocol runs behind.
//!
//! The caller moves frames and time; the session checks where each frame belongs, buffers what comes early, makes sure
//! that broadcasts are consistent, and steps the protocol when a round is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_wire::ids::{IdError, PartyIndex, Protocol, Scheme, SignerSet, tagged_hash};

use crate::binding::{Binding, Purpose, SessionParams};
use crate::blame::Abort;
use crate::cggmp24::{Presignature, Primes};
use crate::dealt::DealingError;
use crate::derive::{DerivationPath, DeriveError};
use crate::frost::{self, NonceCommitment, NonceError, NoncePair, Nonces, SharedNonces};
use crate::key::{KeyPublic, KeyShare};
use crate::machine::{Advance, Machine, Started};
use crate::seed::Seed;
use crate::signature::{SignInput, Signature};

mod import;
mod inbox;
mod reshare;

use inbox::{Collector, Completed};

/// Greatest body of a frame, in bytes; rounds have tighter limits of their own.
pub const MAX_BODY_LEN: usize = 1 << 20;

/// One message between two parties of a session. The transport authenticates the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The round, from 1; rounds that make broadcasts consistent count.
    pub round: u8,
    /// The sender.
    pub from: PartyIndex,
    /// The receiver; `None` is a broadcast, sent to every other party alike.
    pub to: Option<PartyIndex>,
    /// Hash over session, round, sender, receiver and body ([`Binding::frame_tag`]).
    pub tag: [u8; 32],
    /// The message.
    pub body: Vec<u8>,
}

/// What to do after a step.
#[derive(Debug, Default)]
pub struct Step {
    /// Frames to send, in this order.
    pub send: Vec<Frame>,
    /// The result, if the session has ended. Send the frames first: the others may still need them.
    pub done: Option<Output>,
}

/// The result of a session.
#[derive(Debug)]
pub enum Output {
    /// A new key's share, a key's share with its new set-up, or a key's share of a new epoch.
    Key(Box<KeyShare>),
    /// A presignature, to be kept in memory only.
    Presignature(Box<Presignature>),
    /// A signature that verifies under the (derived) public key.
    Signature(Signature),
    /// The public part of the new epoch, for a dealer that leaves: nothing secret is left to it.
    HandedOver(Box<KeyPublic>),
}

/// How a signing session gets its nonces.
#[derive(Debug, Default)]
pub enum SignMode {
    /// Fresh nonces within the session.
    #[default]
    Full,
    /// One round (FROST): our own nonce, which is used up whatever becomes of the session, and one commitment of each
    /// signer of exactly this session, ours among them.
    Shared {
        /// Our nonce.
        own: NoncePair,
        /// The commitments of all signers.
        commitments: BTreeMap<PartyIndex, NonceCommitment>,
    },
    /// A CGGMP24 presignature, used up by the attempt whatever comes of it. The input must be a preimage.
    Presignature {
        /// The presignature; every signer brings its part of the same one.
        presignature: Box<Presignature>,
        /// The hash of all signers' boots as they are now.
        boots: [u8; 32],
    },
}

/// Why a frame was dropped. The session goes on as if it had not come; the caller counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// The body is longer than its round allows.
    Oversize,
    /// The frame names a sender other than the one that the transport authenticated.
    WrongSender,
    /// The sender takes no part in the session, or is ourselves.
    OutsideSignerSet,
    /// The frame is for another party.
    NotForUs,
    /// The tag is not the one of this session: another run, key, epoch, signer set or intent, or a damaged body.
    /// A mismatch of configuration looks the same, so it is never a reason to ban.
    WrongTag,
    /// The round does not exist, or comes more than one round early.
    WrongRound,
    /// The round has no such kind of message (broadcast or direct).
    WrongKind,
    /// The same frame has come before.
    Duplicate,
    /// The session has ended.
    AfterEnd,
}

/// What became of a frame.
#[derive(Debug)]
pub enum Received {
    /// Taken; here is what to do.
    Step(Step),
    /// Dropped and forgotten.
    Dropped(Dropped),
}

/// Why a session did not start. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// This party is not in the signer set.
    #[error("starting a session: party {0} is not in the signer set")]
    NotInSignerSet(PartyIndex),
    /// The signer set does not have the size that the purpose needs, or names a party outside the committee.
    #[error("starting a session: the signer set has {found} parties, needed are {needed} out of 1..={total}")]
    SignerSet {
        /// Parties needed.
        needed: u8,
        /// Parties given.
        found: usize,
        /// Size of the committee.
        total: u8,
    },
    /// Protocol and scheme do not go together, or the protocol cannot do this.
    #[error("starting a session: {protocol} cannot do this for {scheme}")]
    Unsupported {
        /// The protocol.
        protocol: Protocol,
        /// The scheme.
        scheme: Scheme,
    },
    /// The share is of another key, epoch, committee, protocol or party.
    #[error("starting a session: the share is of another {0}")]
    ShareMismatch(&'static str),
    /// This party deals in a reshare and brought no share.
    #[error("starting a session: party {0} of the old committee deals and has to bring its share")]
    NoShare(PartyIndex),
    /// A dealt share is not what its dealing says.
    #[error("starting a session: the dealt share cannot be used")]
    Dealing(#[from] DealingError),
    /// The share has no set-up yet: CGGMP24 auxiliary information must be made first.
    #[error("starting a session: the share has no auxiliary information, run that session first")]
    NoSetup,
    /// The presignature was made for something else.
    #[error("starting a session: the presignature was made for another {0}")]
    PresignatureMismatch(&'static str),
    /// The input is not what this scheme signs (a digest for ECDSA, a message of limited length otherwise).
    #[error("starting a session: this input cannot be signed by a {0} key")]
    Input(Scheme),
    /// The derivation path leads nowhere.
    #[error("starting a session: no child key at this path")]
    Derive(#[from] DeriveError),
    /// An index is out of range.
    #[error("starting a session: bad index")]
    Index(#[from] IdError),
    /// The nonces shared ahead cannot be used.
    #[error("starting a session: the nonces shared ahead cannot be used")]
    Nonce(#[from] NonceError),
    /// The protocol refused our own state.
    #[error("starting a session: own state is unusable")]
    LocalState(#[from] Abort),
}

/// One party's side of one run of a protocol. `Send`, bounded in memory, without threads, clocks or sockets.
pub struct Session {
    binding: Binding,
    me: PartyIndex,
    machine: Option<Box<dyn Machine>>,
    collector: Collector,
}

impl Session {
    /// Starts key generation among all signers of the committee. A CGGMP24 share cannot sign before it has its auxiliary
    /// information: see [`Session::keygen_with_primes`] and [`Session::aux_info`].
    pub fn keygen(params: SessionParams, me: PartyIndex, seed: Seed) -> Result<(Self, Step), StartError> {
        check_params(&params, me, params.size.signers_total())?;
        let binding = Binding::new(params, Purpose::Keygen, [0; 32]);
        let started = match binding.params().protocol {
            Protocol::Dkls23 => crate::dkls23::keygen(&binding, me, seed)?,
            Protocol::Cggmp24 => crate::cggmp24::keygen(&binding, me, seed)?,
            Protocol::Frost => frost::keygen(&binding, me, seed)?,
            Protocol::Hsm => return Err(unsupported(binding.params())),
        };
        Ok(Self::start(binding, me, started)?)
    }

    /// Starts key generation of a CGGMP24 key with its auxiliary information in the same session: the share can sign at
    /// once. Steps compute for ten seconds and more: never on a network thread.
    pub fn keygen_with_primes(
        params: SessionParams,
        me: PartyIndex,
        primes: Primes,
        seed: Seed,
    ) -> Result<(Self, Step), StartError> {
        check_params(&params, me, params.size.signers_total())?;
        // another plan of rounds than key generation alone, so another context: the two never mix
        let binding = Binding::new(params, Purpose::Keygen, tagged_hash("limen mpc whole key context v1", []));
        let started = match binding.params().protocol {
            Protocol::Cggmp24 => crate::cggmp24::whole_key(&binding, me, primes, seed)?,
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => return Err(unsupported(binding.params())),
        };
        Ok(Self::start(binding, me, started)?)
    }

    /// Starts making the auxiliary information of a CGGMP24 key among all signers of the committee. The result is the same
    /// share, able to sign. One step computes for ten seconds and more: never on a network thread.
    pub fn aux_info(
        params: SessionParams,
        me: PartyIndex,
        key: Arc<KeyShare>,
        primes: Primes,
        seed: Seed,
    ) -> Result<(Self, Step), StartError> {
        check_params(&params, me, params.size.signers_total())?;
        check_share(&params, me, &key)?;
        let binding = Binding::new(params, Purpose::AuxInfo, key.public().digest());
        let started = match binding.params().protocol {
            Protocol::Cggmp24 => crate::cggmp24::aux_info(&binding, me, key, primes, seed)?,
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => return Err(unsupported(binding.params())),
        };
        Ok(Self::start(binding, me, started)?)
    }

    /// Starts making a CGGMP24 presignature for the child key at `path`. `boots` hashes the boots of the signers, in the
    /// order of the signer set: when one restarts, its part is gone.
    pub fn presign(
        params: SessionParams,
        me: PartyIndex,
        key: &KeyShare,
        path: &DerivationPath,
        boots: [u8; 32],
        seed: Seed,
    ) -> Result<(Self, Step), StartError> {
        check_params(&params, me, params.size.signers_required())?;
        check_share(&params, me, key)?;
        let context = tagged_hash("limen mpc presign context v1", [&path.to_bytes()[..], &boots[..]]);
        let binding = Binding::new(params, Purpose::Presign, context);
        let started = match binding.params().protocol {
            Protocol::Cggmp24 => crate::cggmp24::presign(&binding, me, key, path, boots, seed)?,
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => return Err(unsupported(binding.params())),
        };
        Ok(Self::start(binding, me, started)?)
    }

    /// Starts signing `input` under the child key at `path` among exactly `signers_required` signers.
    pub fn sign(
        params: SessionParams,
        me: PartyIndex,
        key: Arc<KeyShare>,
        path: &DerivationPath,
        input: &SignInput,
        mode: SignMode,
        seed: Seed,
    ) -> Result<(Self, Step), StartError> {
        check_params(&params, me, params.size.signers_required())?;
        check_share(&params, me, &key)?;
        if !input.fits(params.scheme) {
            return Err(StartError::Input(params.scheme));
        }
        let context = sign_context(path, input, &mode);
        let binding = Binding::new(params, Purpose::Sign, context);
        let started = match (binding.params().protocol, mode) {
            (Protocol::Dkls23, SignMode::Full) => crate::dkls23::sign(&binding, me, &key, path, input, seed)?,
            (Protocol::Frost, SignMode::Full) => frost::sign(&binding, me, &key, path, input, Nonces::Fresh(seed))?,
            (Protocol::Frost, SignMode::Shared { own, commitments }) => {
                let shared = SharedNonces::new(own, commitments, &binding.params().signers, &key)?;
                frost::sign(&binding, me, &key, path, input, Nonces::Shared(shared))?
            }
            (Protocol::Cggmp24, SignMode::Full) => crate::cggmp24::sign(&binding, me, &key, path, input, seed)?,
            (Protocol::Cggmp24, SignMode::Presignature { presignature, boots }) => {
                if let Some(what) = presignature.mismatch(binding.params(), me, path, &boots) {
                    return Err(StartError::PresignatureMismatch(what));
                }
                crate::cggmp24::sign_with_presignature(&binding, me, &key, input, *presignature)?
            }
            (Protocol::Hsm, _)
            | (Protocol::Dkls23 | Protocol::Cggmp24, SignMode::Shared { .. })
            | (Protocol::Dkls23 | Protocol::Frost, SignMode::Presignature { .. }) => {
                return Err(unsupported(binding.params()));
            }
        };
        Ok(Self::start(binding, me, started)?)
    }

    fn start(binding: Binding, me: PartyIndex, (machine, outgoing): Started) -> Result<(Self, Step), Abort> {
        let mut collector = Collector::new(me, binding.params().signers.clone(), machine.rounds());
        let send = collector.open_round(&binding, outgoing)?;
        Ok((Self { binding, me, machine: Some(machine), collector }, Step { send, done: None }))
    }

    /// Takes one frame that the transport says is from `sender`. After an abort the session has ended.
    pub fn receive(&mut self, sender: PartyIndex, frame: Frame) -> Result<Received, Abort> {
        if self.machine.is_none() {
            return Ok(Received::Dropped(Dropped::AfterEnd));
        }
        let result = match self.collector.accept(&self.binding, sender, frame) {
            Ok(Some(dropped)) => return Ok(Received::Dropped(dropped)),
            Ok(None) => self.pump(),
            Err(abort) => Err(abort),
        };
        if !matches!(&result, Ok(Step { done: None, .. })) {
            self.machine = None;
            self.collector.clear();
        }
        result.map(Received::Step)
    }

    /// Steps as long as rounds are complete.
    fn pump(&mut self) -> Result<Step, Abort> {
        let mut step = Step::default();
        while let Some(completed) = self.collector.complete(&self.binding)? {
            let inbox = match completed {
                Completed::Echo(frame) => {
                    step.send.push(frame);
                    continue;
                }
                Completed::Round(inbox) => inbox,
            };
            let Some(machine) = self.machine.as_mut() else { break };
            match machine.advance(inbox)? {
                Advance::Next(outgoing) => step.send.extend(self.collector.open_round(&self.binding, outgoing)?),
                Advance::Done(output) => {
                    step.done = Some(output);
                    break;
                }
            }
        }
        Ok(step)
    }

    /// The parties whose frames of the current round have not all come: whom to blame for a time-out. Empty after the end.
    pub fn waiting_for(&self) -> Vec<PartyIndex> {
        if self.machine.is_some() { self.collector.waiting_for() } else { Vec::new() }
    }
    /// Whether the session has ended, with a result or an abort.
    pub fn is_ended(&self) -> bool {
        self.machine.is_none()
    }
    /// The number of the last round, echo rounds counted: what is sent in it is a partial result.
    pub fn last_round(&self) -> u8 {
        self.collector.last_round()
    }
    /// What the session is bound to.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }
    /// Which party this is.
    pub fn me(&self) -> PartyIndex {
        self.me
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (purpose, session) = (self.binding.purpose(), self.binding.params().session);
        write!(f, "Session({purpose:?}, {session}, party {}, ended: {})", self.me, self.is_ended())
    }
}

fn unsupported(params: &SessionParams) -> StartError {
    StartError::Unsupported { protocol: params.protocol, scheme: params.scheme }
}

fn check_params(params: &SessionParams, me: PartyIndex, needed: u8) -> Result<(), StartError> {
    if !params.protocol.supports(params.scheme) {
        return Err(unsupported(params));
    }
    let total = params.size.signers_total();
    let signers: &SignerSet = &params.signers;
    let in_range = signers.parties().iter().all(|party| party.as_u8() <= total);
    if signers.len() != usize::from(needed) || !in_range {
        return Err(StartError::SignerSet { needed, found: signers.len(), total });
    }
    if !signers.contains(me) {
        return Err(StartError::NotInSignerSet(me));
    }
    Ok(())
}

fn check_share(params: &SessionParams, me: PartyIndex, key: &KeyShare) -> Result<(), StartError> {
    let public = key.public();
    let mismatch = [
        (public.cluster != params.cluster, "cluster"),
        (public.key != params.key, "key"),
        (public.epoch != params.epoch, "epoch"),
        (public.scheme != params.scheme, "scheme"),
        (public.protocol != params.protocol, "protocol"),
        (public.size != params.size, "committee size"),
        (key.index() != me, "party"),
    ];
    match mismatch.iter().find(|(differs, _)| *differs) {
        Some((_, what)) => Err(StartError::ShareMismatch(what)),
        None => Ok(()),
    }
}

fn sign_context(path: &DerivationPath, input: &SignInput, mode: &SignMode) -> [u8; 32] {
    let (mode, nonces): (&[u8], _) = match mode {
        SignMode::Full => (b"full", [0; 32]),
        SignMode::Shared { commitments, .. } => (b"shared", frost::list_digest(commitments)),
        SignMode::Presignature { presignature, .. } => (b"presignature", presignature.id()),
    };
    tagged_hash("limen mpc sign context v1", [&path.to_bytes()[..], &input.digest()[..], mode, &nonces])
}

#[cfg(test)]
mod tests;
