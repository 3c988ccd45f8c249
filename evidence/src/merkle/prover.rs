//! Proofs out of stored tiles.

use std::collections::BTreeMap;

use super::{ConsistencyProof, Frontier, InclusionProof, MAX_SIZE, TileId, Tiles, TreeHash, fold};

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The tree has not that many leaves, or none can.
    #[error("proving from the log: {asked} is beyond its {size} leaves")]
    Beyond {
        /// The leaf or size asked for.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// The store failed.
    #[error("proving from the log: could not read {}", .tile.path(*.width))]
    Read {
        /// Which tile.
        tile: TileId,
        /// How many of its hashes were needed.
        width: u16,
        /// Why.
        source: E,
    },
    /// The store holds less than the tree's size says: its last write is not durable, or it lost something.
    #[error("proving from the log: {} holds {found} hashes only; restore the store", .tile.path(*.width))]
    Short {
        /// Which tile.
        tile: TileId,
        /// How many of its hashes were needed.
        width: u16,
        /// How many are there.
        found: usize,
    },
}

/// Proves things about a tree of one size. Reads each tile once.
pub struct Prover<'a, T: Tiles> {
    tiles: &'a T,
    size: u64,
    read: BTreeMap<TileId, Vec<TreeHash>>,
}

// Every index below is less than the size, which is at most `MAX_SIZE`, and every height less than 63.
#[expect(clippy::arithmetic_side_effects, reason = "indices and heights are bounded by MAX_SIZE, checked in `new`")]
impl<'a, T: Tiles> Prover<'a, T> {
    /// About the tree of the first `size` leaves.
    pub fn new(tiles: &'a T, size: u64) -> Result<Self, ProveError<T::Error>> {
        if size > MAX_SIZE {
            return Err(ProveError::Beyond { asked: size, size: MAX_SIZE });
        }
        Ok(Self { tiles, size, read: BTreeMap::new() })
    }

    /// The root.
    pub fn root(&mut self) -> Result<TreeHash, ProveError<T::Error>> {
        self.range(0, self.size)
    }

    /// The growing end, to go on appending after a restart.
    pub fn frontier(&mut self) -> Result<Frontier, ProveError<T::Error>> {
        Ok(Frontier::from_peaks(self.size, self.subtrees(0, self.size)?))
    }

    /// `PATH(index, D[size])` of RFC 6962 section 2.1.1.
    pub fn inclusion(&mut self, index: u64) -> Result<InclusionProof, ProveError<T::Error>> {
        if index >= self.size {
            return Err(ProveError::Beyond { asked: index, size: self.size });
        }
        let (mut start, mut end, mut path) = (0, self.size, Vec::new());
        while end - start > 1 {
            let middle = start + largest_power_below(end - start);
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Ok(InclusionProof::from_path(path))
    }

    /// `PROOF(old, D[size])` of RFC 6962 section 2.1.2. Empty if `old` is zero or the size itself.
    pub fn consistency(&mut self, old: u64) -> Result<ConsistencyProof, ProveError<T::Error>> {
        if old > self.size {
            return Err(ProveError::Beyond { asked: old, size: self.size });
        }
        if old == 0 {
            return Ok(ConsistencyProof::from_path(Vec::new()));
        }
        let (mut start, mut end, mut path) = (0, self.size, Vec::new());
        while old < end {
            let middle = start + largest_power_below(end - start);
            if old <= middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        // The verifier knows the old root itself; any other subtree that the walk ends at must be shown.
        if start > 0 {
            path.push(self.range(start, end)?);
        }
        path.reverse();
        Ok(ConsistencyProof::from_path(path))
    }

    /// `MTH(D[start:end])`; `start` is a multiple of the largest power of two that fits in the range.
    fn range(&mut self, start: u64, end: u64) -> Result<TreeHash, ProveError<T::Error>> {
        Ok(fold(&self.subtrees(start, end)?))
    }

    fn subtrees(&mut self, start: u64, end: u64) -> Result<Vec<TreeHash>, ProveError<T::Error>> {
        let (mut at, mut subtrees) = (start, Vec::new());
        while at < end {
            let height = (end - at).ilog2();
            subtrees.push(self.subtree(height, at >> height)?);
            at += 1 << height;
        }
        Ok(subtrees)
    }

    /// The root of the complete subtree of 2^height leaves.
    fn subtree(&mut self, height: u32, index: u64) -> Result<TreeHash, ProveError<T::Error>> {
        let (level, within) = (u8::try_from(height / 8).unwrap_or(u8::MAX), height % 8);
        let first = index << within;
        let tile = TileId { level, index: first >> 8 };
        let from = usize::try_from(first % 256).unwrap_or_default();
        let hashes = self.tile(tile)?;
        let found = hashes.len();
        let row = hashes.get(from..from + (1 << within));
        let mut row = row.ok_or(ProveError::Short { tile, width: tile.width(self.size), found })?.to_vec();
        while row.len() > 1 {
            row = row.chunks(2).map(fold).collect();
        }
        Ok(fold(&row))
    }

    fn tile(&mut self, tile: TileId) -> Result<Vec<TreeHash>, ProveError<T::Error>> {
        if let Some(hashes) = self.read.get(&tile) {
            return Ok(hashes.clone());
        }
        let width = tile.width(self.size);
        let hashes = self.tiles.tile(tile, width).map_err(|source| ProveError::Read { tile, width, source })?;
        self.read.insert(tile, hashes.clone());
        Ok(hashes)
    }
}

/// The `k` of RFC 6962: the largest power of two that is smaller than `count`, which is at least 2.
const fn largest_power_below(count: u64) -> u64 {
    match count.saturating_sub(1).checked_ilog2() {
        Some(height) => 1 << height,
        None => 0,
    }
}
