//! The evidence log as this node has cosigned it, leaf by leaf, and its own leaves that are not safely in it yet.
//!
//! The tree that lies here *is* the view of a witness: nothing is cosigned but what was made durable here before, and nothing
//! here is ever replaced.

use std::collections::BTreeMap;

use limen_evidence::leaf::Leaf;
use limen_evidence::merkle::{
    ConsistencyProof, Frontier, GrowError, Prover, TileId, Tiles, TreeHash, empty_root, grow, leaf_hash, tile_bytes,
    tile_hashes,
};
use limen_wire::keys::PublicKey;
use redb::{ReadableTable, ReadableTableMetadata as _};
use serde::{Deserialize, Serialize};

use super::journal::Event;
use super::rows::{decode, encode};
use super::schema::{LOG, LOG_LEAVES, LOG_TILES, PENDING_LEAVES};
use super::{StoreError, Txn, View};
use crate::clock::{Now, Uptime};

/// Place of an own leaf in the order in which they were made.
pub type LeafNumber = u64;

/// A leaf of this node's own that no checkpoint with enough cosignatures holds yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLeaf {
    /// The leaf; of an authorization its body only, until it was signed.
    pub bytes: Vec<u8>,
    /// Nothing is missing: these are the bytes for the log.
    pub whole: bool,
    /// How long this node had been running when it was made, in milliseconds.
    pub since: u64,
    /// How many nodes must have cosigned a checkpoint that holds it: `signers_required` of its key.
    pub required: u8,
}

impl PendingLeaf {
    /// What the tree holds of it, once it is whole.
    pub fn hash(&self) -> Option<TreeHash> {
        self.whole.then(|| leaf_hash(&self.bytes))
    }
}

/// What the guard asks about this node's own leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingLeaves {
    /// How many are not safely in the log.
    pub count: u64,
    /// Since when the oldest of them is not.
    pub oldest: Option<Uptime>,
}

/// Size and root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// How many leaves.
    pub size: u64,
    /// The root.
    pub root: TreeHash,
}

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

/// Tiles in their table, each a row of hashes.
struct Stored<'a, T>(&'a T);

impl<T: ReadableTable<(u8, u64), &'static [u8]>> Tiles for Stored<'_, T> {
    type Error = StoreError;

    fn tile(&self, id: TileId, _width: u16) -> Result<Vec<TreeHash>, StoreError> {
        let Some(bytes) = ok(self.0.get((id.level, id.index)))? else { return Ok(Vec::new()) };
        tile_hashes(bytes.value()).ok_or_else(|| StoreError::damaged("a tile of the log"))
    }
}

