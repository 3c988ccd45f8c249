//! Commands of people who take part.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64ct::{Base64, Encoding as _};
use limen_ceremony::cluster::SdkCluster;
use limen_ceremony::conductor::{Conductor, Ended};
use limen_ceremony::custody::JUDGE;
use limen_ceremony::engine::Outcome;
use limen_ceremony::hands::{Console, Hands as _, LocalHands, ProofOf, Task, software};
use limen_ceremony::journal::{Journal, write_whole};
use limen_ceremony::participant::{Credential, Participant, journal_head, relay};
use limen_ceremony::rehearsal::{Cast, play};
use limen_client::{ClientConfig, now_secs};
use limen_evidence::ceremony::{Body, Mode, Session, Transcript, sign};
use limen_policy::ceremony::Attendance;
use limen_terminal::{Key, KeyArgs, Owners, find};
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{NodeId, PersonId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::tls::{TlsIdentity, read_signing_key};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{JoinArgs, PlanArgs, RunArgs, SignArgs};
use crate::checks::{attendance, load_checked, out, read};
use crate::say;

const CERTIFICATE: &str = "conductor.crt";
const KEY: &str = "conductor.key";
const MOST_SIGNATURE: usize = 256 * 1024;

/// The person's terminal.
struct Terminal;

impl Console for Terminal {
    fn say(&mut self, text: &str) {
        say(text);
    }

    fn ask(&mut self, question: &str) -> std::io::Result<String> {
        let mut err = std::io::stderr().lock();
        write!(err, "{question}")?;
        err.flush()?;
        drop(err);
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line)? {
            0 => Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the input has ended")),
            _ => Ok(line),
        }
    }
}

const fn mode(rehearsal: bool) -> Mode {
    if rehearsal { Mode::Rehearsal } else { Mode::Real }
}

/// A private key that nobody else can read.
fn private_key(path: &Path) -> Result<SigningKey> {
    let failed = || format!("reading the key {}", path.display());
    let bits = std::fs::metadata(path).with_context(failed)?.permissions().mode() & 0o777;
    ensure!(bits & 0o077 == 0, "the key {} can be read by others (mode {bits:o}): chmod 600 it", path.display());
    Ok(read_signing_key(path)?)
}

/// What signs in somebody's name: the plan's credential, wherever it lies.
struct Held(Key);

impl Credential for Held {
    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        self.0.sign(message)
    }
}

/// A person's own key, as the plan has it.
fn credential(session: &Session, person: &PersonId, args: &KeyArgs) -> Result<Held> {
    let known = session.plan().person(person).with_context(|| format!("{person} is nobody in the plan"))?;
    let owners = Owners {
        of: &|key| (*key == known.credential).then(|| (person.to_string(), ())),
        none: "credential that the plan has for this person",
        several: ["people", "--as"],
    };
    Ok(Held(find(args, &owners)?.1))
}

fn session(
    args: &PlanArgs,
    rehearsal: bool,
    pick: impl FnOnce(&limen_policy::ceremony::Plan) -> Result<Attendance>,
) -> Result<Session> {
    let (plan, charter) = load_checked(args)?;
    let attendance = pick(&plan)?;
    let session = Session::new(plan.text(), charter.as_deref(), mode(rehearsal), attendance.present().clone())?;
    Ok(session.judged_by(JUDGE))
}

pub(crate) fn sign_plan(args: &SignArgs) -> Result<()> {
    // Who will be there is not part of what is signed now.
    let person = args.person.clone();
    let session = session(&args.plan, args.rehearsal, |plan| {
        let full = Attendance::full(plan)?;
        let all = plan.people.iter().map(|one| one.id.clone()).filter(|id| full.present().contains(id)).collect();
        ensure!(plan.person(&person).is_some(), "{person} is nobody in the plan");
        Ok(Attendance::of(plan, all)?)
    })?;
    let mut key = credential(&session, &args.person, &args.held)?;
    let transcript = Transcript::new(&session);
    let step = transcript.step().context("the plan has no steps")?.clone();
    let fields = limen_policy::ceremony::step::plan_fields(session.plan());
    let step = limen_policy::ceremony::Step { says: vec![(args.person.clone(), fields)], ..step };
    say(
        "Read the printed script. Its words are those of the plan that you have reviewed; type them from there, not from this screen.",
    );
    let mut hands = hands(BTreeMap::new(), &args.out);
    let (plan, mode, head) = (session.plan().clone(), session.mode(), transcript.head());
    let task = Task { me: args.person.clone(), plan, mode, head, step: step.clone() };
    let fields = hands.perform(&task)?;
    let (number, head) = (step.number, transcript.head());
    let body =
        Body::Step { number, name: step.name.to_owned(), head, at: Some(now_secs()), exceptions: Vec::new(), fields };
    let contribution = session.contribution(&args.person, body);
    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
    let envelope = sign(&contribution, &key.sign(&message)?);
    let text = format!("{}\n", Base64::encode_string(&envelope.encode_to_vec()));
    write_whole(&args.out, &text).with_context(|| format!("writing {}", args.out.display()))?;
    out(&format!("{} has signed plan {}\n", args.person, session.plan().hash()))
}

