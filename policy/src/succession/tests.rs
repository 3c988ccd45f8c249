//! Who may change the charter, when it binds, and what two versions after one do.

use limen_wire::approval::{Approval, Proof};
use limen_wire::keys::SigningKey;

use super::*;

const SAMPLE: &str = include_str!("../../development.sample.toml");
const DAY_MS: u64 = 86_400_000;

fn key(person: &str) -> SigningKey {
    let seed = u8::try_from(person.len()).unwrap() * 16 + person.as_bytes()[0] % 16;
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

/// The sample with credentials whose keys the tests hold.
fn text() -> String {
    let mut text = SAMPLE.to_owned();
    for (person, name) in
        [("anna", "anna-terminal"), ("boris", "boris-terminal"), ("carla", "carla-service"), ("dora", "dora-terminal")]
    {
        let at = text.find(&format!("id = \"{name}\"")).unwrap();
        let from = at + text[at..].find("ed25519:").unwrap();
        let to = from + text[from..].find('"').unwrap();
        text.replace_range(from..to, &key(person).public_key().to_string());
    }
    text
}

fn first() -> Charter {
    Charter::from_toml(&text()).unwrap()
}

/// A version after these, with edits to the text.
fn after(parents: &[&Charter], number: u64, edits: &[(&str, &str)]) -> Charter {
    let hashes: Vec<String> = parents.iter().map(|parent| format!("\"{}\"", parent.hash())).collect();
    let head = format!("number = {number}\nparents = [{}]", hashes.join(", "));
    let mut text = text().replace("number = 1\nparents = []", &head);
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Charter::from_toml(&text).unwrap()
}

const TIGHTER: (&str, &str) = ("max_sessions = 16", "max_sessions = 8");
const TIGHTER_TOO: (&str, &str) = ("max_denied = 10000", "max_denied = 9000");
const LOOSER: (&str, &str) = ("max_sessions = 16", "max_sessions = 17");
const LOOSER_TOO: (&str, &str) = ("max_denied = 10000", "max_denied = 10001");

fn said(version: &Charter, person: &str, credential: &str, verdict: Verdict) -> SignedApproval {
    let reason = if verdict == Verdict::Approve { "" } else { "not like this" };
    let who = (person.parse().unwrap(), credential.parse().unwrap());
    let approval = Approval { reason: reason.to_owned(), ..facts(version).draft(who, verdict, (1, [7; 32])) };
    let proof = Proof::Signature(key(person).sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }
}

/// Anna, Boris and Carla sign: two of treasury and one of risk.
fn signed(version: &Charter) -> Vec<SignedApproval> {
    [("anna", "anna-terminal"), ("boris", "boris-terminal"), ("carla", "carla-service")]
        .map(|(person, credential)| said(version, person, credential, Verdict::Approve))
        .into()
}

/// Members that have kept nothing would know nothing of what was counted, and nobody else could tell.
#[test]
fn a_ledger_goes_on_or_the_version_does_not_follow() {
    let first = first();
    let id: LedgerId = "main".parse().unwrap();
    let before = first.ledgers[&id].hash();
    let other = ("quorum = 3\ncorrupt = 1\nreservation_secs = 300", "quorum = 4\ncorrupt = 1\nreservation_secs = 300");
    let follows = format!("{}\nfollows = \"{before}\"", other.1);
    let wrong = format!("{}\nfollows = \"{}\"", other.1, "11".repeat(32));
    let refused = |edits: &[(&str, &str)]| super::follows(&[&first], &after(&[&first], 2, edits)).unwrap_err();
    for edits in [[other], [(other.0, wrong.as_str())], [("id = \"main\"", "id = \"other\"")]] {
        let mut edits = edits.to_vec();
        if edits[0].1.contains("other") {
            edits.extend([("claims = \"main\"", "claims = \"other\""), ("ledger = \"main\"", "ledger = \"other\"")]);
        }
        assert_eq!(refused(&edits), SuccessionError::Ledger { ledger: id.clone(), before }, "{edits:?}");
    }
    let second = after(&[&first], 2, &[(other.0, &follows)]);
    assert!(matches!(super::follows(&[&first], &second), Ok(Step::After { .. })));
    // The one after that follows the second, not the first again.
    let again = after(&[&second], 3, &[(other.0, &follows.replace("quorum = 4", "quorum = 3"))]);
    let error = super::follows(&[&second], &again).unwrap_err();
    assert_eq!(error, SuccessionError::Ledger { ledger: id.clone(), before: second.ledgers[&id].hash() });
}

/// What has been counted under a limit's name would be taken for so much of something else.
#[test]
fn a_limit_goes_on_in_its_unit_or_under_another_name() {
    let first = first();
    let refused = |edits: &[(&str, &str)]| super::follows(&[&first], &after(&[&first], 2, edits));
    let coins = ("id = \"usdt-a-day\"\nasset = \"usdt\"", "id = \"usdt-a-day\"\nasset = \"eth\"");
    let money = ("max_count = 500\n", "max_count = 500\ncurrency = \"usd\"\n");
    for edit in [coins, money] {
        let limit = "limit usdt-a-day".to_owned();
        assert_eq!(refused(&[edit]), Err(SuccessionError::Unit { limit }), "{edit:?}");
    }
    let ceiling = ("asset = \"usdt\"\nmax_balance", "asset = \"eth\"\nmax_balance");
    assert!(matches!(refused(&[ceiling]), Err(SuccessionError::Unit { .. })));
    // Decimal places of the money too.
    let places = ("[currencies.usd]\ndecimals = 2", "[currencies.usd]\ndecimals = 3");
    let error = super::follows(&[&first], &after(&[&first], 2, &[places])).unwrap_err();
    assert!(matches!(error, SuccessionError::Unit { .. }), "{error}");
    assert!(refused(&[("max_amount = \"1000000\"", "max_amount = \"999999\"")]).is_ok());
}

#[test]
fn tightening_binds_at_once_and_loosening_waits_the_old_delay() {
    let first = first();
    let tighter = after(&[&first], 2, &[TIGHTER]);
    assert_eq!(judge(&[&first], &tighter, &signed(&tighter)), Ok(Step::AtOnce));
    let looser = after(&[&first], 2, &[LOOSER, ("loosening_delay_secs = 86400", "loosening_delay_secs = 0")]);
    assert_eq!(judge(&[&first], &looser, &signed(&looser)), Ok(Step::After { secs: 86400 }));
}

#[test]
fn what_gives_up_a_delay_waits_it_out_first() {
    let short = ("loosening_delay_secs = 86400", "loosening_delay_secs = 60");
    let first = after(&[], 1, &[short]);
    let step = |edits: &[(&str, &str)]| {
        let version = after(&[&first], 2, &[&[short], edits].concat());
        judge(&[&first], &version, &signed(&version))
    };
    let after_secs = |secs: u64| Ok(Step::After { secs });
    assert_eq!(step(&[LOOSER]), after_secs(60));
    for (from, to) in [
        ("delay_secs = 86400\nnot_by_requester", "delay_secs = 0\nnot_by_requester"),
        ("delay_secs = 86400\nnot_by_requester = true", "delay_secs = 86400"),
        ("name = \"reserve to venues\"", "name = \"reserve\""),
    ] {
        assert_eq!(step(&[(from, to)]), after_secs(86400), "{from}");
    }
    assert_eq!(step(&[("unfreeze_delay_secs = 3600", "unfreeze_delay_secs = 3599")]), after_secs(3600));
    // A rule that becomes stricter gives nothing up that it does not keep.
    assert_eq!(step(&[("unfreeze_delay_secs = 3600", "unfreeze_delay_secs = 3601")]), Ok(Step::AtOnce));
}

#[test]
fn a_version_that_does_both_is_to_be_written_as_two() {
    let first = first();
    let mixed = after(&[&first], 2, &[TIGHTER, LOOSER_TOO]);
    let error = judge(&[&first], &mixed, &signed(&mixed)).unwrap_err();
    assert!(
        matches!(&error, SuccessionError::Mixed { loosens, tightens } if loosens.len() == 1 && tightens.len() == 1)
    );
    assert!(error.to_string().contains("write two"), "{error}");
}

#[test]
fn every_check_is_met_by_its_spoiled_input() {
    let first = first();
    let good = after(&[&first], 2, &[TIGHTER]);
    let other = after(&[&first], 2, &[LOOSER]);
    assert_eq!(judge(&[&other], &good, &signed(&good)), Err(SuccessionError::UnknownParents(vec![first.hash()])));
    assert_eq!(judge(&[], &good, &signed(&good)), Err(SuccessionError::UnknownParents(vec![first.hash()])));
    let skipped = after(&[&first], 3, &[TIGHTER]);
    assert_eq!(judge(&[&first], &skipped, &signed(&skipped)), Err(SuccessionError::Number { found: 3, expected: 2 }));
    let moved = after(&[&first], 2, &[("cluster = \"sample\"", "cluster = \"other\"")]);
    assert!(matches!(judge(&[&first], &moved, &signed(&moved)), Err(SuccessionError::OtherCluster { .. })));
    let machine = (
        "p256:0355b17f2052cc9e1baa1639e3eb1fd7b363e2418fed3bbecc38398e33aeec87b1",
        "p256:02169b3a4f02f94c567e6cd71763e2ab74e9808f07956cec87eef17addc27c15a8",
    );
    let coordinator = (
        "id = \"coordinator-1\"\npublic_key = \"p256:02169b3a4f02f94c567e6cd71763e2ab74e9808f07956cec87eef17addc27c15a8\"",
        "id = \"coordinator-1\"\npublic_key = \"p256:0355b17f2052cc9e1baa1639e3eb1fd7b363e2418fed3bbecc38398e33aeec87b1\"",
    );
    let signer =
        (&*format!("7001\"\npublic_key = \"{}\"", machine.0), &*format!("7001\"\npublic_key = \"{}\"", machine.1));
    let machines = after(&[&first], 2, &[coordinator, signer]);
    let before = Box::new(first.nodes[0].public_key);
    let lacking = SuccessionError::Identity { node: first.nodes[0].id.clone(), before };
    assert_eq!(judge(&[&first], &machines, &signed(&machines)), Err(lacking));
    // What it was is named, and that of another signer does not do.
    let named = |node: &str| {
        let table = format!("[[former_identities]]\nnode = \"{node}\"\npublic_key = \"{}\"\n\n[bounds]", machine.0);
        let third = "p256:030070000000000000000000000000000000000000000000000000000000000000";
        let signer = (signer.0, &*format!("7001\"\npublic_key = \"{third}\""));
        let edits = [signer, ("[bounds]", &*table)];
        let version = after(&[&first], 2, &edits);
        judge(&[&first], &version, &signed(&version))
    };
    // The ledger that it keeps is what is asked next.
    assert!(matches!(named(first.nodes[0].id.as_str()), Err(SuccessionError::Ledger { .. })));
    assert!(matches!(named(first.nodes[1].id.as_str()), Err(SuccessionError::Identity { .. })));
    let renamed = after(&[&first], 2, &[(&*format!("\"{}\"", first.nodes[2].id), "\"another\"")]);
    assert_eq!(judge(&[&first], &renamed, &signed(&renamed)), Err(SuccessionError::Nodes));
}

#[test]
fn a_charter_without_governance_ends_the_line() {
    let first = first();
    let text = text();
    let (from, to) = (text.find("[governance]").unwrap(), text.find("# The rules.").unwrap());
    let silent = Charter::from_toml(&format!("{}{}", &text[..from], &text[to..])).unwrap();
    assert_eq!(follows(&[&first], &silent), Err(SuccessionError::NoGovernance(silent.hash())));
    let next = after(&[&silent], 2, &[TIGHTER]);
    assert_eq!(follows(&[&silent], &next), Err(SuccessionError::NoGovernance(silent.hash())));
}

#[test]
fn the_quorum_is_the_parents_and_counts_people() {
    let first = first();
    let version = after(
        &[&first],
        2,
        &[TIGHTER, ("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"2 of treasury and 1 of risk\"")],
    );
    let all = signed(&version);
    for left_out in 0..all.len() {
        let some: Vec<_> =
            all.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, one)| one.clone()).collect();
        assert!(matches!(judge(&[&first], &version, &some), Err(SuccessionError::Quorum { .. })), "{left_out}");
    }
    // twice the same person
    let twice = vec![all[0].clone(), all[0].clone(), all[2].clone()];
    assert!(matches!(judge(&[&first], &version, &twice), Err(SuccessionError::Quorum { .. })));
    // signatures of another version
    let other = after(&[&first], 2, &[TIGHTER_TOO]);
    assert!(matches!(judge(&[&first], &version, &signed(&other)), Err(SuccessionError::Quorum { .. })));
    // a spoiled one is named
    let mut spoiled = all.clone();
    let Proof::Signature(bytes) = &mut spoiled[1].proof else { unreachable!() };
    bytes[5] ^= 1;
    let error = judge(&[&first], &version, &spoiled).unwrap_err().to_string();
    assert!(error.contains("boris") && error.contains("does not verify"), "{error}");
    // somebody of the quorum says no
    let mut against = all;
    against.push(said(&version, "dora", "dora-terminal", Verdict::Reject));
    let error = judge(&[&first], &version, &against).unwrap_err().to_string();
    assert!(error.contains("dora rejected it: not like this"), "{error}");
    // the new version's own easier quorum does not count
    let easier = after(&[&first], 2, &[("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"1 of treasury\"")]);
    let alone = vec![said(&easier, "anna", "anna-terminal", Verdict::Approve)];
    assert!(matches!(judge(&[&first], &easier, &alone), Err(SuccessionError::Quorum { .. })));
}

