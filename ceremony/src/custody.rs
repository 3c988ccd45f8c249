//! Backups and custodians' proofs of them, judged by the crate that knows their format: for who takes part and for who verifies.

use std::collections::BTreeSet;

use limen_evidence::ceremony::{Custody, OneBackup, Record, RecordError, Verified};
use limen_policy::ceremony::Participant;
use limen_recover::{BackupHash, Challenge, Head, Nonce};
use limen_wire::backup::BackupProof;
use limen_wire::ids::PersonId;
use limen_wire::pb;

/// By [`limen_recover`].
#[derive(Debug, Clone, Copy)]
pub struct Backups;

/// The judge of every session and record here.
pub const JUDGE: Option<&'static dyn Custody> = Some(&Backups);

/// Verifies a record of whatever kind.
pub fn verify(record: &[u8]) -> Result<Verified, RecordError> {
    Record::verify_by(record, JUDGE)
}

fn read(text: &str) -> Result<Head, String> {
    Head::from_text(text).map_err(|error| error.to_string())
}

impl Custody for Backups {
    fn head(&self, backup: &OneBackup<'_>, head: &str) -> Result<(), String> {
        let (head, key, node) = (read(head)?, backup.key, &backup.member.node);
        let public = head.public();
        if public.epoch < key.epoch {
            return Err(format!(
                "the backup of {node} is from before new shares: it is of epoch {}, the key has those of epoch {}",
                public.epoch.0, key.epoch.0
            ));
        }
        let place = key.nodes.iter().position(|one| one == node).map(|place| place.saturating_add(1));
        let people: BTreeSet<&PersonId> = head.custodians().iter().map(|one| &one.person).collect();
        let wanted: BTreeSet<&PersonId> = backup.custodians.iter().map(|one| &one.id).collect();
        let facts = [
            (public.cluster == backup.plan.cluster, "cluster"),
            (public.key == key.id, "key"),
            (public.epoch == key.epoch, "epoch"),
            (public.scheme == key.scheme && public.protocol == key.protocol && public.size == key.size, "kind of key"),
            (public.public_key.to_key(key.scheme) == key.public_key.as_slice(), "public key"),
            (head.shares_hash() == key.shares, "shares"),
            (head.node() == node && Some(usize::from(head.member().as_u8())) == place, "member"),
            (people == wanted, "custodians"),
        ];
        match facts.into_iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(format!("the backup of {node} has another {what} than the plan says")),
            None => Ok(()),
        }
    }

    fn proof(
        &self,
        backup: &OneBackup<'_>,
        head: &str,
        nonce: [u8; 32],
        by: &Participant,
        proof: &pb::Envelope,
    ) -> Result<(), String> {
        let (said, _) = BackupProof::open(proof).map_err(|error| error.to_string())?;
        if said.person != by.id {
            return Err(format!("the proof that {} brings is of {}: each brings their own", by.id, said.person));
        }
        let challenge = Challenge { asked_by: backup.member.node.clone(), nonce: Nonce(nonce) };
        // A name within the charter; that it is this very key is what counts here.
        let key = |person: &PersonId, _: &_| (*person == by.id).then_some(by.credential);
        let verified = read(head)?.verify_said(BackupHash(backup.member.backup), &challenge, key, proof);
        verified.map(drop).map_err(|error| error.to_string())
    }
}
