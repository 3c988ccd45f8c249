//! Reading and judging an intent, and checking the signature that comes of it: the same code that every signer runs.

use limen_chain::evm;
use limen_mpc::{DerivationPath, DeriveError, Point, SignInput, Signature, derive_public};
use limen_policy::charter::Charter;
use limen_policy::decide::{Decision, When, decide};
use limen_wire::effects::{Address, ChainId, Effects};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, Scheme};
use limen_wire::intent::{Intent, Payload};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

/// An intent with all that follows from its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// The intent.
    pub(crate) intent: Intent,
    /// What the bytes do.
    pub(crate) effects: Effects,
    /// The coordinator's own decision.
    pub(crate) decision: Decision,
    /// The charter by which it was judged.
    pub(crate) charter: CharterHash,
    scheme: Scheme,
    account: Address,
    child: Point,
    input: SignInput,
}

/// Decodes the bytes for the key's account and decides, as advice: what takes knowing since when something is in force is
/// left to the signers. `now_secs` is in seconds since 1970.
pub(crate) fn judge(charter: &Charter, key: &KeyStatement, intent: Intent, now_secs: u64) -> Result<Judged, ApiError> {
    let wrong_scheme = |why: String| ApiError::new(Code::WrongScheme, why);
    let child = child_key(key, &intent.path)?;
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let account = limen_chain::address(&chain, key.scheme, child.to_key(key.scheme))
        .map_err(|error| wrong_scheme(error.to_string()))?;
    let kinds = |chain: &ChainId, contract: &Address| charter.token_kind(chain, contract);
    let decoded = limen_chain::decode(&(&intent.payload).into(), &chain, &account, &kinds)
        .map_err(|error| ApiError::new(Code::Undecodable, error.to_string()))?;
    let cannot = || wrong_scheme(format!("a key of scheme {} cannot sign a {}", key.scheme, intent.payload.kind()));
    let bytes = decoded.signing.for_scheme(key.scheme).ok_or_else(cannot)?;
    let input = match key.scheme {
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
            SignInput::Digest(bytes.as_ref().try_into().map_err(|_| cannot())?)
        }
        Scheme::EddsaEd25519 | Scheme::SchnorrBip340 => SignInput::Message(bytes.to_vec()),
    };
    let decision = decide(charter, &intent, &decoded.effects, &When::advice(now_secs));
    let (effects, charter, scheme) = (decoded.effects, charter.hash(), key.scheme);
    Ok(Judged { effects, decision, charter, scheme, account, child, input, intent })
}

fn child_key(key: &KeyStatement, path: &[u32]) -> Result<Point, ApiError> {
    let broken = |why: String| ApiError::new(Code::Internal, format!("the certified key {}: {why}", key.key_id));
    let root = Point::of_key(key.scheme, &key.public_key).map_err(|error| broken(error.to_string()))?;
    let path = DerivationPath::new(path.to_vec()).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    derive_public(&root, &key.chain_code, &path).map(|child| child.public_key).map_err(|error| {
        let code = if error == DeriveError::NoChildren { Code::NoChildKeys } else { Code::Malformed };
        ApiError::new(code, error.to_string())
    })
}

impl Judged {
    /// Checks a signature that a signer handed over and puts it onto the transaction. Only signature, recovery id,
    /// session and signers are taken from the signer; everything else is computed here.
    pub(crate) fn finish(&self, result: &pb::SignatureResult) -> Result<pb::SignatureResult, ApiError> {
        let bad = |why: String| ApiError::new(Code::BadSignature, format!("the finished signature is no good: {why}"));
        let bytes = <[u8; 64]>::try_from(result.signature.as_ref())
            .map_err(|_| bad(format!("{} bytes where 64 are needed", result.signature.len())))?;
        let recovery_id = u8::try_from(result.recovery_id).map_err(|_| bad("recovery id out of range".to_owned()))?;
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        let signature = match self.scheme {
            Scheme::EcdsaSecp256k1 => Signature::Ecdsa { r, s, recovery_id },
            Scheme::EddsaEd25519 => Signature::Ed25519(bytes),
            Scheme::SchnorrBip340 => Signature::Bip340(bytes),
            Scheme::EcdsaP256 => Signature::EcdsaP256 { r, s, recovery_id },
        };
        signature.verify(&self.child, &self.input).map_err(|error| bad(error.to_string()))?;
        let mut finished = pb::SignatureResult {
            signature: result.signature.clone(),
            recovery_id: result.recovery_id,
            public_key: self.child.to_key(self.scheme).to_vec().into(),
            signed_transaction: bytes::Bytes::new(),
            transaction_hash: bytes::Bytes::new(),
            session_id: result.session_id.clone(),
            signers: result.signers.clone(),
        };
        if let Payload::EvmTransaction(unsigned) = &self.intent.payload {
            let signed = evm::attach_signature(unsigned, &self.account, &r, &s, recovery_id)
                .map_err(|error| bad(error.to_string()))?;
            finished.signed_transaction = signed.raw.into();
            finished.transaction_hash = signed.hash.to_vec().into();
        }
        Ok(finished)
    }
}
