//! A request that was signed, with everything that its receipt needs. Tests spoil one thing and ask for the receipt.

use bytes::Bytes;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_chain::{NoTokenKinds, Point, SigningInput, derive_public};
use limen_evidence::checkpoint::{Checkpoint, SignedCheckpoint, View, cosigner_name};
use limen_evidence::leaf::{AccountKey, Authorization, Digests, Signature, Signed, SignedAuthorization};
use limen_evidence::merkle::ConsistencyProof;
use limen_evidence::receipt::{LoggedLeaf, Receipt};
use limen_evidence::trust::Trust;
use limen_wire::effects::{Amount, ChainId};
use limen_wire::ids::{
    CharterHash, CommitteeSize, Epoch, IntentId, KeyId, NodeId, PartyIndex, Protocol, Scheme, SessionId, SignerSet,
};
use limen_wire::intent::{Intent, seal_intent};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;

use crate::keys::{cluster, ed25519, node, p256};
use crate::tiles::Log;

pub(crate) const SCHEMES: [Scheme; 3] = [Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519, Scheme::SchnorrBip340];
const KEY_SEED: [u8; 32] = [21; 32];
const AT_SECS: u64 = 1_790_000_000;

/// Nodes with their identity keys: three signers and a witness without a share.
pub(crate) fn nodes() -> [(NodeId, SigningKey); 4] {
    [
        (node("signer-1"), p256(1)),
        (node("signer-2"), p256(2)),
        (node("signer-3"), ed25519(3)),
        (node("witness-1"), p256(4)),
    ]
}

pub(crate) fn node_key(index: usize) -> SigningKey {
    let [a, b, c, d] = nodes().map(|(_, key)| key);
    [a, b, c, d].into_iter().nth(index).unwrap()
}

/// The trust file of this cluster.
pub(crate) fn trust_file() -> String {
    let nodes: String = nodes()
        .iter()
        .map(|(node, key)| format!("\n[[nodes]]\nid = \"{node}\"\npublic_key = \"{}\"\n", key.public_key()))
        .collect();
    format!(
        "version = 1\ncluster = \"test\"\n\n[committee]\nmembers = [\"signer-1\", \"signer-2\", \"signer-3\", \
         \"witness-1\"]\nquorum = 3\nmax_corrupt = 1\n{nodes}"
    )
}

/// What a verifier pins: any three of the four make a checkpoint final.
pub(crate) fn trust() -> Trust {
    let pinned: Vec<_> = nodes().iter().map(|(node, key)| (node.clone(), key.public_key())).collect();
    Trust::new(cluster(), pinned.clone(), pinned.into_iter().map(|(node, _)| node), 3, 1).unwrap()
}

pub(crate) struct Story {
    pub(crate) intent: pb::Intent,
    pub(crate) requester: SigningKey,
    pub(crate) statement: KeyStatement,
    /// Which nodes sign the statement.
    pub(crate) attesting: Vec<usize>,
    /// What each participant records, and with whose key it signs.
    pub(crate) authorizations: Vec<(Authorization, SigningKey)>,
    pub(crate) signature: Signature,
    /// Which nodes cosign the checkpoint.
    pub(crate) cosigning: Vec<usize>,
}

impl Story {
    /// A 2-of-3 key of this scheme; signers 1 and 3 took part.
    pub(crate) fn new(scheme: Scheme) -> Self {
        Self::telling(scheme, intent(scheme))
    }

    /// The same about another intent.
    pub(crate) fn telling(scheme: Scheme, intent: pb::Intent) -> Self {
        let statement = statement(scheme);
        let requester = ed25519(11);
        let (id, envelope) = seal_intent(&intent, &requester).unwrap();
        let signature = sign(&statement, &envelope, id);
        let authorizations = [0, 2]
            .map(|index| {
                let key = node_key(index);
                (authorization(nodes()[index].0.clone(), &signature, &intent, &requester, &statement), key)
            })
            .into_iter()
            .collect();
        let (attesting, cosigning) = (vec![0, 1, 2], vec![0, 1, 3]);
        Self { intent, requester, statement, attesting, authorizations, signature, cosigning }
    }

    /// A P-256 key in the token of signer 1, which took part alone.
    pub(crate) fn held() -> Self {
        Self::telling_of_held(intent(Scheme::EcdsaP256))
    }

    /// The same about another intent.
    pub(crate) fn telling_of_held(intent: pb::Intent) -> Self {
        let mut story = Self::telling(Scheme::EcdsaP256, intent);
        let signers = SignerSet::new(vec![PartyIndex::new(1).unwrap()]).unwrap();
        (story.attesting, story.signature.signers) = (vec![0], signers.clone());
        story.authorizations.truncate(1);
        (story.authorizations[0].0.signers, story.authorizations[0].0.max_corrupt) = (signers, 0);
        story
    }

