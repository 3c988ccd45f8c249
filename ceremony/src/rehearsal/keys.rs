//! The cluster of a rehearsal: one process that holds the key whole and signs in every member's place.

use base64ct::{Base64, Encoding as _};
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use limen_evidence::ceremony::{Transcript, proof_nonce, test_input};
use limen_policy::ceremony::step::NONE;
use limen_policy::ceremony::{Backup, Destruction, Kind, Plan, Wanted, WantedEpoch};
use limen_recover::practice::{Dealing, Practice};
use limen_recover::{Challenge, Nonce};
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::handover::{EpochSwitched, statement_hash};
use limen_wire::ids::{CredentialId, Epoch, IntentId, KeyId, NodeId, PersonId, RoleId, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;

use super::{Cast, derived};
use crate::hands::NoGo;

/// A key that one process holds whole: it stands for the one that signers share.
fn secret(seed: &[u8; 32], key: &KeyId) -> [u8; 32] {
    derived(seed, "key", key.as_str())
}

/// Public key and hash of the verifying shares of an epoch: of a key that was dealt for its backups what it is, else what stands for it.
pub(super) fn facts(
    practice: Option<&Practice>,
    seed: &[u8; 32],
    (key, scheme, epoch): (&KeyId, Scheme, Epoch),
) -> (Vec<u8>, [u8; 32]) {
    match practice.and_then(|practice| practice.backups().first()) {
        Some(backup) => (backup.head().public().public_key.to_key(scheme).to_vec(), backup.head().shares_hash()),
        None => (public_key(&secret(seed, key), scheme), derived(seed, key.as_str(), &epoch.0.to_string())),
    }
}

/// Backups of a dealt key, for a plan that is about some.
pub(super) fn practice(plan: &Plan, seed: &[u8; 32]) -> Option<Practice> {
    let Kind::Backup(Backup { key, members }) = &plan.kind else { return None };
    let holder = |role: &RoleId| plan.role(role).map(|role| role.holder.clone());
    let people = |node: &NodeId| {
        let member = members.iter().find(|one| one.node == *node)?;
        Some((node.clone(), member.custodians.iter().filter_map(holder).collect()))
    };
    let dealing = Dealing {
        cluster: plan.cluster.clone(),
        key: key.id.clone(),
        epoch: key.epoch,
        scheme: key.scheme,
        protocol: key.protocol,
        size: key.size,
        chain_code: derived(seed, "key", "chain code"),
        members: key.nodes.iter().filter_map(people).collect(),
    };
    Practice::deal(&dealing, derived(seed, "key", "dealt"))
}

/// As the API writes it.
fn public_key(secret: &[u8; 32], scheme: Scheme) -> Vec<u8> {
    match scheme {
        Scheme::EddsaEd25519 => SigningKey::ed25519_from_seed(&(*secret).into()).public_key().to_bytes(),
        Scheme::SchnorrBip340 => k256::schnorr::SigningKey::from_bytes(secret)
            .map(|key| key.verifying_key().to_bytes().to_vec())
            .unwrap_or_default(),
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
            let key = k256::ecdsa::SigningKey::from_slice(secret);
            key.map(|key| key.verifying_key().to_encoded_point(true).as_bytes().to_vec()).unwrap_or_default()
        }
    }
}

impl Cast {
    pub(super) fn statement(&self, plan: &Plan, wanted: &Wanted) -> KeyStatement {
        let epoch = match wanted.epoch {
            WantedEpoch::Exactly(epoch) => epoch,
            WantedEpoch::Above(epoch) => Epoch(epoch.0.saturating_add(1)),
        };
        let (public_key, verifying_shares_hash) =
            facts(self.practice.as_ref(), &self.seed, (&wanted.key, wanted.scheme, epoch));
        KeyStatement {
            cluster: plan.cluster.clone(),
            key_id: wanted.key.clone(),
            scheme: wanted.scheme,
            protocol: wanted.protocol,
            epoch,
            size: wanted.size,
            nodes: wanted.nodes.clone(),
            public_key,
            chain_code: derived(&self.seed, "key", "chain code"),
            verifying_shares_hash,
            generation_id: IntentId::new(derived(&self.seed, "order", &epoch.0.to_string())),
            was_whole: false,
        }
    }

