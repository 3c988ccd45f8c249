//! The way to the cluster: what its signers attest about keys, and requests for signatures.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use limen_client::{Client, ClientConfig, Error, NewIntent, Patience, Retry, SignedIntent, now_secs};
use limen_wire::ids::KeyId;
use limen_wire::intent::Payload;
use limen_wire::statement::KeyStatement;
use tokio::runtime::{Builder, Runtime};

use crate::config::Timing;
use crate::error::{ConfigFault, Fault};
use crate::mechanism::SIGNATURE_BYTES;
use crate::objects::Key;

/// Requests without an answer that are remembered.
const MAX_UNANSWERED: usize = 64;

/// What the library asks of a cluster.
pub(crate) trait Cluster: Send + Sync {
    /// The key as its signers attest it.
    fn statement(&self, key: &KeyId) -> Result<KeyStatement, Error>;

    /// A signature that verifies under the key that is shown.
    fn sign(&self, key: &Key, payload: Payload) -> Result<[u8; SIGNATURE_BYTES], Fault>;
}

/// The cluster, asked through the SDK. Everything runs on the program's own threads, while they are in a call.
pub(crate) struct Signer {
    runtime: Runtime,
    client: Client,
    timing: Timing,
    unanswered: Mutex<VecDeque<SignedIntent>>,
}

impl Signer {
    /// Prepares the connection; nothing is sent yet.
    pub(crate) fn new(config: &ClientConfig, timing: Timing) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Fault::System { what: "prepare the connection", reason: error.to_string() })?;
        let client = {
            let _inside = runtime.enter();
            Client::connect(config).map_err(ConfigFault::Client)?
        };
        let client = client.with_retry(Retry { deadline: timing.answer(), ..Retry::default() });
        Ok(Self { runtime, client, timing, unanswered: Mutex::default() })
    }

    /// A request of the same bytes that has not ended as far as we know, or a new one. Two requests could mean two approvals
    /// by people, and two places taken in a limit.
    fn intent(&self, key: &Key, payload: Payload) -> Result<SignedIntent, Error> {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_secs();
        unanswered.retain(|one| one.intent().expires_at_secs > now);
        let same = |one: &&SignedIntent| {
            let one = one.intent();
            one.key_id == key.key_id && one.path == key.path && one.payload == payload
        };
        if let Some(intent) = unanswered.iter().find(same) {
            return Ok(intent.clone());
        }
        let mut wish = NewIntent::new(key.key_id.clone(), None, payload)
            .path(key.path.clone())
            .expires_in(self.timing.request())
            .note(key.shown.note.clone());
        if let Some(vault) = &key.shown.vault {
            wish = wish.vault(vault.clone());
        }
        let intent = self.client.sign_intent(wish)?;
        if unanswered.len() >= MAX_UNANSWERED {
            unanswered.pop_front();
        }
        unanswered.push_back(intent.clone());
        Ok(intent)
    }

    fn is_answered(&self, intent: &SignedIntent) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.retain(|one| one.id() != intent.id());
    }
}

impl Cluster for Signer {
    fn statement(&self, key: &KeyId) -> Result<KeyStatement, Error> {
        self.runtime.block_on(self.client.key(key))
    }

    fn sign(&self, key: &Key, payload: Payload) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        let failed = |source| Fault::Signing { key: key.key_id.clone(), source };
        let intent = self.intent(key, payload).map_err(failed)?;
        let patience = Patience::in_all(self.timing.sign());
        let outcome = self.runtime.block_on(self.client.sign(&intent, patience));
        if !outcome.as_ref().is_err_and(Error::is_uncertain) {
            self.is_answered(&intent);
        }
        let signed = outcome.map_err(failed)?;
        if signed.public_key != key.public_key {
            return Err(Fault::OtherKey { key: key.key_id.clone() });
        }
        Ok(signed.signature)
    }
}
