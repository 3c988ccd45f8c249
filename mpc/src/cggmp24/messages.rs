//! Where the messages of the library's protocols belong, and how long they may be.

use cggmp24::key_refresh::msg::Msg as AuxMsg;
use cggmp24::keygen::ThresholdMsg;
use cggmp24::signing::msg::Msg as SignMsg;
use sha2::Sha256;

use super::driver::Message;
use super::{Curve, Level};
use crate::machine::Round;

/// Key generation.
pub(super) type KeygenMessage = ThresholdMsg<Curve, cggmp24::security_level::SecurityLevel128, Sha256>;
/// Auxiliary information.
pub(super) type AuxMessage = AuxMsg<Sha256, Level>;
/// Presigning.
pub(super) type PresignMessage = SignMsg<Curve, Sha256>;

/// Key generation: commitment, its opening and a share, proof of knowledge.
pub(super) const KEYGEN_ROUNDS: [Round; 3] = [
    Round { broadcast: 1 << 10, direct: 0, echo: true },
    Round { broadcast: 16 << 10, direct: 1 << 10, echo: false },
    Round { broadcast: 1 << 10, direct: 0, echo: false },
];

/// Auxiliary information: commitment, moduli with proofs, proofs to each.
pub(super) const AUX_ROUNDS: [Round; 3] = [
    Round { broadcast: 1 << 10, direct: 0, echo: true },
    Round { broadcast: 512 << 10, direct: 0, echo: false },
    Round { broadcast: 0, direct: 512 << 10, echo: false },
];

/// Presigning: encrypted nonces with proofs, affine operations with proofs, masked nonce.
pub(super) const PRESIGN_ROUNDS: [Round; 3] = [
    Round { broadcast: 16 << 10, direct: 64 << 10, echo: true },
    Round { broadcast: 0, direct: 128 << 10, echo: false },
    Round { broadcast: 16 << 10, direct: 0, echo: false },
];

/// A partial signature.
pub(super) const PARTIAL_ROUND: Round = Round { broadcast: 32, direct: 0, echo: false };

impl Message for KeygenMessage {
    fn place(&self) -> Option<(u8, bool)> {
        match self {
            Self::Round1(_) => Some((1, false)),
            Self::Round2Broad(_) => Some((2, false)),
            Self::Round2Uni(_) => Some((2, true)),
            Self::Round3(_) => Some((3, false)),
            Self::ReliabilityCheck(_) => None,
        }
    }
}

impl Message for AuxMessage {
    fn place(&self) -> Option<(u8, bool)> {
        match self {
            Self::Round1(_) => Some((1, false)),
            Self::Round2(_) => Some((2, false)),
            Self::Round3(_) => Some((3, true)),
            Self::ReliabilityCheck(_) => None,
        }
    }
}

impl Message for PresignMessage {
    fn place(&self) -> Option<(u8, bool)> {
        match self {
            Self::Round1a(_) => Some((1, false)),
            Self::Round1b(_) => Some((1, true)),
            Self::Round2(_) => Some((2, true)),
            Self::Round3(_) => Some((3, false)),
            // partial signatures are ours to send, so that each can be checked and blamed
            Self::Round4(_) | Self::ReliabilityCheck(_) => None,
        }
    }
}
