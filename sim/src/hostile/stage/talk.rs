//! What signers say to each other directly: the signers' own words, carried, lost and repeated as the program says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use limen_node::guard::KeyFacts;
use limen_node::peers::{self, Talk};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::error::ApiError;
use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::pb;
use limen_wire::standing::{ChainHead, JournalHead, Standing};

use super::Stage;
use crate::hostile::judge::{Answer, Mark};
use crate::hostile::people;
use crate::hostile::program::{Lie, TalkStep};
use crate::hostile::signer::wait;

/// Words that one round carries at most.
const ROUND: usize = 400;
/// Words that have arrived and may arrive again.
const KEPT: usize = 40;

/// A question, as it truly was.
#[derive(Debug, Clone, Copy)]
struct Question {
    /// How long the one who asks had been running.
    asked: u64,
    nonce: [u8; 32],
}

/// What the one who answered was like.
#[derive(Debug, Clone)]
struct Told {
    asked: u64,
    clock_ms: u64,
    held: BTreeSet<Mark>,
}

/// A word on its way.
#[derive(Debug, Clone)]
struct Mail {
    from: u8,
    to: u8,
    talk: Talk,
    /// When it was asked, if it is a question.
    question: Option<Question>,
    /// Of whom it tells, if it is an answer.
    told: Option<Told>,
}

/// Everything between signers.
#[derive(Debug, Default)]
pub(super) struct Post {
    waiting: VecDeque<Mail>,
    arrived: VecDeque<Mail>,
    /// The last question that a corrupt signer was asked, by both.
    asked: BTreeMap<(u8, u8), Question>,
    /// Journal heads that honest signers told, by who was told and who told it, in their order.
    heads: BTreeMap<(u8, u8), Vec<pb::Envelope>>,
    /// Stop records, each by its number.
    records: Vec<pb::Envelope>,
    /// What each signer holds of them, and what it held when its disk was copied.
    held: BTreeMap<u8, BTreeSet<Mark>>,
    held_then: BTreeMap<u8, BTreeSet<Mark>>,
    rolled_back: bool,
}

