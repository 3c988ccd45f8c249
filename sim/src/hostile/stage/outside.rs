//! What checkers sign, which of it goes along with requests, and the chain.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_node::clock::{Millis, Now, Uptime};
use limen_node::guard::{self, Examined};
use limen_wire::check::Check;
use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::ids::{CheckerId, VaultId};
use limen_wire::pb;

use super::Stage;
use crate::hostile::bytes::CHAIN;
use crate::hostile::judge::Finding;
use crate::hostile::people;
use crate::hostile::plan::{BOUGHT, CHECKERS, Coin, Outside, TOKEN, VAULT, WATCH};
use crate::hostile::program::{Doctored, Found, Label, OutsideStep, Tells};

/// Everything that checkers ever signed, and what goes along with which request.
#[derive(Default)]
pub(super) struct Findings {
    made: BTreeMap<Label, (Check, pb::Envelope)>,
    shown: BTreeMap<Label, Vec<Found>>,
}

fn asset(coin: Coin) -> Asset {
    let text = match coin {
        Coin::Native => format!("eip155:{CHAIN}/slip44:60"),
        Coin::Token => format!("eip155:{CHAIN}/erc20:{TOKEN}"),
    };
    Asset::from_caip19(&text).expect("an asset")
}

impl Stage {
    pub(super) fn outside(&mut self, step: &OutsideStep) {
        let Some(outside) = self.plan.outside else { return };
        match step {
            OutsideStep::Find { .. } => self.find(step, outside),
            OutsideStep::Show(request, found) => drop(self.findings.shown.insert(*request, found.clone())),
            OutsideStep::Pass { numbers, turn, fail } => {
                for _ in 0..*numbers {
                    if self.judge.passes(*turn, *fail) {
                        self.count("ceiling: arrived");
                    }
                }
            }
            OutsideStep::Pay(units) => self.judge.pays(*units),
        }
    }

    /// A request as everybody reads it under a version.
    fn examined(&self, request: Label, version: usize) -> Option<Examined> {
        let (charter, asked) = (&self.files.charters[version], self.asked.get(&request)?);
        let key = Arc::new(self.shares.facts(&self.plan, 1));
        let now = Now { wall: Millis(self.now_secs() * 1000), uptime: Uptime(self.elapsed_ms) };
        guard::examine(charter, &Arc::default(), |_| Some(key), &asked.envelope, now).ok()
    }

    fn find(&mut self, step: &OutsideStep, outside: Outside) {
        let OutsideStep::Find { label, checker, request, version, objects, tells, life_secs, off_secs } = *step else {
            return;
        };
        let version = version % self.files.charters.len();
        let honest = checker != BOUGHT || !outside.bought;
        // Only the adversary's speaks of what is none of its business, or turns its clock as it likes.
        let tells = match tells {
            Tells::Lies if !honest => tells,
            Tells::Balance | Tells::Numbers if checker == WATCH => tells,
            _ => Tells::Nothing,
        };
        let off_secs = if honest { off_secs.clamp(-20, 20) } else { off_secs };
        let (Some(examined), false) = (self.examined(request, version), self.findings.made.contains_key(&label)) else {
            return;
        };
        let checked_at_secs = self.now_secs().saturating_add_signed(off_secs);
        let expires_at_secs = checked_at_secs + life_secs;
        let mut check = Check {
            cluster: examined.intent().cluster.clone(),
            intent_id: examined.intent().id,
            charter: self.files.charters[version].hash(),
            checker: CheckerId::new(CHECKERS[checker]).expect("a name"),
            checked_at_secs,
            expires_at_secs,
            objection: objects.then(|| "not this".to_owned()),
            balances: BTreeMap::new(),
            prices: BTreeMap::new(),
            sequences: BTreeMap::new(),
        };
        let (holds, next) = self.judge.vault();
        let coin = outside.ceiling.map(|ceiling| ceiling.coin).filter(|_| tells != Tells::Nothing && !objects);
        if let Some(coin) = coin {
            let (holds, next) = if tells == Tells::Lies { (0, u64::MAX) } else { (holds, next) };
            tell(&mut check, coin, holds);
            if tells != Tells::Balance {
                check.sequences.insert(payer(&examined), next);
            }
        }
        let told = coin.is_some().then_some(holds);
        let overreaches = coin.is_some() && checker != WATCH;
        let envelope = check.seal(people::checker_key(checker));
        let same = |one: &usize| self.files.charters[*one].hash() == check.charter;
        let versions = (0..self.files.charters.len()).filter(same).collect();
        let finding =
            Finding { checker, request, versions, objects, told, overreaches, checked_at_secs, expires_at_secs };
        self.judge.found(label, finding);
        self.findings.made.insert(label, (check, envelope));
        self.findings.shown.entry(request).or_default().push(Found { label, doctored: None });
        self.count(if objects { "check: objected" } else { "check: passed" });
    }

    /// What goes along with a request, and which of it is as it was signed.
    pub(super) fn findings(&self, request: Label) -> (Vec<pb::Envelope>, Vec<Label>) {
        let (mut envelopes, mut honest) = (Vec::new(), Vec::new());
        for found in self.findings.shown.get(&request).into_iter().flatten() {
            let Some((check, envelope)) = self.findings.made.get(&found.label) else { continue };
            match found.doctored {
                None => {
                    honest.push(found.label);
                    envelopes.push(envelope.clone());
                }
                Some(how) => envelopes.extend(self.doctor(check, envelope, how, request)),
            }
        }
        envelopes.truncate(limen_wire::limits::EXTERNAL_CHECKS);
        honest.truncate(limen_wire::limits::EXTERNAL_CHECKS);
        (envelopes, honest)
    }

    /// Another content under the same signature, or the same content under nobody's.
    fn doctor(&self, check: &Check, envelope: &pb::Envelope, how: Doctored, request: Label) -> Option<pb::Envelope> {
        let mut check = check.clone();
        let coin = self.plan.ceiling().map_or(Coin::Native, |ceiling| ceiling.coin);
        match how {
            Doctored::Request => check.intent_id = self.asked.get(&request)?.id,
            Doctored::Pass => check.objection = None,
            Doctored::Balance => tell(&mut check, coin, 0),
            Doctored::Numbers => check.sequences.values_mut().for_each(|next| *next = u64::MAX),
            Doctored::Later => {
                check.checked_at_secs += 100;
                check.expires_at_secs += 100;
            }
            Doctored::Key => return Some(check.seal(people::foreign_key())),
        }
        let payload = check.to_payload();
        (envelope.payload != payload).then(|| pb::Envelope { payload: payload.into(), ..envelope.clone() })
    }
}

fn tell(check: &mut Check, coin: Coin, holds: u128) {
    let vault = VaultId::new(VAULT).expect("a name");
    check.balances.insert((vault, asset(coin)), Amount::from_u128(holds));
}

/// The account that pays.
fn payer(examined: &Examined) -> (ChainId, Address) {
    (ChainId::eip155(CHAIN), examined.account().clone())
}
