//! A restore that three people play, and whatever keeps its record from being a result.

use limen_policy::ceremony::Rule;
use limen_policy::ceremony::step::{NONE, SIGN};
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::*;
use crate::ceremony::{Offer, Place, Said, Session, Transcript, aborted, completed, sign, test_input};

const AT: u64 = 1_800_000_000;
const PEOPLE: [(&str, &str); 3] = [("anna", "one"), ("boris", "two"), ("carla", "three")];

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

fn p256(seed: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

/// The public key of this seed as charters and plans have it.
fn pinned(seed: u8) -> String {
    key(seed).public_key().to_string().replace("ed25519:", "")
}

fn charter() -> String {
    let mut text = "version = 1\ncluster = \"tiny\"\n".to_owned();
    for n in 1..=3u8 {
        let key = p256(20 + n).public_key();
        text += &format!(
            "[[nodes]]\nid = \"n{n}\"\naddress = \"192.0.2.1:{n}\"\npublic_key = \"{key}\"\nsite = \"s{n}\"\n"
        );
    }
    text += &format!("[[coordinators]]\nid = \"c1\"\npublic_key = \"{}\"\n", p256(30).public_key());
    text += &format!(
        "[[requesters]]\nid = \"backend\"\npublic_key = \"{}\"\nduties = [\"request\"]\n",
        key(40).public_key()
    );
    for ((person, _), seed) in PEOPLE.iter().zip(10..) {
        let key = key(seed).public_key();
        text += &format!(
            "[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-terminal\"\nclass = \"terminal\"\npublic_key = \"{key}\"\n"
        );
    }
    text += "[groups.all]\nmembers = [\"anna\", \"boris\", \"carla\"]\n";
    text += "[governance]\nnumber = 1\nparents = []\nvoids = []\nquorum = \"2 of all\"\nloosening_delay_secs = 60\nguardians = \"all\"\nunfreeze = \"2 of all\"\nunfreeze_delay_secs = 60\n";
    text + &format!(
        "[[drills]]\nid = \"back\"\nscenario = \"restore\"\nkey = \"shadow\"\npublic_key = \"{}\"\nevery_days = 30\ngrace_days = 1\nfrom = \"2027-01-01\"\n",
        pinned(77)
    )
}

/// What is played; what is right unless a test changes it.
struct Played {
    mode: Mode,
    cluster: &'static str,
    key: &'static str,
    /// Seed of the key that signs in the end.
    shadow: u8,
    /// Seed of the first one's credential.
    anna: u8,
    /// Seed of a machine that goes by the name of the first signer, or its own.
    machine: u8,
}

const GOOD: Played = Played { mode: Mode::Real, cluster: "tiny", key: "shadow", shadow: 77, anna: 10, machine: 21 };
const DRILL: &str = "[drill]\nscenario = \"restore\"\noperator = \"one\"\nnext_due = \"2027-02-01\"\n";

impl Played {
    fn plan(&self) -> String {
        let mut text = format!(
            "version = 1\ncluster = \"{}\"\nceremony = \"drill-1\"\nkind = \"drill\"\ntitle = \"A restore\"\nconflicts = [[\"one\", \"two\", \"three\"]]\n\
             [conductor]\nrole = \"one\"\npublic_key = \"{}\"\n[software]\nlimen_ceremony = [\"{}\"]\n\
             [bounds]\nclock_window_secs = 60\ndisk_free_mib = 1\nstep_minutes = 1\n\
             [key]\nid = \"{}\"\nscheme = \"eddsa-ed25519\"\nprotocol = \"frost\"\nsigners_required = 2\n\
             nodes = [\"n1\", \"n2\", \"n3\"]\npublic_key = \"{}\"\nepoch = 1\nshares_sha256 = \"{}\"\n{}",
            self.cluster,
            p256(66).public_key(),
            "ab".repeat(32),
            self.key,
            pinned(self.shadow),
            "cd".repeat(32),
            DRILL,
        );
        for ((person, role), key) in PEOPLE.into_iter().zip(self.keys()) {
            let key = key.public_key();
            text += &format!(
                "[[people]]\nid = \"{person}\"\nname = \"{person}\"\nsite = \"{person}'s\"\ncredential = \"{key}\"\n\
                 [[roles]]\nid = \"{role}\"\nduty = \"does it\"\nholder = \"{person}\"\n"
            );
        }
        for ((n, seed), (_, role)) in (1..).zip([self.machine, 22, 23]).zip(PEOPLE) {
            let key = p256(seed).public_key();
            text += &format!(
                "[[machines]]\nid = \"n{n}\"\nkind = \"signer\"\nsite = \"s{n}\"\npublic_key = \"{key}\"\noperator = \"{role}\"\n"
            );
        }
        text
    }

    fn keys(&self) -> [SigningKey; 3] {
        [self.anna, 11, 12].map(key)
    }

    fn session(&self) -> Session {
        let people = PEOPLE.map(|(name, _)| PersonId::new(name).unwrap());
        Session::new(&self.plan(), None, self.mode, people.into()).unwrap()
    }

    /// What is right to say.
    fn value(&self, transcript: &Transcript<'_>, rule: &Rule) -> String {
        match rule {
            Rule::Exactly(text) | Rule::Words(text) => text.clone(),
            Rule::OneOf(texts) => texts[0].clone(),
            Rule::Clock => AT.to_string(),
            Rule::AtLeast(least) => least.to_string(),
            Rule::Text => "a machine".to_owned(),
            Rule::Told => NONE.to_owned(),
            Rule::TestSignature { scheme, .. } => {
                let plan = transcript.session().plan();
                let Kind::Drill(drill) = &plan.kind else { panic!("a drill") };
                let message = plan.test_message(self.mode, transcript.head());
                let input = test_input(&message, *scheme, &drill.key.public_key).unwrap();
                format!("{}00", hex::encode(key(self.shadow).sign(&input)))
            }
            other => panic!("{other:?} is in no restore"),
        }
    }

    fn signed(&self, session: &Session, who: usize, body: Body) -> pb::Envelope {
        let said = session.contribution(&PersonId::new(PEOPLE[who].0).unwrap(), body);
        let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), said.to_text().as_bytes());
        sign(&said, &self.keys()[who].sign(&message))
    }

    /// Everybody says what is right, until this many steps are complete.
    fn play<'a>(&self, session: &'a Session, steps: usize) -> Transcript<'a> {
        let mut transcript = Transcript::new(session);
        while let Some(step) = transcript.step().filter(|_| transcript.done().count() < steps) {
            let head = transcript.head();
            for (who, (name, _)) in PEOPLE.iter().enumerate() {
                let Some(fields) = step.fields(&PersonId::new(*name).unwrap()) else { continue };
                let value = |rule| self.value(&transcript, rule);
                let body = Body::Step {
                    number: step.number,
                    name: step.name.to_owned(),
                    head,
                    // The last one's clock is the latest.
                    at: (step.name != SIGN).then_some(AT + who as u64),
                    exceptions: Vec::new(),
                    fields: fields.iter().map(|field| (field.name.clone(), value(&field.rule))).collect(),
                };
                let offer = transcript.offer(&self.signed(session, who, body));
                assert_eq!(offer, Offer::Taken, "{} {name}", step.name);
            }
        }
        transcript
    }

    fn record(&self) -> Vec<u8> {
        let session = self.session();
        completed(&self.play(&session, usize::MAX)).unwrap().as_str().as_bytes().to_vec()
    }

    fn read(&self) -> Result<DrillHeld, DrillError> {
        DrillHeld::read(&self.record(), &Charter::from_toml(&charter()).unwrap(), AT)
    }
}

