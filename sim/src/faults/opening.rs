//! A signer's store on an image of a disk.

use limen_node::store::{Options, Store, StoreError};
use limen_wire::ids::{ClusterId, NodeId};

use crate::disk::{Disk, Image};

/// As the daemon opens it: every page is checked first.
pub(super) fn open(image: Image, node: &NodeId) -> Result<Store, StoreError> {
    open_disk(Disk::holding(image), node, true)
}

pub(super) fn open_disk(disk: Disk, node: &NodeId, check: bool) -> Result<Store, StoreError> {
    let mut options = Options::new(node.clone(), ClusterId::new("sim").expect("a name"));
    options.on_fatal = Box::new(|_| {});
    let marked = disk.clone();
    options.on_commit = Box::new(move |_| marked.mark());
    (options.check, options.cache) = (check, 4 << 20);
    Store::open_on(disk, options)
}

/// A digest of everything in it.
pub(super) fn content(image: Image, node: &NodeId) -> Result<[u8; 32], StoreError> {
    open(image, node)?.view()?.content()
}

/// The name of an error, without its circumstances.
pub(super) fn name(error: &StoreError) -> &'static str {
    match error {
        StoreError::Folder { .. } => "refused: folder",
        StoreError::InUse { .. } => "refused: in use",
        StoreError::Newer { .. } => "refused: newer format",
        StoreError::Unreleased { .. } => "refused: unreleased format",
        StoreError::OtherOwner { .. } => "refused: other owner",
        StoreError::Damaged(_) => "refused: damaged",
        StoreError::Engine(_) => "refused: engine",
        StoreError::Busy => "refused: busy",
        StoreError::Stopped => "refused: stopped",
    }
}
