//! A real record, and every byte of it.

use std::collections::{BTreeMap, BTreeSet};

use limen_policy::ceremony::step::SIGN;
use limen_policy::ceremony::{Plan, Rule};
use limen_policy::charter::Charter;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{NodeId, PersonId, RecordHead};
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::*;

const PEOPLE: [&str; 3] = ["anna", "boris", "carla"];
const START: u64 = 1_764_000_000;

fn p256(seed: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

fn ed25519(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn credential(name: &str) -> SigningKey {
    ed25519(PEOPLE.iter().position(|one| *one == name).map_or(99, |place| 10 + u8::try_from(place).unwrap()))
}

fn machine(name: &str) -> SigningKey {
    p256(["s1", "s2", "c1"].iter().position(|one| *one == name).map_or(88, |place| 20 + u8::try_from(place).unwrap()))
}

/// A charter of two signers, as short as one can be that governs itself.
fn charter() -> String {
    let mut text = "version = 1\ncluster = \"tiny\"\n".to_owned();
    for node in ["s1", "s2"] {
        let key = machine(node).public_key();
        text.push_str(&format!(
            "[[nodes]]\nid = \"{node}\"\naddress = \"192.0.2.1:1\"\npublic_key = \"{key}\"\nsite = \"{node}-site\"\n"
        ));
    }
    text.push_str(&format!("[[coordinators]]\nid = \"c1\"\npublic_key = \"{}\"\n", machine("c1").public_key()));
    text.push_str(&format!(
        "[[requesters]]\nid = \"backend\"\npublic_key = \"{}\"\nduties = [\"request\"]\n",
        ed25519(77).public_key()
    ));
    for name in PEOPLE {
        let key = credential(name).public_key();
        text.push_str(&format!("[[people]]\nid = \"{name}\"\n[[people.credentials]]\nid = \"{name}-terminal\"\nclass = \"terminal\"\npublic_key = \"{key}\"\n"));
    }
    text.push_str("[groups.all]\nmembers = [\"anna\", \"boris\", \"carla\"]\n");
    text.push_str("[governance]\nnumber = 1\nparents = []\nvoids = []\nquorum = \"2 of all\"\nloosening_delay_secs = 60\nguardians = \"all\"\nunfreeze = \"2 of all\"\nunfreeze_delay_secs = 60\n");
    text
}

fn plan() -> String {
    let mut text = format!(
        "version = 1\ncluster = \"tiny\"\nceremony = \"genesis\"\nkind = \"genesis\"\ntitle = \"A tiny genesis\"\nconflicts = [[\"one\", \"two\"]]\n\
         [conductor]\nrole = \"one\"\npublic_key = \"{}\"\n[software]\nlimen_ceremony = [\"{}\"]\n\
         [bounds]\nclock_window_secs = 60\ndisk_free_mib = 1\nstep_minutes = 1\n[genesis]\ncharter_sha256 = \"{}\"\n",
        p256(66).public_key(),
        "ab".repeat(32),
        Charter::hash_of(&charter())
    );
    for name in PEOPLE {
        let key = credential(name).public_key();
        text.push_str(&format!(
            "[[people]]\nid = \"{name}\"\nname = \"{name}\"\nsite = \"{name}'s\"\ncredential = \"{key}\"\n"
        ));
    }
    for (role, holder) in [("one", "anna"), ("two", "boris"), ("three", "carla")] {
        text.push_str(&format!("[[roles]]\nid = \"{role}\"\nduty = \"does {role}\"\nholder = \"{holder}\"\n"));
    }
    for (id, kind, role) in [("s1", "signer", "one"), ("s2", "signer", "two"), ("c1", "coordinator", "three")] {
        let key = machine(id).public_key();
        text.push_str(&format!("[[machines]]\nid = \"{id}\"\nkind = \"{kind}\"\nsite = \"{id}-site\"\npublic_key = \"{key}\"\noperator = \"{role}\"\n"));
    }
    text
}

fn session(mode: Mode) -> Session {
    Session::new(&plan(), Some(&charter()), mode, PEOPLE.map(person).into()).unwrap()
}

/// What is right to say for a rule.
fn value(session: &Session, rule: &Rule) -> String {
    match rule {
        Rule::Exactly(text) | Rule::Words(text) => text.clone(),
        Rule::OneOf(texts) => texts[0].clone(),
        Rule::Clock => START.to_string(),
        Rule::AtLeast(least) => least.to_string(),
        Rule::Text => "a machine".to_owned(),
        Rule::Proof { machine: place } => {
            let one = &session.plan().machines[*place];
            let text = session.plan().machine_proof(one, session.mode());
            let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
            hex::encode(machine(one.id.as_str()).sign(&message))
        }
        other => panic!("{other:?} is not in a genesis"),
    }
}

fn body(transcript: &Transcript<'_>, author: &PersonId) -> Body {
    let step = transcript.step().unwrap();
    let fields = step.fields(author).unwrap();
    Body::Step {
        number: step.number,
        name: step.name.to_owned(),
        head: transcript.head(),
        at: (step.name != SIGN).then_some(START),
        exceptions: Vec::new(),
        fields: fields.iter().map(|field| (field.name.clone(), value(transcript.session(), &field.rule))).collect(),
    }
}

fn signed(session: &Session, author: &PersonId, body: Body) -> pb::Envelope {
    let contribution = session.contribution(author, body);
    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
    sign(&contribution, &credential(author.as_str()).sign(&message))
}

/// Everybody says what is right until this step is open.
fn until<'a>(session: &'a Session, name: &str) -> Transcript<'a> {
    let mut transcript = Transcript::new(session);
    while let Some(step) = transcript.step().filter(|step| step.name != name) {
        for (author, _) in &step.says {
            let body = body(&transcript, author);
            let offer = transcript.offer(&signed(session, author, body));
            assert_eq!(offer, Offer::Taken, "{} {author}", step.name);
        }
    }
    transcript
}

