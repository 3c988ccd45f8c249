//! Growing a stored tree by many leaves gives the tree that growing it leaf by leaf gives.

use std::collections::BTreeMap;
use std::convert::Infallible;

use limen_evidence::merkle::{Frontier, GrowError, ProveError, Prover, TileId, Tiles, TreeHash, grow, leaf_hash};

#[derive(Default)]
struct Kept(BTreeMap<TileId, Vec<TreeHash>>);

impl Tiles for Kept {
    type Error = Infallible;
    fn tile(&self, id: TileId, _: u16) -> Result<Vec<TreeHash>, Infallible> {
        Ok(self.0.get(&id).cloned().unwrap_or_default())
    }
}

fn leaf(number: u64) -> TreeHash {
    leaf_hash(&number.to_be_bytes())
}

#[test]
fn steps_of_any_size_give_the_same_tree() {
    let (mut kept, mut tree, mut size) = (Kept::default(), Frontier::new(), 0);
    for step in [0, 1, 2, 253, 1, 255, 256, 257, 1000, 70_000] {
        let grown = grow(&kept, size, (size..size + step).map(leaf)).unwrap();
        (size..size + step).for_each(|number| drop(tree.append(leaf(number)).unwrap()));
        size += step;
        assert_eq!(grown.frontier, tree, "at {size}");
        kept.0.extend(grown.tiles);
        let mut prover = Prover::new(&kept, size).unwrap();
        assert_eq!((prover.root().unwrap(), prover.frontier().unwrap()), (tree.root(), tree.clone()));
    }
    let mut prover = Prover::new(&kept, 300).unwrap();
    assert_eq!(prover.root().unwrap(), grow(&Kept::default(), 0, (0..300).map(leaf)).unwrap().frontier.root());
}

#[test]
fn a_store_that_lost_hashes_does_not_grow() {
    let mut kept = Kept(grow(&Kept::default(), 0, (0..10).map(leaf)).unwrap().tiles);
    kept.0.values_mut().for_each(|hashes| hashes.truncate(8));
    let lost = grow(&kept, 10, [leaf(10)]);
    assert!(matches!(lost, Err(GrowError::Read(ProveError::Short { .. }))), "{lost:?}");
}
