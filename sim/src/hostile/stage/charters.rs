//! Versions of the charter and vetoes, made as people make them, and what signers do with them.

use std::collections::BTreeMap;

use limen_policy::succession::facts;
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::charter::SignedCharter;
use limen_wire::ids::{CredentialId, PersonId};
use limen_wire::pb;

use super::Stage;
use super::asking::prove;
use crate::hostile::people;
use crate::hostile::plan::{BOARD, GUARDS};
use crate::hostile::program::{CharterStep, Quorum};

/// What was handed in about the charter.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Versions, which they are, and whether those have signed who have to.
    versions: Vec<(pb::Envelope, usize, bool)>,
    /// Vetoes by people with a say, and of which versions.
    vetoes: Vec<(pb::Envelope, usize)>,
    in_force: BTreeMap<u8, usize>,
}

impl Stage {
    pub(super) fn at_the_charter(&mut self, step: &CharterStep) {
        let (CharterStep::Submit { version, .. } | CharterStep::Veto { version, .. }) = *step;
        if self.plan.live.is_none() || version >= self.files.charters.len() {
            return;
        }
        match *step {
            CharterStep::Submit { version, signer, quorum } => self.submit(version, signer, quorum),
            CharterStep::Veto { version, signer, person, forged } => {
                let record = self.about(version, person, Verdict::Reject, forged).to_envelope();
                if !forged && (GUARDS.contains(&person) || BOARD.contains(&person)) {
                    self.line.vetoes.push((record.clone(), version));
                }
                self.hand(signer, record, true);
            }
        }
    }

    fn submit(&mut self, version: usize, signer: u8, quorum: Quorum) {
        let (people, of) = match quorum {
            Quorum::Whole | Quorum::Forged => (BOARD.to_vec(), version),
            Quorum::One => (vec![BOARD[0]], version),
            Quorum::Twice => (vec![BOARD[0]; 2], version),
            Quorum::Others => (GUARDS.to_vec(), version),
            Quorum::OfAnother(other) => (BOARD.to_vec(), other % self.files.charters.len()),
        };
        let said = |person: usize| self.about(of, person, Verdict::Approve, quorum == Quorum::Forged);
        let approvals = people.into_iter().map(said).collect();
        let record = SignedCharter { text: self.files.texts[version].clone(), approvals }.to_envelope();
        let whole = quorum == Quorum::Whole || quorum == Quorum::OfAnother(version);
        self.line.versions.push((record.clone(), version, whole));
        self.hand(signer, record, true);
    }

    /// What a person says of a version.
    fn about(&self, version: usize, person: usize, verdict: Verdict, forged: bool) -> SignedApproval {
        let name = PersonId::new(format!("p{person}")).expect("a name");
        let credential = CredentialId::new(format!("p{person}-terminal")).expect("a name");
        let mut approval = facts(&self.files.charters[version]).draft((name, credential), verdict, (1, [7; 32]));
        if verdict == Verdict::Reject {
            approval.reason = "too much".to_owned();
        }
        let key = if forged { people::foreign_key() } else { people::credential_key(person, true) };
        prove(approval, key)
    }

    /// A running signer is shown a record: if it is about the charter, it knows from now on.
    pub(super) fn charter_shown(&mut self, signer: u8, record: &pb::Envelope) {
        let Some(uptime) = self.signer(signer).map(|one| one.true_uptime) else { return };
        let Line { versions, vetoes, .. } = &self.line;
        for (_, version, _) in versions.iter().filter(|(known, _, whole)| *whole && known == record) {
            self.judge.version_shown(signer, *version, uptime);
        }
        for (_, version) in vetoes.iter().filter(|(known, _)| known == record) {
            self.judge.version_vetoed(signer, *version);
        }
    }

    /// It is shown several: what came into force among them was in force before somebody's no that came after it.
    pub(super) fn versions_shown(&mut self, signer: u8, records: &[pb::Envelope]) {
        let is_veto = |record: &&pb::Envelope| self.line.vetoes.iter().any(|(known, _)| known == *record);
        let versions: Vec<&pb::Envelope> = records.iter().filter(|record| !is_veto(record)).collect();
        versions.into_iter().for_each(|record| self.charter_shown(signer, record));
        self.look_at_charters();
    }

    /// It says that it has taken it.
    pub(super) fn charter_taken(&mut self, signer: u8, record: &pb::Envelope) {
        let found = self.line.versions.iter().find(|(known, _, _)| known == record).map(|(_, version, _)| *version);
        if let Some(version) = found {
            self.judge.version_taken(signer, version);
            self.count("charter: taken");
        } else if self.line.vetoes.iter().any(|(known, _)| known == record) {
            self.count("charter: veto taken");
        }
    }

    /// Tells the judge what is in force where.
    pub(super) fn look_at_charters(&mut self) {
        if self.plan.live.is_none() {
            return;
        }
        for index in 1..=self.plan.honest() {
            let Some(moment) = self.moment(index) else { continue };
            if self.line.in_force.insert(index, moment.version).unwrap_or(0) != moment.version {
                self.judge.version_in_force(index, moment.version, moment.uptime);
                self.note(format!("    version {} of the charter is in force at signer {index}", moment.version));
                self.count("charter: in force");
            }
        }
    }
}