fn hands(machines: BTreeMap<NodeId, ProofOf>, beside: &Path) -> LocalHands {
    let folder = beside.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let brought = BTreeMap::new();
    LocalHands { console: Box::new(Terminal), machines, cluster: None, brought, folder: folder.to_owned() }
}

pub(crate) fn rehearse(args: &PlanArgs, parent: Option<&Path>, absent: &[PersonId], record: &Path) -> Result<()> {
    let (plan, charter) = load_checked(args)?;
    attendance(&plan, absent)?;
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed).context("drawing random bytes")?;
    let parent = parent.map(|path| crate::checks::text(path, limen_policy::charter::MAX_BYTES)).transpose()?;
    let cast = Cast::of_change(plan.text(), charter.as_deref(), parent.as_deref(), seed)?.measured(software()?);
    let absent = absent.iter().cloned().collect();
    let session = cast.session(Mode::Rehearsal, &absent)?;
    let outcomes = play(&session, &cast)?;
    for (person, outcome) in &outcomes {
        let file = match outcome {
            Outcome::Completed { record, .. } | Outcome::Aborted { record, .. } => record,
        };
        write_whole(record, file.as_str()).with_context(|| format!("writing {}", record.display()))?;
        if let Outcome::Aborted { by, cause, .. } = outcome {
            bail!("the rehearsal was called off for {person} by {by}: {cause}");
        }
    }
    out(&format!("rehearsed with throw-away keys by {} people: {}\n", outcomes.len(), record.display()))
}

pub(crate) fn conductor_key(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = rcgen::CertificateParams::new(vec!["conductor".to_owned()])?.self_signed(&pair)?;
    let put = |name: &str, text: &str| -> Result<()> {
        let path = dir.join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(file.sync_all()?)
    };
    put(CERTIFICATE, &certificate.pem())?;
    put(KEY, &zeroize::Zeroizing::new(pair.serialize_pem()))?;
    out(&format!("public_key = \"{}\"\n", read_signing_key(&dir.join(KEY))?.public_key()))
}

fn envelope(path: &Path) -> Result<pb::Envelope> {
    let bytes = read(path, MOST_SIGNATURE)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is no text", path.display()))?;
    let bytes = Base64::decode_vec(text.trim()).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    Ok(pb::Envelope::decode(bytes.as_slice())?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")
}

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let session = session(&args.plan, args.rehearsal, |plan| attendance(plan, &args.absent))?;
    let (certificate, key) = (args.identity.join(CERTIFICATE), args.identity.join(KEY));
    let found = private_key(&key)?.public_key();
    let pinned = session.plan().conductor.public_key;
    ensure!(found == pinned, "the plan pins {pinned} for the conductor, {} holds {found}", key.display());
    let identity = TlsIdentity::from_pem_files(&certificate, &key)?;
    let people: Vec<String> = session.attendance().present().iter().map(ToString::to_string).collect();
    let conductor = Conductor::open(session, &args.board)?;
    for path in &args.signed {
        conductor.post(&envelope(path)?).with_context(|| format!("taking {}", path.display()))?;
    }
    runtime()?.block_on(async {
        let listener =
            TcpListener::bind(&args.listen).await.with_context(|| format!("listening on {}", args.listen))?;
        out(&format!("the board is open at {} for {}\n", listener.local_addr()?, people.join(", ")))?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (ended_tx, ended_rx) = tokio::sync::oneshot::channel();
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                ended = conductor.ended() => {
                    // Taken below; without a taker there is nobody to tell.
                    ended_tx.send(ended).ok();
                    tokio::time::sleep(Duration::from_secs(args.linger_secs)).await;
                }
            }
        };
        conductor.serve(listener, &identity, stop).await?;
        match ended_rx.await {
            Ok(Ended::Completed(record)) => {
                write_whole(&args.record, record.as_str())
                    .with_context(|| format!("writing {}", args.record.display()))?;
                out(&format!("completed: {}\n", args.record.display()))
            }
            Ok(Ended::Aborted(cause)) => bail!("called off by {cause}"),
            Err(_) => {
                let missing: Vec<String> = conductor.missing().iter().map(ToString::to_string).collect();
                bail!("stopped before the end; the open step waits for {}", missing.join(", "))
            }
        }
    })
}

