//! Comparing logs with peers: whoever was made to cosign another log than we were does not count for us, nor we for them.
//!
//! A peer's word about its log blocks nothing beyond that: one liar can make only itself not count.

use limen_wire::error::ApiError;
use limen_wire::ids::NodeId;
use limen_wire::standing::{ChainHead, Standing};

use super::Standings;
use crate::peers::Talks;
use crate::shared::Shared;
use crate::store::{StoreError, View};

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

impl Standings {
    /// Notes why a peer's log is another one, and whether that was found out here.
    pub fn log(&self, peer: &NodeId, words: Option<String>, differs: bool) {
        let mut state = self.state();
        let peer = state.peers.entry(peer.clone()).or_default();
        (peer.other_log, peer.log_differs) = (words, differs);
    }

    /// Whether it was found out here when the peer spoke of its log last. What it says itself is not said back to it: two
    /// signers would go on telling each other for ever.
    pub fn has_other_log(&self, peer: &NodeId) -> bool {
        self.state().peers.get(peer).is_some_and(|peer| peer.log_differs)
    }
}

/// What a peer is told of the log here.
pub(super) fn told(view: &View) -> Result<Option<ChainHead>, ApiError> {
    let tree = view.log().map_err(failed)?;
    Ok(Some(ChainHead { length: tree.size, hash: *tree.root.as_bytes() }))
}

/// Compares what a peer says of its log, as far as both go. The one that holds more leaves can; it tells the other.
pub(super) fn compare(host: &impl Talks, from: &NodeId, said: &Standing) -> Result<(), ApiError> {
    let view = host.decisions().store.view().map_err(failed)?;
    let own = view.log().map_err(failed)?;
    let differs = |log: &ChainHead| match log.length <= own.size {
        true => view.log_root(log.length).map(|root| *root.as_bytes() != log.hash),
        false => Ok(false),
    };
    let differs = said.log.as_ref().map(differs).transpose().map_err(failed)?.unwrap_or_default();
    let what = match said.log {
        Some(log) if differs => Some(format!("holds another log at {} leaves", log.length)),
        _ if said.other_log => Some("says that this signer holds another log".to_owned()),
        _ => None,
    };
    let words = what.map(|what| format!("{what}; the root here is {} at {}", own.root, own.size));
    host.log_alarm().note_peer(from, words.as_deref(), host.metrics());
    host.standings().log(from, words, differs);
    Ok(())
}
