//! A committee, a judge over made-up requests, and members that are driven as a node drives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{CharterHash, ClusterId, CommitteeHash, IntentId, LedgerId, NodeId, RequesterId};
use limen_wire::keys::SigningKey;
use limen_wire::{pb, statement};

use crate::ledger::*;

/// 2026-01-01, in milliseconds.
pub(super) const NOW: u64 = 1_767_225_600_000;
pub(super) const LIFETIME: u64 = 600_000;
pub(super) const WINDOW_SECS: u64 = 86_400;
pub(super) const CHARTER: CharterHash = CharterHash::new([7; 32]);

pub(super) fn key(index: usize) -> SigningKey {
    SigningKey::ed25519_from_seed(&[u8::try_from(index).unwrap() + 1; 32].into())
}

pub(super) fn node(index: usize) -> NodeId {
    NodeId::new(format!("node-{index}")).unwrap()
}

pub(super) fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

pub(super) fn members(indices: impl IntoIterator<Item = usize>) -> Vec<CommitteeMember> {
    indices.into_iter().map(|i| CommitteeMember { id: node(i), public_key: key(i).public_key() }).collect()
}

pub(super) fn committee_of(
    indices: impl IntoIterator<Item = usize>,
    (f, q): (usize, usize),
    predecessor: Option<CommitteeHash>,
) -> Result<Committee, CommitteeError> {
    Committee::new((cluster(), LedgerId::new("hot").unwrap()), members(indices), (f, q), LIFETIME, predecessor)
}

/// Three signers and a witness: N = 4, f = 1, q = 3.
pub(super) fn committee() -> Arc<Committee> {
    Arc::new(committee_of(0..4, (1, 3), None).unwrap())
}

pub(super) fn id(number: u64) -> IntentId {
    IntentId::new(limen_wire::ids::tagged_hash("test intent", [number.to_be_bytes().as_slice()]))
}

pub(super) fn daily() -> Scope {
    Scope::Limit { name: "daily".to_owned(), subject: String::new() }
}

pub(super) fn idempotency(key: &str) -> Scope {
    Scope::Idempotency { requester: RequesterId::new("alice").unwrap(), key: key.to_owned() }
}

pub(super) fn nonce(number: u64) -> Scope {
    Scope::Nonce { chain: ChainId::eip155(1), account: Address::from_canonical("0xabc").unwrap(), number }
}

pub(super) fn input(index: u32) -> Scope {
    Scope::Input { chain: ChainId::new("bip122:000000000019d668").unwrap(), transaction: [9; 32], index }
}

pub(super) fn amount(value: u64) -> Amount {
    Amount::from_u128(value.into())
}

/// A request of some amount under its own idempotency key.
pub(super) fn claim(number: u64, value: u64) -> Claim {
    let charges = Charges::from([(daily(), amount(value)), (idempotency(&format!("request-{number}")), Amount::ZERO)]);
    Claim { intent: id(number), replaces: None, charges }
}

/// The same, with something spent once.
pub(super) fn spending(number: u64, value: u64, spent: &[Scope], replaces: Option<u64>) -> Claim {
    let mut claim = claim(number, value);
    claim.charges.extend(spent.iter().map(|scope| (scope.clone(), Amount::ZERO)));
    Claim { replaces: replaces.map(id), ..claim }
}

/// These signers' voids in one envelope.
pub(super) fn voids(intent: &IntentId, indices: impl IntoIterator<Item = usize>) -> pb::Envelope {
    let each: Vec<_> = indices.into_iter().map(|i| void(&cluster(), intent, &node(i), &key(i))).collect();
    statement::combine(&each).unwrap()
}

/// What those are told who meet [`daily`].
pub(super) const DAILY: &str = Counts::Window(0).advice();

/// A rolling window.
pub(super) fn window(secs: u64, certified: Bound, uncertified: Bound) -> Limit {
    Limit { counts: Counts::window(secs).unwrap(), certified, uncertified }
}

/// What an honest guard knows in these tests.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) charter: CharterHash,
    pub(super) requests: BTreeMap<IntentId, Claim>,
    pub(super) refused: BTreeSet<IntentId>,
    pub(super) bound: Bound,
    pub(super) signers: KeySigners,
    pub(super) successor: Option<CommitteeHash>,
}

impl Guard {
    /// Knows these requests, and one limit a day.
    pub(super) fn new(requests: &[Claim], most: u64, count: u64) -> Self {
        let nodes = (0..3).map(|i| (node(i), key(i).public_key())).collect();
        Self {
            charter: CHARTER,
            requests: requests.iter().map(|claim| (claim.intent, claim.clone())).collect(),
            refused: BTreeSet::new(),
            bound: Bound { amount: amount(most), count },
            signers: KeySigners { nodes, required: 2, corrupt: 1 },
            successor: None,
        }
    }
}

