//! A signer's own view of people's approvals and of delays, against its real store.

mod altered;
mod findings;

use limen_wire::approval::{Approval, Proof, Verdict as Said};
use limen_wire::error::Code;
use limen_wire::ids::{ApprovalId, ClusterId, CredentialId, FreezeEpoch, IntentId, NodeId, PersonId, SliceHash};
use limen_wire::keys::SigningKey;

use super::*;
use crate::admission;
use crate::clock::{Millis, Uptime};
use crate::guard::tests::{charter_text, examined_under, pin, sealed, transfer};
use crate::guard::{SignCall, SignToken, Verdict, sign_call};
use crate::store::{Options, Store};

const WALL: Millis = Millis(1_000_000_000);
const RULE: &str = r#"
[[rules]]
name = "asked"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"
approvals = "2 terminal of treasury"
not_by_requester = true
delay_secs = 60

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "1"
"#;

/// A signer with one intent, at a time of its own.
struct Bench {
    folder: tempfile::TempDir,
    store: Option<Store>,
    charter: Charter,
    raw: pb::Intent,
    now: Now,
    session: u8,
    /// What external checkers found, shown with everything.
    checks: Vec<pb::Envelope>,
}

fn open(folder: &tempfile::TempDir) -> Store {
    let owner = (NodeId::new("signer-1").unwrap(), ClusterId::new("sample").unwrap());
    Store::open(folder.path(), Options::new(owner.0, owner.1)).unwrap()
}

fn with_rules(rules: &str) -> Charter {
    let text = charter_text();
    let head = &text[..text.find("[[rules]]").unwrap()];
    Charter::from_toml(&format!("{head}{rules}")).unwrap()
}

fn seed_of(person: &str) -> u8 {
    match person {
        "anna" => 0x41,
        "boris" => 0x43,
        "dora" => 0x45,
        other => panic!("{other} has no terminal"),
    }
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(&folder));
        let mut raw = transfer(1, "a");
        raw.expires_at_secs = WALL.as_secs() + 3600;
        let now = Now { wall: WALL, uptime: Uptime(5_000) };
        Self { folder, store, charter: with_rules(RULE), raw, now, session: 0, checks: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn examined(&self) -> Examined {
        examined_under(&self.charter, &self.raw).at(&self.charter, self.now)
    }

    /// Lets the node run for a while; the wall clock goes with it.
    fn run_for(&mut self, millis: u64) {
        self.now.uptime.0 += millis;
        self.now.wall.0 += millis;
    }

    fn approval(&self, person: &str, said: Said) -> Approval {
        let facts = guard::facts(&self.charter, &self.examined());
        let who = (PersonId::new(person).unwrap(), CredentialId::new(format!("{person}-terminal")).unwrap());
        let reason = if said == Said::Reject { "not this".to_owned() } else { String::new() };
        Approval { reason, ..facts.draft(who, said, (self.now.wall.as_secs() + 1000, [self.session; 32])) }
    }

    fn says(&self, person: &str, said: Said) -> pb::Envelope {
        signed(self.approval(person, said), person)
    }

    /// The signer goes over to the charter that the test has set.
    fn pin(&self) {
        pin(self.store(), &self.charter);
    }

    fn announce(&mut self, approvals: &[pb::Envelope]) -> Progress {
        self.pin();
        let (charter, examined, now) = (self.charter.clone(), self.examined(), self.now);
        let papers = Papers { approvals, checks: &self.checks };
        let examined = priced(&charter, examined, &papers, now);
        let (shown, envelope) = (Shown::read(&charter, &examined, None, &papers, now), sealed(&self.raw));
        let settled = self.store().write_blocking(move |txn| {
            admission::note(txn, &charter, &examined, &envelope, now)?.unwrap();
            settle(txn, &charter, &examined, shown, now)
        });
        settled.unwrap()
    }

    fn sign(&mut self, approvals: &[pb::Envelope]) -> Verdict<SignToken> {
        self.pin();
        self.session += 1;
        // Nobody keeps a log here.
        let call = SignCall { leaf_patience_ms: u64::MAX, ..sign_call(&[self.session; 32], &[1, 2]).unwrap() };
        let (charter, examined, now) = (self.charter.clone(), self.examined(), self.now);
        let papers = Papers { approvals, checks: &self.checks };
        let examined = priced(&charter, examined, &papers, now);
        let (shown, envelope) = (Shown::read(&charter, &examined, None, &papers, now), sealed(&self.raw));
        let decided = self
            .store()
            .write_blocking(move |txn| admission::sign(txn, &charter, examined, call, (&envelope, shown), now));
        decided.unwrap().verdict
    }

    fn refused(&mut self, approvals: &[pb::Envelope]) -> (Code, String) {
        match self.sign(approvals) {
            Verdict::Refused(error) => (error.code, error.message),
            other => panic!("{other:?}"),
        }
    }

    /// Ends the process and starts it again: running time goes on from what is durable.
    fn restart(&mut self) {
        self.store = None;
        let store = open(&self.folder);
        self.now.uptime = store.view().unwrap().uptime().unwrap();
        self.store = Some(store);
    }
}

