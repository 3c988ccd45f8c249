//! A cluster for unit tests: two keys and a third without a mechanism, and signatures of one byte over and over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limen_client::{ClientConfig, Error};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, Protocol, Scheme};
use limen_wire::intent::Payload;
use limen_wire::statement::KeyStatement;

use crate::config::Config;
use crate::error::Fault;
use crate::log::Log;
use crate::mechanism::SIGNATURE_BYTES;
use crate::module::Module;
use crate::objects::Key;
use crate::signer::Cluster;
use crate::token::Token;

pub(crate) const SIGNATURE: [u8; SIGNATURE_BYTES] = [0x5a; SIGNATURE_BYTES];

/// The generator of secp256k1, and that of Ed25519.
pub(crate) const SECP256K1: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
pub(crate) const ED25519: &str = "5866666666666666666666666666666666666666666666666666666666666666";

pub(crate) const CONFIG: &str = r#"
version = 1
client = "client.toml"
[[keys]]
key = "release"
id = "01"
[[keys]]
key = "schnorr"
[[keys]]
key = "documents"
[[keys]]
key = "nowhere"
"#;

/// What was asked of it, and whether it can be reached.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fake {
    pub(crate) asked: Arc<Mutex<Vec<Payload>>>,
    pub(crate) gone: Arc<AtomicBool>,
}

impl Fake {
    fn reach(&self) -> Result<(), Error> {
        let gone = Error::Unreachable { call: "Test", attempts: 1, waited: Duration::ZERO, last: "gone".to_owned() };
        if self.gone.load(Ordering::Relaxed) { Err(gone) } else { Ok(()) }
    }
}

impl Cluster for Fake {
    fn statement(&self, key: &KeyId) -> Result<KeyStatement, Error> {
        self.reach()?;
        let unknown = || ApiError::new(Code::UnknownKey, format!("there is no key {key}"));
        statement(key.as_str()).ok_or_else(|| unknown().into())
    }

    fn sign(&self, key: &Key, payload: Payload) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        self.reach().map_err(|source| Fault::Signing { key: key.key_id.clone(), source })?;
        self.asked.lock().unwrap().push(payload);
        Ok(SIGNATURE)
    }
}

pub(crate) fn statement(name: &str) -> Option<KeyStatement> {
    let (scheme, protocol, public_key) = match name {
        "release" => (Scheme::EcdsaSecp256k1, Protocol::Dkls23, SECP256K1),
        "documents" => (Scheme::EddsaEd25519, Protocol::Frost, ED25519),
        "schnorr" => (Scheme::SchnorrBip340, Protocol::Frost, &SECP256K1[2..]),
        _ => return None,
    };
    Some(KeyStatement {
        cluster: ClusterId::new("test").unwrap(),
        key_id: KeyId::new(name).unwrap(),
        scheme,
        protocol,
        epoch: Epoch::FIRST,
        size: CommitteeSize::new(2, 3).unwrap(),
        nodes: (1..=3).map(|index| NodeId::new(format!("n{index}")).unwrap()).collect(),
        public_key: hex::decode(public_key).unwrap(),
        chain_code: [7; 32],
        verifying_shares_hash: [8; 32],
        generation_id: IntentId::new([9; 32]),
        was_whole: false,
    })
}

/// A library on such a cluster.
pub(crate) fn module(fake: &Fake) -> Module {
    module_with(fake, Log::Stderr)
}

/// The same with a log of its own.
pub(crate) fn module_with(fake: &Fake, log: Log) -> Module {
    let client: ClientConfig = toml::from_str(
        "version = 1\ncluster = \"test\"\nrequester = \"build\"\nendpoint = \"127.0.0.1:1\"\nserver_name = \"c\"\n\
         ca = \"a\"\ncert = \"b\"\nkey = \"c\"\nenvelope_key = \"d\"\nmin_signers_required = 2\nnodes = []\n",
    )
    .unwrap();
    let config = Config::parse(CONFIG).unwrap();
    Module::with(log, Token::new(&config, &client), Box::new(fake.clone()))
}