fn size(log: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, StoreError> {
    Ok(ok(log.last())?.map_or(0, |(index, _)| index.value().saturating_add(1)))
}

fn root_at(tiles: &impl ReadableTable<(u8, u64), &'static [u8]>, size: u64) -> Result<TreeHash, StoreError> {
    if size == 0 {
        return Ok(empty_root());
    }
    let root = Prover::new(&Stored(tiles), size).and_then(|mut prover| prover.root());
    root.map_err(|error| StoreError::damaged(error.to_string()))
}

fn leaf_at(log: &impl ReadableTable<u64, &'static [u8]>, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(ok(log.get(index))?.map(|leaf| leaf.value().to_vec()))
}

fn place(leaves: &impl ReadableTable<&'static [u8; 32], u64>, hash: &TreeHash) -> Result<Option<u64>, StoreError> {
    Ok(ok(leaves.get(hash.as_bytes()))?.map(|index| index.value()))
}

impl Txn<'_> {
    /// How many leaves of the log this node holds.
    pub fn log_size(&self) -> Result<u64, StoreError> {
        size(&self.log)
    }

    /// The root of its first leaves; there must be so many.
    pub fn log_root(&self, size: u64) -> Result<TreeHash, StoreError> {
        root_at(&self.log_tiles, size)
    }

    /// The leaf at an index.
    pub fn log_leaf(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        leaf_at(&self.log, index)
    }

    /// What the tree would be with these leaves at its end, and what is to be written then.
    pub fn grown_log(&self, leaves: &[&[u8]]) -> Result<GrownLog, StoreError> {
        let size = self.log_size()?;
        let hashes: Vec<TreeHash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let grown = grow(&Stored(&self.log_tiles), size, hashes.iter().copied()).map_err(|error| match error {
            GrowError::Read(error) => StoreError::damaged(error.to_string()),
            GrowError::Full(full) => StoreError::damaged(full.to_string()),
        })?;
        Ok(GrownLog { before: size, hashes, frontier: grown.frontier, tiles: grown.tiles })
    }

    /// Appends leaves: what [`Txn::grown_log`] gave for exactly these.
    pub fn append_log(&mut self, leaves: &[&[u8]], grown: &GrownLog) -> Result<(), StoreError> {
        for ((leaf, hash), index) in leaves.iter().zip(&grown.hashes).zip(grown.before..) {
            ok(self.log.insert(index, *leaf))?;
            // A leaf that stands there twice is found at its first place.
            if place(&self.log_leaves, hash)?.is_none() {
                ok(self.log_leaves.insert(hash.as_bytes(), index))?;
            }
        }
        for (tile, hashes) in &grown.tiles {
            ok(self.log_tiles.insert((tile.level, tile.index), tile_bytes(hashes).as_slice()))?;
        }
        Ok(())
    }

    /// Forgets the log, and keeps what this node itself has to say for the one that comes after: the way out of a fork.
    ///
    /// Its own are the authorizations that it has signed with `key`, and the signatures of their sessions that it has stored:
    /// whatever else lies in the log may be rubbish that no honest keeper takes. `most` nodes must cosign each, or as many as
    /// take part in a session of its key.
    pub fn give_up_log(&mut self, key: &PublicKey, most: u8, now: Now) -> Result<(), StoreError> {
        let size = self.log_size()?;
        let root = *self.log_root(size)?.as_bytes();
        let (mut own, mut sessions) = (Vec::new(), BTreeMap::new());
        for index in 0..size {
            let bytes = self.log_leaf(index)?.unwrap_or_default();
            let signers = match Leaf::decode(&bytes) {
                Ok(Leaf::Authorization(leaf)) => {
                    let Some(said) = leaf.verify(key) else { continue };
                    sessions.insert(said.session, said.signers.clone());
                    said.signers.len()
                }
                Ok(Leaf::Signature(leaf)) if sessions.get(&leaf.session) == Some(&leaf.signers) => {
                    let stored = self.intent(&leaf.intent)?.and_then(|(_, row)| row.result);
                    if stored.is_none_or(|stored| stored.signature[..] != leaf.signature[..]) {
                        continue;
                    }
                    leaf.signers.len()
                }
                _ => continue,
            };
            let required = u8::try_from(signers).unwrap_or(u8::MAX).min(most);
            own.push(PendingLeaf { bytes, whole: true, since: now.uptime.0, required });
        }
        ok(self.log.retain(|_, _| false))?;
        ok(self.log_tiles.retain(|_, _| false))?;
        ok(self.log_leaves.retain(|_, _| false))?;
        own.iter().try_for_each(|leaf| self.add_leaf(leaf))?;
        self.append(now.wall, Event::LogGivenUp { size, root })
    }

    /// Keeps a leaf of this node's own until the log has it.
    pub fn add_leaf(&mut self, leaf: &PendingLeaf) -> Result<(), StoreError> {
        let number = ok(self.pending_leaves.last())?.map_or(0, |(number, _)| number.value().saturating_add(1));
        ok(self.pending_leaves.insert(number, encode(leaf)?.as_slice())).map(drop)?;
        // What a patience counts from is never later than what a restart goes on from.
        self.put_uptime(Uptime(leaf.since))
    }

    /// Puts the whole leaf in the place of its body, and gives what is whole there now: an earlier signature of the same body stays.
    /// `None` if the leaf has gone.
    pub fn complete_leaf(
        &mut self,
        number: LeafNumber,
        body: &[u8],
        whole: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let found = ok(self.pending_leaves.get(number))?.map(|bytes| decode("pending leaves", bytes.value()));
        let Some(mut row): Option<PendingLeaf> = found.transpose()? else { return Ok(None) };
        if row.whole {
            return Ok(row.bytes.starts_with(body).then_some(row.bytes));
        }
        if row.bytes != body {
            return Ok(None);
        }
        (row.bytes, row.whole) = (whole.to_vec(), true);
        ok(self.pending_leaves.insert(number, encode(&row)?.as_slice()))?;
        Ok(Some(row.bytes))
    }

    /// Forgets own leaves that are safely in the log: exactly these, since a number can be another leaf's meanwhile.
    pub fn settle_leaves(&mut self, settled: &[(LeafNumber, PendingLeaf)]) -> Result<(), StoreError> {
        for (number, leaf) in settled {
            let found = ok(self.pending_leaves.get(*number))?.map(|bytes| decode("pending leaves", bytes.value()));
            if found.transpose()?.as_ref() == Some(leaf) {
                ok(self.pending_leaves.remove(*number))?;
            }
        }
        Ok(())
    }

    /// What the guard asks.
    pub fn missing_leaves(&self) -> Result<MissingLeaves, StoreError> {
        let first = ok(self.pending_leaves.first())?.map(|(_, bytes)| decode("pending leaves", bytes.value()));
        let first: Option<PendingLeaf> = first.transpose()?;
        let count = ok(self.pending_leaves.len())?;
        Ok(MissingLeaves { count, oldest: first.map(|leaf| Uptime(leaf.since)) })
    }
}

