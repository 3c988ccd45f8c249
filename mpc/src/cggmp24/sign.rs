//! Presigning and signing (CGGMP24, figures 8 to 10).
//!
//! A full signature is a presignature whose session is bound to the message from the start, used at once: the attacks on
//! presignatures (ePrint 2021/1330) need a message or path chosen after the nonce, which that binding excludes.

use std::sync::Arc;

use cggmp24::ExecutionId;
use cggmp24::key_share::KeyShare as LibKeyShare;
use cggmp24::signing::{Presignature as LibPresignature, PresignaturePublicData, SigningError};
use limen_wire::ids::PartyIndex;

use super::driver::{Progress, Run, position};
use super::messages::{PARTIAL_ROUND, PRESIGN_ROUNDS, PresignMessage};
use super::partial::Partial;
use super::presignature::Commitments;
use super::range::RangeProofs;
use super::setup::keygen_position;
use super::{Curve, Level, Presignature};
use crate::binding::Binding;
use crate::blame::Abort;
use crate::derive::{DerivationPath, derive_public};
use crate::key::{KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::point::Point;
use crate::seed::Seed;
use crate::session::{Output, StartError};
use crate::signature::SignInput;

/// What can go wrong in a run; only its debug text is read.
#[derive(Debug)]
enum RunError {
    /// The library aborted.
    Library(#[expect(dead_code, reason = "read through its debug text")] SigningError),
    /// The library does not know the path.
    Path,
}

type PresignRun = Run<PresignMessage, (LibPresignature<Curve>, PresignaturePublicData<Curve>), RunError>;

fn start_run(
    binding: &Binding,
    me: PartyIndex,
    key: &KeyShare,
    path: &DerivationPath,
    seed: Seed,
) -> Result<(PresignRun, Outgoing), StartError> {
    let ProtocolSetup::Cggmp24(Some(setup)) = key.setup() else { return Err(StartError::NoSetup) };
    let share = setup.key_share(key.public(), key.core()).ok_or_else(|| Abort::local("the share is unusable"))?;
    let share: Arc<LibKeyShare<Curve, Level>> = Arc::new(share);
    let signers = &binding.params().signers;
    let positions: Vec<u16> = signers.parties().iter().map(|party| keygen_position(*party)).collect();
    let (i, id, mut rng) = (position(signers, me)?, *binding.digest(), seed.into_rng());
    let steps = path.steps().to_vec();
    let mut proofs = RangeProofs::new(me, signers, share.clone(), id);
    let check = Box::new(move |from, message: &PresignMessage| proofs.check(from, message));
    let mut run = Run::new(me, signers, check, |party| async move {
        let builder = cggmp24::signing(ExecutionId::new(&id), i, &positions, &share).enforce_reliable_broadcast(false);
        match builder.set_derivation_path(steps) {
            Ok(builder) => builder.generate_presignature(&mut rng, party).await.map_err(RunError::Library),
            Err(_) => Err(RunError::Path),
        }
    });
    match run.poll()? {
        Progress::Send(outgoing) => Ok((run, outgoing)),
        Progress::Done(_) => Err(Abort::local("presigning ended before it began").into()),
    }
}

struct Presign {
    binding: Binding,
    me: PartyIndex,
    path: DerivationPath,
    boots: [u8; 32],
    run: PresignRun,
}

/// Starts making a presignature for the child key at `path`, to live as long as the boots of its signers.
pub(crate) fn presign(
    binding: &Binding,
    me: PartyIndex,
    key: &KeyShare,
    path: &DerivationPath,
    boots: [u8; 32],
    seed: Seed,
) -> Result<Started, StartError> {
    let (run, outgoing) = start_run(binding, me, key, path, seed)?;
    Ok((Box::new(Presign { binding: binding.clone(), me, path: path.clone(), boots, run }), outgoing))
}

impl Machine for Presign {
    fn rounds(&self) -> &[Round] {
        &PRESIGN_ROUNDS
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match self.run.advance(&inbox)? {
            Progress::Send(outgoing) => Ok(Advance::Next(outgoing)),
            Progress::Done(parts) => {
                let presignature =
                    Presignature::new(self.binding.clone(), self.me, self.path.clone(), self.boots, parts);
                Ok(Advance::Done(Output::Presignature(Box::new(presignature))))
            }
        }
    }
}

enum State {
    Presigning(Box<PresignRun>),
    Waiting(Box<Partial>),
    Ended,
}

struct Sign {
    binding: Binding,
    me: PartyIndex,
    public_key: Point,
    input: SignInput,
    rounds: Vec<Round>,
    state: State,
}

/// Starts a full signature under the child key at `path`.
pub(crate) fn sign(
    binding: &Binding,
    me: PartyIndex,
    key: &KeyShare,
    path: &DerivationPath,
    input: &SignInput,
    seed: Seed,
) -> Result<Started, StartError> {
    let child = derive_public(&key.public().public_key, &key.public().chain_code, path)?;
    let (run, outgoing) = start_run(binding, me, key, path, seed)?;
    let machine = Sign {
        binding: binding.clone(),
        me,
        public_key: child.public_key,
        input: input.clone(),
        rounds: PRESIGN_ROUNDS.into_iter().chain([PARTIAL_ROUND]).collect(),
        state: State::Presigning(Box::new(run)),
    };
    Ok((Box::new(machine), outgoing))
}

/// Starts a signature of one round from a presignature, which is used up whatever comes of it. The caller has checked
/// that it fits ([`Presignature::mismatch`]); a bare digest is refused here.
pub(crate) fn sign_with_presignature(
    binding: &Binding,
    me: PartyIndex,
    key: &KeyShare,
    input: &SignInput,
    presignature: Presignature,
) -> Result<Started, StartError> {
    if !matches!(input, SignInput::Preimage { .. }) {
        return Err(StartError::Input(binding.params().scheme));
    }
    let child = derive_public(&key.public().public_key, &key.public().chain_code, presignature.path())?;
    let Presignature { secret, commitments, .. } = presignature;
    let signers = &binding.params().signers;
    let (partial, outgoing) = Partial::new(me, signers, child.public_key, input, &secret, commitments)?;
    let machine = Sign {
        binding: binding.clone(),
        me,
        public_key: child.public_key,
        input: input.clone(),
        rounds: vec![PARTIAL_ROUND],
        state: State::Waiting(Box::new(partial)),
    };
    Ok((Box::new(machine), outgoing))
}

impl Machine for Sign {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Presigning(mut run) => match run.advance(&inbox)? {
                Progress::Send(outgoing) => {
                    self.state = State::Presigning(run);
                    Ok(Advance::Next(outgoing))
                }
                Progress::Done((secret, public)) => self.issue(&secret, Commitments::from(&public)),
            },
            State::Waiting(partial) => {
                partial.combine(&inbox).map(|signature| Advance::Done(Output::Signature(signature)))
            }
            State::Ended => Err(Abort::local("signing has ended")),
        }
    }
}

impl Sign {
    fn issue(&mut self, secret: &LibPresignature<Curve>, commitments: Commitments) -> Result<Advance, Abort> {
        let signers = &self.binding.params().signers;
        let (partial, outgoing) = Partial::new(self.me, signers, self.public_key, &self.input, secret, commitments)?;
        self.state = State::Waiting(Box::new(partial));
        Ok(Advance::Next(outgoing))
    }
}