fn signed(approval: Approval, person: &str) -> pb::Envelope {
    let key = SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([seed_of(person); 32]));
    let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
    limen_wire::approval::SignedApproval { approval, proof }.to_envelope()
}

#[test]
fn approvals_then_the_delay_then_the_signature() {
    let mut bench = Bench::new();
    assert_eq!(bench.refused(&[]), (Code::ApprovalsMissing, "rule \"asked\": 2 more terminal of treasury".to_owned()));
    let anna = bench.says("anna", Said::Approve);
    assert_eq!(bench.announce(std::slice::from_ref(&anna)).statuses[0].missing, "1 more terminal of treasury");
    // held: nobody hands anna's in again
    let boris = bench.says("boris", Said::Approve);
    let (code, message) = bench.refused(&[boris]);
    assert_eq!((code, message.contains("60 s of its delay are left")), (Code::TimeLocked, true), "{message}");
    bench.run_for(59_999);
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    bench.run_for(1);
    let Verdict::Allowed(token) = bench.sign(&[anna]) else { panic!("must be allowed") };
    assert_eq!(token.record().evidence.approvals.len(), 2);
}

#[test]
fn nothing_is_recorded_as_allowed_while_people_are_missing() {
    let mut bench = Bench::new();
    bench.refused(&[]);
    let row = bench.store().view().unwrap().intent(&bench.examined().intent().id).unwrap().unwrap().1;
    assert!(!row.allowed && row.live.unwrap().sessions == 0);
}

#[test]
fn poisoned_clock_across_a_restart() {
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    // The wall clock is put forward within the approvals' life and the node restarted: no time has passed for the delay.
    bench.now.wall.0 += 900_000;
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    bench.run_for(30_000);
    bench.restart();
    let (code, message) = bench.refused(&[]);
    assert_eq!(code, Code::TimeLocked);
    assert!(message.contains("60 s"), "running time that was not durable is lost, never gained: {message}");
    bench.now.wall.0 -= 900_000;
    bench.run_for(60_000);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

#[test]
fn approvals_added_after_a_silent_delay() {
    let mut bench = Bench::new();
    bench.announce(&[]);
    bench.run_for(600_000);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert_eq!(bench.refused(&both).0, Code::TimeLocked, "waiting before anybody has approved counts for nothing");
}

#[test]
fn a_withdrawal_ends_the_wait_and_a_new_approval_begins_it_anew() {
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    bench.run_for(50_000);
    bench.session = 7;
    let mut withdrawal = bench.approval("anna", Said::Withdraw);
    withdrawal.preceding = None;
    assert!(!bench.announce(&[signed(withdrawal, "anna")]).statuses[0].met);
    bench.run_for(50_000);
    assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing, "what was withdrawn is not handed in again");
    let dora = bench.says("dora", Said::Approve);
    assert_eq!(bench.refused(&[dora]).0, Code::ApprovalsMissing, "dora is behind the requester");
}