fn index(node: &NodeId) -> u8 {
    node.as_str().rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn length(head: &pb::Envelope) -> u64 {
    JournalHead::open(head).map_or(0, |(head, _)| head.head.length)
}

impl Stage {
    /// Why a signer may not decide for lack of peers that stand well, where that is played.
    pub(super) fn lacks_standing(&self, signer: u8, key: &KeyFacts) -> Option<ApiError> {
        let process = self.signer(signer)?.process().filter(|_| self.plan.standing)?;
        peers::stands_for(process, key).err()
    }

    fn mark(&mut self, record: &pb::Envelope) -> Mark {
        let records = &mut self.post.records;
        records.iter().position(|known| known == record).unwrap_or_else(|| {
            records.push(record.clone());
            records.len() - 1
        })
    }

    /// A signer was shown a stop record.
    pub(super) fn shown(&mut self, signer: u8, record: &pb::Envelope) {
        if self.plan.standing {
            let mark = self.mark(record);
            self.judge.shown(signer, mark);
        }
    }

    /// A signer says that it has taken these.
    pub(super) fn holds(&mut self, signer: u8, records: &[pb::Envelope]) {
        if self.plan.standing {
            let marks: Vec<Mark> = records.iter().map(|record| self.mark(record)).collect();
            self.post.held.entry(signer).or_default().extend(marks);
        }
    }

    pub(super) fn talk(&mut self, step: &TalkStep) {
        if !self.plan.standing {
            return;
        }
        match step {
            TalkStep::Round { cut, pages } => self.round(cut, *pages),
            TalkStep::Ask(signer) => {
                self.signer(*signer).into_iter().for_each(|one| one.ask_peers());
                self.collect(*signer, None);
            }
            TalkStep::Carry(place) => {
                if let Some(mail) = self.waiting(*place) {
                    self.count("talk: carried");
                    self.carry(mail);
                }
            }
            TalkStep::Drop(place) => {
                if self.waiting(*place).is_some() {
                    self.count("talk: lost");
                }
            }
            TalkStep::Again(place) => {
                let arrived = &self.post.arrived;
                if let Some(mail) = arrived.get(place % arrived.len().max(1)).cloned() {
                    self.count("talk: repeated");
                    self.carry(mail);
                }
            }
            TalkStep::Answer { from, to, lie } => self.answer(*from, *to, *lie),
            TalkStep::KeepDisk(signer) => self.keep_disk(*signer),
            TalkStep::PutBack(signer) => self.put_back(*signer),
            TalkStep::PutBackAll(signers) => signers.iter().for_each(|signer| self.put_in(*signer)),
        }
    }

    fn waiting(&mut self, place: usize) -> Option<Mail> {
        let waiting = &mut self.post.waiting;
        waiting.remove(place % waiting.len().max(1))
    }

    /// Everybody asks, and everything arrives until nobody says anything more.
    fn round(&mut self, cut: &[u8], pages: bool) {
        for signer in (1..=self.plan.honest()).filter(|signer| !cut.contains(signer)) {
            self.signer(signer).into_iter().for_each(|one| one.ask_peers());
            self.collect(signer, None);
        }
        for _ in 0..ROUND {
            let Some(mail) = self.post.waiting.pop_front() else { return };
            let lost = !pages && matches!(mail.talk, Talk::StopsPage(_));
            if lost || cut.contains(&mail.from) || cut.contains(&mail.to) {
                continue;
            }
            let (from, to) = (mail.from, mail.to);
            self.carry(mail);
            if to > self.plan.honest() && self.post.asked.contains_key(&(to, from)) {
                self.answer(to, from, None);
            }
        }
    }

    /// What a signer has just said is on its way; `on` is what it was said to.
    fn collect(&mut self, from: u8, on: Option<&Mail>) {
        let Some(signer) = self.signer(from) else { return };
        let (said, asked, clock_ms) = (signer.said(), signer.true_uptime, signer.wall_ms());
        let held = self.post.held.get(&from).cloned().unwrap_or_default();
        for (to, talk) in said {
            let question = match &talk {
                Talk::StandingCall(call) => call.nonce.as_ref().try_into().ok().map(|nonce| Question { asked, nonce }),
                _ => None,
            };
            let answered = on.and_then(|mail| mail.question).filter(|_| matches!(talk, Talk::Standing(_)));
            let told = answered.map(|question| Told { asked: question.asked, clock_ms, held: held.clone() });
            self.post.waiting.push_back(Mail { from, to: index(&to), talk, question, told });
        }
    }

    fn carry(&mut self, mail: Mail) {
        let Mail { from, to, .. } = mail;
        if to > self.plan.honest() {
            self.corrupt_hears(&mail);
        } else if self.signer(to).is_some_and(|one| one.version().is_some()) {
            self.honest_hears(&mail);
            self.collect(to, Some(&mail));
        }
        self.count(if from > self.plan.honest() { "talk: corrupt" } else { "talk: honest" });
        self.post.arrived.push_back(mail);
        if self.post.arrived.len() > KEPT {
            self.post.arrived.pop_front();
        }
    }

    fn corrupt_hears(&mut self, mail: &Mail) {
        let place = (mail.to, mail.from);
        if let Some(question) = mail.question {
            self.post.asked.insert(place, question);
        }
        self.post.heads.entry(place).or_default().extend(journal_of(&mail.talk));
    }

    fn honest_hears(&mut self, mail: &Mail) {
        let Mail { from, to, talk, told, .. } = mail;
        let Some(signer) = self.signer(*to) else { return };
        let Some(process) = signer.process() else { return };
        let sender = NodeId::new(self.plan.member_name(*from)).expect("a name");
        let read = wait(peers::read(process, &sender, talk.clone()));
        signer.flush();
        if signer.is_dead() {
            return;
        }
        let (uptime, clock_ms) = (signer.true_uptime, signer.wall_ms());
        match read {
            Ok(()) => {
                let head = journal_of(talk);
                self.post.heads.entry((*to, *from)).or_default().extend(head);
                if let Talk::StopsPage(page) = talk {
                    self.versions_shown(*to, &page.records);
                    page.records.iter().for_each(|record| self.page_record(*to, record));
                }
                if let Some(Told { asked, clock_ms: theirs, held }) = told {
                    let answer = Answer { asked: *asked, skew_ms: theirs.abs_diff(clock_ms), held: held.clone() };
                    self.judge.heard(*to, *from, answer, uptime);
                }
            }
            Err(error) => {
                self.note(format!("    signer {to} does not take it: {error}"));
                self.count("talk: refused");
            }
        }
    }

    /// A stop record came with others from a peer.
    fn page_record(&mut self, signer: u8, record: &pb::Envelope) {
        self.shown(signer, record);
        self.charter_shown(signer, record);
        let mark = self.mark(record);
        self.word(record).into_iter().for_each(|word| self.heed(signer, word));
        let kept = self.signer(signer).is_some_and(|one| {
            let rows = one
                .decisions()
                .map(|decisions| decisions.store.view().and_then(|view| view.stops_after(0, usize::MAX, usize::MAX)));
            let bytes = prost::Message::encode_to_vec(record);
            let rows = rows.and_then(|rows| one.kept(rows)).unwrap_or_default();
            rows.iter().any(|row| row.envelope == bytes)
        });
        if !kept || !self.post.held.entry(signer).or_default().insert(mark) {
            return;
        }
        self.count("talk: bad news read");
        self.charter_taken(signer, record);
        if let Some((label, request)) = self.verdict_of(record)
            && self.noted.contains(&(signer, request))
        {
            self.entered(signer, request, BTreeSet::from([label]));
        }
        let own = self.cancellations.iter().find(|(known, _)| known == record).map(|(_, request)| *request);
        own.into_iter().for_each(|request| self.judge.cancelled(signer, request));
    }

    /// A corrupt signer answers the last question that it was asked.
    fn answer(&mut self, from: u8, to: u8, lie: Option<Lie>) {
        let known = from > self.plan.honest() && from <= self.plan.signers;
        let Some(question) = self.post.asked.get(&(from, to)).copied().filter(|_| known) else { return };
        let name = |index: u8| NodeId::new(self.plan.member_name(index)).expect("a name");
        let heads = self.post.heads.get(&(from, to));
        let clock_ms = super::BEGIN_MS + self.elapsed_ms;
        let mut standing = Standing {
            cluster: ClusterId::new("sim").expect("a name"),
            node: name(from),
            receiver: name(to),
            nonce: question.nonce,
            clock_ms,
            charter: self.files.charters[0].hash(),
            stops: ChainHead::default(),
            journal: None,
            remembered: heads.and_then(|heads| heads.iter().max_by_key(|head| length(head))).cloned(),
            ledgers: Vec::new(),
            log: None,
            other_log: false,
        };
        let mut key = people::machine_key(from);
        match lie {
            None => {}
            Some(Lie::Forgets) => standing.remembered = None,
            Some(Lie::Old) => standing.remembered = heads.and_then(|heads| heads.first()).cloned(),
            Some(Lie::More(length)) => standing.stops = ChainHead { length, hash: [7; 32] },
            Some(Lie::Clock(seconds)) => standing.clock_ms = clock_ms.saturating_add_signed(seconds * 1000),
            Some(Lie::Key) => key = people::machine_key(people::MACHINES),
            Some(Lie::Nonce) => standing.nonce[0] ^= 1,
            Some(Lie::Log) => standing.log = Some(ChainHead { length: 0, hash: [9; 32] }),
        }
        if lie.is_some() {
            self.count("talk: lied");
        }
        let talk = Talk::Standing(seal(PayloadType::Standing, standing.to_payload(), standing.node.as_str(), key));
        let told = Told { asked: question.asked, clock_ms: standing.clock_ms, held: BTreeSet::new() };
        self.carry(Mail { from, to, talk, question: None, told: Some(told) });
    }

    fn keep_disk(&mut self, signer: u8) {
        let held = self.post.held.get(&signer).cloned().unwrap_or_default();
        if self.signer_mut(signer).is_some_and(|one| one.keep_disk().is_some()) {
            self.post.held_then.insert(signer, held);
        }
    }

    /// Only where every other honest signer was told of a longer journal: of what nobody was told nobody knows.
    fn put_back(&mut self, signer: u8) {
        let Some(records) = self.signer(signer).and_then(super::Signer::kept_records) else { return };
        let knows = |peer: u8| {
            let heads = self.post.heads.get(&(peer, signer));
            heads.is_some_and(|heads| heads.iter().any(|head| length(head) > records))
        };
        let known = (1..=self.plan.honest()).filter(|peer| *peer != signer).all(knows);
        if !known || !self.plan.may_roll_back() || std::mem::replace(&mut self.post.rolled_back, true) {
            return;
        }
        self.put_in(signer);
    }

    fn put_in(&mut self, signer: u8) {
        self.signer_mut(signer).into_iter().for_each(super::Signer::put_back);
        let held = self.post.held_then.remove(&signer).unwrap_or_default();
        self.post.held.insert(signer, held);
        self.judge.put_back(signer);
        self.count("talk: disk put back");
    }
}

/// The journal head of its own that a signer tells in an answer.
fn journal_of(talk: &Talk) -> Option<pb::Envelope> {
    let Talk::Standing(said) = talk else { return None };
    Standing::open(said).ok()?.0.journal
}
