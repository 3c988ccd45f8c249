//! Committees that keys may be handed over to.

use std::collections::BTreeMap;

use limen_wire::ids::{CommitteeSize, KeyId, NodeId};

use super::Node;

/// Whom a key may be handed over to, beside the committee that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCommittee {
    /// The key.
    pub key: KeyId,
    /// Its signers afterwards, in the charter's order.
    pub nodes: Vec<NodeId>,
    /// How many of them must take part.
    pub size: CommitteeSize,
}

/// Committees by key.
pub type KeyCommittees = BTreeMap<KeyId, KeyCommittee>;

/// The site or account that alone holds as many of these nodes as sign, if there is one.
pub(super) fn concentrated<'a>(
    known: &'a [Node],
    nodes: &[NodeId],
    required: usize,
) -> Option<(&'static str, &'a str)> {
    let members = || known.iter().filter(|node| nodes.contains(&node.id));
    let reaches = |what, place: fn(&Node) -> Option<&str>| {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for name in members().filter_map(place) {
            let count = counted.entry(name).or_default();
            *count = count.saturating_add(1);
        }
        counted.into_iter().find(|(_, count)| *count >= required).map(|(name, _)| (what, name))
    };
    reaches("site", |node| node.site.as_deref()).or_else(|| reaches("account", |node| node.account.as_deref()))
}

#[cfg(test)]
mod tests;
