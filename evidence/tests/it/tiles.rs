//! Tiles in memory, and their names.

use std::cell::RefCell;
use std::collections::BTreeMap;

use limen_evidence::merkle::{
    Frontier, ProveError, Prover, Slot, TileId, Tiles, TreeHash, entry_bundle, leaf_hash, tile_bytes, tile_hashes,
};

/// A log in memory: the frontier, and tiles as a store would hold them.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) frontier: Frontier,
    pub(crate) tiles: BTreeMap<TileId, Vec<TreeHash>>,
    pub(crate) reads: RefCell<Vec<(TileId, u16)>>,
}

impl Log {
    pub(crate) fn of(leaves: &[Vec<u8>]) -> Self {
        let mut log = Self::default();
        leaves.iter().for_each(|leaf| log.append(leaf));
        log
    }

    pub(crate) fn append(&mut self, leaf: &[u8]) {
        for Slot { tile, position, hash } in self.frontier.append(leaf_hash(leaf)).unwrap().slots {
            let hashes = self.tiles.entry(tile).or_default();
            assert_eq!(hashes.len(), usize::from(position), "positions fill up one by one");
            hashes.push(hash);
        }
    }

    pub(crate) fn prover(&self, size: u64) -> Prover<'_, Self> {
        Prover::new(self, size).unwrap()
    }
}

impl Tiles for Log {
    type Error = &'static str;
    fn tile(&self, id: TileId, width: u16) -> Result<Vec<TreeHash>, &'static str> {
        self.reads.borrow_mut().push((id, width));
        self.tiles.get(&id).cloned().ok_or("no such tile")
    }
}

fn leaves(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
}

#[test]
fn tiles_have_the_names_of_c2sp() {
    // the examples of tlog-tiles
    assert_eq!(TileId { level: 0, index: 1_234_067 }.path(256), "tile/0/x001/x234/067");
    assert_eq!(TileId { level: 0, index: 273 }.path(112), "tile/0/273.p/112");
    assert_eq!(TileId { level: 1, index: 0 }.path(256), "tile/1/000");
    assert_eq!(TileId { level: 2, index: 1_000 }.path(1), "tile/2/x001/000.p/1");
}

#[test]
fn tiles_and_entries_are_served_as_c2sp_says() {
    let hashes = [leaf_hash(b"a"), leaf_hash(b"b")];
    let bytes = tile_bytes(&hashes);
    assert_eq!(bytes, [*hashes[0].as_bytes(), *hashes[1].as_bytes()].concat());
    assert_eq!(tile_hashes(&bytes).unwrap(), hashes);
    for wrong in [&b""[..], &bytes[..63], &[0; 257 * 32]] {
        assert_eq!(tile_hashes(wrong), None);
    }
    assert!(tile_hashes(&[0; 256 * 32]).is_some());
    assert_eq!(entry_bundle([&b"a"[..], b"", b"bc"]).unwrap(), b"\0\x01a\0\0\0\x02bc");
    assert_eq!(entry_bundle([&[0; 65_536][..]]), None);
    assert_eq!(TileId { level: 0, index: 273 }.entries_path(112), "tile/entries/273.p/112");
}

#[test]
fn tiles_have_the_widths_of_c2sp() {
    let width = |level, index, size| TileId { level, index }.width(size);
    // "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one full
    // level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1"
    assert_eq!((width(0, 272, 70_000), width(0, 273, 70_000), width(0, 274, 70_000)), (256, 112, 0));
    assert_eq!((width(1, 0, 70_000), width(1, 1, 70_000), width(2, 0, 70_000), width(3, 0, 70_000)), (256, 17, 1, 0));
    assert_eq!((width(0, 0, 256), width(1, 0, 256)), (256, 1));
    assert_eq!((width(9, 0, u64::MAX), width(0, u64::MAX, u64::MAX)), (0, 0));
}

#[test]
fn a_log_of_seventy_thousand_leaves_fills_exactly_those_tiles() {
    let log = Log::of(&leaves(70_000));
    for (tile, hashes) in &log.tiles {
        assert_eq!(hashes.len(), usize::from(tile.width(70_000)), "{tile:?}");
    }
    assert_eq!(log.tiles.len(), 273 + 1 + 1 + 1 + 1);
    let mut prover = log.prover(70_000);
    assert_eq!(prover.root().unwrap(), log.frontier.root());
    let root = log.frontier.root();
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let leaf = leaf_hash(&u32::try_from(index).unwrap().to_be_bytes());
        prover.inclusion(index).unwrap().verify(&leaf, index, 70_000, &root).unwrap();
    }
    for old in [1, 255, 256, 257, 65_536, 65_537, 69_999] {
        let old_root = log.prover(old).root().unwrap();
        prover.consistency(old).unwrap().verify((old, &old_root), (70_000, &root)).unwrap();
    }
}

#[test]
fn a_prover_reads_each_tile_once_and_only_what_the_tree_of_its_size_has() {
    let log = Log::of(&leaves(1_000));
    let mut prover = log.prover(700);
    prover.inclusion(3).unwrap();
    prover.consistency(300).unwrap();
    let mut reads = log.reads.borrow().clone();
    assert!(reads.iter().all(|(tile, width)| *width == tile.width(700) && *width > 0));
    let count = reads.len();
    reads.sort_unstable();
    reads.dedup();
    assert_eq!(reads.len(), count);
}

#[test]
fn a_frontier_goes_on_from_stored_tiles() {
    let leaves = leaves(600);
    for size in [0_usize, 1, 2, 3, 255, 256, 257, 511, 512, 599] {
        let mut log = Log::of(&leaves[..size]);
        let restored = log.prover(size as u64).frontier().unwrap();
        assert_eq!(restored, log.frontier);
        log.frontier = restored;
        log.append(&leaves[size]);
        assert_eq!(log.frontier.root(), Log::of(&leaves[..=size]).frontier.root());
    }
}

#[test]
fn a_store_that_lost_something_is_named() {
    let mut log = Log::of(&leaves(300));
    let last = TileId { level: 0, index: 1 };
    log.tiles.get_mut(&last).unwrap().truncate(40);
    assert_eq!(log.prover(300).root(), Err(ProveError::Short { tile: last, width: 44, found: 40 }));
    log.tiles.remove(&last);
    let error = log.prover(300).inclusion(0).unwrap_err();
    assert_eq!(error, ProveError::Read { tile: last, width: 44, source: "no such tile" });
    assert!(error.to_string().contains("tile/0/001.p/44"), "{error}");
}

#[test]
fn there_is_no_proof_beyond_the_tree() {
    let log = Log::of(&leaves(5));
    assert_eq!(log.prover(5).inclusion(5), Err(ProveError::Beyond { asked: 5, size: 5 }));
    assert_eq!(log.prover(5).consistency(6), Err(ProveError::Beyond { asked: 6, size: 5 }));
    assert!(Prover::new(&log, u64::MAX).is_err());
}
