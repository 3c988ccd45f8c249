//! The ledger: entries shown to the members' own code, what they answer, and the adversary in their coordinator's seat.

mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_node::ledger::Reserved;
use limen_policy::ledger::{Closing, Committee, Entry};
use limen_wire::approval::Verdict as Word;
use limen_wire::error::ApiError;
use limen_wire::ids::{LedgerId, NodeId};
use limen_wire::pb;
use limen_wire::statement::combine;

use super::Stage;
use crate::hostile::flaw::Flaw;
use crate::hostile::judge::Reservation;
use crate::hostile::people;
use crate::hostile::plan::{LEDGER, Plan};
use crate::hostile::program::{Counterfeit, EntryDraft, Handed, Label, LedgerStep, Paper};
use crate::hostile::shares::Shares;
use crate::hostile::signer::wait;

/// Entries that settle on the way of an honest coordinator have numbers of their own.
const SETTLING: Label = 1_000_000;
/// How often an honest coordinator tries to settle before it leaves it.
const TRIES: usize = 2;

/// An entry, and who has acknowledged it.
struct Made {
    entry: Entry,
    base: Option<pb::Envelope>,
    acknowledged: BTreeMap<u8, pb::Envelope>,
}

/// What a member said that it gives up.
struct Closed {
    member: u8,
    closing: Closing,
    envelope: pb::Envelope,
}

/// All that was ever said at the ledger: the adversary forgets nothing.
pub(super) struct Desk {
    certificate: Option<pb::Envelope>,
    made: BTreeMap<Label, Made>,
    closed: Vec<Closed>,
    voids: BTreeMap<Label, BTreeMap<u8, pb::Envelope>>,
    settling: Label,
}

impl Desk {
    pub(super) fn new(plan: &Plan, shares: &Shares) -> Self {
        let certificate = plan.keepers.as_ref().map(|_| shares.certificate(plan));
        Self { certificate, made: BTreeMap::new(), closed: Vec::new(), voids: BTreeMap::new(), settling: SETTLING }
    }

    /// The highest number at which anybody is bound.
    fn bound(&self) -> u64 {
        let acknowledged = self.made.values().filter(|made| !made.acknowledged.is_empty());
        let closed = self.closed.iter().map(|closed| closed.closing.through);
        acknowledged.map(|made| made.entry.number).chain(closed).max().unwrap_or(0)
    }
}

impl Stage {
    pub(super) fn at_the_ledger(&mut self, step: &LedgerStep) {
        if self.plan.keepers.is_none() {
            return;
        }
        match step {
            LedgerStep::Reserve { entry, requests, version } => self.reserve(*entry, requests, *version),
            LedgerStep::Make(label, draft) => self.make(*label, draft),
            LedgerStep::Show { entry, members, quiet } => members.iter().for_each(|member| {
                self.show(*member, *entry, *quiet);
            }),
            LedgerStep::Close { members, ahead, invents } => {
                let through = self.newest().map_or(0, |(number, _)| number).saturating_add(*ahead);
                members.iter().for_each(|member| self.close(*member, through, *invents));
            }
            LedgerStep::Void(request) => self.void(*request),
        }
    }

    fn committee(&self) -> Arc<Committee> {
        Arc::clone(self.files.charters[0].ledgers.values().next().expect("a ledger"))
    }

    /// All members by index.
    fn everybody(&self) -> Vec<u8> {
        (1..=self.plan.members()).collect()
    }

    /// The certificate of an entry, if it has one.
    fn certificate(&self, label: Label) -> Option<pb::Envelope> {
        let acknowledged = &self.desk.made.get(&label)?.acknowledged;
        let each: Vec<pb::Envelope> = acknowledged.values().cloned().collect();
        combine(&each).filter(|_| each.len() >= self.plan.quorum())
    }

    /// The certified entry with the highest number.
    fn newest(&self) -> Option<(u64, Label)> {
        let certified = |made: &&(&Label, &Made)| made.1.acknowledged.len() >= self.plan.quorum();
        self.desk.made.iter().filter(|made| certified(&made)).map(|(label, made)| (made.entry.number, *label)).max()
    }

    /// Certificates after this number, in order.
    fn after(&self, number: u64) -> Vec<pb::Envelope> {
        let beyond = self.desk.made.iter().filter(|(_, made)| made.entry.number > number);
        let certified: BTreeMap<u64, pb::Envelope> =
            beyond.filter_map(|(label, made)| Some((made.entry.number, self.certificate(*label)?))).collect();
        certified.into_values().take(limen_wire::limits::LEDGER_PAGE).collect()
    }

    /// As the real coordinator: settles first what is split, then has the entry acknowledged by everybody.
    fn reserve(&mut self, label: Label, requests: &[Label], version: usize) {
        for turn in 0..TRIES {
            let (newest, bound) = (self.newest().map_or(0, |(number, _)| number), self.desk.bound());
            if bound <= newest {
                break;
            }
            self.everybody().into_iter().for_each(|member| self.close(member, bound, None));
            self.desk.settling += 1;
            let settling = self.desk.settling;
            self.make(settling, &EntryDraft { settles: Some(turn), version, ..EntryDraft::default() });
            self.everybody().into_iter().for_each(|member| self.show(member, settling, false));
            if self.certificate(settling).is_some() {
                self.count("ledger: settled");
            }
        }
        self.make(label, &EntryDraft { requests: requests.to_vec(), version, ..EntryDraft::default() });
        self.everybody().into_iter().for_each(|member| self.show(member, label, false));
    }

