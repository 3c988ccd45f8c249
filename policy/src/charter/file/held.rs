//! Keys that live in one token, in the text form.

use std::collections::BTreeMap;

use limen_wire::ids::{KeyId, NodeId, Protocol, Scheme};
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::held::{HeldKey, check_cold};
use crate::charter::vault::Vaults;
use crate::charter::{Charter, CharterError, Node};

/// Most such keys of a charter.
const MAX_KEYS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHeldKey {
    id: String,
    node: String,
    scheme: Scheme,
    /// Written out, so that whoever signs the charter has read it.
    #[serde(default)]
    outside_the_promise: bool,
}

pub(super) fn read(
    raw: Vec<FileHeldKey>,
    nodes: &[Node],
    vaults: &Vaults,
) -> Result<BTreeMap<KeyId, HeldKey>, CharterError> {
    if raw.len() > MAX_KEYS {
        return Err(invalid("hsm_keys", format!("{} keys, at most {MAX_KEYS} are possible", raw.len())));
    }
    let mut keys = BTreeMap::new();
    for raw in raw {
        let place = format!("hsm key {:?}", raw.id);
        let (id, node) = (name(&place, KeyId::new(raw.id))?, name(&place, NodeId::new(raw.node))?);
        if !raw.outside_the_promise {
            let reason = "the key lives in one token, and whoever holds that or its signer signs alone: write \
                          `outside_the_promise = true` if that is meant";
            return Err(invalid(place, reason));
        }
        if !nodes.iter().any(|known| known.id == node) {
            return Err(invalid(place, format!("there is no signer node {node}")));
        }
        if !Protocol::Hsm.supports(raw.scheme) {
            return Err(invalid(place, format!("no token makes {} signatures", raw.scheme)));
        }
        check_cold(vaults, &id).map_err(|error| invalid(&place, error.to_string()))?;
        let key = HeldKey { id: id.clone(), node, scheme: raw.scheme };
        if keys.insert(id, key).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(keys)
}

/// Others must have certified whatever such a key signs, because no other signer takes part in it: what counts once, and every
/// limit on its vault. Two quorums have to share somebody beside the key's own signer, whose disk may be an old one.
pub(super) fn certified(charter: Charter) -> Result<Charter, CharterError> {
    let (keys, ledgers) = (&charter.hsm_keys, &charter.ledgers);
    let Some(first) = keys.values().next() else { return Ok(charter) };
    let place = |id: &KeyId| format!("hsm key \"{id}\"");
    let Some(committee) = charter.claims_ledger.as_ref().and_then(|id| ledgers.get(id)) else {
        let reason = "one signer signs by it, so others must have certified each request: name a ledger in claims";
        return Err(invalid(place(&first.id), reason));
    };
    let alone = "has `corrupt = 0`, so the key's signer could answer for all: 1 is needed";
    if committee.corrupt() == 0 {
        return Err(invalid(place(&first.id), format!("the ledger of claims {alone}")));
    }
    for limit in charter.limits.values() {
        let bounds = |key: &&HeldKey| {
            let vault = charter.vaults.of_key(&key.id).map(|vault| &vault.id);
            limit.vaults.is_empty() || vault.is_some_and(|vault| limit.vaults.contains(vault))
        };
        let wrong = match limit.ledger.as_ref().map(|id| (id, ledgers.get(id))) {
            None => "names no ledger that certifies it".to_owned(),
            Some((_, Some(committee))) if committee.corrupt() > 0 => continue,
            Some((id, _)) => format!("names ledger {id}, which {alone}"),
        };
        if let Some(key) = keys.values().find(bounds) {
            return Err(invalid(place(&key.id), format!("limit {} bounds its vault and {wrong}", limit.id)));
        }
    }
    Ok(charter)
}