/// `NAME=FILE` or `NAME=@FILE`.
fn proofs(machines: &[String]) -> Result<BTreeMap<NodeId, ProofOf>> {
    let mut proofs = BTreeMap::new();
    for machine in machines {
        let (name, file) =
            machine.split_once('=').with_context(|| format!("--machine {machine:?}: NAME=FILE is needed"))?;
        let proof = match file.strip_prefix('@') {
            None => ProofOf::Key(Box::new(private_key(Path::new(file))?)),
            Some(path) => {
                let text = String::from_utf8(read(Path::new(path), 1024)?)?;
                let bytes = hex::decode(text.trim()).with_context(|| format!("{path} holds no signature"))?;
                let bytes = <[u8; 64]>::try_from(bytes).ok().with_context(|| format!("{path} holds no signature"))?;
                ProofOf::Signature(bytes)
            }
        };
        proofs.insert(name.parse()?, proof);
    }
    Ok(proofs)
}

/// `LINE=FILE`.
fn brought(files: &[String]) -> Result<BTreeMap<String, PathBuf>> {
    let mut brought = BTreeMap::new();
    for one in files {
        let (line, path) = one.split_once('=').with_context(|| format!("--bring {one:?}: LINE=FILE is needed"))?;
        brought.insert(line.to_owned(), PathBuf::from(path));
    }
    Ok(brought)
}

/// The file in which exceptions of somebody who takes part are gathered.
fn exceptions_of(journal: &Path) -> PathBuf {
    let mut name = journal.file_name().unwrap_or_default().to_os_string();
    name.push(".exceptions");
    journal.with_file_name(name)
}

pub(crate) fn exception(journal: &Path, text: &str) -> Result<()> {
    let text = text.trim();
    ensure!(
        !text.is_empty() && text.len() <= 4000 && !text.chars().any(limen_policy::ceremony::hides),
        "one line of up to 4000 bytes"
    );
    ensure!(journal.is_file(), "there is no journal {}: name the one that you take part with", journal.display());
    let path = exceptions_of(journal);
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    out("it goes into the record with your part of the next step\n")
}

/// Who is there, by the conductor's word, which everybody's signatures bind.
async fn who_is_there(args: &JoinArgs, plan: &limen_policy::ceremony::Plan) -> Result<Attendance> {
    let mut relay = relay(&args.conductor, &plan.conductor.public_key)?;
    let patience = tokio::time::Instant::now() + Duration::from_secs(u64::from(plan.bounds.step_minutes) * 60);
    loop {
        match relay.open_ceremony(pb::OpenCeremonyRequest {}).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                if answer.plan != plan.hash().as_bytes().as_slice() || answer.rehearsal != args.rehearsal {
                    say(
                        "the conductor has another plan or mode: your signature is for yours, so the others will see that",
                    );
                }
                let present = answer.present.into_iter().take(limen_policy::ceremony::MAX_PEOPLE).map(PersonId::new);
                return Ok(Attendance::of(plan, present.collect::<Result<_, _>>()?)?);
            }
            Err(status) if tokio::time::Instant::now() < patience => {
                say(&format!("waiting for the conductor: {}", status.message()));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(status) => bail!("the conductor at {} does not answer: {status}", args.conductor),
        }
    }
}

pub(crate) fn join(args: &JoinArgs, resume: bool) -> Result<()> {
    ensure!(!resume || args.journal.is_file(), "there is no journal {} to go on from: join", args.journal.display());
    let runtime = runtime()?;
    let session = session(&args.plan, args.rehearsal, |plan| runtime.block_on(who_is_there(args, plan)))?;
    let present = session.attendance().present();
    ensure!(present.contains(&args.person), "the conductor does not count {} among those who are there", args.person);
    let people: Vec<String> = present.iter().map(ToString::to_string).collect();
    say(&format!("there are: {}. Your roles: {}", people.join(", "), {
        let roles: Vec<String> = session.attendance().roles_of(&args.person).map(ToString::to_string).collect();
        roles.join(", ")
    }));
    let key = credential(&session, &args.person, &args.held)?;
    let mut hands = hands(proofs(&args.machine)?, &args.journal);
    hands.brought = brought(&args.bring)?;
    if let Some(path) = &args.client {
        hands.cluster = Some(Box::new(SdkCluster::new(ClientConfig::from_file(path)?)));
    }
    let (journal, stored) = Journal::open(&args.journal, &journal_head(&session, &args.person))?;
    let outcome = runtime.block_on(async {
        let participant = Participant {
            relay: relay(&args.conductor, &session.plan().conductor.public_key)?,
            session: &session,
            me: args.person.clone(),
            credential: Box::new(key),
            hands: Arc::new(Mutex::new(hands)),
            journal,
            stored,
            record: args.record.clone(),
            exceptions: exceptions_of(&args.journal),
            tell: Box::new(say),
        };
        participant.take_part().await
    })?;
    match outcome {
        Outcome::Completed { name, .. } => out(&format!("completed: record {name} in {}\n", args.record.display())),
        Outcome::Aborted { by, cause, .. } => bail!("called off by {by}: {cause}"),
    }
}
