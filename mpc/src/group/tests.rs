//! Lagrange's coefficients: what they are, and for which nodes there are none.

use super::*;

fn interpolates<G: Group>()
where
    G::Scalar: std::fmt::Debug,
{
    // 5 + 7 x, by its values at 2 and 9
    let value = |x: u8| node::<G>(5) + node::<G>(7) * node::<G>(x);
    let weight = |i, x| lagrange::<G>(i, x, [2, 9].into_iter()).unwrap();
    for x in [0, 1, 2, 9, 255] {
        assert_eq!(weight(2, x) * value(2) + weight(9, x) * value(9), value(x));
    }
    assert_eq!(lagrange::<G>(3, 0, std::iter::once(3)), Some(node::<G>(1)));
    for nodes in [&[][..], &[1, 2], &[3, 3], &[3, 1, 3], &[3, 1, 1], &[1, 1, 3], &[1, 1]] {
        assert_eq!(lagrange::<G>(3, 0, nodes.iter().copied()), None, "{nodes:?}");
    }
}

#[test]
fn a_node_that_comes_twice_or_not_at_all_has_no_coefficient() {
    interpolates::<Secp256k1>();
    interpolates::<Edwards25519>();
}
