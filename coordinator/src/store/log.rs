//! The evidence log: leaves in their order, the tree over them, and the newest checkpoints with their cosignatures.

use bytes::Bytes;
use limen_evidence::checkpoint::SignedCheckpoint;
use limen_evidence::leaf::Leaf;
use limen_evidence::merkle::{
    InclusionProof, ProveError, Prover, TileId, Tiles, TreeHash, empty_root, grow, leaf_hash, tile_bytes, tile_hashes,
};
use limen_wire::ids::IntentId;
use limen_wire::limits;
use redb::{ReadableDatabase as _, ReadableTable, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use super::{Store, StoreError, Write};

/// Index → leaf.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Level and index → hashes of a tile of the tree.
const LOG_TILES: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("log_tiles");
/// Hash of a leaf → where it stands.
const LOG_LEAVES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("log_leaves");
/// Leaves by the intent that they speak of.
const LOG_INTENTS: TableDefinition<'_, (&[u8; 32], u64), ()> = TableDefinition::new("log_intents");
/// Cosigned checkpoints by kind.
const LOG_NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("log_notes");

/// Which cosigned checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// The newest, with as many cosignatures as there are.
    Newest,
    /// The newest that is final.
    Final,
}

impl NoteKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Final => "final",
        }
    }
}

/// A change of the log.
pub(super) enum LogWrite {
    /// More leaves at its end.
    Append(Vec<Bytes>),
    /// All of it goes: the nodes have another one.
    Forget,
    /// A cosigned checkpoint takes the place of the one before.
    Note(NoteKind, String),
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned() }
}

struct Stored<'a, T>(&'a T);

impl<T: ReadableTable<(u8, u64), &'static [u8]>> Tiles for Stored<'_, T> {
    type Error = StoreError;

    fn tile(&self, id: TileId, _width: u16) -> Result<Vec<TreeHash>, StoreError> {
        let Some(bytes) = self.0.get((id.level, id.index))? else { return Ok(Vec::new()) };
        tile_hashes(bytes.value()).ok_or_else(|| damaged("a tile of the log"))
    }
}

fn unproven(error: ProveError<StoreError>) -> StoreError {
    match error {
        ProveError::Read { source, .. } => source,
        _ => damaged("a tree of the log"),
    }
}

fn size(log: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, StoreError> {
    Ok(log.last()?.map_or(0, |(index, _)| index.value() + 1))
}

/// Makes the tables.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(LOG)?;
    transaction.open_table(LOG_TILES)?;
    transaction.open_table(LOG_LEAVES)?;
    transaction.open_table(LOG_INTENTS)?;
    transaction.open_table(LOG_NOTES)?;
    Ok(())
}

pub(super) fn apply(transaction: &WriteTransaction, write: LogWrite) -> Result<(), StoreError> {
    match write {
        LogWrite::Append(leaves) => append(transaction, &leaves),
        LogWrite::Forget => {
            transaction.delete_table(LOG)?;
            transaction.delete_table(LOG_TILES)?;
            transaction.delete_table(LOG_LEAVES)?;
            transaction.delete_table(LOG_INTENTS)?;
            transaction.delete_table(LOG_NOTES)?;
            prepare(transaction)
        }
        LogWrite::Note(kind, note) => {
            transaction.open_table(LOG_NOTES)?.insert(kind.name(), note.as_bytes())?;
            Ok(())
        }
    }
}

fn append(transaction: &WriteTransaction, leaves: &[Bytes]) -> Result<(), StoreError> {
    let (mut log, mut tiles) = (transaction.open_table(LOG)?, transaction.open_table(LOG_TILES)?);
    let (mut places, mut intents) = (transaction.open_table(LOG_LEAVES)?, transaction.open_table(LOG_INTENTS)?);
    let before = size(&log)?;
    let hashes: Vec<TreeHash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let grown = grow(&Stored(&tiles), before, hashes.iter().copied()).map_err(|_| damaged("a tree of the log"))?;
    for ((leaf, hash), index) in leaves.iter().zip(&hashes).zip(before..) {
        log.insert(index, leaf.as_ref())?;
        if places.get(hash.as_bytes())?.is_none() {
            places.insert(hash.as_bytes(), index)?;
        }
        let intent = match Leaf::decode(leaf) {
            Ok(Leaf::Authorization(leaf)) => leaf.unverified().intent,
            Ok(Leaf::Signature(leaf)) => leaf.intent,
            // Of a later release: the tree holds it all the same.
            Err(_) => continue,
        };
        intents.insert((intent.as_bytes(), index), ())?;
    }
    for (tile, hashes) in &grown.tiles {
        tiles.insert((tile.level, tile.index), tile_bytes(hashes).as_slice())?;
    }
    Ok(())
}

