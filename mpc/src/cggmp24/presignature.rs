//! Presignatures: everything of a signature but the message, usable once.

use std::fmt;

use cggmp24::generic_ec::{NonZero, Point as LibPoint};
use cggmp24::signing::{Presignature as LibPresignature, PresignaturePublicData};
use limen_wire::ids::{PartyIndex, tagged_hash};

use super::Curve;
use crate::binding::{Binding, SessionParams};
use crate::derive::DerivationPath;

/// One signer's presignature: bound to key, epoch, path, ordered signer set and the signers' boots. It can be neither
/// copied nor stored nor printed, and [`crate::Session::sign`] consumes it: two uses would give the key away.
pub struct Presignature {
    binding: Binding,
    me: PartyIndex,
    path: DerivationPath,
    boots: [u8; 32],
    pub(super) secret: LibPresignature<Curve>,
    pub(super) commitments: Commitments,
}

/// What each signer's partial signature is checked against, in the order of the signer set.
pub(super) struct Commitments {
    /// The nonce point.
    pub(super) gamma: NonZero<LibPoint<Curve>>,
    /// `Δ_j` and `S_j` of each signer.
    pub(super) signers: Vec<(LibPoint<Curve>, LibPoint<Curve>)>,
}

impl From<&PresignaturePublicData<Curve>> for Commitments {
    fn from(public: &PresignaturePublicData<Curve>) -> Self {
        let signers = public.commitments.iter().map(|signer| (signer.tilde_Delta, signer.tilde_S));
        Self { gamma: public.Gamma, signers: signers.collect() }
    }
}

impl Presignature {
    pub(super) fn new(
        binding: Binding,
        me: PartyIndex,
        path: DerivationPath,
        boots: [u8; 32],
        (secret, public): (LibPresignature<Curve>, PresignaturePublicData<Curve>),
    ) -> Self {
        Self { binding, me, path, boots, secret, commitments: Commitments::from(&public) }
    }

    /// Equal on all its signers, different for any two presignatures.
    pub fn id(&self) -> [u8; 32] {
        let mut points = self.commitments.gamma.to_bytes(true).as_bytes().to_vec();
        for (delta, s) in &self.commitments.signers {
            points.extend_from_slice(delta.to_bytes(true).as_bytes());
            points.extend_from_slice(s.to_bytes(true).as_bytes());
        }
        tagged_hash("limen mpc presignature v1", [&self.binding.digest()[..], &points])
    }
    /// The session that made it.
    pub fn made_in(&self) -> &SessionParams {
        self.binding.params()
    }
    /// The path that it signs for.
    pub fn path(&self) -> &DerivationPath {
        &self.path
    }
    /// The hash of the signers' boots in which it lives.
    pub fn boots(&self) -> &[u8; 32] {
        &self.boots
    }

    /// What of `params` and the rest it was not made for.
    pub(crate) fn mismatch(
        &self,
        params: &SessionParams,
        me: PartyIndex,
        path: &DerivationPath,
        boots: &[u8; 32],
    ) -> Option<&'static str> {
        let made = self.binding.params();
        let differs = [
            (made.cluster != params.cluster, "cluster"),
            (made.key != params.key, "key"),
            (made.epoch != params.epoch, "epoch"),
            (made.size != params.size, "committee size"),
            (made.signers != params.signers, "signer set"),
            (self.me != me, "party"),
            (self.path != *path, "path"),
            (self.boots != *boots, "boot"),
        ];
        differs.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }
}

impl fmt::Debug for Presignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.made_in();
        write!(f, "Presignature({}, epoch {}, {}, party {}, redacted)", made.key, made.epoch, self.path, self.me)
    }
}
