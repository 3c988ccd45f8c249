//! What a call shows, read outside the writer's turn: certificates, an entry, and the requests that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_policy::charter::Charter;
use limen_policy::ledger::{Certificate, Entry, Proposal, Release};
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, IntentId};
use limen_wire::{limits, pb};
use prost::Message as _;

use super::judge::Requests;
use super::line::Kept;
use super::{Keeper, failed, malformed};
use crate::approvals::{Papers, Shown};
use crate::guard::{self, Examined};
use crate::recent::Recent;
use crate::store::View;

/// Charters that are no longer in force and that one entry may carry claims of.
const PAST: usize = 8;

/// A request that came with an entry.
pub(super) struct Request {
    pub(super) examined: Examined,
    pub(super) envelope: pb::Envelope,
    pub(super) said: Shown,
}

/// Everything of a call that needs no turn of the writer's.
pub(super) struct Read {
    pub(super) certificates: Vec<Certificate>,
    pub(super) requests: Vec<Request>,
    pub(super) proposal: Option<Proposal>,
    /// What the entry claims something for.
    pub(super) claimed: Requests,
}

impl Keeper<'_> {
    pub(super) fn read(&self, kept: &Kept, request: pb::LedgerReserveRequest) -> Result<Read, ApiError> {
        if request.certificates.len() > limits::LEDGER_PAGE || request.requests.len() > limits::LEDGER_REQUESTS {
            return Err(malformed("more certificates or requests than one call may show"));
        }
        let verify = |envelope| Certificate::verify(envelope, &kept.committee).map_err(malformed);
        let mut certificates = request.certificates.iter().map(verify).collect::<Result<Vec<_>, _>>()?;
        let proposal = if request.entry.is_empty() {
            None
        } else {
            let entry = Entry::decode(request.entry).map_err(malformed)?;
            // The first entry stands on the seal of the committee before.
            let first = kept.before.as_ref().filter(|_| entry.base == 0);
            let by = first.unwrap_or(&kept.committee);
            let verify = |envelope| Certificate::verify(envelope, by).map_err(malformed);
            let base = request.base.as_ref().map(verify).transpose()?;
            let proposal = Proposal::check(entry, base.as_ref(), &kept.committee).map_err(malformed)?;
            if kept.successor.is_some() && proposal.entry().seal.is_none() {
                return Err(ended(kept));
            }
            certificates.extend(base.filter(|_| first.is_none()));
            Some(proposal)
        };
        let (mut requests, mut claimed, mut shown) = (Vec::new(), Requests::default(), BTreeMap::new());
        let charter = &*self.decisions.charter;
        for requested in request.requests {
            let envelope = requested.intent.unwrap_or_default();
            let id = envelope::payload_id(PayloadType::Intent, &envelope.payload);
            let papers = Papers { approvals: &requested.approvals, checks: &requested.external_checks };
            let read = self.examine(charter, &envelope, requested.key_certificate.as_ref());
            let read = read.map(|examined| self.decisions.priced(examined, &papers));
            claimed.seen.insert((charter.hash(), id), read.clone().map_err(|error| error.to_string()));
            shown.insert(id, envelope.clone());
            if let Ok(examined) = read {
                let said = self.decisions.show(&examined, &papers)?;
                requests.push(Request { examined, envelope, said });
            }
        }
        if let Some(proposal) = &proposal {
            self.look_at(proposal.entry(), &shown, &mut claimed)?;
        }
        Ok(Read { certificates, requests, proposal, claimed })
    }

    /// Examines what an entry and what it carries claim something for, each under the charter that its entry names.
    fn look_at(
        &self,
        entry: &Entry,
        shown: &BTreeMap<IntentId, pb::Envelope>,
        claimed: &mut Requests,
    ) -> Result<(), ApiError> {
        let now = self.decisions.charter.hash();
        let view = self.decisions.store.view().map_err(failed)?;
        for (by, intent) in claimed_in(entry).chain(released_in(entry)) {
            if claimed.seen.contains_key(&(by, intent)) {
                continue;
            }
            if by != now && !claimed.past.contains_key(&by) {
                // An entry that carries more than that is an invention: no coordinator lives through so many versions.
                let known = if claimed.past.len() < PAST { view.charter(by).map_err(failed)? } else { None };
                let Some(charter) = known.and_then(|row| Charter::from_toml(&row.text).ok()) else { continue };
                claimed.past.insert(by, charter);
            }
            let charter = claimed.past.get(&by).unwrap_or(self.decisions.charter.as_ref());
            let read = match shown.get(&intent) {
                Some(envelope) => self.examine(charter, envelope, None),
                None => self.remembered(charter, &view, &intent),
            };
            claimed.seen.insert((by, intent), read.map_err(|error| error.to_string()));
        }
        Ok(())
    }

    /// A request by its bytes. Members without a share of its key learn the key from the certificate that comes along.
    fn examine(
        &self,
        charter: &Charter,
        envelope: &pb::Envelope,
        certificate: Option<&pb::Envelope>,
    ) -> Result<Examined, ApiError> {
        let key = |id: &_| self.decisions.key(id).or_else(|| self.ledgers.overseen.find(id));
        // Only what is in force is remembered: of another charter only what was claimed is computed.
        let now = charter.hash() == self.decisions.charter.hash();
        let name = Recent::name(charter.hash(), envelope).filter(|_| now);
        if let Some(examined) = name.as_ref().and_then(|name| self.decisions.recent.get(name, key)) {
            return Ok(examined.at(charter, self.decisions.now));
        }
        if let Some(certificate) = certificate {
            self.ledgers.overseen.learn(charter, certificate, |id| self.decisions.key(id).is_some())?;
        }
        // Of what was claimed under another charter only the bytes count, which no age changes.
        let ages = if now { self.decisions.ages()? } else { Arc::default() };
        let examined = guard::examine(charter, &ages, key, envelope, self.decisions.now)?;
        if let Some(name) = name {
            self.decisions.recent.put(name, examined.clone());
        }
        Ok(examined)
    }

    /// A request that was shown earlier.
    fn remembered(&self, charter: &Charter, view: &View, id: &IntentId) -> Result<Examined, ApiError> {
        let live = view.intent(id).map_err(failed)?.and_then(|(_, row)| row.live);
        let unknown = || ApiError::new(Code::UnknownRequest, format!("intent {id} was not shown here"));
        let envelope = pb::Envelope::decode(live.ok_or_else(unknown)?.envelope.as_slice()).map_err(malformed)?;
        self.examine(charter, &envelope, None)
    }
}

fn ended(kept: &Kept) -> ApiError {
    let message = format!(
        "committee {} of ledger {} has ended by the charter: nothing is reserved there any more, only its end is sealed",
        kept.committee.hash(),
        kept.id()
    );
    ApiError::new(Code::WrongState, message)
}

/// Every request that an entry says something about, with the charter by which it was claimed.
pub(super) fn claimed_in(entry: &Entry) -> impl Iterator<Item = (CharterHash, IntentId)> + '_ {
    let all = entry.carried.iter().chain([entry]);
    all.flat_map(|one| one.claims.iter().map(|claim| (one.charter, claim.intent)))
}

/// Every request that it releases, with the charter by which it was.
pub(super) fn released_in(entry: &Entry) -> impl Iterator<Item = (CharterHash, IntentId)> + '_ {
    let evidence =
        entry.carried.iter().chain([entry]).flat_map(|one| one.releases.iter().map(|said| (one.charter, said)));
    evidence.filter_map(|(by, said)| Some((by, Release::named(said).ok()?)))
}
