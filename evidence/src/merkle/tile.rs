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
        self.path_in(&self.level.to_string(), width)
    }

    /// The path of the leaves whose hashes a tile of level 0 holds, such as `tile/entries/x001/x234/067`.
    pub fn entries_path(&self, width: u16) -> String {
        self.path_in("entries", width)
    }

    fn path_in(&self, folder: &str, width: u16) -> String {
        let mut parts = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            parts.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        parts.reverse();
        let suffix = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
        format!("tile/{folder}/{}{suffix}", parts.join("/"))
    }
}

/// A tile as it is served and stored: its hashes one after the other.
pub fn tile_bytes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The hashes of a tile; `None` if these bytes are none.
pub fn tile_hashes(bytes: &[u8]) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && (1..=usize::from(TILE_WIDTH)).contains(&hashes.len()))
        .then(|| hashes.iter().copied().map(TreeHash::new).collect())
}

/// Leaves as they are served beside their tile: each with two bytes of length. `None` if one is longer than 65 535 bytes.
pub fn entry_bundle<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for leaf in leaves {
        out.extend_from_slice(&u16::try_from(leaf.len()).ok()?.to_be_bytes());
        out.extend_from_slice(leaf);
    }
    Some(out)
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