    /// All leaves in the log, with others around them, and the checkpoint cosigned.
    pub(crate) fn receipt(&self) -> Receipt {
        let (_, intent) = seal_intent(&self.intent, &self.requester).unwrap();
        let mut leaves: Vec<Vec<u8>> = (0..5_u8).map(|number| vec![number]).collect();
        let mut indices = Vec::new();
        for (authorization, key) in &self.authorizations {
            indices.push(leaves.len());
            leaves.push(authorization.clone().sign(key).encode());
            leaves.push(b"another request's".to_vec());
        }
        indices.push(leaves.len());
        leaves.push(self.signature.encode());
        leaves.push(b"a later one".to_vec());
        let log = Log::of(&leaves);
        let mut prover = log.prover(leaves.len() as u64);
        let mut logged: Vec<LoggedLeaf> = indices
            .into_iter()
            .map(|index| LoggedLeaf {
                index: index as u64,
                leaf: leaves[index].clone(),
                proof: prover.inclusion(index as u64).unwrap(),
            })
            .collect();
        let signature = logged.pop().unwrap();
        Receipt { intent, key: self.attested(), authorizations: logged, signature, checkpoint: self.cosigned(&log) }
    }

    fn attested(&self) -> pb::Envelope {
        let sign = |index: &usize| self.statement.sign(&nodes()[*index].0, &node_key(*index));
        combine(&self.attesting.iter().map(sign).collect::<Vec<_>>()).unwrap()
    }

    fn cosigned(&self, log: &Log) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(&cluster(), log.frontier.size(), log.frontier.root()).unwrap();
        let cosign = |index: &usize| {
            let followed =
                View::empty(checkpoint.origin()).follow(0, &ConsistencyProof::default(), &checkpoint).unwrap();
            let name = cosigner_name(&cluster(), &nodes()[*index].0);
            followed.cosign(&name, &node_key(*index), AT_SECS + 1).unwrap()
        };
        let lines = self.cosigning.iter().map(cosign).collect();
        SignedCheckpoint::new(checkpoint, lines).unwrap()
    }
}

fn statement(scheme: Scheme) -> KeyStatement {
    let public_key = match scheme {
        Scheme::EcdsaSecp256k1 => secret().public_key().to_sec1_bytes().to_vec(),
        Scheme::EddsaEd25519 => ed25519_dalek::SigningKey::from_bytes(&KEY_SEED).verifying_key().to_bytes().to_vec(),
        Scheme::SchnorrBip340 => {
            k256::schnorr::SigningKey::from_bytes(&KEY_SEED).unwrap().verifying_key().to_bytes().to_vec()
        }
        Scheme::EcdsaP256 => {
            let key = ::p256::ecdsa::SigningKey::from_slice(&KEY_SEED).unwrap();
            key.verifying_key().to_encoded_point(true).as_bytes().to_vec()
        }
    };
    // No threshold protocol makes P-256 signatures.
    let held = scheme == Scheme::EcdsaP256;
    let protocol = match scheme {
        Scheme::EcdsaSecp256k1 => Protocol::Dkls23,
        Scheme::EddsaEd25519 | Scheme::SchnorrBip340 => Protocol::Frost,
        Scheme::EcdsaP256 => Protocol::Hsm,
    };
    KeyStatement {
        cluster: cluster(),
        key_id: KeyId::new("treasury").unwrap(),
        scheme,
        protocol,
        epoch: Epoch(4),
        size: if held { CommitteeSize::ALONE } else { CommitteeSize::new(2, 3).unwrap() },
        nodes: nodes()[..if held { 1 } else { 3 }].iter().map(|(node, _)| node.clone()).collect(),
        public_key,
        chain_code: if held { [0; 32] } else { [5; 32] },
        verifying_shares_hash: [6; 32],
        generation_id: IntentId::new([7; 32]),
        was_whole: false,
    }
}

fn intent(scheme: Scheme) -> pb::Intent {
    let chain = ChainId::eip155(1);
    let to = limen_chain::parse_address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC").unwrap();
    let fees = Eip1559Fees { nonce: 3, gas_limit: 21_000, max_fee_per_gas: 30, max_priority_fee_per_gas: 1 };
    let unsigned = transfer(&Transfer { chain, to, amount: Amount::from_units("0.5", 18).unwrap() }, &fees).unwrap();
    let ecdsa = scheme == Scheme::EcdsaSecp256k1;
    pb::Intent {
        version: 1,
        cluster: "test".into(),
        requester: "alice".into(),
        idempotency_key: "order-1".into(),
        vault: "hot".into(),
        key_id: "treasury".into(),
        path: if ecdsa { vec![0, 7] } else { Vec::new() },
        chain: if ecdsa { "eip155:1".into() } else { String::new() },
        payload: Some(match ecdsa {
            true => pb::intent::Payload::EvmTransaction(Bytes::from(unsigned)),
            false => pb::intent::Payload::Message(Bytes::from_static(b"pay the rent")),
        }),
        expires_at_secs: AT_SECS + 60,
        replaces: Bytes::new(),
        note: "rent".into(),
    }
}

fn secret() -> k256::SecretKey {
    k256::SecretKey::from_slice(&KEY_SEED).unwrap()
}

