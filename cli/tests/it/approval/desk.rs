//! An approver's desk: a folder with the papers of one case and everybody's keys.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_policy::charter::Charter;
use limen_wire::approval::SignedApproval;
use limen_wire::effects::{Amount, ChainId};
use limen_wire::ids::{CommitteeSize, Epoch, IntentId, NodeId, Protocol, Scheme};
use limen_wire::intent::{Intent, seal_intent};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;

/// What the requester says; hostile on purpose.
pub(super) const NOTE: &str = "rent \u{202e}!";
const EXCHANGE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

pub(super) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

/// What machines have.
fn machine_key(seed: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

/// A fresh private key.
pub(super) fn pem() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()
}

pub(super) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(|_| {}, str::to_owned)
    }

    /// With changes to the intent before it is signed, and to the charter's text.
    pub(super) fn with(intent: impl FnOnce(&mut pb::Intent), charter: impl FnOnce(&str) -> String) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let mut keys = Vec::new();
        for person in ["anna", "boris", "carla", "dora", "phone"] {
            let pem = pem();
            desk.write_key(&format!("{person}.pem"), &pem);
            keys.push((person, SigningKey::from_pkcs8_pem(&pem).unwrap().public_key().to_string()));
        }
        desk.write("charter.toml", charter(&charter_text(&keys)).as_bytes());
        let mut raw = raw_intent();
        intent(&mut raw);
        desk.write("intent.bin", &seal_intent(&raw, &desk.requester()).unwrap().1.encode_to_vec());
        desk.write("key.bin", &desk.certificate("treasury", 2));
        desk
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    pub(super) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    pub(super) fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    pub(super) fn write_key(&self, file: &str, pem: &str) {
        self.write(file, pem.as_bytes());
        std::fs::set_permissions(self.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Puts a key into the charter in place of somebody's.
    pub(super) fn enrol(&self, person: &str, key: &PublicKey) {
        let text = String::from_utf8(self.read("charter.toml")).unwrap();
        let head = format!("id = \"{person}-terminal\"\npublic_key = \"");
        let (before, rest) = text.split_once(&head).unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        self.write("charter.toml", format!("{before}{head}{key}\"{after}").as_bytes());
    }

    pub(super) fn charter(&self) -> Charter {
        Charter::from_toml(&String::from_utf8(self.read("charter.toml")).unwrap()).unwrap()
    }

    pub(super) fn requester(&self) -> SigningKey {
        signing_key(50)
    }

    pub(super) fn intent_id(&self) -> IntentId {
        let envelope = pb::Envelope::decode(self.read("intent.bin").as_slice()).unwrap();
        Intent::open(&envelope).unwrap().0.id
    }

    /// The usual intent by another key or for another cluster.
    pub(super) fn intent_by(&self, key: &SigningKey, cluster: &str) -> Vec<u8> {
        let raw = pb::Intent { cluster: cluster.to_owned(), ..raw_intent() };
        seal_intent(&raw, key).unwrap().1.encode_to_vec()
    }

    /// A certificate by the first so many signers.
    pub(super) fn certificate(&self, key: &str, signers: u8) -> Vec<u8> {
        certified(&statement(key), signers)
    }

    /// A certificate of a key that lives in the first signer's token.
    pub(super) fn certificate_of_token(&self, key: &str) -> Vec<u8> {
        let mut statement = statement(key);
        (statement.protocol, statement.size, statement.chain_code) = (Protocol::Hsm, CommitteeSize::ALONE, [0; 32]);
        statement.nodes.truncate(1);
        certified(&statement, 1)
    }

    /// A written verdict.
    pub(super) fn verdict(&self, file: &str) -> SignedApproval {
        SignedApproval::open(&pb::Envelope::decode(self.read(file).as_slice()).unwrap()).unwrap()
    }

    pub(super) fn approve(&self, person: &str, out: &str, more: &[&str]) -> Vec<String> {
        self.verdict_of("approve", person, out, more)
    }

    pub(super) fn verdict_of(&self, command: &str, person: &str, out: &str, more: &[&str]) -> Vec<String> {
        let key = self.path(&format!("{person}.pem"));
        self.papers(command, out, &[&["--key", &key], more].concat())
    }

    /// A command on this desk's papers.
    pub(super) fn papers(&self, command: &str, out: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec![command.to_owned()];
        for (flag, file) in
            [("--intent", "intent.bin"), ("--certificate", "key.bin"), ("--charter", "charter.toml"), ("--out", out)]
        {
            args.extend([flag.to_owned(), self.path(file)]);
        }
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        command(args).output().unwrap()
    }

    pub(super) fn answers(&self, args: &[String], answer: &str) -> Output {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child =
            command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What is printed.
    pub(super) fn succeeds(&self, args: &[String]) -> String {
        let output = self.answers(args, "");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn fails(&self, args: &[String], words: &str) {
        let output = self.answers(args, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "{words} is missing in {error}");
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
    command.args(args).env_remove("LIMEN_CONFIG").env_remove("SSH_AUTH_SOCK");
    command
}

fn signer(index: u8) -> NodeId {
    NodeId::new(format!("signer-{index}")).unwrap()
}

fn statement(key: &str) -> KeyStatement {
    KeyStatement {
        cluster: "test".parse().unwrap(),
        key_id: key.parse().unwrap(),
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        epoch: Epoch::FIRST,
        size: CommitteeSize::new(2, 2).unwrap(),
        nodes: vec![signer(1), signer(2)],
        public_key: k256::SecretKey::from_slice(&[9; 32]).unwrap().public_key().to_sec1_bytes().to_vec(),
        chain_code: [8; 32],
        verifying_shares_hash: [9; 32],
        generation_id: IntentId::new([10; 32]),
        was_whole: false,
    }
}

fn certified(statement: &KeyStatement, signers: u8) -> Vec<u8> {
    let signed: Vec<_> = (1..=signers).map(|index| statement.sign(&signer(index), &machine_key(index))).collect();
    combine(&signed).unwrap().encode_to_vec()
}

fn raw_intent() -> pb::Intent {
    let to = EXCHANGE.to_owned().try_into().unwrap();
    let amount = Amount::from_units("12.5", 18).unwrap();
    let fees = Eip1559Fees {
        nonce: 7,
        gas_limit: 21_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
    };
    let unsigned = transfer(&Transfer { chain: ChainId::eip155(31337), to, amount }, &fees).unwrap();
    pb::Intent {
        version: 1,
        cluster: "test".to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: "order-1".to_owned(),
        vault: "reserve".to_owned(),
        key_id: "treasury".to_owned(),
        path: vec![0, 7],
        chain: "eip155:31337".to_owned(),
        payload: Some(pb::intent::Payload::EvmTransaction(unsigned.into())),
        // Far ahead: these tests read the machine's clock.
        expires_at_secs: u64::MAX,
        replaces: Default::default(),
        note: NOTE.to_owned(),
    }
}

fn charter_text(people: &[(&str, String)]) -> String {
    let mut text = "version = 1\ncluster = \"test\"\ndanger_development = true\n".to_owned();
    for index in 1..=2 {
        let key = machine_key(index).public_key();
        text.push_str(&format!(
            "[[nodes]]\nid = \"signer-{index}\"\naddress = \"127.0.0.1:700{index}\"\npublic_key = \"{key}\"\n"
        ));
    }
    let (coordinator, requester) = (machine_key(60).public_key(), signing_key(50).public_key());
    text.push_str(&format!("[[coordinators]]\nid = \"coordinator\"\npublic_key = \"{coordinator}\"\n"));
    text.push_str(&format!(
        "[[requesters]]\nid = \"backend\"\npublic_key = \"{requester}\"\nduties = [\"request\"]\npeople = [\"dora\"]\n"
    ));
    for (person, key) in people {
        let kind = match *person {
            "phone" => r#"passkey = { relying_party = "example.org", origins = ["https://example.org"] }"#,
            _ => "class = \"terminal\"",
        };
        text.push_str(&format!(
            "[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-terminal\"\npublic_key = \"{key}\"\n{kind}\n"
        ));
    }
    text + RULES
}

const RULES: &str = r#"
[groups.treasury]
members = ["anna", "dora"]

[groups.risk]
members = ["carla"]

[[vaults]]
id = "reserve"
tier = "cold"
keys = ["treasury"]

[[address_book]]
id = "exchange"
chain = "eip155:31337"
address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

[assets.eth]
chain = "eip155:31337"
symbol = "ETH"
decimals = 18

[[rules]]
name = "to venues"
allow = "transfer"
asset = "eth"
max_amount = "1000"
destinations = ["book:exchange"]
approvals = "1 terminal of treasury then 1 of risk"
not_by_requester = true
delay_secs = 3600

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "0.05"
"#;