pub(super) fn record(mode: Mode) -> Record {
    completed(&until(&session(mode), "")).unwrap()
}

#[test]
fn a_whole_ceremony_makes_a_record_that_holds_and_reads_as_it_was_written() {
    let record = record(Mode::Real);
    let verified = Record::verify(record.as_str().as_bytes()).unwrap();
    assert_eq!(verified.done.len(), 5);
    assert_eq!(verified.name, verified.heads.get(3).copied(), "everybody signed what came before the signatures");
    assert_eq!(verified.session, session(Mode::Real));
    let last = record.as_str().lines().last().unwrap().to_owned();
    assert_eq!(last, format!("completed {}", verified.name.unwrap()));
}

#[test]
fn who_signed_is_compared_with_what_the_verifier_has_pinned() {
    let verified = Record::verify(record(Mode::Real).as_str().as_bytes()).unwrap();
    let pin = |name: &str, key: &str| BTreeMap::from([(person(name), credential(key).public_key())]);
    let all: BTreeMap<_, _> = PEOPLE.iter().map(|name| (person(name), credential(name).public_key())).collect();
    assert_eq!(verified.pinned(&all), Ok(BTreeSet::new()));
    assert_eq!(verified.pinned(&BTreeMap::new()), Ok(PEOPLE.map(person).into()));
    assert_eq!(verified.pinned(&pin("anna", "anna")), Ok([person("boris"), person("carla")].into()));
    assert!(verified.pinned(&pin("anna", "boris")).unwrap_err().reason.contains("is pinned"));
    assert!(verified.pinned(&pin("zoe", "anna")).unwrap_err().reason.contains("nobody in the plan"));
}

/// Where each byte lies, told by the lines alone.
fn places(text: &str) -> Vec<String> {
    let mut place = "the head".to_owned();
    let mut places = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(step) = line.strip_prefix("step ") {
            let (number, name) = step.trim_end().split_once(' ').unwrap();
            place = format!("step {number} ({name})");
        }
        if line.starts_with("completed ") {
            place = "the foot".to_owned();
        }
        places.extend(std::iter::repeat_n(place.clone(), line.len()));
    }
    places
}