#[test]
fn approvals_of_intents_and_of_versions_cannot_be_taken_for_each_other() {
    let first = first();
    let version = after(&[&first], 2, &[TIGHTER]);
    let mut wrong = signed(&version);
    for one in &mut wrong {
        one.approval.intent_id = IntentId::new(*version.hash().as_bytes());
        let person = one.approval.person.to_string();
        one.proof = Proof::Signature(key(&person).sign(one.approval.digest().as_bytes()));
    }
    assert!(matches!(judge(&[&first], &version, &wrong), Err(SuccessionError::Quorum { .. })));
    assert_ne!(subject(&first.cluster, version.hash()), subject(&"other".parse().unwrap(), version.hash()));
}

#[test]
fn guardians_and_the_quorum_veto_and_nobody_else() {
    let first = first();
    let version = after(&[&first], 2, &[LOOSER]);
    let no = |person: &str, credential: &str| said(&version, person, credential, Verdict::Reject);
    assert_eq!(check_veto(&[&first], &version, &no("carla", "carla-service")).unwrap().as_str(), "carla");
    assert_eq!(check_veto(&[&first], &version, &no("dora", "dora-terminal")).unwrap().as_str(), "dora");
    let yes = said(&version, "carla", "carla-service", Verdict::Approve);
    assert_eq!(check_veto(&[&first], &version, &yes), Err(SuccessionError::NoVeto));
    let other = after(&[&first], 2, &[LOOSER_TOO]);
    let elsewhere = said(&other, "carla", "carla-service", Verdict::Reject);
    assert!(matches!(check_veto(&[&first], &version, &elsewhere), Err(SuccessionError::Approval(_))));
    let mut forged = no("carla", "carla-service");
    forged.proof = Proof::Signature([1; 64]);
    assert!(matches!(check_veto(&[&first], &version, &forged), Err(SuccessionError::Approval(_))));
    // somebody in the roster who is in neither
    let text = text().replace("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]");
    let without = Charter::from_toml(&text).unwrap();
    let next = after(&[&without], 2, &[LOOSER]);
    let dora = said(&next, "dora", "dora-terminal", Verdict::Reject);
    assert_eq!(check_veto(&[&without], &next, &dora), Err(SuccessionError::NoSay("dora".parse().unwrap())));
}

