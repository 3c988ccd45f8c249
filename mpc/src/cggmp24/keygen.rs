//! Key generation: commit to a polynomial in the exponent, open it, prove knowledge of the share (CGGMP24, figure 5,
//! with Feldman's sharing). It makes the core share; the auxiliary information follows in a session of its own.

use std::collections::BTreeMap;

use cggmp24::generic_ec::{NonZero, Point as LibPoint, Scalar};
use cggmp24::{ExecutionId, IncompleteKeyShare, KeygenError};
use limen_wire::ids::{PartyIndex, Protocol, Scheme};
use zeroize::Zeroizing;

use super::Curve;
use super::driver::{Progress, Run, position};
use super::messages::{KEYGEN_ROUNDS, KeygenMessage};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Blame};
use crate::key::{CoreShare, KeyPublic, KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Round, Started};
use crate::point::Point;
use crate::seed::Seed;
use crate::session::Output;

struct Keygen {
    binding: Binding,
    me: PartyIndex,
    run: Run<KeygenMessage, IncompleteKeyShare<Curve>, KeygenError>,
}

/// Starts key generation.
pub(crate) fn keygen(binding: &Binding, me: PartyIndex, seed: Seed) -> Result<Started, Abort> {
    let (size, signers) = (binding.params().size, &binding.params().signers);
    let (i, id, mut rng) = (position(signers, me)?, *binding.digest(), seed.into_rng());
    let mut run = Run::new(me, signers, Box::new(|_, _| Ok(())), |party| async move {
        cggmp24::keygen::<Curve>(ExecutionId::new(&id), i, size.signers_total().into())
            .set_threshold(size.signers_required().into())
            .enforce_reliable_broadcast(false)
            .hd_wallet(true)
            .start(&mut rng, party)
            .await
    });
    match run.poll()? {
        Progress::Send(outgoing) => Ok((Box::new(Keygen { binding: binding.clone(), me, run }), outgoing)),
        Progress::Done(_) => Err(Abort::local("key generation ended before it began")),
    }
}

impl Machine for Keygen {
    fn rounds(&self) -> &[Round] {
        &KEYGEN_ROUNDS
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match self.run.advance(&inbox)? {
            Progress::Send(outgoing) => Ok(Advance::Next(outgoing)),
            Progress::Done(share) => self.key_share(&share).map(|share| Advance::Done(Output::Key(Box::new(share)))),
        }
    }
}

impl Keygen {
    fn key_share(&self, share: &IncompleteKeyShare<Curve>) -> Result<KeyShare, Abort> {
        let params = self.binding.params();
        let unusable = || {
            let suspects = Blame::suspects(params.signers.others(self.me));
            Abort::new(suspects, AbortReason::InconsistentShares)
        };
        let shares = params.signers.parties().iter().zip(&share.key_info.public_shares);
        let shares: Option<BTreeMap<_, _>> = shares.map(|(party, share)| Some((*party, to_point(share)?))).collect();
        let public = KeyPublic {
            cluster: params.cluster.clone(),
            key: params.key.clone(),
            epoch: params.epoch,
            scheme: Scheme::EcdsaSecp256k1,
            protocol: Protocol::Cggmp24,
            size: params.size,
            public_key: to_point(&share.key_info.shared_public_key).ok_or_else(unusable)?,
            chain_code: share.key_info.chain_code.ok_or_else(unusable)?,
            verifying_shares: shares.ok_or_else(unusable)?,
        };
        let mut scalar = Zeroizing::new([0; 32]);
        let x: &Scalar<Curve> = share.x.as_ref();
        scalar.copy_from_slice(x.to_be_bytes().as_bytes());
        let core = CoreShare::new(self.me, scalar);
        KeyShare::assemble(public, core, ProtocolSetup::Cggmp24(None)).map_err(|_| unusable())
    }
}

/// The library's point as ours.
pub(super) fn to_point(point: &NonZero<LibPoint<Curve>>) -> Option<Point> {
    Point::secp256k1(point.to_bytes(true).as_bytes()).ok()
}
