//! A key that lives in one signer's SoftHSM2 token, through the real bridge, signer and coordinator, by the commands that people use.

use std::path::Path;
use std::process::{Command, Output};

use limen_client::NewKey;
use limen_evidence::receipt::Receipt;
use limen_evidence::trust::Trust;
use limen_hsm::{BridgeClient, HsmError, Kind, Provider as _};
use limen_wire::ids::{CommitteeSize, KeyId, Protocol, Scheme};
use serde_json::Value;

use super::cluster::{Cluster, PATIENCE, binaries, signer};
use super::receipts::{receipt, sign};

/// Two signers certify, of whom one may be corrupt: nobody else signs along.
const MARKS: &str = "
[[ledgers]]
id = \"main\"
members = [\"signer-1\", \"signer-3\"]
quorum = 2
corrupt = 1

[[vaults]]
id = \"deep\"
tier = \"cold\"
keys = [\"coins\", \"words\", \"papers\"]

[[hsm_keys]]
id = \"coins\"
node = \"signer-2\"
scheme = \"ecdsa-secp256k1\"
outside_the_promise = true

[[hsm_keys]]
id = \"words\"
node = \"signer-2\"
scheme = \"eddsa-ed25519\"
outside_the_promise = true

[[hsm_keys]]
id = \"papers\"
node = \"signer-2\"
scheme = \"ecdsa-p256\"
outside_the_promise = true

[[rules]]
name = \"papers are words\"
allow = \"message\"
keys = [\"papers\"]
";

fn limen(cluster: &Cluster, args: &[&str]) -> Output {
    let config = cluster.path().join("client.toml");
    Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(cluster: &Cluster, args: &[&str], words: &str) {
    let output = limen(cluster, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(words), "{args:?}: {words:?} is missing in {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_one_token_signs_is_marked_everywhere_and_comes_back_with_its_token() {
    if limen_hsm::conformance::softhsm().is_none() {
        return;
    }
    let named =
        ["coins", "papers"].map(|key| format!("\n[[hsm_keys]]\nid = \"{key}\"\nnode = \"signer-2\"\n")).concat();
    let charter = |text: &str| {
        let claims = "danger_development = true\nclaims = \"main\"\n";
        text.replacen("danger_development = true\n", claims, 1) + MARKS
    };
    let mut cluster = Cluster::start_on_tokens(charter, &named).await;
    orders_are_refused(&cluster).await;

    let made = said(&limen(&cluster, &["key", "create", "coins", "--protocol", "hsm", "--node", "signer-2"]));
    for words in
        ["OUTSIDE THE PROMISE", "1 required of 1 (signer-2)", "whoever holds that token or its signer signs alone"]
    {
        assert!(made.contains(words), "{made}");
    }
    assert!(said(&limen(&cluster, &["key", "list"])).contains("hsm, OUTSIDE THE PROMISE"));
    let shown: Value =
        serde_json::from_str(&said(&limen(&cluster, &["--output", "json", "key", "show", "coins"]))).unwrap();
    assert_eq!((&shown["protocol"], &shown["outside_the_promise"]), (&"hsm".into(), &true.into()));
    refused(&cluster, &["key", "address", "coins", "--path", "m/1"], "has no chain code");
    an_address_carries_the_mark(&cluster);

    // The client verifies what it is given under the key that the signer states.
    let key = KeyId::new("coins").unwrap();
    let first = sign(&cluster, &key, "first").await;
    let bytes = receipt(&cluster, first).await;
    let charter = cluster.path().join("charter.toml");
    let trust = said(&limen(&cluster, &["charter", "trust", charter.to_str().unwrap()]));
    let trust = Trust::from_toml(&trust).unwrap();
    let verified = Receipt::decode(&bytes).unwrap().verify(&trust).unwrap();
    assert!(verified.is_outside_the_promise());
    assert_eq!((verified.authorizations.len(), verified.honest_at_least()), (1, 0));
    let unnamed = trust.with_hsm_keys([]);
    let error = Receipt::decode(&bytes).unwrap().verify(&unnamed).unwrap_err();
    assert!(error.to_string().contains("in one token"), "{error}");
    receipts_go_with_the_mark(&cluster, &bytes);

    p256_signs_what_openssl_verifies(&cluster).await;

    // Without its token the key waits, and goes on by itself.
    let bridge = format!("{}-hsm", signer(2));
    cluster.kill(&bridge);
    let waiting = cluster.message(&key, "second");
    cluster.client.submit(&waiting).await.unwrap();
    let stands = |request: &limen_client::Request| {
        request.error.as_ref().is_some_and(|error| error.message.contains("bridge_unreachable"))
    };
    cluster.until(waiting.id(), stands).await;
    cluster.start_bridge(2);
    cluster.in_state(waiting.id(), limen_client::RequestState::Signed).await;
    receipt(&cluster, waiting.id()).await;
    no_signer_starts_at_anothers_token(&mut cluster).await;
}

/// Whoever pays to it should know.
fn an_address_carries_the_mark(cluster: &Cluster) {
    let address = said(&limen(cluster, &["key", "address", "coins"]));
    assert!(address.contains("\nOUTSIDE THE PROMISE: one token alone signs for what comes here"), "{address}");
    let json = said(&limen(cluster, &["--output", "json", "key", "address", "coins"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["outside_the_promise"], true, "{json}");
    assert_eq!(json["address"].as_str(), address.lines().next());
}

/// A charter that does not mark the key any more believes none of its receipts, also of before.
fn receipts_go_with_the_mark(cluster: &Cluster, receipt: &[u8]) {
    let path = |name: &str| cluster.path().join(name).display().to_string();
    std::fs::write(path("coins.receipt"), receipt).unwrap();
    let charter = std::fs::read_to_string(path("charter.toml")).unwrap();
    let mark =
        "[[hsm_keys]]\nid = \"coins\"\nnode = \"signer-2\"\nscheme = \"ecdsa-secp256k1\"\noutside_the_promise = true\n";
    assert!(charter.contains(mark), "{charter}");
    std::fs::write(path("unmarked.toml"), charter.replace(mark, "")).unwrap();
    for (charter, trust) in [("charter.toml", "marked.trust"), ("unmarked.toml", "unmarked.trust")] {
        std::fs::write(path(trust), said(&limen(cluster, &["charter", "trust", &path(charter)]))).unwrap();
    }
    let (receipt, marked, unmarked) = (path("coins.receipt"), path("marked.trust"), path("unmarked.trust"));
    let verify = ["verify", "receipt", &receipt, "--trust"];
    let verified = said(&limen(cluster, &[&verify[..], &[&marked]].concat()));
    assert!(verified.contains("OUTSIDE THE CLUSTER'S PROMISE"), "{verified}");
    let words = "key coins is in one token by its statement and not by what is pinned";
    refused(cluster, &[&verify[..], &[&unmarked]].concat(), words);
}

/// The bridge of the first signer gets the third one's token.
async fn no_signer_starts_at_anothers_token(cluster: &mut Cluster) {
    let (name, bridge) = (signer(1), format!("{}-hsm", signer(1)));
    cluster.kill(&name);
    cluster.kill(&bridge);
    let folder = |index: usize| cluster.path().join(signer(index)).join("hsm");
    let (own, others) = (folder(1), folder(3));
    let files = ["bridge.toml", "softhsm2.conf", "pin"];
    let kept = files.map(|file| std::fs::read(own.join(file)).unwrap());
    let config = String::from_utf8(kept[0].clone()).unwrap();
    let swapped = config.replace("token = \"signer-1\"", "token = \"signer-3\"");
    assert_ne!(swapped, config);
    std::fs::write(own.join("bridge.toml"), swapped).unwrap();
    for file in &files[1..] {
        std::fs::write(own.join(file), std::fs::read(others.join(file)).unwrap()).unwrap();
    }
    cluster.start_bridge(1);
    let socket = own.join("run/bridge.sock");
    let client = BridgeClient::new(&socket, PATIENCE);
    let answer = until_reached(|| client.identity()).await;
    assert_eq!(answer.map_err(|error| error.kind()), Err(Kind::OtherKey));

    let config = cluster.path().join(&name).join("config.toml");
    let mut check = Command::new(binaries().join("limen-node"));
    let checked = check.arg("--config").arg(config).arg("--check-config").output().unwrap();
    let words = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && words.contains("other_key"), "{words}");
    let log = cluster.path().join("logs").join(format!("{name}.log"));
    let before = std::fs::read_to_string(&log).unwrap().len();
    cluster.start_one(&name);
    cluster.wait_dead(&name).await;
    let words = std::fs::read_to_string(&log).unwrap().split_off(before);
    assert!(words.contains("other_key"), "{words}");

    // With its own token it starts as ever.
    cluster.kill(&bridge);
    for (file, bytes) in files.iter().zip(kept) {
        std::fs::write(own.join(file), bytes).unwrap();
    }
    cluster.start_bridge(1);
    until_reached(|| client.identity()).await.unwrap();
    cluster.start_one(&name);
    cluster.wait_linked().await;
}

/// What a bridge answers once it is there.
async fn until_reached<T>(ask: impl Fn() -> Result<T, HsmError>) -> Result<T, HsmError> {
    let started = std::time::Instant::now();
    loop {
        match ask() {
            Err(error) if error.kind() == Kind::Unreachable && started.elapsed() < PATIENCE => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

/// A third kind of key in the same token, whose signature a program verifies that knows nothing of us.
async fn p256_signs_what_openssl_verifies(cluster: &Cluster) {
    let create = ["key", "create", "papers", "--scheme", "ecdsa-p256", "--protocol", "hsm", "--node", "signer-2"];
    assert!(said(&limen(cluster, &create)).contains("-----BEGIN PUBLIC KEY-----"));
    let shown: Value =
        serde_json::from_str(&said(&limen(cluster, &["--output", "json", "key", "show", "papers"]))).unwrap();
    let address = said(&limen(cluster, &["key", "address", "papers"]));
    assert!(address.starts_with(shown["public_key"].as_str().unwrap()), "{address}");
    assert!(address.contains("no chain has addresses of ecdsa-p256 keys"), "{address}");
    refused(cluster, &["key", "address", "papers", "--path", "m/1"], "has no chain code");
    refused(cluster, &["sign", "--key", "papers", "--chain", "eip155:31337", "hello"], "wrong_scheme");

    let text = "paid in full";
    let signed = said(&limen(cluster, &["--output", "json", "sign", "--key", "papers", text]));
    let signed: Value = serde_json::from_str(&signed).unwrap();
    let signature = hex::decode(signed["signature"].as_str().unwrap()).unwrap();
    let folder = cluster.path();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let key = file("papers.pem", shown["public_key_pem"].as_str().unwrap().as_bytes());
    let der = p256::ecdsa::Signature::from_slice(&signature).unwrap().to_der();
    let (der, message) = (file("papers.sig", der.as_bytes()), file("papers.txt", text.as_bytes()));
    let verify = |message: &Path| {
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(&key).arg("-signature").arg(&der).arg(message);
        openssl.output().unwrap_or_else(|error| panic!("openssl, which `cargo xtask setup` installs: {error}"))
    };
    assert!(said(&verify(&message)).contains("Verified OK"));
    assert!(!verify(&file("other.txt", b"paid in part")).status.success());

    let id = signed["intent_id"].as_str().unwrap().parse().unwrap();
    let bytes = receipt(cluster, id).await;
    let charter = cluster.path().join("charter.toml");
    let trust = Trust::from_toml(&said(&limen(cluster, &["charter", "trust", charter.to_str().unwrap()]))).unwrap();
    assert!(Receipt::decode(&bytes).unwrap().verify(&trust).unwrap().is_outside_the_promise());
}

/// By the client that knows better, and by the cluster where it does not.
async fn orders_are_refused(cluster: &Cluster) {
    let create = ["key", "create", "coins", "--protocol", "hsm"];
    refused(cluster, &create, "needs --node");
    refused(cluster, &[&create[..], &["--node", "signer-1"]].concat(), "[[hsm_keys]]");
    refused(cluster, &[&create[..], &["--node", "signer-2", "--required", "2"]].concat(), "needs one signer");
    let words = ["key", "create", "words", "--scheme", "eddsa-ed25519", "--protocol", "hsm", "--node", "signer-2"];
    refused(cluster, &words, "outside the cluster's promise");
    refused(cluster, &["key", "create", "other", "--node", "signer-2"], "--node is for --protocol hsm");
    let papers = ["key", "create", "papers", "--scheme", "ecdsa-p256"];
    refused(cluster, &papers, "--protocol hsm --node NODE");
    for protocol in ["dkls23", "cggmp24", "frost"] {
        refused(cluster, &[&papers[..], &["--protocol", protocol]].concat(), "cannot make ecdsa-p256 signatures");
        let order = NewKey {
            key_id: KeyId::new("papers").unwrap(),
            scheme: Scheme::EcdsaP256,
            protocol: protocol.parse().unwrap(),
            size: CommitteeSize::new(2, 3).unwrap(),
            nodes: (1..=3).map(|index| signer(index).parse().unwrap()).collect(),
            expires_in: std::time::Duration::from_secs(60),
        };
        let error = cluster.client.create_key(&order).await.unwrap_err().to_string();
        assert!(error.contains("cannot make ecdsa-p256 signatures"), "{error}");
    }
    // A threshold key has not the name of one in a token.
    refused(cluster, &["key", "create", "coins"], "hsm_key_refused");
    let order = NewKey {
        key_id: KeyId::new("unmarked").unwrap(),
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        nodes: vec![signer(2).parse().unwrap()],
        expires_in: std::time::Duration::from_secs(60),
    };
    let error = cluster.client.create_key(&order).await.unwrap_err();
    assert!(error.to_string().contains("hsm_key_refused"), "{error}");
}