    /// Shows a member an entry, and what it lacks if it says so.
    fn show(&mut self, member: u8, label: Label, quiet: bool) {
        let Some(made) = self.desk.made.get(&label) else { return };
        let mut shown: Vec<Label> = self.claimed(&made.entry);
        shown.retain(|request| self.asked.contains_key(request));
        let mut call = pb::LedgerReserveRequest {
            ledger: LEDGER.to_owned(),
            entry: made.entry.payload().clone(),
            base: made.base.clone(),
            ..pb::LedgerReserveRequest::default()
        };
        let (mut heard, claimed) = (Vec::new(), shown.clone());
        for request in shown {
            let papers = self.spoken(request, quiet);
            let (approvals, honest) = self.papers(&papers, request);
            let intent = self.asked.get(&request).map(|asked| asked.envelope.clone());
            let key_certificate = self.desk.certificate.clone();
            let examined = intent.as_ref().zip(self.signer(member).and_then(|one| one.decisions()));
            if examined.is_some_and(|(envelope, decisions)| decisions.examine(envelope).is_ok()) {
                heard.push((request, honest));
            }
            let (external_checks, _) = self.findings(request);
            call.requests.push(pb::LedgerRequested { intent, approvals, key_certificate, external_checks });
        }
        let Some(mut answer) = self.ask_to_reserve(member, call.clone()) else { return };
        if let Ok(response) = &answer
            && let Some(refusal) = &response.refusal
            && refusal.hint() == pb::LedgerHint::Behind
        {
            call.certificates = self.after(refusal.number);
            answer = self.ask_to_reserve(member, call).unwrap_or(answer);
        }
        if member <= self.plan.honest() {
            claimed.into_iter().for_each(|request| self.sighted(member, request));
            heard.into_iter().for_each(|(request, said)| self.entered(member, request, said));
        }
        match answer {
            Ok(response) => self.answered(member, label, response),
            Err(error) => self.refused(member, &error),
        }
    }

    /// All that people said about a request so far.
    fn spoken(&self, request: Label, quiet: bool) -> Vec<Paper> {
        let about = self.said.iter().filter(|(_, said)| said.request == request);
        let fit = about.filter(|(_, said)| !quiet || said.signed.approval.verdict == Word::Approve);
        fit.map(|(label, _)| Paper { said: *label, forge: None }).collect()
    }

    fn ask_to_reserve(
        &mut self,
        member: u8,
        call: pb::LedgerReserveRequest,
    ) -> Option<Result<pb::LedgerReserveResponse, ApiError>> {
        let keeper = self.signer(member)?.keeper()?;
        let answer = wait(keeper.reserve(call));
        Some(answer.map(|Reserved { response, news }| {
            self.spread(member, news);
            response
        }))
    }

    /// Keeps an acknowledgement. Members that are naive in one way give one where they should not.
    fn answered(&mut self, member: u8, label: Label, response: pb::LedgerReserveResponse) {
        let Some(made) = self.desk.made.get(&label) else { return };
        if let Some(acknowledgement) = response.acknowledgement {
            self.note(format!("    member {member} acknowledges e{label}"));
            self.count("ledger: acknowledged");
            self.acknowledge(member, label, acknowledgement);
        } else if let Some(refusal) = response.refusal {
            let reached = refusal.error.as_ref().is_some_and(|error| error.code == "limit_reached");
            let naive = match self.flaw {
                Some(Flaw::PromisesTwice) => refusal.hint() == pb::LedgerHint::Bound && !made.entry.settles(),
                Some(Flaw::AddsNothingUp) => reached,
                _ => false,
            };
            let entry = made.entry.clone();
            let why = refusal.error.map(|error| error.message).unwrap_or_default();
            if reached && why.contains("\"full\"") {
                self.count("ceiling: full");
            }
            self.note(format!("    member {member} refuses e{label}: {why}"));
            self.count(match refusal.hint {
                _ if reached => "ledger: limit reached",
                hint if hint == i32::from(pb::LedgerHint::Bound) => "ledger: bound",
                hint if hint == i32::from(pb::LedgerHint::Unfit) => "ledger: unfit",
                _ => "ledger: refused",
            });
            if naive {
                let acknowledgement = entry.acknowledge(&self.member(member), people::machine_key(member));
                self.acknowledge(member, label, acknowledgement);
            }
        }
    }

    fn member(&self, index: u8) -> NodeId {
        NodeId::new(self.plan.member_name(index)).expect("a name")
    }