fn sign(statement: &KeyStatement, envelope: &pb::Envelope, intent: IntentId) -> Signature {
    let (checked, _) = Intent::open(envelope).unwrap();
    let (account_key, child) = match statement.scheme {
        Scheme::EcdsaSecp256k1 => {
            let path = limen_chain::DerivationPath::new(checked.path.clone()).unwrap();
            let point = Point::secp256k1(&statement.public_key).unwrap();
            let child = derive_public(&point, &statement.chain_code, &path).unwrap();
            let tweak = k256::SecretKey::from_slice(&child.tweak).unwrap();
            let scalar = *secret().to_nonzero_scalar() + *tweak.to_nonzero_scalar();
            (child.public_key.as_bytes().to_vec(), scalar.to_bytes().into())
        }
        _ => (statement.public_key.clone(), KEY_SEED),
    };
    let signing = decoded(statement.scheme, &checked, &account_key).signing;
    let (signature, recovery_id) = raw_signature(statement.scheme, &child, &signing);
    Signature {
        cluster: cluster(),
        intent,
        key: statement.key_id.clone(),
        epoch: statement.epoch,
        account_key: AccountKey::new(statement.scheme, &account_key).unwrap(),
        signed: Signed::of(&signing),
        signature,
        recovery_id,
        session: SessionId::new([9; 32]),
        signers: SignerSet::new(vec![PartyIndex::new(1).unwrap(), PartyIndex::new(3).unwrap()]).unwrap(),
    }
}

fn decoded(scheme: Scheme, intent: &Intent, account_key: &[u8]) -> limen_chain::Decoded {
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let account = limen_chain::address(&chain, scheme, account_key).unwrap();
    limen_chain::decode(&(&intent.payload).into(), &chain, &account, &NoTokenKinds).unwrap()
}

fn raw_signature(scheme: Scheme, secret: &[u8; 32], signing: &SigningInput) -> ([u8; 64], u8) {
    use ed25519_dalek::Signer as _;
    let message: &[u8] = &signing.for_scheme(scheme).unwrap();
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            let key = k256::ecdsa::SigningKey::from_slice(secret).unwrap();
            let (signature, id): (k256::ecdsa::Signature, k256::ecdsa::RecoveryId) = key.sign_prehash(message).unwrap();
            (signature.to_bytes().into(), id.to_byte())
        }
        Scheme::EddsaEd25519 => (ed25519_dalek::SigningKey::from_bytes(secret).sign(message).to_bytes(), 0),
        Scheme::SchnorrBip340 => {
            let key = k256::schnorr::SigningKey::from_bytes(secret).unwrap();
            (key.sign_raw(message, &[8; 32]).unwrap().to_bytes(), 0)
        }
        Scheme::EcdsaP256 => {
            let key = ::p256::ecdsa::SigningKey::from_slice(secret).unwrap();
            let (signature, id) = key.sign_prehash_recoverable(message).unwrap();
            let low = signature.normalize_s();
            let id = if low.is_some() { id.to_byte() ^ 1 } else { id.to_byte() };
            (low.unwrap_or(signature).to_bytes().into(), id)
        }
    }
}

fn authorization(
    node: NodeId,
    signature: &Signature,
    intent: &pb::Intent,
    requester: &SigningKey,
    statement: &KeyStatement,
) -> Authorization {
    let (_, envelope) = seal_intent(intent, requester).unwrap();
    let (checked, _) = Intent::open(&envelope).unwrap();
    let effects = decoded(statement.scheme, &checked, signature.account_key.as_bytes()).effects;
    Authorization {
        cluster: cluster(),
        node,
        intent: signature.intent,
        requester_key: requester.public_key(),
        effects: effects.digest(),
        decoder_version: effects.decoder_version,
        charter: CharterHash::new([1; 32]),
        slice: [2; 32],
        freeze_epoch: [3; 32],
        approvals: Digests::new(vec![[4; 32], [5; 32]]).unwrap(),
        certificate: Some([6; 32]),
        session: signature.session,
        signers: signature.signers.clone(),
        key: signature.key.clone(),
        epoch: signature.epoch,
        path: limen_chain::DerivationPath::new(intent.path.clone()).unwrap(),
        max_corrupt: 1,
        allowed_at_ms: AT_SECS * 1000,
    }
}

/// The authorization leaf that stands in a receipt.
pub(crate) fn signed_leaf(receipt: &Receipt, at: usize) -> SignedAuthorization {
    SignedAuthorization::decode(&receipt.authorizations[at].leaf).unwrap()
}

/// An envelope's bytes as another writer of protocol buffers might order them: same meaning, other bytes.
pub(crate) fn reordered(envelope: &pb::Envelope) -> Vec<u8> {
    let payload_first = pb::Envelope { payload_type: String::new(), signatures: Vec::new(), ..envelope.clone() };
    let rest = pb::Envelope { payload: Bytes::new(), ..envelope.clone() };
    [payload_first.encode_to_vec(), rest.encode_to_vec()].concat()
}