#[test]
fn one_rejection_ends_it_for_good() {
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    let no = bench.says("dora", Said::Reject);
    assert_eq!(bench.refused(&[no]), (Code::Rejected, "dora rejected it: not this".to_owned()));
    bench.run_for(100_000);
    bench.restart();
    bench.run_for(100_000);
    assert_eq!(bench.refused(&both).0, Code::Rejected);
}

/// Approvals are stockpiled, then the roster changes and the delay is set to nothing: the approvals have lapsed.
#[test]
fn stockpiled_approvals_lapse_with_the_rules() {
    for rules in [
        RULE.replace("delay_secs = 60", "delay_secs = 0"),
        RULE.replace("2 terminal of treasury", "1 terminal of treasury"),
        RULE.replace("not_by_requester = true", "not_by_requester = false"),
        RULE.replace("max_amount = \"10\"", "max_amount = \"11\""),
    ] {
        let mut bench = Bench::new();
        let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
        bench.announce(&both);
        bench.run_for(100_000);
        bench.charter = with_rules(&rules);
        assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing, "{rules}");
    }
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    bench.run_for(100_000);
    let text = charter_text().replace("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]");
    let head = &text[..text.find("[[rules]]").unwrap()];
    bench.charter = Charter::from_toml(&format!("{head}{RULE}")).unwrap();
    assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing, "another roster");
}

/// A delay that began under other rules begins anew, also if they ask for less.
#[test]
fn a_delay_belongs_to_the_rules_under_which_it_began() {
    let mut bench = Bench::new();
    bench.announce(&[bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)]);
    bench.run_for(59_000);
    bench.charter = with_rules(&RULE.replace("delay_secs = 60", "delay_secs = 50"));
    let again = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    let (code, message) = bench.refused(&again);
    assert_eq!((code, message.contains("50 s")), (Code::TimeLocked, true), "{message}");
}

/// Nobody's approval lapses where nobody is asked: the delay itself has to know its rules.
#[test]
fn a_delay_belongs_to_its_rules_where_nobody_is_asked_too() {
    let asked = "approvals = \"2 terminal of treasury\"\nnot_by_requester = true\n";
    assert!(RULE.contains(asked));
    let alone = |delay: &str| with_rules(&RULE.replace(asked, "").replace("delay_secs = 60", delay));
    let mut bench = Bench::new();
    bench.charter = alone("delay_secs = 60");
    bench.announce(&[]);
    bench.run_for(59_000);
    bench.charter = alone("delay_secs = 50");
    let (code, message) = bench.refused(&[]);
    assert_eq!((code, message.contains("50 s")), (Code::TimeLocked, true), "{message}");
    bench.run_for(50_000);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

#[test]
fn a_delay_from_first_sight_counts_from_there() {
    let mut bench = Bench::new();
    bench.charter = with_rules(&RULE.replace("delay_secs = 60", "delay_secs = 60\ndelay_from = \"first-sight\""));
    bench.announce(&[]);
    bench.run_for(60_000);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert!(matches!(bench.sign(&both), Verdict::Allowed(_)));
}

/// Every field of an approval is changed on its way: it does not count, and the changed one is dropped.
#[test]
fn an_approval_that_was_altered_does_not_count() {
    type Edit = fn(&mut Approval);
    let edits: [(&str, Edit); 12] = [
        ("cluster", |a| a.cluster = ClusterId::new("other").unwrap()),
        ("intent", |a| a.intent_id = IntentId::new([9; 32])),
        ("effects", |a| a.effects_digest[0] ^= 1),
        ("decoder", |a| a.decoder_version += 1),
        ("slice", |a| a.slice = SliceHash::new([9; 32])),
        ("freeze", |a| a.freeze_epoch = FreezeEpoch::new([9; 32])),
        ("person", |a| a.person = PersonId::new("dora").unwrap()),
        ("credential", |a| a.credential = CredentialId::new("dora-terminal").unwrap()),
        ("preceding", |a| a.preceding = Some(ApprovalId::new([9; 32]))),
        ("expiry", |a| a.expires_at_secs += 1),
        ("verdict", |a| a.verdict = Said::Withdraw),
        ("nonce", |a| a.nonce[0] ^= 1),
    ];
    for (field, edit) in edits {
        let mut bench = Bench::new();
        let honest = bench.says("boris", Said::Approve);
        let mut signed = SignedApproval::open(&bench.says("anna", Said::Approve)).unwrap();
        edit(&mut signed.approval);
        let altered = signed.to_envelope();
        let (charter, examined) = (bench.charter.clone(), bench.examined());
        assert_eq!(
            Shown::read(
                &charter,
                &examined,
                None,
                &Papers { approvals: std::slice::from_ref(&altered), checks: &[] },
                bench.now
            )
            .dropped,
            1,
            "{field}"
        );
        assert_eq!(bench.refused(&[altered, honest]).0, Code::ApprovalsMissing, "{field}");
    }
}

/// Approvals of one request are useless for another one, also of the same content.
#[test]
fn approvals_of_a_failed_request_serve_no_other() {
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    bench.raw.idempotency_key = "b".to_owned();
    assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing);
}

