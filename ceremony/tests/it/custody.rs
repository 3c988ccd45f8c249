//! Custodians' proofs, and signers' words of what they destroyed, each spoiled in every way that matters.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding as _};
use limen_ceremony::rehearsal::Cast;
use limen_evidence::ceremony::{Body, Fault, Mode, Offer, Record, Session, Transcript, proof_nonce, sign};
use limen_wire::backup::BackupProof;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::PersonId;
use limen_wire::pb;
use prost::Message as _;

const BACKUP: &str = include_str!("../../../docs/ceremonies/backup.toml");
const DESTRUCTION: &str = include_str!("../../../docs/ceremonies/destruction.toml");
const ZURICH: &str = "proof-signer-zurich";

fn person(name: &str) -> PersonId {
    name.parse().unwrap()
}

fn house(plan: &str, mode: Mode) -> (Cast, Session) {
    let cast = Cast::of(plan, None, [8; 32]).unwrap();
    let session = cast.session(mode, &BTreeSet::new()).unwrap();
    (cast, session)
}

/// What somebody says now, with one line said otherwise.
fn says(transcript: &mut Transcript<'_>, cast: &Cast, me: &PersonId, other: Option<(&str, &str)>) -> Offer {
    let (session, step) = (transcript.session(), transcript.step().unwrap());
    let mut fields = cast.lines(transcript, step, me).unwrap();
    if let Some((line, value)) = other {
        fields.iter_mut().find(|(name, _)| name == line).unwrap().1 = value.to_owned();
    }
    let (number, name, head) = (step.number, step.name.to_owned(), transcript.head());
    let at = (name != "sign").then_some(1);
    let body = Body::Step { number, name, head, at, exceptions: Vec::new(), fields };
    let contribution = session.contribution(me, body);
    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
    transcript.offer(&sign(&contribution, &cast.sign(me, &message).unwrap()))
}

/// Everybody says what is right until this step is open.
fn until<'a>(session: &'a Session, cast: &Cast, name: &str) -> Transcript<'a> {
    let mut transcript = Transcript::new(session);
    while let Some(step) = transcript.step().filter(|step| step.name != name) {
        for (me, _) in &step.says {
            assert_eq!(says(&mut transcript, cast, me, None), Offer::Taken, "{} {me}", step.name);
        }
    }
    transcript
}

/// Why a line is refused.
fn refused(transcript: &Transcript<'_>, cast: &Cast, me: &str, line: &str, value: &str) -> String {
    match says(&mut transcript.clone(), cast, &person(me), Some((line, value))) {
        Offer::Fault(Fault::Content { author, reason, .. }) => format!("{author}: {reason}"),
        other => panic!("{line}: {other:?}"),
    }
}

/// A line that somebody would say.
fn line(transcript: &Transcript<'_>, cast: &Cast, me: &str, name: &str) -> String {
    let lines = cast.lines(transcript, transcript.step().unwrap(), &person(me)).unwrap();
    lines.into_iter().find(|(line, _)| line == name).unwrap().1
}

/// A proof with something else in it, signed by this person.
fn edited(cast: &Cast, proof: &str, by: &str, edit: impl Fn(&mut BackupProof)) -> String {
    let envelope = pb::Envelope::decode(Base64::decode_vec(proof).unwrap().as_slice()).unwrap();
    let mut said = BackupProof::open(&envelope).unwrap().0;
    edit(&mut said);
    let unsigned = said.to_unsigned();
    let signature = cast.sign(&person(by), &unsigned.message()).unwrap();
    let signed = unsigned.signed(said.credential.as_str(), &signature);
    Base64::encode_string(&signed.encode_to_vec())
}

