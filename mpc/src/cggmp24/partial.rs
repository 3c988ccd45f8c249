//! Partial signatures: made from a presignature, each checked against its signer's commitments, then added up.

use cggmp24::generic_ec::Scalar;
use cggmp24::generic_ec::coords::AlwaysHasAffineX;
use limen_wire::ids::{PartyIndex, SignerSet};

use super::Curve;
use super::presignature::Commitments;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::machine::{Inbox, Outgoing};
use crate::point::Point;
use crate::signature::{SignInput, Signature};

/// The last round of a signature, waiting for the others' shares of it.
pub(super) struct Partial {
    me: PartyIndex,
    signers: SignerSet,
    public_key: Point,
    input: SignInput,
    digest: Scalar<Curve>,
    r: Scalar<Curve>,
    own: Scalar<Curve>,
    commitments: Commitments,
}

impl Partial {
    /// Uses a presignature up: `σ_i = k̃_i · m + r · χ̃_i`.
    pub(super) fn new(
        me: PartyIndex,
        signers: &SignerSet,
        public_key: Point,
        input: &SignInput,
        secret: &cggmp24::Presignature<Curve>,
        commitments: Commitments,
    ) -> Result<(Self, Outgoing), Abort> {
        let digest = input.ecdsa_digest().ok_or_else(|| Abort::local("the input has no digest"))?;
        let digest = Scalar::from_be_bytes_mod_order(digest);
        let r = commitments.gamma.x().to_scalar();
        let own = secret.tilde_k.as_ref() * digest + r * secret.tilde_chi.as_ref();
        let body = own.to_be_bytes().as_bytes().to_vec();
        let signers = signers.clone();
        let partial = Self { me, signers, public_key, input: input.clone(), digest, r, own, commitments };
        Ok((partial, Outgoing::broadcast(body)))
    }

    /// Checks every share (`σ_j · Γ = m · Δ_j + r · S_j`), so that a wrong one is blamed on its signer, and adds them up.
    pub(super) fn combine(&self, inbox: &Inbox) -> Result<Signature, Abort> {
        let mut sum = self.own;
        for (from, body) in &inbox.broadcast {
            let share: &[u8; 32] =
                body.as_slice().try_into().map_err(|_| Abort::malformed(*from, "signature share"))?;
            let share = Scalar::from_be_bytes(share).map_err(|_| Abort::malformed(*from, "signature share"))?;
            let position = self.signers.position(*from);
            let commitment = position.and_then(|position| self.commitments.signers.get(position));
            let (delta, s) = commitment.ok_or_else(|| Abort::local("a signer without commitments"))?;
            if self.commitments.gamma * share != *delta * self.digest + *s * self.r {
                let blame = Blame::party(*from, Action::Replace);
                return Err(Abort::new(blame, AbortReason::SignatureShare { from: *from }));
            }
            sum += share;
        }
        self.finish(sum).ok_or_else(|| {
            let suspects = Blame::suspects(self.signers.others(self.me));
            Abort::new(suspects, AbortReason::BadSignature)
        })
    }

    fn finish(&self, s: Scalar<Curve>) -> Option<Signature> {
        let bytes = |scalar: Scalar<Curve>| <[u8; 32]>::try_from(scalar.to_be_bytes().as_bytes()).ok();
        let signature = k256::ecdsa::Signature::from_scalars(bytes(self.r)?, bytes(s)?).ok()?;
        let signature = signature.normalize_s().unwrap_or(signature);
        let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(self.public_key.as_bytes()).ok()?;
        let digest = self.input.ecdsa_digest()?;
        let id = k256::ecdsa::RecoveryId::trial_recovery_from_prehash(&key, &digest, &signature).ok()?;
        let (r, s) = signature.split_bytes();
        let signature = Signature::Ecdsa { r: r.into(), s: s.into(), recovery_id: id.to_byte() };
        signature.verify(&self.public_key, &self.input).ok().map(|()| signature)
    }
}
