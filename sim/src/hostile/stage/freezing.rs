//! Freezes, and what people say about lifting them.

use limen_wire::envelope::{PayloadType, seal};
use limen_wire::freeze::{Freeze, FreezeScope, Unfreeze};
use limen_wire::ids::{ClusterId, CredentialId, IntentId, PersonId};
use limen_wire::pb;

use super::Stage;
use crate::hostile::people;
use crate::hostile::plan::{BOARD, Coin, DESTINATIONS, GUARDS, TOKEN};
use crate::hostile::program::{Label, Step, Stop};

/// A freeze that a guardian signed.
pub(super) struct Frozen {
    envelope: pb::Envelope,
    stop: Stop,
}

/// Somebody's word that freezes may be lifted.
pub(super) struct Lifted {
    envelope: pb::Envelope,
    person: usize,
    freezes: Vec<Label>,
    /// All that it names, also signers' own.
    ids: Vec<IntentId>,
}

/// What a record truly says.
pub(super) enum Word {
    /// A guardian stops something.
    Freeze(Label, Stop),
    /// Somebody of the board lifts these.
    Lift(usize, Vec<Label>, Vec<IntentId>),
}

fn scope(stop: Stop) -> FreezeScope {
    let text = match stop {
        Stop::All => "cluster".to_owned(),
        Stop::Requester(requester) => format!("requester:r{requester}"),
        Stop::Coin(Coin::Native) => "asset:eip155:31337/slip44:60".to_owned(),
        Stop::Coin(Coin::Token) => format!("asset:eip155:31337/erc20:{TOKEN}"),
        Stop::Place(place) => format!("destination:{}", DESTINATIONS[place]),
    };
    text.parse().expect("a scope")
}

fn names(person: usize) -> (ClusterId, PersonId, CredentialId) {
    let name = |text: String| text.parse().expect("a name");
    let cluster = ClusterId::new("sim").expect("a name");
    (cluster, name(format!("p{person}")), CredentialId::new(format!("p{person}-terminal")).expect("a name"))
}

fn signed(kind: PayloadType, payload: Vec<u8>, person: usize, forged: bool) -> pb::Envelope {
    let key = if forged { people::foreign_key() } else { people::credential_key(person, true) };
    seal(kind, payload, &format!("p{person}-terminal"), key)
}

impl Stage {
    pub(super) fn freeze(&mut self, step: &Step) {
        let Step::Freeze { label, signer, person, stop, forged } = step else { return };
        let known = self.frozen.get(label).filter(|_| !forged).map(|frozen| frozen.envelope.clone());
        let record = known.unwrap_or_else(|| {
            let ((cluster, name, credential), mut nonce) = (names(*person), [0xf2; 32]);
            nonce[..8].copy_from_slice(&(*label as u64).to_be_bytes());
            let (id, reason) = (IntentId::new([0; 32]), "burglars".to_owned());
            let freeze = Freeze { id, cluster, person: name, credential, scope: scope(*stop), reason, nonce };
            signed(PayloadType::Freeze, freeze.to_payload(), *person, *forged)
        });
        if !forged && GUARDS.contains(person) {
            self.frozen.entry(*label).or_insert(Frozen { envelope: record.clone(), stop: *stop });
        }
        self.hand(*signer, record, true);
    }

    pub(super) fn lift(&mut self, step: &Step) {
        let Step::Lift { signer, person, freezes, forged } = step else { return };
        let named = |label: &Label| Some((*label, Freeze::open(&self.frozen.get(label)?.envelope).ok()?.0.id));
        let named: (Vec<Label>, Vec<IntentId>) = freezes.iter().filter_map(named).unzip();
        self.lift_these(*signer, *person, named, *forged);
    }

    /// Hands in somebody's word that these may be lifted, if it names any.
    pub(super) fn lift_these(
        &mut self,
        signer: u8,
        person: usize,
        (labels, mut ids): (Vec<Label>, Vec<IntentId>),
        forged: bool,
    ) {
        if ids.is_empty() {
            return;
        }
        let (cluster, name, credential) = names(person);
        ids.sort_unstable();
        let (id, reason) = (IntentId::new([0; 32]), "they are gone".to_owned());
        let unfreeze = Unfreeze { id, cluster, person: name, credential, freezes: ids.clone(), reason };
        let record = signed(PayloadType::Unfreeze, unfreeze.to_payload(), person, forged);
        if !forged && BOARD.contains(&person) {
            self.lifted.push(Lifted { envelope: record.clone(), person, freezes: labels, ids });
        }
        self.hand(signer, record, true);
    }

    /// What a record says, if it is as it was signed by somebody with a say.
    pub(super) fn word(&self, record: &pb::Envelope) -> Option<Word> {
        if let Some((label, frozen)) = self.frozen.iter().find(|(_, frozen)| frozen.envelope == *record) {
            return Some(Word::Freeze(*label, frozen.stop));
        }
        let lifted = self.lifted.iter().find(|lifted| lifted.envelope == *record)?;
        Some(Word::Lift(lifted.person, lifted.freezes.clone(), lifted.ids.clone()))
    }

    /// A running signer has been handed it: whatever it answers, it has to heed it.
    pub(super) fn heed(&mut self, signer: u8, word: Word) {
        let Some(moment) = self.moment(signer) else { return };
        match word {
            Word::Freeze(label, stop) => self.judge.frozen(signer, label, stop, moment.uptime),
            Word::Lift(person, freezes, ids) => {
                ids.into_iter().for_each(|id| self.judge.own_lifted(signer, id, person, moment.uptime));
                freezes.into_iter().for_each(|label| self.judge.lifted(signer, label, person, moment.uptime));
            }
        }
    }
}