impl Store {
    async fn write_log(&self, write: LogWrite) -> Result<(), StoreError> {
        self.write(|reply: oneshot::Sender<()>| Write::Log(write, reply)).await
    }

    /// Puts leaves at the log's end.
    pub async fn append_log(&self, leaves: Vec<Bytes>) -> Result<(), StoreError> {
        self.write_log(LogWrite::Append(leaves)).await
    }

    /// Forgets the log and its checkpoints.
    pub async fn forget_log(&self) -> Result<(), StoreError> {
        self.write_log(LogWrite::Forget).await
    }

    /// Keeps a cosigned checkpoint.
    pub async fn put_note(&self, kind: NoteKind, note: &SignedCheckpoint) -> Result<(), StoreError> {
        self.write_log(LogWrite::Note(kind, note.to_note())).await
    }

    /// A cosigned checkpoint, if there is one.
    pub fn note(&self, kind: NoteKind) -> Result<Option<SignedCheckpoint>, StoreError> {
        let table = self.database.begin_read()?.open_table(LOG_NOTES)?;
        let note = table.get(kind.name())?.map(|bytes| SignedCheckpoint::parse(bytes.value()));
        note.transpose().map_err(|_| damaged("a checkpoint of the log"))
    }

    /// How many leaves the log has.
    pub fn log_size(&self) -> Result<u64, StoreError> {
        size(&self.database.begin_read()?.open_table(LOG)?)
    }

    /// The root of the first so many leaves.
    pub fn log_root(&self, size: u64) -> Result<TreeHash, StoreError> {
        if size == 0 {
            return Ok(empty_root());
        }
        let tiles = self.database.begin_read()?.open_table(LOG_TILES)?;
        Prover::new(&Stored(&tiles), size).and_then(|mut prover| prover.root()).map_err(unproven)
    }

    /// Leaves from `start` up to `end`, as many as fit one message, but one at least.
    pub fn log_leaves(&self, start: u64, end: u64) -> Result<Vec<Bytes>, StoreError> {
        let log = self.database.begin_read()?.open_table(LOG)?;
        let (mut leaves, mut bytes) = (Vec::new(), 0usize);
        for row in log.range(start..end)?.take(limits::LOG_PAGE) {
            let leaf = row?.1;
            bytes = bytes.saturating_add(leaf.value().len());
            if bytes > limits::LOG_PAGE_BYTES && !leaves.is_empty() {
                break;
            }
            leaves.push(Bytes::copy_from_slice(leaf.value()));
        }
        Ok(leaves)
    }

    /// Whether the log has this leaf.
    pub fn has_leaf(&self, hash: &TreeHash) -> Result<bool, StoreError> {
        Ok(self.database.begin_read()?.open_table(LOG_LEAVES)?.get(hash.as_bytes())?.is_some())
    }

    /// The leaves that speak of an intent, with their places, in the order of the log.
    pub fn leaves_of(&self, intent: &IntentId) -> Result<Vec<(u64, Leaf)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let (places, log) = (transaction.open_table(LOG_INTENTS)?, transaction.open_table(LOG)?);
        let mut found = Vec::new();
        for row in places.range((intent.as_bytes(), 0)..=(intent.as_bytes(), u64::MAX))? {
            let index = row?.0.value().1;
            let leaf = log.get(index)?.ok_or_else(|| damaged("a leaf of the log"))?;
            found.push((index, Leaf::decode(leaf.value()).map_err(|_| damaged("a leaf of the log"))?));
        }
        Ok(found)
    }

    /// Proofs that leaves are among the first `size`.
    pub fn inclusions(&self, indices: &[u64], size: u64) -> Result<Vec<InclusionProof>, StoreError> {
        let tiles = self.database.begin_read()?.open_table(LOG_TILES)?;
        let stored = Stored(&tiles);
        let mut prover = Prover::new(&stored, size).map_err(unproven)?;
        indices.iter().map(|index| prover.inclusion(*index).map_err(unproven)).collect()
    }
}
