//! Where hashes are kept: C2SP tlog-tiles, so that any reader of such logs can fetch them.

use super::TreeHash;

/// Hashes of a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Names a tile. On level 0 a tile holds leaf hashes; above, each hash is the root of a full tile of the level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Level, from 0 to 7.
    pub level: u8,
    /// Index within the level, from 0.
    pub index: u64,
}

impl TileId {
    /// How many of its hashes exist in a tree of this size: 0 to [`TILE_WIDTH`].
    pub fn width(&self, size: u64) -> u16 {
        let on_level = size.checked_shr(u32::from(self.level).saturating_mul(8)).unwrap_or_default();
        let before = self.index.saturating_mul(u64::from(TILE_WIDTH));
        let width = on_level.saturating_sub(before).min(u64::from(TILE_WIDTH));
        u16::try_from(width).unwrap_or(TILE_WIDTH)
    }

    /// The path below the log's prefix, such as `tile/0/x001/x234/067.p/112`; no suffix for a full tile.
    pub fn path(&self, width: u16) -> String {
        let mut parts = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            parts.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        parts.reverse();
        let suffix = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
        format!("tile/{}/{}{suffix}", self.level, parts.join("/"))
    }
}

/// A hash and its place in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The tile.
    pub tile: TileId,
    /// The position in it, from 0. Positions fill up one by one.
    pub position: u8,
    /// The hash.
    pub hash: TreeHash,
}

impl Slot {
    pub(super) fn new(level: u8, index_on_level: u64, hash: TreeHash) -> Self {
        let [.., position] = index_on_level.to_be_bytes();
        Self { tile: TileId { level, index: index_on_level >> 8 }, position, hash }
    }
}

/// Reads stored tiles.
pub trait Tiles {
    /// Why a tile cannot be read.
    type Error;
    /// The first `width` hashes of a tile at least.
    fn tile(&self, id: TileId, width: u16) -> Result<Vec<TreeHash>, Self::Error>;
}
