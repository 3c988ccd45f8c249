//! ECDSA, once for each curve: the libraries' types have the same names and are not the same.

macro_rules! curve {
    ($curve:ident) => {
        pub(super) mod $curve {
            // Both curves' libraries name this one type, which one of them does not hand on.
            use ::k256::ecdsa::RecoveryId;
            use ::$curve::ecdsa::signature::hazmat::PrehashVerifier as _;
            use ::$curve::ecdsa::{Signature, VerifyingKey};

            use super::super::VerifyError;

            /// `r`, `s` in the lower half, and the recovery id that leads to this key, of the `r ‖ s` that a token claims to
            /// have made.
            pub(in super::super) fn of_token(
                key: &[u8; 33],
                digest: &[u8; 32],
                claimed: &[u8; 64],
            ) -> Result<([u8; 32], [u8; 32], u8), VerifyError> {
                let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| VerifyError::Invalid)?;
                let found = Signature::from_slice(claimed).map_err(|_| VerifyError::Invalid)?;
                let low = found.normalize_s().unwrap_or(found);
                let id = RecoveryId::trial_recovery_from_prehash(&key, digest, &low);
                let (r, s) = low.split_bytes();
                Ok((r.into(), s.into(), id.map_err(|_| VerifyError::Invalid)?.to_byte()))
            }

            /// `s` must be low, and the recovery id must lead to the key.
            pub(in super::super) fn verify(
                key: &[u8; 33],
                digest: &[u8; 32],
                (r, s): (&[u8; 32], &[u8; 32]),
                id: u8,
            ) -> Result<(), VerifyError> {
                let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| VerifyError::Invalid)?;
                let signature = Signature::from_scalars(*r, *s).map_err(|_| VerifyError::Invalid)?;
                if signature.normalize_s().is_some() {
                    return Err(VerifyError::HighS);
                }
                // Recovery verifies the signature under the key that it recovers: if that is the key, nothing is left to check.
                let recovered = RecoveryId::from_byte(id)
                    .and_then(|id| VerifyingKey::recover_from_prehash(digest, &signature, id).ok());
                if recovered == Some(key) {
                    return Ok(());
                }
                let verifies = key.verify_prehash(digest, &signature).is_ok();
                Err(if verifies { VerifyError::WrongRecoveryId } else { VerifyError::Invalid })
            }
        }
    };
}

curve!(k256);
curve!(p256);