impl Judge for Guard {
    fn charter(&self) -> CharterHash {
        self.charter
    }
    fn limit(&self, scope: &Scope, _: &[Claim]) -> Option<Limit> {
        let nothing = Bound { amount: Amount::ZERO, count: 0 };
        (*scope == daily()).then(|| window(WINDOW_SECS, self.bound, nothing))
    }
    fn recompute(&self, _: &Entry, intent: &IntentId) -> Result<Claim, String> {
        self.requests.get(intent).cloned().ok_or_else(|| "never announced".to_owned())
    }
    fn prices(&self, _: &Entry) -> Result<Vec<Price>, String> {
        Ok(Vec::new())
    }
    fn allows(&self, intent: &IntentId) -> Result<(), String> {
        if self.refused.contains(intent) { Err("the rules say no".to_owned()) } else { Ok(()) }
    }
    fn signers(&self, intent: &IntentId) -> Option<KeySigners> {
        self.requests.contains_key(intent).then(|| self.signers.clone())
    }
    fn successor(&self) -> Option<CommitteeHash> {
        self.successor
    }
}

/// An entry of the first kind, on a certified base or at the start.
pub(super) fn body(committee: &Committee, base: Option<&Certificate>, time_ms: u64, claims: &[Claim]) -> Body {
    let mut claims = claims.to_vec();
    claims.sort_by_key(|claim| claim.intent);
    let number = base.filter(|base| base.entry().committee == committee.hash()).map_or(0, |base| base.entry().number);
    Body {
        cluster: cluster(),
        ledger: committee.ledger().clone(),
        committee: committee.hash(),
        charter: CHARTER,
        number: number + 1,
        base: number,
        previous: base.map_or_else(|| committee.genesis(), |base| base.entry().hash()),
        time_ms,
        expires_at_ms: time_ms + committee.lifetime_ms(),
        prices: vec![],
        claims,
        releases: vec![],
        closings: vec![],
        carried: vec![],
        seal: None,
    }
}

pub(super) fn entry(committee: &Committee, base: Option<&Certificate>, time_ms: u64, claims: &[Claim]) -> Entry {
    Entry::new(body(committee, base, time_ms, claims)).unwrap()
}

/// An entry that settles every number up to what the closings give up.
pub(super) fn settling(
    committee: &Committee,
    base: Option<&Certificate>,
    time_ms: u64,
    closings: &[pb::Envelope],
    carried: &[Entry],
) -> Body {
    let through = closings.first().map_or(0, |closing| Closing::verify(closing, committee).unwrap().1.through);
    let mut carried = carried.to_vec();
    carried.sort_by_key(|entry| (entry.number, entry.hash()));
    Body { number: through + 1, closings: closings.to_vec(), carried, ..body(committee, base, time_ms, &[]) }
}

/// A node around a member: applies, "writes", answers; and may die before writing.
pub(super) struct Node {
    pub(super) index: usize,
    pub(super) member: Member,
}

impl Node {
    pub(super) fn new(index: usize, committee: &Arc<Committee>) -> Self {
        Self { index, member: Member::new(committee.clone(), Durable::genesis(committee)) }
    }

    pub(super) fn all(committee: &Arc<Committee>) -> Vec<Self> {
        (0..committee.members().len()).map(|index| Self::new(index, committee)).collect()
    }

    pub(super) fn learn(&mut self, certificate: &Certificate) -> Result<(), Refusal> {
        let step = self.member.learn(certificate)?;
        self.member.commit(step);
        Ok(())
    }

    /// Learns the base first, as a node does.
    pub(super) fn acknowledge(
        &mut self,
        entry: &Entry,
        base: Option<&Certificate>,
        now_ms: u64,
        guard: &Guard,
    ) -> Result<pb::Envelope, Refusal> {
        if let Some(base) = base.filter(|base| base.entry().committee == self.member.committee().hash()) {
            self.learn(base)?;
        }
        let proposal = Proposal::check(entry.clone(), base, self.member.committee()).unwrap();
        let step = self.member.acknowledge(&proposal, now_ms, guard)?;
        let entry = self.member.commit(step);
        Ok(entry.acknowledge(&node(self.index), &key(self.index)))
    }

    pub(super) fn close(&mut self, through: u64) -> Result<pb::Envelope, Refusal> {
        let step = self.member.close(through)?;
        let closing = self.member.commit(step);
        Ok(closing.sign(self.member.committee(), &node(self.index), &key(self.index)))
    }
}

/// The envelope of these members' signatures under the entry, honest or not.
pub(super) fn signed_by(entry: &Entry, indices: impl IntoIterator<Item = usize>) -> pb::Envelope {
    let each: Vec<_> = indices.into_iter().map(|index| entry.acknowledge(&node(index), &key(index))).collect();
    statement::combine(&each).unwrap()
}

pub(super) fn certify(entry: &Entry, committee: &Committee) -> Certificate {
    Certificate::verify(&signed_by(entry, 0..3), committee).unwrap()
}

/// Has the members acknowledge in order; the certificate if q of them do.
pub(super) fn run(
    nodes: &mut [Node],
    entry: &Entry,
    base: Option<&Certificate>,
    now_ms: u64,
    guard: &Guard,
) -> Result<Certificate, Refusal> {
    let answers: Result<Vec<_>, _> =
        nodes.iter_mut().map(|node| node.acknowledge(entry, base, now_ms, guard)).collect();
    let envelope = statement::combine(&answers?).unwrap();
    Ok(Certificate::verify(&envelope, nodes[0].member.committee()).unwrap())
}