#[test]
fn approvals_that_expire_before_the_delay_is_over_do_not_count() {
    let mut bench = Bench::new();
    let mut short = bench.approval("anna", Said::Approve);
    short.expires_at_secs = bench.now.wall.as_secs() + 30;
    bench.announce(&[signed(short, "anna"), bench.says("boris", Said::Approve)]);
    bench.run_for(60_000);
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing);
}

fn held(bench: &Bench) -> usize {
    let id = bench.examined().intent().id;
    bench.store().view().unwrap().intent(&id).unwrap().unwrap().1.live.unwrap().approvals.len()
}

/// As many verdicts of one person as are asked for, all different.
fn many(bench: &Bench, person: &str, said: Said, count: u64) -> Vec<pb::Envelope> {
    let one = |number: u64| {
        let mut approval = bench.approval(person, said);
        approval.nonce[..8].copy_from_slice(&number.to_be_bytes());
        approval.nonce[31] = 1;
        signed(approval, person)
    };
    (0..count).map(one).collect()
}

#[test]
fn what_people_said_is_bounded_and_kept_once() {
    let mut bench = Bench::new();
    let anna = bench.says("anna", Said::Approve);
    for _ in 0..3 {
        bench.announce(&[anna.clone(), anna.clone()]);
    }
    assert_eq!(held(&bench), 1);
    for _ in 0..3 {
        let approvals = many(&bench, "anna", Said::Approve, 100);
        bench.announce(&approvals);
    }
    assert_eq!(held(&bench), APPROVALS_OF_ONE, "one person keeps nobody else out");
    let boris = bench.says("boris", Said::Approve);
    assert!(bench.announce(&[boris]).statuses[0].met);
    assert!(bench.store().view().unwrap().verify_journal().is_ok());
}

#[test]
fn bad_news_counts_and_is_kept_however_much_was_said_before() {
    let mut bench = Bench::new();
    for person in ["anna", "boris"] {
        let approvals = many(&bench, person, Said::Approve, 100);
        bench.announce(&approvals);
        let withdrawals = many(&bench, person, Said::Withdraw, 100);
        bench.announce(&withdrawals);
    }
    let (id, approvals) = (bench.examined().intent().id, many(&bench, "boris", Said::Approve, 100));
    assert!(!bench.announce(&approvals).statuses[0].met);
    assert!(held(&bench) <= limits::APPROVALS);
    let no = bench.says("dora", Said::Reject);
    assert_eq!(bench.refused(&[no]).0, Code::Rejected);
    let live = bench.store().view().unwrap().intent(&id).unwrap().unwrap().1.live.unwrap();
    assert_eq!(live.rejected, Some(("dora".to_owned(), "not this".to_owned())));
}