#[test]
fn a_restore_that_was_held_is_the_result_of_its_drill() {
    let held = GOOD.read().unwrap();
    assert_eq!((held.drill.as_str(), held.key.as_str(), held.scenario), ("back", "shadow", "restore"));
    assert_eq!((held.at_secs, hex::encode(held.public_key)), (AT + 2, pinned(77)));
}

#[test]
fn what_is_another_ceremony_is_refused() {
    let charter = Charter::from_toml(&charter()).unwrap();
    let mut spoilt = GOOD.record();
    spoilt[0] ^= 1;
    let error = DrillHeld::read(&spoilt, &charter, AT).unwrap_err();
    assert!(matches!(&error, DrillError::Record(RecordError { place: Place::Head, .. })), "{error}");
    assert!(error.to_string().contains("does not hold"), "{error}");

    let rehearsal = Played { mode: Mode::Rehearsal, ..GOOD }.read();
    assert_eq!(rehearsal, Err(DrillError::Rehearsal));

    let session = GOOD.session();
    let transcript = GOOD.play(&session, 2);
    let abort = Body::Abort { head: transcript.head(), cause: "the wrong room".to_owned(), evidence: Vec::new() };
    let abort = Said::open(&GOOD.signed(&session, 1, abort), session.plan()).unwrap();
    let record = aborted(&transcript, &[abort], &[]);
    assert_eq!(DrillHeld::read(record.as_str().as_bytes(), &charter, AT), Err(DrillError::Aborted));

    let genesis = crate::ceremony::tests::record(Mode::Real);
    let error = DrillHeld::read(genesis.as_str().as_bytes(), &charter, AT).unwrap_err();
    assert_eq!(error, DrillError::Kind("genesis"));
}

