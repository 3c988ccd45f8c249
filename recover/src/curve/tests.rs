//! Splitting and joining, against the commitments.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

const SCHEMES: [Scheme; 3] = [Scheme::EcdsaSecp256k1, Scheme::SchnorrBip340, Scheme::EddsaEd25519];

/// Below both orders, and not zero.
fn secret(byte: u8) -> [u8; 32] {
    let mut secret = [byte; 32];
    (secret[0], secret[31]) = (1, 1);
    secret
}

proptest! {
    #[test]
    fn any_enough_pieces_give_the_secret_back_and_fewer_another(
        byte: u8, seed: u64, required in 1u8..=16, more in 0u8..=15, start in 0usize..16
    ) {
        let count = (required + more).min(16);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for scheme in SCHEMES {
            let secret = secret(byte);
            let split = split(scheme, &secret, required, count, &mut rng).unwrap();
            prop_assert_eq!(split.commitments.len(), usize::from(required));
            prop_assert_eq!(split.commitments.first().copied(), public_point(scheme, &secret));
            let pieces: Vec<(u8, &[u8; 32])> = (1..).zip(split.pieces.iter().map(|piece| &**piece)).collect();
            for (place, piece) in &pieces {
                let committed = piece_point(scheme, &split.commitments, *place);
                prop_assert_eq!(committed, public_point(scheme, piece));
            }
            let some: Vec<_> = pieces.iter().cycle().skip(start).take(usize::from(required)).copied().collect();
            prop_assert_eq!(&*join(scheme, &some).unwrap(), &secret);
            if required > 1 {
                prop_assert_ne!(&*join(scheme, &some[1..]).unwrap(), &secret);
            }
        }
    }
}

#[test]
fn places_that_come_twice_or_are_zero_and_scalars_beyond_the_order_give_nothing() {
    for scheme in SCHEMES {
        let (one, two) = (secret(1), secret(2));
        assert!(join(scheme, &[(1, &one), (1, &two)]).is_none());
        assert!(join(scheme, &[(1, &one), (0, &two)]).is_none());
        assert!(join(scheme, &[(1, &one), (2, &[0xff; 32])]).is_none());
        assert!(public_point(scheme, &[0; 32]).is_none());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        assert!(split(scheme, &[0xff; 32], 2, 3, &mut rng).is_none());
        assert!(split(scheme, &[0; 32], 2, 3, &mut rng).is_none());
    }
}
