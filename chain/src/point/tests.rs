use limen_wire::ids::Scheme;

use super::*;

/// The generator of P-256, compressed (SP 800-186 section 3.2.1.3). Its x is a coordinate of secp256k1 too.
const P256: &str = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// Compressed encodings of small coordinates: half of all are on a curve, so that every case is soon met.
fn small() -> impl Iterator<Item = Vec<u8>> {
    (1..=255u8).map(|x| [&[2][..], &[0; 31], &[x]].concat())
}

#[test]
fn a_point_is_of_the_curve_that_it_is_read_on() {
    let point = Point::of_key(Scheme::EcdsaP256, &bytes(P256)).unwrap();
    assert_eq!((point, point.to_string()), (Point::p256(&bytes(P256)).unwrap(), P256.to_owned()));
    assert_eq!(point.to_key(Scheme::EcdsaP256), bytes(P256));

    let mut uncompressed = vec![4];
    uncompressed.extend([1; 64]);
    let off = [&[2][..], &[0xff; 32]].concat();
    let hybrid = [&[6][..], &bytes(P256)[1..]].concat();
    for other in [&[][..], &[0], &[0; 33], &bytes(P256)[1..], &uncompressed, &off, &hybrid] {
        assert_eq!(Point::p256(other), Err(BadPoint), "{other:?}");
    }
    let only_secp256k1 = small().find(|at| Point::p256(at).is_err() && Point::secp256k1(at).is_ok()).unwrap();
    let only_p256 = small().find(|at| Point::p256(at).is_ok() && Point::secp256k1(at).is_err()).unwrap();
    assert_eq!(Point::of_key(Scheme::EcdsaP256, &only_secp256k1), Err(BadPoint));
    assert_eq!(Point::of_key(Scheme::EcdsaSecp256k1, &only_p256), Err(BadPoint));
    assert_eq!(Point::try_from(hex::encode(&only_p256)), Err(BadPoint), "without its prefix");
    assert_eq!(Point::try_from(format!("p256:{}", hex::encode(only_secp256k1))), Err(BadPoint));
}

/// Many encodings are points of both curves, so that the curve has to be carried beside them.
#[test]
fn bytes_that_are_points_of_both_curves_stay_different_points() {
    let both: Vec<_> = small().filter_map(|at| Some((Point::p256(&at).ok()?, Point::secp256k1(&at).ok()?))).collect();
    assert!(both.len() > 10);
    for (p256, secp256k1) in both {
        assert_eq!(p256.as_bytes(), secp256k1.as_bytes());
        assert_ne!(p256, secp256k1);
        for point in [p256, secp256k1] {
            let text = String::from(point);
            assert_eq!(text.starts_with("p256:"), point == p256, "{text}");
            assert_eq!(Point::try_from(text), Ok(point));
        }
    }
    assert_eq!(Point::try_from(format!("p256:p256:{P256}")), Err(BadPoint));
}
