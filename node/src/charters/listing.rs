//! What this signer says of the versions that it knows.

use limen_policy::succession::{Entry, Lineage, State};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use prost::Message as _;

use super::failed;
use crate::shared::Shared;
use crate::store::View;

/// Bytes of one answer, unless one version alone is longer.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Versions in one answer.
const PAGE: usize = 256;

fn shown(hash: CharterHash, entry: &Entry, state: State) -> pb::CharterView {
    use pb::CharterState as Raw;
    let (state, remaining_ms) = match state {
        State::InForce => (Raw::InForce, 0),
        State::Past => (Raw::Past, 0),
        State::Waiting(remaining_ms) => (Raw::Waiting, remaining_ms),
        State::Later => (Raw::Later, 0),
        State::Stuck => (Raw::Stuck, 0),
        State::Void => (Raw::Void, 0),
    };
    pb::CharterView {
        hash: hash.as_bytes().to_vec().into(),
        number: entry.number,
        parents: entry.parents.iter().map(|parent| parent.as_bytes().to_vec().into()).collect(),
        state: state.into(),
        remaining_ms,
        signed: None,
    }
}

fn read(shared: &Shared) -> Result<(View, Lineage), ApiError> {
    let view = shared.store.view().map_err(failed)?;
    let lineage = view.lineage().map_err(failed)?;
    let lineage = lineage.ok_or_else(|| ApiError::new(Code::Internal, "no charter is pinned here"))?;
    Ok((view, lineage))
}

/// One version.
pub(crate) fn view_of(shared: &Shared, version: CharterHash) -> Result<pb::CharterView, ApiError> {
    let (_, lineage) = read(shared)?;
    let states = lineage.states(shared.time().uptime.0);
    let known = lineage.entry(&version).zip(states.get(&version));
    let unknown = || ApiError::new(Code::UnknownRequest, format!("charter {version} is not known here"));
    known.map(|(entry, state)| shown(version, entry, *state)).ok_or_else(unknown)
}

/// Versions by number and hash, from the one after which the caller asks.
pub(crate) fn list(shared: &Shared, request: &pb::ListChartersRequest) -> Result<pb::ListChartersResponse, ApiError> {
    let (view, lineage) = read(shared)?;
    let now_ms = shared.time().uptime.0;
    let states = lineage.states(now_ms);
    let from = (request.from_number, request.after.as_ref());
    let place = |hash: &CharterHash, entry: &Entry| (entry.number, hash.as_bytes().as_slice()) > from;
    let first = |entry: &Entry| request.after.is_empty() && entry.number == request.from_number;
    let mut wanted: Vec<_> = lineage.entries().filter(|(hash, entry)| first(entry) || place(hash, entry)).collect();
    wanted.sort_by_key(|(hash, entry)| (entry.number, *hash));
    let fork = lineage.outlook(now_ms).fork.map(|fork| fork.as_bytes().to_vec().into()).unwrap_or_default();
    let mut answer = pb::ListChartersResponse { versions: Vec::new(), more: false, fork };
    let mut room = PAGE_BYTES;
    for (hash, entry) in wanted {
        let mut one = shown(*hash, entry, states.get(hash).copied().unwrap_or(State::Later));
        if request.with_text {
            let row = view.charter(*hash).map_err(failed)?.filter(|row| !row.signed.is_empty());
            one.signed = row.and_then(|row| pb::Envelope::decode(row.signed.as_slice()).ok());
        }
        let bytes = one.encoded_len();
        // A page holds one at least, and no version is longer than one.
        if answer.versions.len() >= PAGE || bytes > room && !answer.versions.is_empty() {
            answer.more = true;
            break;
        }
        room = room.saturating_sub(bytes);
        answer.versions.push(one);
    }
    Ok(answer)
}