#[test]
fn every_byte_that_changes_is_refused_with_its_step_named() {
    let record = record(Mode::Real);
    let places = places(record.as_str());
    let mut bytes = record.as_str().as_bytes().to_vec();
    for (at, place) in places.iter().enumerate() {
        let before = bytes[at];
        // Another bit at each byte: capitals, digits, line ends and what is no text at all come up again and again.
        bytes[at] = before ^ (1 << (at % 8));
        let error = Record::verify(&bytes).expect_err("must be refused");
        assert_eq!(error.place.to_string(), *place, "byte {at}, {:?}: {error}", char::from(before));
        bytes[at] = before;
    }
    assert!(Record::verify(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(Record::verify(&bytes[..end]).is_err(), "cut at {end}");
    }
    bytes.push(b'\n');
    assert!(Record::verify(&bytes).is_err());
}

#[test]
fn steps_cannot_be_left_out_exchanged_or_taken_from_another_ceremony() {
    let text = record(Mode::Real).as_str().to_owned();
    let section = |name: &str| {
        let from = text.find(&format!("\nstep {name}\n")).unwrap() + 1;
        let to = text[from..].find("\nend ").unwrap() + from;
        let to = text[to + 1..].find('\n').unwrap() + to + 2;
        text[from..to].to_owned()
    };
    let third = section("3 machines");
    let refused = |text: &str| Record::verify(text.as_bytes()).unwrap_err().place.to_string();
    assert_eq!(refused(&text.replace(&third, "")), "step 3 (machines)");
    assert_eq!(refused(&text.replace(&third, &format!("{third}{third}"))), "step 4 (charter)");
    let rehearsal = record(Mode::Rehearsal).as_str().to_owned();
    assert!(rehearsal.contains("mode REHEARSAL\n"));
    let step = |text: &str| text[text.find("\nstep 1").unwrap()..].to_owned();
    assert_eq!(refused(&text.replace(&step(&text), &step(&rehearsal))), "step 1 (plan)");
}

#[test]
fn what_is_not_so_is_refused_by_name() {
    let session = session(Mode::Real);
    let spoil = |step: &str, author: &str, field: &str, to: &str| {
        let mut transcript = until(&session, step);
        let mut body = body(&transcript, &person(author));
        let Body::Step { fields, .. } = &mut body else { panic!() };
        fields.iter_mut().find(|(name, _)| name == field).unwrap().1 = to.to_owned();
        match transcript.offer(&signed(&session, &person(author), body)) {
            Offer::Fault(fault) => fault.to_string(),
            other => panic!("{step} {field}: {other:?}"),
        }
    };
    let other = hex::encode(machine("s2").sign(b"something else"));
    for (step, field, to, why) in [
        ("plan", "plan-words", "abandon", "plan-words: \"abandon\", not"),
        ("pre-flight", "software", "cd", "software: cd is none of those that the plan allows"),
        ("pre-flight", "disk-free-mib", "0", "NO GO"),
        ("pre-flight", "disk-free-mib", "007", "NO GO"),
        ("pre-flight", "clock", "noon", "is no time"),
        ("pre-flight", "go", "no", "go: \"no\", not \"yes\""),
        ("pre-flight", "credential", "ed25519:00", "credential"),
        ("machines", "signer-s1", "p256:00", "signer-s1"),
        ("machines", "signer-s1-proof", &other, "does not verify under"),
        ("machines", "signer-s1-proof", "zz", "hexadecimal"),
        ("charter", "charter", &"00".repeat(32), "charter: "),
    ] {
        let shown = spoil(step, "anna", field, to);
        assert!(shown.contains("anna said what does not hold") && shown.contains(why), "{shown}, not {why}");
    }
}

#[test]
fn what_a_machine_signed_in_the_rehearsal_counts_nothing_in_the_real_ceremony() {
    let [practice, real] = [Mode::Rehearsal, Mode::Real].map(session);
    assert_eq!(practice.plan(), real.plan());
    let proof = value(&practice, &Rule::Proof { machine: 0 });
    let mut transcript = until(&real, "machines");
    let mut body = body(&transcript, &person("anna"));
    let Body::Step { fields, .. } = &mut body else { panic!() };
    fields.iter_mut().find(|(name, _)| name == "signer-s1-proof").unwrap().1 = proof;
    let offer = transcript.offer(&signed(&real, &person("anna"), body));
    let Offer::Fault(fault @ Fault::Content { .. }) = offer else { panic!("{offer:?}") };
    assert!(fault.to_string().contains("signer-s1-proof: the signature does not verify under"), "{fault}");
}

#[test]
fn clocks_that_are_too_far_apart_are_no_go() {
    let session = session(Mode::Real);
    for (late, goes) in [(START + 60, true), (START + 61, false)] {
        let mut transcript = until(&session, "pre-flight");
        let mut last = None;
        for name in PEOPLE {
            let mut body = body(&transcript, &person(name));
            let Body::Step { fields, .. } = &mut body else { panic!() };
            if name == "carla" {
                fields.iter_mut().find(|(name, _)| name == "clock").unwrap().1 = late.to_string();
            }
            last = Some(transcript.offer(&signed(&session, &person(name), body)));
        }
        match (last.unwrap(), goes) {
            (Offer::Taken, true) => {}
            (Offer::Fault(fault @ Fault::Together { .. }), false) => assert!(fault.to_string().contains("NO GO")),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn whoever_was_shown_something_else_is_found_out() {
    let session = session(Mode::Real);
    let anna = person("anna");
    // Another record so far.
    let mut transcript = until(&session, "machines");
    let mut other = body(&transcript, &anna);
    if let Body::Step { head, .. } = &mut other {
        *head = RecordHead::new([7; 32]);
    }
    assert!(matches!(transcript.offer(&signed(&session, &anna, other)), Offer::Fault(Fault::Head { .. })));
    // Two contributions, in the open step and in one that is done.
    let right = signed(&session, &anna, body(&transcript, &anna));
    let mut second = body(&transcript, &anna);
    if let Body::Step { at, .. } = &mut second {
        *at = Some(START + 1);
    }
    let second = signed(&session, &anna, second);
    assert_eq!(transcript.offer(&right), Offer::Taken);
    assert_eq!(transcript.offer(&right), Offer::Known);
    assert!(matches!(transcript.offer(&second), Offer::Fault(Fault::Twice { .. })));
    let mut done = until(&session, "charter");
    assert_eq!(done.offer(&right), Offer::Known);
    assert!(matches!(done.offer(&second), Offer::Fault(Fault::Twice { .. })));
    // Another plan, by somebody of this one.
    let text = plan().replace("A tiny genesis", "Another genesis");
    let swapped = Session::new(&text, Some(&charter()), Mode::Real, PEOPLE.map(person).into()).unwrap();
    let envelope = signed(&swapped, &anna, body(&Transcript::new(&swapped), &anna));
    let Offer::Fault(fault) = Transcript::new(&session).offer(&envelope) else { panic!() };
    assert!(fault.to_string().contains("SPLIT VIEW: anna has plan"), "{fault}");
    assert_ne!(Plan::hash_of(&text), session.plan().hash());
}

#[test]
fn what_nobody_of_the_plan_signed_is_noise() {
    let session = session(Mode::Real);
    let mut transcript = Transcript::new(&session);
    let anna = person("anna");
    let mut forged = signed(&session, &anna, body(&transcript, &anna));
    forged.signatures[0].signature = vec![1; 64].into();
    assert!(matches!(transcript.offer(&forged), Offer::Noise(NotAContribution::Envelope(_))));
    let mut renamed = signed(&session, &anna, body(&transcript, &anna));
    renamed.signatures[0].signer = "boris".to_owned();
    assert!(matches!(transcript.offer(&renamed), Offer::Noise(NotAContribution::OtherSigner { .. })));
    let mut doubled = signed(&session, &anna, body(&transcript, &anna));
    doubled.signatures.push(doubled.signatures[0].clone());
    assert!(matches!(transcript.offer(&doubled), Offer::Noise(NotAContribution::Signatures(2))));
    assert!(matches!(transcript.offer(&pb::Envelope::default()), Offer::Noise(_)));
    assert!(transcript.open().is_empty());
}

#[test]
fn what_was_said_elsewhere_shows_nothing_of_who_said_it() {
    // Anybody has it from an older record, or from the rehearsal: it must neither end a ceremony nor call it off after all have signed.
    let session = session(Mode::Real);
    let anna = person("anna");
    let elsewhere = |text: &str, mode: Mode| {
        let other = Session::new(text, Some(&charter()), mode, PEOPLE.map(person).into()).unwrap();
        let envelope = signed(&other, &anna, body(&Transcript::new(&other), &anna));
        Transcript::new(&session).offer(&envelope)
    };
    let earlier = plan().replace("ceremony = \"genesis\"", "ceremony = \"genesis-0\"");
    for (offer, what) in [(elsewhere(&earlier, Mode::Real), "ceremony"), (elsewhere(&plan(), Mode::Rehearsal), "mode")]
    {
        let Offer::Noise(NotAContribution::Elsewhere { what: found, author, .. }) = offer else { panic!("{offer:?}") };
        assert_eq!((found, author), (what, anna.clone()));
    }
}

#[test]
fn a_contribution_has_one_spelling() {
    let session = session(Mode::Real);
    let transcript = until(&session, "pre-flight");
    let text = session.contribution(&person("anna"), body(&transcript, &person("anna"))).to_text();
    assert_eq!(Contribution::from_text(&text).unwrap().to_text(), text);
    for (from, to) in [
        ("step 2 pre-flight", "step 02 pre-flight"),
        ("step 2 pre-flight", "step 2  pre-flight"),
        (&format!("at {START}"), &format!("at +{START}")),
        ("mode real", "mode Real"),
        ("cluster tiny", "cluster  tiny"),
        ("limen-ceremony 1 contribution", "limen-ceremony 2 contribution"),
        ("go yes\n", "go yes"),
        ("go yes\n", "go yes \n"),
        ("go yes\n", "go yes\r\n"),
        ("author anna\n", ""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(Contribution::from_text(&text.replacen(from, to, 1)).is_err(), "{from} → {to}");
    }
}

#[test]
fn a_genesis_admits_the_machines_that_proved_themselves_to_its_charter() {
    let bytes = record(Mode::Real).as_str().as_bytes().to_vec();
    let proof = GenesisProof::read(&bytes).unwrap();
    let hash = Charter::hash_of(&charter());
    let node = |name: &str| NodeId::new(name).unwrap();
    let key = |name: &str| machine(name).public_key();
    for name in ["s1", "s2", "c1"] {
        assert_eq!(proof.admits(hash, &node(name), &key(name)), Ok(()));
    }
    assert!(matches!(proof.admits(hash, &node("s1"), &key("s2")), Err(GenesisError::OtherMachine { .. })));
    assert!(matches!(proof.admits(hash, &node("s9"), &key("s1")), Err(GenesisError::OtherMachine { .. })));
    let other = Charter::hash_of("another");
    assert!(matches!(proof.admits(other, &node("s1"), &key("s1")), Err(GenesisError::OtherCharter { .. })));
    let real = Charter::from_toml(&charter()).unwrap();
    let development = Charter::from_toml(&format!("danger_development = true\n{}", charter())).unwrap();
    let begin = |charter, record| may_begin(charter, record, &node("s1"), &key("s1"));
    assert_eq!(begin(&real, Some(bytes.as_slice())), Ok(()));
    assert_eq!(begin(&real, None), Err(GenesisError::NoRecord));
    assert_eq!(begin(&development, None), Ok(()));
    assert_eq!(begin(&development, Some(bytes.as_slice())), Err(GenesisError::NeedlessRecord));
    let rehearsal = record(Mode::Rehearsal);
    assert_eq!(GenesisProof::read(rehearsal.as_str().as_bytes()), Err(GenesisError::Rehearsal));
    assert!(matches!(GenesisProof::read(&bytes[1..]), Err(GenesisError::Record(_))));
}

#[test]
fn a_ceremony_that_was_called_off_has_a_record_too() {
    let session = session(Mode::Real);
    let transcript = until(&session, "machines");
    let anna = person("anna");
    let said = signed(&session, &anna, body(&transcript, &anna));
    let head = transcript.head();
    let abort = Body::Abort { head, cause: "the wrong room".to_owned(), evidence: vec![said.clone()] };
    let abort = Said::open(&signed(&session, &person("boris"), abort), session.plan()).unwrap();
    let unfinished = Said::open(&said, session.plan()).unwrap();
    let record = aborted(&transcript, &[abort], &[unfinished]);
    let verified = Record::verify(record.as_str().as_bytes()).unwrap();
    assert_eq!((verified.name, verified.done.len()), (None, 2));
    assert_eq!(verified.aborts, [(person("boris"), "the wrong room".to_owned())]);
    assert!(matches!(GenesisProof::read(record.as_str().as_bytes()), Err(GenesisError::Aborted(_))));
    let mut bytes = record.as_str().as_bytes().to_vec();
    let from = record.as_str().find("\naborted\n").unwrap() + 1;
    for at in from..bytes.len() {
        bytes[at] ^= 1;
        assert!(Record::verify(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn a_record_that_was_called_off_by_what_would_not_have_counted_is_refused() {
    let real = session(Mode::Real);
    let calls_off = |transcript: &Transcript<'_>, name: &str| {
        let (session, head) = (transcript.session(), transcript.head());
        let body = Body::Abort { head, cause: "I would rather not".to_owned(), evidence: Vec::new() };
        Said::open(&signed(session, &person(name), body), session.plan()).unwrap()
    };
    let refused = |transcript: &Transcript<'_>, abort: Said, unfinished: &[Said]| {
        let error = Record::verify(aborted(transcript, &[abort], unfinished).as_str().as_bytes()).unwrap_err();
        assert_eq!(error.place, Place::Abort, "{error}");
        error.reason
    };
    let transcript = until(&real, "machines");
    let practice = calls_off(&until(&session(Mode::Rehearsal), "machines"), "boris");
    assert!(refused(&transcript, practice, &[]).contains("mode REHEARSAL"));
    let text = plan().replace("A tiny genesis", "Another genesis");
    let swapped = Session::new(&text, Some(&charter()), Mode::Real, PEOPLE.map(person).into()).unwrap();
    assert!(
        refused(&transcript, calls_off(&until(&swapped, "machines"), "boris"), &[])
            .contains("SPLIT VIEW: boris has plan")
    );
    // Carla is away, anna has her role.
    let text = plan().replace("holder = \"carla\"", "holder = \"carla\"\nstand_ins = [\"anna\"]");
    let less = Session::new(&text, Some(&charter()), Mode::Real, ["anna", "boris"].map(person).into()).unwrap();
    assert!(
        refused(&until(&less, "machines"), calls_off(&until(&less, "machines"), "carla"), &[])
            .contains("carla takes part")
    );
    // Who has signed the record may not, the others may.
    let last = until(&real, SIGN);
    let anna = Said::open(&signed(&real, &person("anna"), body(&last, &person("anna"))), real.plan()).unwrap();
    let unfinished = [anna];
    assert!(refused(&last, calls_off(&last, "anna"), &unfinished).contains("anna had signed"));
    let record = aborted(&last, &[calls_off(&last, "boris")], &unfinished);
    assert_eq!(Record::verify(record.as_str().as_bytes()).unwrap().unfinished, unfinished);
    // What was said in the open step has to belong there.
    let early = until(&real, "machines");
    assert!(refused(&early, calls_off(&early, "boris"), &unfinished).contains("no part of the open step"));
}

#[test]
fn a_genesis_that_is_not_of_all_of_its_charter_is_none() {
    let from = plan().find("[[machines]]\nid = \"c1\"").unwrap();
    let less = plan()[..from].to_owned();
    let second =
        charter().replace("number = 1\nparents = []", &format!("number = 2\nparents = [\"{}\"]", "ab".repeat(32)));
    let hash = Charter::hash_of(&charter()).to_string();
    let other = charter().replace("cluster = \"tiny\"", "cluster = \"huge\"");
    let with = |charter: &str| (plan().replace(&hash, &Charter::hash_of(charter).to_string()), charter.to_owned());
    for ((plan, charter), why) in [
        ((less, charter()), "machine c1: the charter has it, the plan does not"),
        (with(&second), "a genesis makes number 1"),
        (with(&other), "it is of cluster huge"),
    ] {
        let refused = Session::new(&plan, Some(&charter), Mode::Real, PEOPLE.map(person).into()).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}, not {why}");
        let mut head = "limen-ceremony-record 1\nmode real\npresent anna boris carla\n".to_owned();
        for (what, hash, text) in [
            ("plan", Plan::hash_of(&plan).to_string(), &plan),
            ("charter", Charter::hash_of(&charter).to_string(), &charter),
        ] {
            head.push_str(&format!("{what} {hash} {}\n", text.lines().count()));
            text.lines().for_each(|line| head.push_str(&format!("| {line}\n")));
        }
        let begin = hex::encode(limen_wire::effects::sha256(head.as_bytes()));
        let record = format!("{head}begin {begin}\n");
        let Err(GenesisError::Record(error)) = GenesisProof::read(record.as_bytes()) else { panic!() };
        assert!(error.place == Place::Head && error.reason.contains(why), "{error}, not {why}");
    }
}

#[test]
fn an_abort_is_of_the_record_that_its_author_had_and_of_no_other_attempt() {
    let session = session(Mode::Real);
    let calls_off = |head: RecordHead| {
        signed(&session, &person("boris"), Body::Abort { head, cause: "no".to_owned(), evidence: Vec::new() })
    };
    let [before, then] = ["pre-flight", "machines"].map(|step| until(&session, step).head());
    let mut open = until(&session, "machines");
    assert!(matches!(open.clone().offer(&calls_off(then)), Offer::Abort(_)));
    // Somebody was slower than the others and had not heard all of the step before: but boris has said his part of it.
    assert!(matches!(open.clone().offer(&calls_off(before)), Offer::Abort(_)));
    let said = signed(&session, &person("boris"), body(&open, &person("boris")));
    assert_eq!(open.offer(&said), Offer::Taken);
    assert_eq!(open.offer(&calls_off(before)), Offer::Known, "he has gone on since");
    assert!(matches!(open.clone().offer(&calls_off(then)), Offer::Abort(_)));
    // Of another attempt, or of a step that is to come.
    assert_eq!(open.offer(&calls_off(RecordHead::new([7; 32]))), Offer::Early);
}

#[test]
fn what_is_found_of_earlier_steps_changes_nothing_for_who_has_signed_the_record() {
    let session = session(Mode::Real);
    let mut last = until(&session, SIGN);
    let second = {
        let open = until(&session, "machines");
        let mut body = body(&open, &person("boris"));
        if let Body::Step { at, .. } = &mut body {
            *at = Some(START + 1);
        }
        signed(&session, &person("boris"), body)
    };
    let anna = signed(&session, &person("anna"), body(&last, &person("anna")));
    assert_eq!(last.offer(&anna), Offer::Taken);
    let Offer::Fault(fault) = last.offer(&second) else { panic!("boris said two things") };
    assert!(last.ends_it_for(&person("carla"), &fault) && !last.ends_it_for(&person("anna"), &fault));
    let abort = Body::Abort { head: last.head(), cause: fault.to_string(), evidence: vec![second] };
    let by_anna = Said::open(&signed(&session, &person("anna"), abort.clone()), session.plan()).unwrap();
    let by_carla = Said::open(&signed(&session, &person("carla"), abort), session.plan()).unwrap();
    assert!(!last.may_abort(&by_anna) && last.may_abort(&by_carla));
}