    pub(super) fn certificate(&self, plan: &Plan, wanted: &Wanted) -> pb::Envelope {
        let statement = self.statement(plan, wanted);
        let signed = wanted.nodes.iter().filter_map(|node| Some(statement.sign(node, self.machines.get(node)?)));
        combine(&signed.collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Who signs with the throw-away key: what the newest certificate of the ceremony says.
    fn newest(&self, plan: &Plan) -> Option<KeyStatement> {
        let wanted = match &plan.kind {
            Kind::KeyGeneration(key) => key.wanted(),
            Kind::Refresh(handover) | Kind::Reshare(handover) => handover.wanted(),
            Kind::Sweep(sweep) => sweep.wanted(),
            other => other.known()?.wanted(),
        };
        Some(self.statement(plan, &wanted))
    }

    /// A member's word that it uses the new shares, in base64.
    pub(super) fn switched(&self, plan: &Plan, place: usize) -> String {
        let word = || {
            let (machine, statement) = (plan.machines.get(place)?, self.newest(plan)?);
            let key = self.machines.get(&machine.id)?;
            let word = EpochSwitched {
                cluster: plan.cluster.clone(),
                node: machine.id.clone(),
                key_id: statement.key_id.clone(),
                epoch: statement.epoch,
                statement_hash: statement_hash(&statement.to_payload()),
            };
            Some(seal(PayloadType::EpochSwitched, word.to_payload(), machine.id.as_str(), key))
        };
        word().map_or_else(|| NONE.to_owned(), |word| Base64::encode_string(&word.encode_to_vec()))
    }

    /// A member's word that it has destroyed its shares, in base64.
    pub(super) fn destroyed(&self, plan: &Plan, place: usize) -> String {
        let word = || {
            let (machine, key) = (plan.machines.get(place)?, plan.kind.known()?);
            let Kind::Destruction(Destruction { retired_by, .. }) = &plan.kind else { return None };
            let word = KeyDestroyed {
                cluster: plan.cluster.clone(),
                node: machine.id.clone(),
                key_id: key.id.clone(),
                public_key: key.public_key.clone(),
                epochs: vec![key.epoch],
                charter: *retired_by,
                wrapping_keys_left: Vec::new(),
                at_ms: 1,
            };
            let signer = self.machines.get(&machine.id)?;
            Some(seal(PayloadType::KeyDestroyed, word.to_payload(), machine.id.as_str(), signer))
        };
        word().map_or_else(|| NONE.to_owned(), |word| Base64::encode_string(&word.encode_to_vec()))
    }

    /// A member's place among those of the dealt key.
    fn member(&self, plan: &Plan, member: usize) -> Option<(NodeId, usize)> {
        let Kind::Backup(Backup { key, members }) = &plan.kind else { return None };
        let node = &members.get(member)?.node;
        Some((node.clone(), key.nodes.iter().position(|one| one == node)?))
    }

    /// What its backup says in clear, in base64.
    pub(super) fn backup_head(&self, plan: &Plan, member: usize) -> Result<String, NoGo> {
        let backup = || self.practice.as_ref()?.backups().get(self.member(plan, member)?.1);
        let backup = backup().ok_or_else(|| NoGo("there is no such backup".to_owned()))?;
        Ok(Base64::encode_string(backup.head().to_text().as_bytes()))
    }

    /// Somebody's proof that they read their piece of it, for this moment, in base64.
    pub(super) fn backup_proof(
        &self,
        transcript: &Transcript<'_>,
        member: usize,
        me: &PersonId,
    ) -> Result<String, NoGo> {
        let (plan, mode) = (transcript.session().plan(), transcript.session().mode());
        let said = || {
            let (node, place) = self.member(plan, member)?;
            let nonce = Nonce(proof_nonce(plan, mode, transcript.head(), &node));
            let credential = CredentialId::new("terminal").ok()?;
            let by = (&credential, self.people.get(me)?);
            self.practice.as_ref()?.say(place, me, &Challenge { asked_by: node, nonce }, by)
        };
        let envelope = said().ok_or_else(|| NoGo(format!("{me} has no piece of that backup")))?;
        let envelope = envelope.map_err(|error| NoGo(error.to_string()))?;
        Ok(Base64::encode_string(&envelope.encode_to_vec()))
    }

    pub(super) fn test_signature(&self, plan: &Plan, scheme: Scheme, message: &str) -> Result<String, NoGo> {
        let statement = self.newest(plan).ok_or_else(|| NoGo("the ceremony has no key".to_owned()))?;
        let input = test_input(message, scheme, &statement.public_key).map_err(NoGo)?;
        let secret = secret(&self.seed, &statement.key_id);
        let failed = |error: k256::ecdsa::Error| NoGo(error.to_string());
        let (signature, recovery) = match scheme {
            Scheme::EddsaEd25519 => (SigningKey::ed25519_from_seed(&secret.into()).sign(&input).to_vec(), 0),
            Scheme::SchnorrBip340 => {
                let key = k256::schnorr::SigningKey::from_bytes(&secret).map_err(failed)?;
                (key.sign_raw(&input, &[0; 32]).map_err(failed)?.to_bytes().to_vec(), 0)
            }
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
                let key = k256::ecdsa::SigningKey::from_slice(&secret).map_err(failed)?;
                let made: (k256::ecdsa::Signature, k256::ecdsa::RecoveryId) =
                    key.sign_prehash(&input).map_err(failed)?;
                (made.0.to_bytes().to_vec(), made.1.to_byte())
            }
        };
        Ok(hex::encode([signature.as_slice(), &[recovery]].concat()))
    }
}