fn entry(charter: &Charter, parents: &[&Charter], since_ms: u64) -> Entry {
    Entry::new(charter, follows(parents, charter).unwrap(), since_ms)
}

fn begun() -> (Charter, Lineage) {
    let first = first();
    let lineage = Lineage::new(first.hash(), Entry::new(&first, Step::AtOnce, 0));
    (first, lineage)
}

#[test]
fn a_loosening_version_binds_after_its_delay_and_not_before() {
    let (first, mut lineage) = begun();
    let version = after(&[&first], 2, &[LOOSER]);
    assert_eq!(lineage.add(version.hash(), entry(&version, &[&first], 1000)), Ok(true));
    assert_eq!(lineage.add(version.hash(), entry(&version, &[&first], 0)), Ok(false), "first sight counts");
    let outlook = lineage.outlook(1000 + DAY_MS - 1);
    assert_eq!(outlook.adopt, None);
    assert_eq!(outlook.waiting, [Waiting { version: version.hash(), remaining_ms: 1 }]);
    assert_eq!(lineage.outlook(1000 + DAY_MS).adopt, Some(version.hash()));
    lineage.adopt(version.hash());
    assert_eq!(lineage.outlook(1000 + DAY_MS), Outlook::default());
    assert_eq!(lineage.veto(version.hash()), Err(SuccessionError::InForce(version.hash())));
}

