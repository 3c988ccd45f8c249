//! The two range proofs of presigning's first round, checked by ourselves.
//!
//! `cggmp24` 0.7.0-alpha.3 joins the two checks with `.err()?`: a proof that holds ends the closure, so a party is only
//! blamed if *both* proofs fail. A signer could leave out either of them, and without the proof that its encrypted nonce
//! is in range it could learn the others' shares (the attack of ePrint 2021/1621 on GG18). So each proof is verified here,
//! before the library sees the message. The test `each_range_proof_is_checked_alone` fails without this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use cggmp24::ExecutionId;
use cggmp24::fast_paillier::EncryptionKey;
use cggmp24::key_share::KeyShare as LibKeyShare;
use cggmp24::security_level::SecurityLevel;
use cggmp24::signing::msg::{MsgRound1a, MsgRound1b};
use limen_wire::ids::{PartyIndex, SignerSet};
use paillier_zk::paillier_encryption_in_range_with_el_gamal as in_range;
use sha2::Sha256;

use super::driver::position;
use super::messages::PresignMessage;
use super::setup::keygen_position;
use super::{Curve, Level};
use crate::blame::{Abort, AbortReason, Action, Blame};

/// What the library hashes into the proofs' challenges, under its tag and field names.
#[derive(udigest::Digestable)]
#[udigest(tag = "dfns.cggmp24.signing.proof_enc")]
struct ProofEnc<'a> {
    sid: ExecutionId<'a>,
    prover: u16,
    num: u8,
}

/// Checks the first round's proofs, each against the ciphertexts of the same sender.
pub(super) struct RangeProofs {
    me: PartyIndex,
    signers: SignerSet,
    share: Arc<LibKeyShare<Curve, Level>>,
    id: [u8; 32],
    ciphertexts: BTreeMap<PartyIndex, MsgRound1a<Curve>>,
}

impl RangeProofs {
    pub(super) fn new(
        me: PartyIndex,
        signers: &SignerSet,
        share: Arc<LibKeyShare<Curve, Level>>,
        id: [u8; 32],
    ) -> Self {
        Self { me, signers: signers.clone(), share, id, ciphertexts: BTreeMap::new() }
    }

    /// Remembers the ciphertexts, which come first, and checks the proofs.
    pub(super) fn check(&mut self, from: PartyIndex, message: &PresignMessage) -> Result<(), Abort> {
        match message {
            PresignMessage::Round1a(ciphertexts) => {
                self.ciphertexts.insert(from, ciphertexts.clone());
                Ok(())
            }
            PresignMessage::Round1b(proofs) => {
                let ciphertexts = self.ciphertexts.remove(&from);
                let ciphertexts = ciphertexts.ok_or_else(|| Abort::local("range proofs before their ciphertexts"))?;
                if self.verify(from, &ciphertexts, proofs)? {
                    return Ok(());
                }
                let reason = AbortReason::Proof { from, what: "encryption in range" };
                Err(Abort::new(Blame::party(from, Action::Replace), reason))
            }
            _ => Ok(()),
        }
    }

    fn verify(&self, from: PartyIndex, sent: &MsgRound1a<Curve>, proofs: &MsgRound1b<Curve>) -> Result<bool, Abort> {
        let missing = || Abort::local("the set-up lacks a signer");
        let prover = position(&self.signers, from)?;
        let modulus = self.share.aux.N.get(usize::from(keygen_position(from))).ok_or_else(missing)?;
        let verifier = self.share.aux.pedersen_params.get(usize::from(keygen_position(self.me))).ok_or_else(missing)?;
        let (key, verifier) = (EncryptionKey::from_n(modulus.clone()), verifier.into());
        let security = in_range::SecurityParams { l: Level::ELL, epsilon: Level::EPSILON };
        let holds = |num, ciphertext, b, x, proof| {
            let state = ProofEnc { sid: ExecutionId::new(&self.id), prover, num };
            let data = in_range::Data::<Curve> { key: &key, ciphertext, a: &sent.Y, b, x };
            in_range::non_interactive::verify::<Curve, Sha256>(&state, &verifier, data, proof, &security).is_ok()
        };
        Ok(holds(0, &sent.K, &sent.A1, &sent.A2, &proofs.psi0) && holds(1, &sent.G, &sent.B1, &sent.B2, &proofs.psi1))
    }
}