#[test]
fn a_custodians_proof_counts_for_this_moment_this_backup_and_them_alone() {
    let (cast, session) = house(BACKUP, Mode::Real);
    let open = until(&session, &cast, "proofs");
    let (good, boris) = (line(&open, &cast, "anna", ZURICH), line(&open, &cast, "boris", ZURICH));
    let frankfurt = line(&open, &cast, "anna", "proof-signer-frankfurt");
    // What was right in the rehearsal, and what was made before the backups lay there.
    let practice = cast.session(Mode::Rehearsal, &BTreeSet::new()).unwrap();
    let rehearsed = line(&until(&practice, &cast, "proofs"), &cast, "anna", ZURICH);
    let before = until(&session, &cast, "backups").head();
    let nonce = proof_nonce(session.plan(), Mode::Real, before, &"signer-zurich".parse().unwrap());
    let earlier = edited(&cast, &good, "anna", |said| said.nonce = nonce);
    let wrong = edited(&cast, &good, "anna", |said| said.proof[40] ^= 1);
    let older = edited(&cast, &good, "anna", |said| said.epoch.0 = 0);
    let member = edited(&cast, &good, "anna", |said| said.member = 2u16.try_into().unwrap());
    let backup = edited(&cast, &good, "anna", |said| said.backup[0] ^= 1);
    let other_key = edited(&cast, &good, "boris", |_| {});
    for (value, why) in [
        (boris.as_str(), "the proof that anna brings is of boris"),
        (&frankfurt, "the proof of anna is for another member"),
        (&rehearsed, "the proof of anna is for another nonce"),
        (&earlier, "the proof of anna is for another nonce"),
        (&wrong, "custodian anna has not proved that their piece"),
        (&older, "the proof of anna is for another epoch"),
        (&member, "the proof of anna is for another member"),
        (&backup, "the proof of anna is for another backup"),
        (&other_key, "the proof of anna is not signed by their credential"),
    ] {
        let shown = refused(&open, &cast, "anna", ZURICH, value);
        assert!(shown.starts_with("anna: proof-signer-zurich: ") && shown.contains(why), "{shown}, not {why}");
    }
    assert_eq!(says(&mut open.clone(), &cast, &person("anna"), Some((ZURICH, &good))), Offer::Taken);
}

/// The plan with something else in it, and the reason for which the backup of the signer in Zurich is refused then.
fn backup_refused(edit: impl Fn(&str) -> String) -> String {
    let (cast, made) = house(BACKUP, Mode::Real);
    let plan = edit(cast.plan());
    assert_ne!(plan, cast.plan());
    let session = Session::new(&plan, None, Mode::Real, made.attendance().present().clone()).unwrap();
    let session = session.judged_by(limen_ceremony::custody::JUDGE);
    let text = line(&until(&made, &cast, "backups"), &cast, "anna", "backup-signer-zurich");
    let open = until(&session, &cast, "backups");
    refused(&open, &cast, "anna", "backup-signer-zurich", &text)
}

#[test]
fn a_backup_counts_for_the_shares_that_all_members_certified_and_for_all_of_its_custodians() {
    // The key has had new shares since: its signers certify those, and the backup is one from before.
    let before = backup_refused(|plan| plan.replace("\nepoch = 1\n", "\nepoch = 2\n"));
    assert!(before.contains("from before new shares: it is of epoch 1, the key has those of epoch 2"), "{before}");
    let fewer = backup_refused(|plan| plan.replacen(", \"lisbon-custodian\"]", "]", 1));
    assert!(fewer.contains("another custodians than the plan says"), "{fewer}");
    let (cast, session) = house(BACKUP, Mode::Real);
    let open = until(&session, &cast, "backups");
    let other = line(&open, &cast, "boris", "backup-signer-frankfurt");
    let shown = refused(&open, &cast, "anna", "backup-signer-zurich", &other);
    assert!(shown.contains("the head of a backup that was brought is"), "{shown}");
}

#[test]
fn a_record_of_backups_holds_only_where_somebody_judges_them() {
    let (cast, session) = house(BACKUP, Mode::Real);
    let outcomes = limen_ceremony::rehearsal::play(&session, &cast).unwrap();
    let record = crate::plans::one_record(outcomes.values());
    assert!(!record.as_str().contains("practice"), "no piece is in it, not even an encrypted one");
    limen_ceremony::custody::verify(record.as_str().as_bytes()).unwrap();
    let error = Record::verify(record.as_str().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("in step 5 (backups)") && error.reason.contains("limen-ceremony"), "{error}");
}

#[test]
fn a_signers_word_of_another_destruction_counts_nothing() {
    const ERASED: &str = "erased-signer-zurich";
    let (cast, session) = house(DESTRUCTION, Mode::Real);
    let open = until(&session, &cast, "erased");
    let of = |from: &str, to: &str| {
        assert!(DESTRUCTION.contains(from), "{from}");
        let (cast, session) = house(&DESTRUCTION.replace(from, to), Mode::Real);
        line(&until(&session, &cast, "erased"), &cast, "anna", ERASED)
    };
    let frankfurt = line(&open, &cast, "boris", "erased-signer-frankfurt");
    for (value, why) in [
        (frankfurt, "of another machine"),
        (of("cluster = \"sample-house\"", "cluster = \"other-house\""), "of another cluster"),
        (of("id = \"hot\"", "id = \"cold\""), "of another key"),
        (of("epoch = 1", "epoch = 2"), "nothing of the share of epoch 1"),
        ("none".to_owned(), ""),
    ] {
        let shown = refused(&open, &cast, "anna", ERASED, &value);
        assert!(shown.contains(why), "{shown}, not {why}");
    }
}