#[test]
fn a_veto_in_time_is_for_good() {
    let (first, mut lineage) = begun();
    let version = after(&[&first], 2, &[LOOSER]);
    assert!(lineage.veto(version.hash()).is_err());
    lineage.add(version.hash(), entry(&version, &[&first], 0)).unwrap();
    assert_eq!(lineage.veto(version.hash()), Ok(true));
    assert_eq!(lineage.veto(version.hash()), Ok(false));
    assert_eq!(lineage.outlook(u64::MAX), Outlook::default());
}

/// One person's word would undo a tightening at the signers that have not heard of it, and at nobody else.
#[test]
fn what_loosens_nothing_cannot_be_vetoed() {
    let (first, mut lineage) = begun();
    let tighter = after(&[&first], 2, &[TIGHTER]);
    lineage.add(tighter.hash(), entry(&tighter, &[&first], 0)).unwrap();
    assert_eq!(lineage.veto(tighter.hash()), Err(SuccessionError::Tightens(tighter.hash())));
    assert_eq!(lineage.outlook(0).adopt, Some(tighter.hash()));
    // Nor where it came too late to be followed: that would end the alarm.
    let looser = after(&[&first], 2, &[LOOSER]);
    lineage.add(looser.hash(), entry(&looser, &[&first], 0)).unwrap();
    lineage.adopt(looser.hash());
    assert_eq!(lineage.veto(tighter.hash()), Err(SuccessionError::Tightens(tighter.hash())));
    assert_eq!(lineage.outlook(0).fork, Some(tighter.hash()));
}