#[test]
fn what_the_charter_does_not_ask_for_is_refused() {
    let error = Played { cluster: "else", ..GOOD }.read().unwrap_err();
    let [found, expected] = ["else", "tiny"].map(|name| ClusterId::new(name).unwrap());
    assert_eq!(error, DrillError::Cluster { found, expected });

    let error = Played { key: "third", ..GOOD }.read().unwrap_err();
    let third = KeyId::new("third").unwrap();
    assert_eq!(error, DrillError::NotAsked { scenario: "restore", key: third });

    let (drill, shadow) = (DrillId::new("back").unwrap(), KeyId::new("shadow").unwrap());
    let asked = charter().replace("\"restore\"", "\"compromise\"");
    let asked = Charter::from_toml(&asked).unwrap();
    let error = DrillHeld::read(&GOOD.record(), &asked, AT).unwrap_err();
    assert_eq!(error, DrillError::NotAsked { scenario: "restore", key: shadow.clone() });

    // Everything fits: it is just not the key that the charter means.
    let error = Played { shadow: 78, ..GOOD }.read().unwrap_err();
    let (found, expected) = (pinned(78), pinned(77));
    assert_eq!(error, DrillError::OtherKey { drill, key: shadow, found, expected });
}

#[test]
fn whoever_is_not_the_charters_counts_nothing() {
    let error = Played { anna: 99, ..GOOD }.read().unwrap_err();
    assert_eq!(error, DrillError::Stranger(PersonId::new("anna").unwrap()));
    let gone = charter().replace("\"carla\"", "\"dora\"").replace("carla-terminal", "dora-terminal");
    let error = DrillHeld::read(&GOOD.record(), &Charter::from_toml(&gone).unwrap(), AT).unwrap_err();
    assert_eq!(error, DrillError::Stranger(PersonId::new("carla").unwrap()));

    let error = Played { machine: 88, ..GOOD }.read().unwrap_err();
    assert_eq!(error, DrillError::Machine(NodeId::new("n1").unwrap()));
}

#[test]
fn a_record_counts_until_its_latest_clock_is_more_than_a_minute_ahead() {
    let (record, charter) = (GOOD.record(), Charter::from_toml(&charter()).unwrap());
    let at_secs = AT + 2;
    assert!(DrillHeld::read(&record, &charter, at_secs - SKEW_SECS).is_ok());
    let now_secs = at_secs - SKEW_SECS - 1;
    let error = DrillHeld::read(&record, &charter, now_secs).unwrap_err();
    assert_eq!(error, DrillError::Future { at_secs, now_secs });
}
