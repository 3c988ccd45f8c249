//! Identities that signers had, in the text form.

use limen_wire::identities::{FileFormer, FormerIdentities};

use super::invalid;
use crate::charter::{CharterError, Coordinator, Node};

const PLACE: &str = "former_identities";

/// Of machines that are there, and none that is somebody's identity now: what was given up does not come back.
pub(super) fn read(
    raw: Vec<FileFormer>,
    machines: &[&Node],
    coordinators: &[Coordinator],
) -> Result<FormerIdentities, CharterError> {
    let all = FormerIdentities::read(raw).map_err(|error| invalid(PLACE, error.to_string()))?;
    for former in all.iter() {
        let (node, key) = (&former.node, &former.public_key);
        if !machines.iter().any(|machine| machine.id == *node) {
            return Err(invalid(PLACE, format!("there is no signer or witness {node}")));
        }
        let mut present = machines.iter().map(|one| (&one.id, &one.public_key));
        let mut present = present.by_ref().chain(coordinators.iter().map(|one| (&one.id, &one.public_key)));
        if let Some((who, _)) = present.find(|(_, present)| *present == key) {
            return Err(invalid(PLACE, format!("{key} is what {who} is: a former identity does not come back")));
        }
    }
    Ok(all)
}