/// A quorum that puts somebody out does not get what they would have vetoed any sooner.
#[test]
fn who_is_put_out_of_the_quorum_vetoes_until_a_loosening_would_have_waited() {
    let (first, mut lineage) = begun();
    let without = ("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]");
    let second = after(&[&first], 2, &[without]);
    let third = after(&[&second], 3, &[without, LOOSER]);
    for (version, parent) in [(&second, &first), (&third, &second)] {
        lineage.add(version.hash(), entry(version, &[parent], 1000)).unwrap();
    }
    let named = |hash| [&first, &second, &third].into_iter().find(|one| one.hash() == hash).unwrap();
    let delay = |hash| Ok::<u64, ()>(named(hash).governance.as_ref().unwrap().loosening_delay_secs);
    let heard = |lineage: &Lineage, version: &Charter, now_ms: u64| -> Vec<&Charter> {
        lineage.heard(&version.hash(), now_ms, delay).unwrap().into_iter().map(named).collect()
    };
    let dora = said(&third, "dora", "dora-terminal", Verdict::Reject);
    assert!(check_veto(&[&second], &third, &dora).is_err(), "the parent knows her no more");
    assert!(check_veto(&heard(&lineage, &third, 1000 + DAY_MS - 1), &third, &dora).is_ok());
    assert!(check_veto(&heard(&lineage, &third, 1000 + DAY_MS), &third, &dora).is_err());
    // What loosened had waited, and could be vetoed by those whom it put out.
    let fourth = after(&[&third], 4, &[without, ("max_sessions = 16", "max_sessions = 18")]);
    lineage.add(fourth.hash(), entry(&fourth, &[&third], 1000)).unwrap();
    assert_eq!(lineage.heard(&fourth.hash(), 1000, delay).unwrap(), BTreeSet::from([third.hash()]));
}