/// Everybody can flip the sign of `s` of a P-256 signature: the copy is no other verdict and hides none.
#[test]
fn another_spelling_of_a_proof_hides_no_verdict() {
    let mut bench = Bench::new();
    let no = bench.says("dora", Said::Reject);
    let mut forged = SignedApproval::open(&no).unwrap();
    forged.proof = Proof::Signature([7; 64]);
    let (charter, examined) = (bench.charter.clone(), bench.examined());
    let both = [forged.to_envelope(), no];
    let shown = Shown::read(&charter, &examined, None, &Papers { approvals: &both, checks: &[] }, bench.now);
    assert_eq!((shown.dropped, shown.progress(&charter, &examined, bench.now).rejected.is_some()), (1, true));
    assert_eq!(bench.refused(&both).0, Code::Rejected);
}

#[test]
fn whoever_is_asked_by_nobody_is_not_kept() {
    let mut bench = Bench::new();
    bench.charter = with_rules(&RULE.replace("2 terminal of treasury", "1 of risk"));
    let stranger = bench.says("anna", Said::Reject);
    assert!(bench.announce(&[stranger]).rejected.is_none());
    assert_eq!(held(&bench), 0);
}

/// A rejection is for good: also if whoever gave it is no longer in the charter.
#[test]
fn a_rejection_outlives_its_person() {
    let mut bench = Bench::new();
    let no = bench.says("boris", Said::Reject);
    bench.announce(&[no]);
    let text = charter_text().replace("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"dora\"]");
    let head = &text[..text.find("[[rules]]").unwrap()];
    let rules = RULE.replace("2 terminal", "1 terminal").replace("delay_secs = 60", "");
    bench.charter = Charter::from_toml(&format!("{head}{rules}")).unwrap();
    let yes = bench.says("anna", Said::Approve);
    assert_eq!(bench.refused(&[yes]).0, Code::Rejected);
}

/// The gap and what closes it are shown in one call: the delay begins anew all the same.
#[test]
fn a_rejection_outlives_the_rule_that_asked() {
    let mut bench = Bench::new();
    let no = bench.says("dora", Said::Reject);
    assert_eq!(bench.refused(&[no]).0, Code::Rejected);
    bench.charter = with_rules(
        &RULE.replace("approvals = \"2 terminal of treasury\"\nnot_by_requester = true\ndelay_secs = 60\n", ""),
    );
    assert!(
        bench.examined().decision().allowed && bench.examined().decision().asking.is_empty(),
        "nobody is asked now"
    );
    assert_eq!(bench.refused(&[]), (Code::Rejected, "dora rejected it: not this".to_owned()));
    bench.restart();
    assert_eq!(bench.refused(&[]).0, Code::Rejected);
}

#[test]
fn a_delay_does_not_go_on_across_a_gap_that_nobody_was_shown() {
    let mut bench = Bench::new();
    bench.charter = with_rules(&RULE.replace("2 terminal of treasury", "1 terminal of treasury"));
    let anna = bench.says("anna", Said::Approve);
    bench.announce(&[anna]);
    bench.run_for(100_000);
    let both = [bench.says("anna", Said::Withdraw), bench.says("boris", Said::Approve)];
    let (code, message) = bench.refused(&both);
    assert_eq!((code, message.contains("60 s")), (Code::TimeLocked, true), "{message}");
    // the same where the first approval has expired meanwhile
    let mut bench = Bench::new();
    bench.charter = with_rules(&RULE.replace("2 terminal of treasury", "1 terminal of treasury"));
    let mut short = bench.approval("anna", Said::Approve);
    short.expires_at_secs = bench.now.wall.as_secs() + 10;
    bench.announce(&[signed(short, "anna")]);
    bench.run_for(100_000);
    let boris = bench.says("boris", Said::Approve);
    assert_eq!(bench.refused(&[boris]).0, Code::TimeLocked);
}

