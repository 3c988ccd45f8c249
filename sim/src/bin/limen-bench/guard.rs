//! What the guard adds to a signature: a decision and its durable record, beside an empty durable write to the same store.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use limen_mpc::{KeyPublic, Point};
use limen_node::approvals::Papers;
use limen_node::charters;
use limen_node::clock::{Clock, Now, SystemClock, Uptime};
use limen_node::decisions::{Decisions, Keys};
use limen_node::guard::{self, KeyFacts, Verdict};
use limen_node::recent::Recent;
use limen_node::store::{Options, Store};
use limen_policy::charter::Charter;
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, NodeId, PartyIndex, Protocol, Scheme, tagged_hash};
use limen_wire::intent::seal_intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::scenario;
use crate::spread::Spread;

const CLUSTER: &str = "bench";
const KEY: &str = "treasury";
/// The generator of secp256k1: a public key like any other.
const GENERATOR: [u8; 33] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
];

/// One kind of step, one after the other on one thread.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Guard {
    pub(crate) what: &'static str,
    pub(crate) times: Spread,
}

/// Decides about so many payments that were announced before, each on disk when it is answered.
pub(crate) async fn measure(folder: &Path, payments: u32) -> Result<Vec<Guard>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("could not empty {}", folder.display()))?;
    }
    let requester = SigningKey::ed25519_from_seed(&Zeroizing::new([7; 32]));
    let charter = Arc::new(Charter::from_toml(&text(&requester))?);
    let (node, cluster) = (NodeId::new("signer-1")?, ClusterId::new(CLUSTER)?);
    let store = Store::open(folder, Options::new(node, cluster))?;
    let (keys, recent): (Keys, _) =
        (RwLock::new(HashMap::from([(KeyId::new(KEY)?, Arc::new(facts()?))])), Recent::default());
    let moment = || Now { wall: SystemClock.now(), uptime: Uptime(1_000) };
    let (pinned, since) = (Charter::clone(&charter), moment());
    store.write(move |txn| charters::pin(txn, &pinned, String::new(), since)).await?;
    let decisions = || {
        let now = moment();
        Decisions { charter: Arc::clone(&charter), store: &store, keys: &keys, recent: &recent, now }
    };
    let (mut read, mut decided, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..payments {
        let envelope = payment(number, &requester)?;
        let started = Instant::now();
        let examined = decisions().examine(&envelope)?;
        read.push(started.elapsed());
        let shown = decisions().show(&examined, &Papers::default())?;
        decisions().announce(examined, envelope.clone(), shown).await?;

        let session = tagged_hash("limen bench session", [&number.to_be_bytes()[..]]);
        let started = Instant::now();
        let examined = decisions().examine(&envelope)?;
        let shown = decisions().show(&examined, &Papers::default())?;
        // Nobody keeps a log here.
        let call = guard::SignCall { leaf_patience_ms: u64::MAX, ..guard::sign_call(&session, &[1, 2])? };
        let answer = decisions().sign(examined, call, envelope, shown).await?;
        decided.push(started.elapsed());
        match answer.verdict {
            Verdict::Allowed(_) => {}
            Verdict::Refused(error) => bail!("payment {number} was refused: {error}"),
            Verdict::Repeat(_) => bail!("payment {number} was signed before"),
        }

        let started = Instant::now();
        store.write(|txn| txn.put_uptime(Uptime(1_000))).await?;
        written.push(started.elapsed());
    }
    let named = [
        ("reading an envelope for the first time: signature, bytes, effects, rules", read),
        ("a permission, durable: looked at again, decided and recorded", decided),
        ("an empty durable write, for comparison", written),
    ];
    let spread = |(what, times)| Some(Guard { what, times: Spread::of(times)? });
    named.into_iter().map(spread).collect::<Option<_>>().context("nothing was measured")
}

/// Identities of machines, which sign nothing here: the first multiples of P-256's generator. The last is the coordinator's.
const MACHINES: [&str; 4] = [
    "p256:036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "p256:037cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978",
    "p256:025ecbe4d1a6330a44c8f7ef951d4bf165e6c6b721efada985fb41661bc6e7fd6c",
    "p256:02e2534a3532d08fbba02dde659ee62bd0031fe2db785596ef509302446b030852",
];

/// Three signers, one requester, and rules that allow the payment.
fn text(requester: &SigningKey) -> String {
    let [signers @ .., coordinator] = MACHINES;
    let node = |(index, key): (usize, &str)| {
        format!("[[nodes]]\nid = \"signer-{index}\"\naddress = \"127.0.0.1:{index}\"\npublic_key = \"{key}\"\n")
    };
    let nodes: String = (1..).zip(signers).map(node).collect();
    let requester = requester.public_key();
    format!(
        "version = 1\ncluster = \"{CLUSTER}\"\ndanger_development = true\n\
         [bounds]\nmax_sessions = 8\nmax_expiry_secs = 86400\n{nodes}\
         [[coordinators]]\nid = \"coordinator-1\"\npublic_key = \"{coordinator}\"\n\
         [[requesters]]\nid = \"backend\"\npublic_key = \"{requester}\"\nduties = [\"request\"]\n\
         [assets.eth]\nchain = \"eip155:31337\"\nsymbol = \"ETH\"\ndecimals = 18\n\
         [[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n\
         [[rules]]\nname = \"pay\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"10\"\ndestinations = \"anywhere\"\n"
    )
}

fn facts() -> Result<KeyFacts> {
    let public = KeyPublic {
        cluster: ClusterId::new(CLUSTER)?,
        key: KeyId::new(KEY)?,
        epoch: Epoch::FIRST,
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        size: CommitteeSize::new(2, 3)?,
        public_key: Point::secp256k1(&GENERATOR)?,
        chain_code: [7; 32],
        verifying_shares: BTreeMap::new(),
    };
    let nodes = (1..=3).map(|index| NodeId::new(format!("signer-{index}"))).collect::<Result<_, _>>()?;
    Ok(KeyFacts { public, nodes, me: PartyIndex::new(1)?, active: true, moved: false })
}

fn payment(number: u32, requester: &SigningKey) -> Result<pb::Envelope> {
    let raw = pb::Intent {
        version: 1,
        cluster: CLUSTER.to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: format!("payment-{number}"),
        key_id: KEY.to_owned(),
        chain: scenario::CHAIN.to_owned(),
        expires_at_secs: limen_client::now_secs().saturating_add(3600),
        payload: Some(pb::intent::Payload::EvmTransaction(scenario::payment(u64::from(number))?.into())),
        ..pb::Intent::default()
    };
    Ok(seal_intent(&raw, requester)?.1)
}