#[test]
fn charter_siblings() {
    let (first, begun) = begun();
    let (tight, other) = (after(&[&first], 2, &[TIGHTER]), after(&[&first], 2, &[TIGHTER_TOO]));
    let (loose, more) = (after(&[&first], 2, &[LOOSER]), after(&[&first], 2, &[LOOSER_TOO]));

    // Two that loosen: none binds, however long it takes.
    let mut lineage = begun.clone();
    lineage.add(loose.hash(), entry(&loose, &[&first], 0)).unwrap();
    lineage.add(more.hash(), entry(&more, &[&first], 0)).unwrap();
    let outlook = lineage.outlook(u64::MAX);
    assert_eq!((outlook.adopt, outlook.fork, outlook.stuck.len()), (None, None, 2));

    // One that tightens goes before one that loosens, and leaves it behind for good.
    let mut lineage = begun.clone();
    lineage.add(loose.hash(), entry(&loose, &[&first], 0)).unwrap();
    lineage.add(tight.hash(), entry(&tight, &[&first], 0)).unwrap();
    assert_eq!(lineage.outlook(u64::MAX).adopt, Some(tight.hash()));
    lineage.adopt(tight.hash());
    let outlook = lineage.outlook(u64::MAX);
    assert_eq!((outlook.adopt, outlook.fork, outlook.stuck), (None, None, vec![loose.hash()]));

    // Two that tighten: whichever came first is in force, and nothing is allowed until a version joins them.
    let mut lineage = begun;
    lineage.add(tight.hash(), entry(&tight, &[&first], 0)).unwrap();
    lineage.adopt(tight.hash());
    lineage.add(other.hash(), entry(&other, &[&first], 0)).unwrap();
    assert_eq!(lineage.outlook(u64::MAX).fork, Some(other.hash()));
    let joined = after(&[&tight, &other], 3, &[TIGHTER, TIGHTER_TOO]);
    let step = judge(&[&tight, &other], &joined, &signed(&joined)).unwrap();
    assert_eq!(step, Step::AtOnce);
    lineage.add(joined.hash(), Entry::new(&joined, step, 0)).unwrap();
    assert_eq!(lineage.outlook(0).adopt, Some(joined.hash()));
    lineage.adopt(joined.hash());
    assert_eq!(lineage.outlook(u64::MAX), Outlook::default());
    // What takes back one side's tightening joins nothing.
    let partial = after(&[&tight, &other], 3, &[TIGHTER]);
    assert!(matches!(follows(&[&tight, &other], &partial), Err(SuccessionError::Mixed { .. })));
}

#[test]
fn a_version_in_force_voids_for_ever() {
    let (first, mut lineage) = begun();
    let loose = after(&[&first], 2, &[LOOSER]);
    let voids = format!("voids = [\"{}\"]", loose.hash());
    let tight = after(&[&first], 2, &[TIGHTER, ("voids = []", &voids)]);
    lineage.add(loose.hash(), entry(&loose, &[&first], 0)).unwrap();
    lineage.add(tight.hash(), entry(&tight, &[&first], 0)).unwrap();
    lineage.adopt(tight.hash());
    assert_eq!(lineage.outlook(u64::MAX), Outlook::default());
    let next = after(&[&tight], 3, &[("max_sessions = 16", "max_sessions = 7")]);
    lineage.add(next.hash(), entry(&next, &[&tight], 0)).unwrap();
    lineage.adopt(next.hash());
    assert_eq!(lineage.outlook(u64::MAX), Outlook::default(), "although this one no longer says so");
}

/// Who begins with a late version knows what came before it by its hash alone, and only that.
#[test]
fn what_came_before_the_first_known_is_what_its_hash_says() {
    let first = first();
    let second = after(&[&first], 2, &[TIGHTER]);
    let third = after(&[&second], 3, &[TIGHTER, TIGHTER_TOO]);
    let past = |charter: &Charter| Entry::new(charter, Step::AtOnce, 0);
    let mut lineage = Lineage::new(third.hash(), past(&third));
    assert_eq!(lineage.unknown_ancestors(), BTreeSet::from([second.hash()]));
    assert!(!lineage.remember(first.hash(), past(&first)), "nothing that is known names it yet");
    assert!(!lineage.remember(second.hash(), Entry { number: 3, ..past(&second) }), "versions count up");
    assert!(lineage.remember(second.hash(), past(&second)));
    assert!(!lineage.remember(second.hash(), past(&second)), "it is known");
    assert!(lineage.remember(first.hash(), past(&first)));
    assert_eq!((lineage.unknown_ancestors(), lineage.in_force()), (BTreeSet::new(), third.hash()));
    let states = lineage.states(0);
    assert_eq!((states[&first.hash()], states[&second.hash()]), (State::Past, State::Past));
    assert_eq!(lineage.outlook(u64::MAX), Outlook::default());
    // With them known a sibling of old stops it, as it stops everybody.
    let beside = after(&[&first], 2, &[LOOSER_TOO]);
    assert!(!lineage.remember(beside.hash(), past(&beside)), "the line does not name it");
    lineage.add(beside.hash(), past(&beside)).unwrap();
    assert_eq!(lineage.outlook(0).fork, Some(beside.hash()));
}

