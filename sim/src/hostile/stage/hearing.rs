//! Bad news: handed in, passed on between signers, and forged.

use std::collections::BTreeSet;

use limen_node::peers;
use limen_wire::approval::SignedApproval;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::pb;
use prost::Message as _;

use super::{Signer, Stage};
use crate::hostile::flaw::Flaw;
use crate::hostile::people;
use crate::hostile::program::{Label, Paper};
use crate::hostile::signer::wait;

impl Stage {
    pub(super) fn cancel(&mut self, signer: u8, request: Label, requester: usize, forged: bool) {
        let Some(id) = self.asked.get(&request).map(|asked| asked.id) else { return };
        let raw = pb::Cancellation {
            version: 1,
            cluster: "sim".to_owned(),
            requester: format!("r{requester}"),
            intent_id: id.as_bytes().to_vec().into(),
            reason: "no more".to_owned(),
        };
        let key = if forged { people::foreign_key() } else { people::requester_key(requester) };
        let record = seal(PayloadType::Cancellation, raw.encode_to_vec(), &raw.requester, key);
        let owner = self.judge.requester(request);
        if !forged && owner == Some(requester) {
            self.cancellations.push((record.clone(), request));
        }
        self.hand(signer, record, true);
    }

    pub(super) fn tell(&mut self, signer: u8, paper: Paper) {
        let Some(said) = self.said.get(&paper.said) else { return };
        let record = match paper.forge {
            None => said.envelope.clone(),
            Some(forge) => self.forge(said, forge, said.request),
        };
        self.hand(signer, record, true);
    }

    /// Hands a signer a stop record; what it tells the others is on its way then.
    pub(super) fn hand(&mut self, signer: u8, record: pb::Envelope, pass_on: bool) {
        if self.signer(signer).is_none_or(|one| one.version().is_none()) {
            return;
        }
        self.shown(signer, &record);
        self.charter_shown(signer, &record);
        let verdict = self.verdict_of(&record);
        let own = self.cancellations.iter().find(|(known, _)| *known == record).map(|(_, request)| *request);
        let word = self.word(&record);
        let deaf = self.flaw == Some(Flaw::Deaf);
        let heard = self.signer(signer).and_then(Signer::process).filter(|_| !deaf);
        let heard = heard.map(|process| wait(peers::hear(process, record.clone())));
        if self.signer(signer).is_some_and(Signer::is_dead) {
            // Nobody was answered; whoever brought it brings it again.
            return;
        }
        let answer = heard.as_ref().map_or(&Ok(false), |heard| &heard.answer);
        match answer {
            Ok(_) => self.count("bad news taken"),
            Err(error) => {
                let (code, line) = (error.code.as_str(), format!("    signer {signer} does not take it: {error}"));
                self.count(code);
                self.note(line);
            }
        }
        word.into_iter().for_each(|word| self.heed(signer, word));
        if heard.as_ref().is_none_or(|heard| heard.answer.is_ok()) {
            if let Some((label, request)) = verdict
                && self.noted.contains(&(signer, request))
            {
                self.entered(signer, request, BTreeSet::from([label]));
            }
            if let Some(request) = own {
                self.judge.cancelled(signer, request);
            }
            self.charter_taken(signer, &record);
        }
        self.look_at_charters();
        let Some(heard) = heard else { return };
        if heard.answer.is_ok() {
            self.holds(signer, &heard.pass_on);
        }
        if pass_on {
            self.spread(signer, heard.pass_on);
        }
    }

    /// Number and request of a verdict that is as it was said.
    pub(super) fn verdict_of(&self, record: &pb::Envelope) -> Option<(Label, Label)> {
        let digest = SignedApproval::open(record).ok()?.approval.digest();
        let known =
            self.said.iter().find(|(_, said)| said.signed.approval.digest() == digest && said.envelope == *record);
        known.map(|(label, said)| (*label, said.request))
    }

    /// What a signer has learnt, and tells all the others.
    pub(super) fn learnt(&mut self, signer: u8, news: Vec<pb::Envelope>) {
        self.holds(signer, &news);
        self.spread(signer, news);
    }

    /// What a signer tells all the others.
    pub(super) fn spread(&mut self, from: u8, news: Vec<pb::Envelope>) {
        for record in news {
            for to in (1..=self.plan.honest()).filter(|to| *to != from) {
                self.news.push_back((to, record.clone()));
            }
        }
    }
}
