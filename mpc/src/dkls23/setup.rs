//! The set-up that DKLs23 keeps beside the core share: oblivious transfer and zero-share seeds with each other signer.

use std::collections::BTreeMap;

use dkls23::protocols::derivation::DerivData;
use dkls23::protocols::{Parameters, Party, PartyIndex as LibIndex};
use dkls23::utilities::multiplication::{MulReceiver, MulSender};
use dkls23::utilities::zero_shares::ZeroShare;
use limen_wire::ids::{PartyIndex, tagged_hash};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Curve, points};
use crate::derive::ChildKey;
use crate::key::{CoreShare, ImportError, KeyPublic};

/// Version of the encoding, its first bytes.
const MAGIC: &[u8; 4] = b"LMD2";
/// Greatest encoding: about 53 kB for each of 31 other signers.
const MAX_ENCODED: usize = 2 << 20;

/// Everything in the library's `Party` that the core share and the public part do not determine. All of it is secret:
/// wiped on drop, never printed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    /// For which shares it was made: [`Setup::owner`] of their public part.
    owner: [u8; 32],
    index: u8,
    session_id: Vec<u8>,
    zero_share: ZeroShare,
    mul_senders: BTreeMap<LibIndex, MulSender<Curve>>,
    mul_receivers: BTreeMap<LibIndex, MulReceiver<Curve>>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        // the maps' values wipe themselves
        self.session_id.zeroize();
    }
}

impl Setup {
    /// Keeps the set-up of a party that key generation has just made, for the shares of `public`.
    pub(super) fn of(party: &Party<Curve>, public: &KeyPublic) -> Self {
        Self {
            owner: Self::owner(public),
            index: party.party_index.as_u8(),
            session_id: party.session_id.clone(),
            zero_share: party.zero_share.clone(),
            mul_senders: party.mul_senders.clone(),
            mul_receivers: party.mul_receivers.clone(),
        }
    }

    /// Hash over cluster, key, epoch, committee and shares: a set-up serves one epoch's shares and no others. The chain code is
    /// not in it, since a set-up is made for shares without one.
    fn owner(public: &KeyPublic) -> [u8; 32] {
        let shares = KeyPublic { chain_code: [0; 32], ..public.clone() };
        tagged_hash("limen mpc dkls23 set-up owner v1", [&shares.digest()[..]])
    }

    /// `LMD2 ‖ postcard`.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        // sized first, so that no growing buffer leaves copies of secrets behind
        let size = postcard::experimental::serialized_size(self).map_err(|_| ImportError::Encoding("set-up"))?;
        let mut bytes = Zeroizing::new(vec![0; MAGIC.len() + size]);
        let (magic, body) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        postcard::to_slice(self, body).map_err(|_| ImportError::Encoding("set-up"))?;
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ImportError> {
        const BAD: ImportError = ImportError::Encoding("set-up");
        let body = bytes.strip_prefix(MAGIC).filter(|body| body.len() <= MAX_ENCODED).ok_or(BAD)?;
        match postcard::take_from_bytes(body) {
            Ok((setup, [])) => Ok(setup),
            _ => Err(BAD),
        }
    }

    /// Checks that there is one well-formed set-up with each other signer, made for this party and for these shares: those of
    /// another epoch have other owners.
    pub(crate) fn check(&self, public: &KeyPublic, me: PartyIndex) -> Result<(), ImportError> {
        if self.owner != Self::owner(public) {
            return Err(ImportError::Setup("it was made for another key or epoch"));
        }
        let others = || (1..=public.size.signers_total()).filter(|index| *index != me.as_u8());
        let seeds = &self.zero_share.seeds;
        let complete = self.index == me.as_u8()
            && self.mul_senders.keys().map(LibIndex::as_u8).eq(others())
            && self.mul_receivers.keys().map(LibIndex::as_u8).eq(others())
            && seeds.iter().map(|seed| seed.index_counterparty.as_u8()).eq(others());
        if !complete {
            return Err(ImportError::Setup("it is not one set-up with each other signer"));
        }
        let ordered = seeds.iter().all(|seed| seed.lowest_index == (me.as_u8() < seed.index_counterparty.as_u8()));
        let formed = self.mul_senders.values().all(|sender| sender.check_state().is_ok())
            && self.mul_receivers.values().all(|receiver| receiver.check_state(None).is_ok());
        if !ordered || !formed || self.session_id.is_empty() {
            return Err(ImportError::Setup("its parts have wrong dimensions"));
        }
        Ok(())
    }

    /// The library's party for the child key `child` of `public`.
    pub(super) fn party(&self, public: &KeyPublic, core: &CoreShare, child: &ChildKey) -> Option<Party<Curve>> {
        let parameters = Parameters::new(public.size.signers_required(), public.size.signers_total()).ok()?;
        let share = points::from_bytes(core.scalar())?;
        let poly_point = share + points::from_bytes(&child.tweak)?;
        let pk = points::from_point(&child.public_key)?;
        Some(Party {
            parameters,
            party_index: LibIndex::new(core.index().as_u8()).ok()?,
            session_id: self.session_id.clone(),
            poly_point,
            pk,
            zero_share: self.zero_share.clone(),
            mul_senders: self.mul_senders.clone(),
            mul_receivers: self.mul_receivers.clone(),
            derivation_data: DerivData {
                depth: 0,
                child_number: 0,
                parent_fingerprint: [0; 4],
                poly_point,
                pk,
                chain_code: child.chain_code,
            },
            address: String::new(),
        })
    }
}