/// A rule that asks for time alone waits for the people whom another rule asks for.
#[test]
fn no_delay_runs_before_everybody_asked_has_approved() {
    let mut bench = Bench::new();
    let wait = "[[rules]]\nname = \"wait\"\nrequire = \"transfer\"\ndelay_secs = 60\n";
    bench.charter = with_rules(&format!("{}{wait}", RULE.replace("delay_secs = 60", "")));
    bench.announce(&[]);
    bench.run_for(100_000);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    let (code, message) = bench.refused(&both);
    assert_eq!((code, message.contains("\"wait\": 60 s")), (Code::TimeLocked, true), "{message}");
    bench.run_for(60_000);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

/// Requests that wait for people count against their requester until they are allowed.
#[test]
fn requests_that_wait_are_bounded_for_each_requester() {
    let mut bench = Bench::new();
    bench.charter.bounds.max_denied = 1;
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    let first = bench.raw.clone();
    bench.raw = transfer(2, "b");
    assert_eq!(bench.refused(&[]).0, Code::Overloaded);
    let second = std::mem::replace(&mut bench.raw, first);
    bench.run_for(60_000);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
    bench.raw = second;
    bench.raw.expires_at_secs = bench.now.wall.as_secs() + 60;
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing, "there is a place again");
}

#[test]
fn the_guard_wants_to_see_the_requirements_looked_at() {
    let bench = Bench::new();
    let examined = bench.examined();
    assert_eq!(examined.decision().requirements.len(), 1);
    let progress = Progress::default();
    assert!(progress.check().is_ok(), "an empty progress knows nothing");
    let view = crate::guard::tests::noted(&examined);
    let call = sign_call(&[1; 32], &[1, 2]).unwrap();
    let Ok(verdict) = guard::admit_sign(
        &view,
        &bench.charter,
        examined,
        call,
        (&progress, &guard::Reservations::default()),
        bench.now,
    );
    assert!(matches!(verdict, Verdict::Refused(error) if error.code == Code::Internal));
}

const LIMITED: &str = r#"
[[rules]]
name = "free"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "1"
"#;

/// A limit of 60 018 wei a minute: a transfer of 9 with a fee of 21 000 fits once into a share of 30 009, not twice.
fn limited(bench: &mut Bench) {
    let limit = "[[limits]]\nid = \"eth-a-minute\"\nasset = \"eth\"\nper = \"all\"\nwindow_secs = 60\n\
                 max_amount = \"1\"\nsplit_amount = \"0.000000000000060018\"\n";
    bench.charter = with_rules(&format!("{limit}{LIMITED}"));
    bench.raw.expires_at_secs = bench.now.wall.as_secs() + 10;
}

#[test]
fn what_is_allowed_is_charged_once_and_counted_across_restarts() {
    let mut bench = Bench::new();
    limited(&mut bench);
    for _ in 0..3 {
        assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)), "further sessions of one request cost nothing more");
    }
    bench.restart();
    bench.raw = transfer(2, "b");
    bench.raw.expires_at_secs = bench.now.wall.as_secs() + 10;
    let (code, message) = bench.refused(&[]);
    assert_eq!(code, Code::LimitReached);
    assert!(message.contains("21009 of this signer's share of 30009 is used, this request takes 21009"), "{message}");
    // its life, the window, and at most one step of the count
    bench.now.uptime.0 += 10_000 + 60_000 + 60_000 / 64 + 1;
    assert_eq!(bench.refused(&[]).0, Code::Expired, "its life ends by the running time too");
    bench.raw = transfer(3, "c");
    bench.raw.expires_at_secs = bench.now.wall.as_secs() + 10;
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

#[test]
fn a_limit_without_a_share_needs_the_ledger() {
    let mut bench = Bench::new();
    limited(&mut bench);
    bench.charter.limits.values_mut().for_each(|limit| limit.split_amount = limen_wire::effects::Amount::ZERO);
    assert_eq!(bench.refused(&[]).0, Code::LimitReached);
}

#[test]
fn a_refusal_charges_nothing() {
    let mut bench = Bench::new();
    limited(&mut bench);
    bench.charter.bounds.max_sessions = 0;
    assert_eq!(bench.refused(&[]).0, Code::TooManySessions);
    bench.charter.bounds.max_sessions = 1;
    bench.raw = transfer(2, "b");
    bench.raw.expires_at_secs = bench.now.wall.as_secs() + 10;
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}
