//! What checkers say of an intent, written down: as every signer would take it, or not at all.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use limen_policy::charter::Charter;
use limen_policy::check::{Finding, Quotes, attested, verify};
use limen_wire::effects::{Amount, ChainId};
use limen_wire::ids::{IntentId, LimitId};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use prost::Message as _;

use crate::approval::ssh::{SshAgent, key_of};

const SAMPLE: &str = include_str!("../../../policy/development.sample.toml");

/// A folder with a charter and the keys of its two checkers.
struct Desk(tempfile::TempDir);

fn id() -> IntentId {
    IntentId::new([0x1f; 32])
}

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::write(desk.path("charter.toml"), SAMPLE).unwrap();
        for checker in ["screening", "balance-watch", "rates", "nobody"] {
            let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
            let (file, key) = (desk.path(&format!("{checker}.pem")), SigningKey::from_pkcs8_pem(&pem).unwrap());
            std::fs::write(&file, pem).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
            desk.enrol(checker, &key.public_key());
        }
        desk
    }

    /// The charter says that this key is the checker's, if it has one of this name.
    fn enrol(&self, checker: &str, key: &PublicKey) {
        let text = std::fs::read_to_string(self.path("charter.toml")).unwrap();
        let Some(start) = text.find(&format!("id = \"{checker}\"")) else { return };
        let line = text[start..].lines().nth(1).unwrap();
        let text = text.replace(line, &format!("public_key = \"{key}\""));
        std::fs::write(self.path("charter.toml"), text).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn charter(&self) -> Charter {
        Charter::from_toml(&std::fs::read_to_string(self.path("charter.toml")).unwrap()).unwrap()
    }

    fn check(&self, checker: &str, out: &str, more: &[&str]) -> Output {
        let file = |name: &str| self.path(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
        command.args(["--output", "json", "check", &id().to_string(), "--charter", &file("charter.toml")]);
        command.args(["--key", &file(&format!("{checker}.pem")), "--out", &file(out)]).args(more);
        command.env_remove("LIMEN_CONFIG").output().unwrap()
    }

    fn found(&self, file: &Path) -> Finding {
        let sealed = pb::Envelope::decode(std::fs::read(file).unwrap().as_slice()).unwrap();
        let now_secs = limen_client::now_secs();
        verify(&sealed, &self.charter(), &id(), now_secs).unwrap()
    }
}

fn error(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pass_an_objection_and_a_balance_are_written_as_signers_take_them() {
    let desk = Desk::new();
    assert!(desk.check("screening", "pass.bin", &[]).status.success());
    let pass = desk.found(&desk.path("pass.bin"));
    assert_eq!((pass.checker().as_str(), pass.objection()), ("screening", None));
    assert!(desk.check("screening", "no.bin", &["--object", "on a list"]).status.success());
    assert_eq!(desk.found(&desk.path("no.bin")).objection(), Some("on a list"));
    let told = desk.check("balance-watch", "held.bin", &["--balance", "hot:usdt=81250.5", "--balance", "hot:eth=1"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((told["checker"].as_str(), told["balances"].as_array().unwrap().len()), (Some("balance-watch"), 2));
    let quoted = desk.check("rates", "price.bin", &["--price", "usd:eth=2500.12", "--price", "usd:usdt=0.9998"]);
    assert!(quoted.status.success(), "{}", String::from_utf8_lossy(&quoted.stderr));
    let (quotes, eth) =
        (Quotes::of(&[desk.found(&desk.path("price.bin"))]), &desk.charter().assets["eth"].asset.clone());
    let cents = quotes.worth([(eth, Amount::from_units("2", 18).unwrap())], &"usd".parse().unwrap());
    assert_eq!(cents, Ok(Amount::from_u128(500_024)));
    let held = attested(&desk.charter(), &[desk.found(&desk.path("held.bin"))]);
    assert_eq!(held[&LimitId::new("hot-usdt").unwrap()].amount, Amount::from_u128(81_250_500_000));
    let passed = ["--balance", "hot:usdt=1", "--sequence", "eip155:1:0x70997970c51812dc3a010c7d01b50e0d17dc79c8=57"];
    assert!(desk.check("balance-watch", "passed.bin", &passed).status.success());
    let held = attested(&desk.charter(), &[desk.found(&desk.path("passed.bin"))]);
    let account = limen_chain::parse_address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    assert_eq!(
        held[&LimitId::new("hot-usdt").unwrap()].passed,
        [((ChainId::eip155(1), account), 57)].into_iter().collect()
    );
}

#[test]
fn what_signers_would_not_take_is_not_written() {
    let desk = Desk::new();
    for (checker, more, says) in [
        ("nobody", &[][..], "is no key of a checker in the charter"),
        ("screening", &["--balance", "hot:usdt=1"], "which the charter does not let it"),
        ("balance-watch", &["--balance", "reserve:usdt=1"], "which the charter does not let it"),
        ("screening", &["--price", "usd:eth=1"], "which the charter does not let it"),
        ("rates", &["--price", "chf:eth=1"], "has no currency"),
        ("rates", &["--price", "usd:eth=0"], "is no price"),
        ("rates", &["--price", "usd=1"], "CURRENCY:ASSET=PRICE"),
        ("rates", &["--price", "usd:eth=1", "--price", "usd:eth=2"], "given twice"),
        ("balance-watch", &["--balance", "hot=1"], "VAULT:ASSET=AMOUNT"),
        ("balance-watch", &["--balance", "hot:usdt"], "VAULT:ASSET=AMOUNT"),
        ("balance-watch", &["--balance", "Hot!:usdt=1"], "vault"),
        ("balance-watch", &["--balance", "hot:dai=1"], "is not registered in the charter"),
        ("balance-watch", &["--balance", "hot:usdt=0.0000001"], "is not an amount"),
        ("balance-watch", &["--balance", "hot:usdt=1", "--balance", "hot:usdt=2"], "given twice"),
        ("balance-watch", &["--balance", "hot:usdt=1", "--object", "no"], "cannot be used with"),
        ("balance-watch", &["--sequence", "eip155:1:0x70997970c51812dc3a010c7d01b50e0d17dc79c8=57"], "--balance"),
        ("balance-watch", &["--balance", "hot:usdt=1", "--sequence", "0x01=1"], "CHAIN:ACCOUNT=NEXT"),
        ("balance-watch", &["--balance", "hot:usdt=1", "--sequence", "eip155:1:0x01=1"], "0x01"),
        ("balance-watch", &["--balance", "hot:usdt=1", "--sequence", "eip155:1:0x01"], "CHAIN:ACCOUNT=NEXT"),
        ("screening", &["--object", " "], "needs a reason"),
    ] {
        let error = error(&desk.check(checker, "out.bin", more));
        assert!(error.contains(says), "{more:?}: {error}");
        assert!(!desk.path("out.bin").exists());
    }
    std::fs::set_permissions(desk.path("screening.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(error(&desk.check("screening", "out.bin", &[])).contains("can be read by others"));
}

#[test]
fn a_checker_signs_with_a_key_in_an_ssh_agent() {
    let desk = Desk::new();
    let (folder, agent) = (desk.0.path(), SshAgent::start(desk.0.path()));
    let check = |out: &str, more: &[&str]| -> Vec<String> {
        let (id, charter, out) = (id().to_string(), desk.path("charter.toml"), desk.path(out));
        let args =
            ["check", &id, "--charter", &charter.display().to_string(), "--ssh-agent", "--out"].map(str::to_owned);
        args.into_iter().chain([out.display().to_string()]).chain(more.iter().map(|one| (*one).to_owned())).collect()
    };
    let screening = key_of(&agent.add(folder, "screening-ssh", "ed25519"));
    let (_, error) = agent.run(&check("x.bin", &[]));
    assert!(error.contains("none of the 1 keys in the SSH agent is a key of a checker"), "{error}");
    desk.enrol("screening", &screening);
    assert_eq!(agent.run(&check("pass.bin", &[])), (true, String::new()));
    assert_eq!(desk.found(&desk.path("pass.bin")).checker().as_str(), "screening");
    // With keys of two checkers one must be chosen.
    desk.enrol("rates", &key_of(&agent.add(folder, "rates-ssh", "ecdsa")));
    let (_, error) = agent.run(&check("x.bin", &[]));
    assert!(error.contains("choose one of screening, rates by --checker"), "{error}");
    assert!(agent.run(&check("price.bin", &["--checker", "rates", "--price", "usd:eth=2500"])).0);
    assert_eq!(desk.found(&desk.path("price.bin")).checker().as_str(), "rates");
    let (_, error) = agent.run(&check("x.bin", &["--key", "screening.pem"]));
    assert!(error.contains("cannot be used with"), "exactly one holds the key: {error}");
}
