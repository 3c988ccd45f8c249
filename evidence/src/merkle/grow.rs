//! Growing a stored tree by many leaves at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Frontier, ProveError, Prover, TileId, Tiles, TreeFull, TreeHash};

/// Why a stored tree does not grow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrowError<E> {
    /// What is stored cannot be read.
    #[error("appending to the log: {0}")]
    Read(ProveError<E>),
    /// No more leaves are possible.
    #[error(transparent)]
    Full(#[from] TreeFull),
}

/// A tree with more leaves, and every tile that changes, whole: to be stored with the leaves in one durable step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// The growing end afterwards: size and root.
    pub frontier: Frontier,
    /// The tiles to be written.
    pub tiles: BTreeMap<TileId, Vec<TreeHash>>,
}

/// Appends leaves, by their hashes, to a stored tree of `size` leaves. Changes nothing itself.
pub fn grow<T: Tiles>(
    stored: &T,
    size: u64,
    leaves: impl IntoIterator<Item = TreeHash>,
) -> Result<Grown, GrowError<T::Error>> {
    let frontier = Prover::new(stored, size).and_then(|mut prover| prover.frontier()).map_err(GrowError::Read)?;
    let mut grown = Grown { frontier, tiles: BTreeMap::new() };
    for leaf in leaves {
        for slot in grown.frontier.append(leaf)?.slots {
            let (tile, width) = (slot.tile, u16::from(slot.position));
            let hashes = match grown.tiles.entry(tile) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(new) => new.insert(before(stored, tile, width).map_err(GrowError::Read)?),
            };
            hashes.push(slot.hash);
        }
    }
    Ok(grown)
}

/// The hashes of a tile before its position `width`.
fn before<T: Tiles>(stored: &T, tile: TileId, width: u16) -> Result<Vec<TreeHash>, ProveError<T::Error>> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let mut hashes = stored.tile(tile, width).map_err(|source| ProveError::Read { tile, width, source })?;
    if hashes.len() < usize::from(width) {
        return Err(ProveError::Short { tile, width, found: hashes.len() });
    }
    hashes.truncate(usize::from(width));
    Ok(hashes)
}