/// A log with more leaves, not yet written.
#[derive(Debug, Clone)]
pub struct GrownLog {
    before: u64,
    hashes: Vec<TreeHash>,
    frontier: Frontier,
    tiles: BTreeMap<TileId, Vec<TreeHash>>,
}

impl GrownLog {
    /// Size and root with them.
    pub fn tree(&self) -> Tree {
        Tree { size: self.frontier.size(), root: self.frontier.root() }
    }
}

impl View {
    /// How many leaves of the log this node holds.
    pub fn log_size(&self) -> Result<u64, StoreError> {
        size(&self.table(LOG)?)
    }

    /// The log that this node holds.
    pub fn log(&self) -> Result<Tree, StoreError> {
        let size = self.log_size()?;
        Ok(Tree { size, root: self.log_root(size)? })
    }

    /// The root of its first leaves; there must be so many.
    pub fn log_root(&self, size: u64) -> Result<TreeHash, StoreError> {
        root_at(&self.table(LOG_TILES)?, size)
    }

    /// Proof that the first `new` leaves grew out of the first `old`.
    pub fn log_consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, StoreError> {
        let tiles = self.table(LOG_TILES)?;
        let proof = Prover::new(&Stored(&tiles), new).and_then(|mut prover| prover.consistency(old));
        proof.map_err(|error| StoreError::damaged(error.to_string()))
    }

    /// Leaves from an index on, so many and of so many bytes at most, but one at least if there is one.
    pub fn log_leaves(&self, start: u64, most: usize, bytes: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let log = self.table(LOG)?;
        let mut page = Page::new(most, bytes);
        for row in ok(log.range(start..))? {
            if !page.put(ok(row)?.1.value()) {
                break;
            }
        }
        Ok(page.leaves)
    }

    /// Where a leaf stands.
    pub fn log_place(&self, hash: &TreeHash) -> Result<Option<u64>, StoreError> {
        place(&self.table(LOG_LEAVES)?, hash)
    }

    /// Own leaves that are not safely in the log, from the oldest on.
    pub fn pending_leaves(&self) -> Result<Vec<(LeafNumber, PendingLeaf)>, StoreError> {
        let pending = self.table(PENDING_LEAVES)?;
        let row = |row: Result<_, redb::StorageError>| {
            let (number, bytes): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>) = ok(row)?;
            Ok((number.value(), decode("pending leaves", bytes.value())?))
        };
        ok(pending.iter())?.map(row).collect()
    }

    /// How many of them there are.
    pub fn pending_leaf_count(&self) -> Result<u64, StoreError> {
        ok(self.table(PENDING_LEAVES)?.len())
    }
}

/// Leaves within bounds.
struct Page {
    leaves: Vec<Vec<u8>>,
    most: usize,
    bytes: usize,
}

impl Page {
    const fn new(most: usize, bytes: usize) -> Self {
        Self { leaves: Vec::new(), most, bytes }
    }

    /// `false` if there is no room.
    fn put(&mut self, leaf: &[u8]) -> bool {
        if self.leaves.len() >= self.most || (leaf.len() > self.bytes && !self.leaves.is_empty()) {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(leaf.len());
        self.leaves.push(leaf.to_vec());
        true
    }
}