    fn acknowledge(&mut self, member: u8, label: Label, acknowledgement: pb::Envelope) {
        let before = self.certificate(label).is_some();
        if let Some(made) = self.desk.made.get_mut(&label) {
            made.acknowledged.insert(member, acknowledgement);
            self.judge.acknowledged(label, member);
        }
        if !before && self.certificate(label).is_some() {
            self.count("ledger: certified");
            if self.desk.made.get(&label).is_some_and(|made| !made.entry.releases.is_empty()) {
                self.count("ledger: released");
            }
            self.note(format!("    e{label} is certified"));
        }
    }

    /// Has a member give numbers up. Corrupt ones say what the adversary wants.
    fn close(&mut self, member: u8, through: u64, invents: Option<Label>) {
        let committee = self.committee();
        let envelope = if self.plan.is_corrupt(member) {
            let after = self.newest().map_or(0, |(number, _)| number);
            let named = invents.and_then(|label| self.desk.made.get(&label)).map(|made| &made.entry);
            let fits = |entry: &&Entry| entry.number > after && entry.number <= through;
            let acknowledged = named.filter(fits).map(|entry| (entry.number, entry.hash())).into_iter().collect();
            let closing = Closing { after, through, acknowledged, successor: None };
            Some(closing.sign(&committee, &self.member(member), people::machine_key(member)))
        } else {
            let ledger = LEDGER.to_owned();
            let keeper = self.signer(member).and_then(|one| one.keeper());
            let answer =
                keeper.map(|keeper| wait(keeper.close(pb::LedgerCloseRequest { ledger, through, committee: None })));
            answer.and_then(Result::ok).and_then(|response| response.closing)
        };
        let Some(envelope) = envelope else { return };
        if let Ok((_, closing)) = Closing::verify(&envelope, &committee) {
            self.note(format!("    member {member} gives up {} to {through}", closing.after + 1));
            self.count("ledger: given up");
            self.desk.closed.push(Closed { member, closing, envelope });
        }
    }

    /// Collects the words by which a request could be given back: honest signers say them only if they are true.
    fn void(&mut self, request: Label) {
        let Some(id) = self.asked.get(&request).map(|asked| asked.id) else { return };
        let committee = self.committee();
        for index in 1..=self.plan.signers {
            let said = if self.plan.is_corrupt(index) {
                let key = people::machine_key(index);
                Some(limen_policy::ledger::void(committee.cluster(), &id, &self.member(index), key))
            } else {
                self.signer(index).and_then(|one| one.void(&id))
            };
            if let Some(said) = said {
                self.count("ledger: void");
                self.desk.voids.entry(request).or_default().insert(index, said);
            }
        }
    }

    /// What is handed to a signer as certificates.
    pub(super) fn handed(&self, certificates: &[Handed]) -> Vec<pb::Envelope> {
        certificates.iter().filter_map(|handed| self.counterfeit(handed)).collect()
    }

    fn counterfeit(&self, handed: &Handed) -> Option<pb::Envelope> {
        let made = self.desk.made.get(&handed.entry)?;
        let mut each: BTreeMap<u8, pb::Envelope> = made.acknowledged.clone();
        match handed.forge {
            None => {}
            Some(Counterfeit::Short) => {
                while each.len() >= self.plan.quorum() {
                    each.pop_first();
                }
            }
            Some(Counterfeit::Key) => {
                // At least one is not what it seems.
                each.pop_first();
                for member in self.everybody().into_iter().take(self.plan.quorum()) {
                    let forged = || made.entry.acknowledge(&self.member(member), people::foreign_key());
                    each.entry(member).or_insert_with(forged);
                }
            }
            Some(Counterfeit::Other(other)) => {
                let other = self.desk.made.get(&other).filter(|other| other.entry != made.entry)?;
                let other = &other.acknowledged;
                let moved =
                    |signed: &pb::Envelope| pb::Envelope { payload: made.entry.payload().clone(), ..signed.clone() };
                each = other.iter().map(|(member, signed)| (*member, moved(signed))).collect();
            }
        }
        let each: Vec<pb::Envelope> = each.into_values().collect();
        combine(&each)
    }

    fn ledger() -> LedgerId {
        LedgerId::new(LEDGER).expect("a name")
    }

    /// An entry is there: corrupt members sign it, whatever it says.
    fn keep_entry(&mut self, label: Label, lies: bool, entry: Entry, base: Option<pb::Envelope>) {
        let claimed = entry.claims.iter().map(|claim| claim.intent);
        let requests = claimed.filter_map(|id| self.asked.iter().find(|(_, asked)| asked.id == id)).map(|(at, _)| *at);
        let same = |version: &usize| self.files.charters[*version].hash() == entry.charter;
        let versions = (0..self.files.charters.len()).filter(same).collect();
        self.judge.entered_in_ledger(
            label,
            Reservation {
                requests: requests.collect(),
                versions,
                expires_at_ms: entry.expires_at_ms,
                lies,
                members: Default::default(),
            },
        );
        self.desk.made.insert(label, Made { entry: entry.clone(), base, acknowledged: BTreeMap::new() });
        for member in self.everybody().into_iter().filter(|member| self.plan.is_corrupt(*member)).collect::<Vec<_>>() {
            let acknowledgement = entry.acknowledge(&self.member(member), people::machine_key(member));
            self.acknowledge(member, label, acknowledgement);
        }
        self.count("ledger: entry");
    }
}
