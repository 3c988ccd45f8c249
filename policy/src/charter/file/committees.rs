//! Committees that keys may be handed over to, in the text form.

use limen_wire::ids::{CommitteeSize, KeyId, NodeId};
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::committee::{KeyCommittee, KeyCommittees, concentrated};
use crate::charter::{CharterError, Node};

/// Most such committees of a charter.
const MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCommittee {
    key: String,
    nodes: Vec<String>,
    signers_required: u16,
}

pub(super) fn read(raw: Vec<FileCommittee>, nodes: &[Node]) -> Result<KeyCommittees, CharterError> {
    if raw.len() > MAX {
        return Err(invalid("committees", format!("{} are named, at most {MAX} are possible", raw.len())));
    }
    let mut committees = KeyCommittees::new();
    for raw in raw {
        let committee = one(raw, nodes)?;
        let place = format!("committee of key {:?}", committee.key.as_str());
        if committees.insert(committee.key.clone(), committee).is_some() {
            return Err(invalid(place, "named twice: a key is handed over to one committee at a time"));
        }
    }
    Ok(committees)
}

fn one(raw: FileCommittee, known: &[Node]) -> Result<KeyCommittee, CharterError> {
    let place = format!("committee of key {:?}", raw.key);
    let key = name(&place, KeyId::new(raw.key))?;
    let nodes: Vec<NodeId> = raw
        .nodes
        .into_iter()
        .map(NodeId::new)
        .collect::<Result<_, _>>()
        .map_err(|error| CharterError::Name { place: place.clone(), source: error })?;
    // Indices are places in the charter, so the order is not free; it makes doubles impossible, too.
    let mut places = known.iter();
    if let Some(lost) = nodes.iter().find(|node| !places.any(|known| known.id == **node)) {
        let reason = format!("{lost} is no signer node, is named twice, or stands out of the charter's order");
        return Err(invalid(place, reason));
    }
    let total = u16::try_from(nodes.len()).unwrap_or(u16::MAX);
    let size = CommitteeSize::new(raw.signers_required, total).map_err(|error| invalid(&place, error.to_string()))?;
    if let Some((what, name)) = concentrated(known, &nodes, size.signers_required().into()) {
        let reason = format!("{what} {name} alone holds as many of them as sign: nobody may reach that");
        return Err(invalid(place, reason));
    }
    Ok(KeyCommittee { key, nodes, size })
}