#[test]
fn versions_come_in_order_and_not_without_bound() {
    let (first, mut lineage) = begun();
    let second = after(&[&first], 2, &[LOOSER]);
    let third = after(&[&second], 3, &[("max_sessions = 16", "max_sessions = 18")]);
    let third_entry = entry(&third, &[&second], 0);
    assert!(matches!(lineage.add(third.hash(), third_entry.clone()), Err(SuccessionError::UnknownParents(_))));
    lineage.add(second.hash(), entry(&second, &[&first], 0)).unwrap();
    lineage.add(third.hash(), third_entry.clone()).unwrap();
    assert_eq!(lineage.outlook(DAY_MS).adopt, Some(second.hash()), "one after the other");
    lineage.adopt(second.hash());
    assert_eq!(lineage.outlook(DAY_MS).adopt, Some(third.hash()));
    let later = Entry { parents: vec![third.hash()], number: 4, ..third_entry.clone() };
    // the third is one of them
    for number in 0..u8::try_from(MAX_OPEN).unwrap() - 1 {
        lineage.add(CharterHash::new([number; 32]), later.clone()).unwrap();
    }
    assert_eq!(lineage.add(CharterHash::new([255; 32]), later), Err(SuccessionError::TooMany));
    // What follows the one in force has a place, and old siblings have places of their own.
    assert_eq!(lineage.add(CharterHash::new([254; 32]), third_entry.clone()), Ok(true));
    let old = Entry { parents: vec![first.hash()], number: 2, ..third_entry };
    assert_eq!(lineage.add(CharterHash::new([253; 32]), old), Ok(true));
}

#[test]
fn every_version_has_a_state() {
    let (first, mut lineage) = begun();
    let second = after(&[&first], 2, &[LOOSER]);
    let third = after(&[&second], 3, &[("max_sessions = 16", "max_sessions = 18")]);
    let vetoed = after(&[&second], 3, &[("max_sessions = 16", "max_sessions = 19")]);
    for (version, parent) in [(&second, &first), (&third, &second), (&vetoed, &second)] {
        lineage.add(version.hash(), entry(version, &[parent], 0)).unwrap();
    }
    lineage.veto(vetoed.hash()).unwrap();
    let state = |lineage: &Lineage, version: &Charter| lineage.states(DAY_MS - 5)[&version.hash()];
    let all = [&first, &second, &third, &vetoed];
    let before = all.map(|version| state(&lineage, version));
    assert_eq!(before, [State::InForce, State::Waiting(5), State::Later, State::Void]);
    lineage.adopt(second.hash());
    let after = all.map(|version| state(&lineage, version));
    assert_eq!(after, [State::Past, State::InForce, State::Waiting(5), State::Void]);
    let kept: Lineage = postcard::from_bytes(&postcard::to_allocvec(&lineage).unwrap()).unwrap();
    assert_eq!(kept, lineage);
}

#[test]
fn no_version_turns_development_on_or_off() {
    let first = first();
    let line = "danger_development = true\n";
    let version = after(&[&first], 2, &[(line, "")]);
    assert_eq!(follows(&[&first], &version), Err(SuccessionError::Development));
    let real = Charter::from_toml(&text().replace(line, "")).unwrap();
    let version = after(&[&real], 2, &[TIGHTER]);
    assert!(version.is_development());
    assert_eq!(follows(&[&real], &version), Err(SuccessionError::Development));
    assert_eq!(follows(&[&real], &after(&[&real], 2, &[TIGHTER, (line, "")])), Ok(Step::AtOnce));
}
