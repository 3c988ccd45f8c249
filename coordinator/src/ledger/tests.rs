//! What is carried between members is believed by nobody: lies about it are passed over for what another member says.

use std::sync::Mutex;

use limen_policy::ledger::Committee;
use tonic::async_trait;

use super::relay::Relay;
use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

/// What is shown after a number.
type Page = fn(u64) -> Vec<pb::Envelope>;

/// A member that shows what the test says, and takes certificates as a real one does: in order, and a page with an invented
/// one not at all. Here a certificate is its number.
struct Scripted {
    /// What it shows after a number.
    page: Page,
    before: Option<pb::LedgerCommittee>,
    known: Mutex<u64>,
}

fn showing(page: Page) -> Scripted {
    Scripted { page, before: None, known: Mutex::default() }
}

fn numbered(numbers: &[u8]) -> Vec<pb::Envelope> {
    numbers.iter().map(|number| pb::Envelope { payload: vec![*number].into(), ..pb::Envelope::default() }).collect()
}

#[async_trait]
impl LedgerPort for Scripted {
    async fn reserve(&self, request: pb::LedgerReserveRequest) -> Result<pb::LedgerReserveResponse, CallError> {
        let mut known = self.known.lock().unwrap();
        for certificate in &request.certificates {
            match certificate.payload.first().map(|number| u64::from(*number)) {
                Some(number) if number == *known + 1 => *known = number,
                Some(number) if number <= *known => {}
                _ => return Err(CallError::Refused(ApiError::new(Code::Malformed, "no certificate"))),
            }
        }
        Ok(pb::LedgerReserveResponse { head: *known, ..pb::LedgerReserveResponse::default() })
    }
    async fn close(&self, _: pb::LedgerCloseRequest) -> Result<pb::LedgerCloseResponse, CallError> {
        Err(CallError::Invalid("nothing is given up here".to_owned()))
    }
    async fn show(&self, request: pb::LedgerShowRequest) -> Result<pb::LedgerShowResponse, CallError> {
        let (certificates, before) = ((self.page)(request.after), self.before.clone());
        Ok(pb::LedgerShowResponse { certificates, head: 0, before })
    }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

#[tokio::test]
async fn what_one_member_invents_is_passed_over_for_what_the_next_has() {
    let honest: Page = |after| match after {
        0 => numbered(&[1, 2]),
        1 => numbered(&[2, 3]),
        2 => numbered(&[3]),
        _ => Vec::new(),
    };
    let nothing: Page = |_| vec![pb::Envelope::default()];
    let invented: Page = |_| numbered(&[200]);
    let old: Page = |_| numbered(&[1]);
    for liars in [&[nothing][..], &[invented], &[old], &[invented, old, nothing]] {
        let to = Arc::new(showing(|_| Vec::new()));
        let from = liars.iter().copied().chain([honest]);
        let from = from.map(|page| (node("member"), Arc::new(showing(page)) as Arc<dyn LedgerPort>)).collect();
        let port = Arc::clone(&to) as Arc<dyn LedgerPort>;
        let relay = Relay { ledger: LedgerId::new("main").unwrap(), to: port, from, patience: PATIENCE };
        relay.numbers(None).await.unwrap();
        assert_eq!(*to.known.lock().unwrap(), 3);
    }
}

fn committee(members: std::ops::Range<u8>, predecessor: Option<CommitteeHash>) -> pb::LedgerCommittee {
    let member = |number: u8| pb::LedgerMember {
        node: format!("member-{number}"),
        public_key: limen_wire::keys::SigningKey::ed25519_from_seed(&[number; 32].into()).public_key().to_string(),
    };
    pb::LedgerCommittee {
        members: members.map(member).collect(),
        corrupt: 1,
        quorum: 3,
        lifetime_ms: 60_000,
        predecessor: predecessor.map_or_else(Default::default, |hash| hash.as_bytes().to_vec().into()),
    }
}

#[tokio::test]
async fn who_kept_a_ledger_before_is_proved_by_a_hash_whoever_tells_it() {
    let checked = |raw: &pb::LedgerCommittee| {
        let whose = ("test".parse().unwrap(), LedgerId::new("main").unwrap());
        Committee::from_wire(raw.clone(), whose).unwrap()
    };
    let first = committee(1..5, None);
    let newest = checked(&committee(2..6, Some(checked(&first).hash())));
    let told = |before: Option<pb::LedgerCommittee>| {
        Arc::new(Scripted { before, ..showing(|_| Vec::new()) }) as Arc<dyn LedgerPort>
    };
    let lies = [
        Some(committee(5..9, None)),
        Some(pb::LedgerCommittee { quorum: 4, ..first.clone() }),
        Some(pb::LedgerCommittee { lifetime_ms: 1, ..first.clone() }),
        Some(pb::LedgerCommittee { members: Vec::new(), ..first.clone() }),
        Some(pb::LedgerCommittee { predecessor: vec![7; 32].into(), ..first.clone() }),
        None,
    ];
    for lie in lies {
        let before = newest.predecessor().unwrap();
        let liar = [(node("a-liar"), told(lie))];
        let ask = |ports: Ports| {
            let newest = &newest;
            async move { handover::ask(PATIENCE, newest, (None, before), &ports).await }
        };
        assert!(ask(liar.clone().into()).await.is_none(), "it waits");
        let both = liar.into_iter().chain([(node("honest"), told(Some(first.clone())))]);
        assert_eq!(ask(both.collect()).await.map(|found| found.hash()), Some(before));
    }
}
