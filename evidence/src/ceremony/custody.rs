//! Who judges custodians' proofs of backups: whoever knows their format, which this crate does not.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use limen_policy::ceremony::{Kind, KnownKey, MemberBackup, Mode, Participant, Plan};
use limen_wire::effects::sha256;
use limen_wire::ids::{NodeId, PersonId, RecordHead, tagged_hash};
use limen_wire::pb;

use super::change::line_of;
use super::content::envelope_of;
use super::transcript::{Session, Transcript};

/// One member's backup in a ceremony.
#[derive(Debug)]
pub struct OneBackup<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The key of the plan.
    pub key: &'a KnownKey,
    /// What the plan says of the backup.
    pub member: &'a MemberBackup,
    /// All who have to be its custodians.
    pub custodians: Vec<&'a Participant>,
}

/// Judges backups and proofs of them, on the day and years later.
pub trait Custody: fmt::Debug + Sync {
    /// Whether this is what such a backup says in clear: of this member's share of the plan's key, in pieces for these custodians and no
    /// others. The reason if not.
    fn head(&self, backup: &OneBackup<'_>, head: &str) -> Result<(), String>;

    /// Whether it proves, under the credential that the plan has for this person, that they can read their piece of that backup, for
    /// this nonce. The reason if not.
    fn proof(
        &self,
        backup: &OneBackup<'_>,
        head: &str,
        nonce: [u8; 32],
        by: &Participant,
        proof: &pb::Envelope,
    ) -> Result<(), String>;
}

/// What custodians prove their pieces for: nobody could know it before all had gone this far together, in this mode.
pub fn proof_nonce(plan: &Plan, mode: Mode, head: RecordHead, node: &NodeId) -> [u8; 32] {
    let hash = plan.hash();
    let parts = [mode.as_str().as_bytes(), hash.as_bytes(), head.as_bytes(), node.as_str().as_bytes()];
    tagged_hash("limen/ceremony/backup-proof/v1", parts)
}

fn one(session: &Session, member: usize) -> Result<OneBackup<'_>, String> {
    let plan = session.plan();
    let Kind::Backup(backup) = &plan.kind else { return Err("the plan is about no backup".to_owned()) };
    let member = backup.members.get(member).ok_or("the plan has no such backup")?;
    let acting = member.custodians.iter().filter_map(|role| session.attendance().acting(role));
    let custodians = acting.filter_map(|person| plan.person(person)).collect();
    Ok(OneBackup { plan, key: &backup.key, member, custodians })
}

fn judge(session: &Session) -> Result<&'static dyn Custody, String> {
    session.custody().ok_or_else(|| "this program does not know backups: limen-ceremony judges them".to_owned())
}

fn text_of(value: &str) -> Result<String, String> {
    let bytes = Base64::decode_vec(value).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    if Base64::encode_string(text.as_bytes()) == value { Ok(text) } else { Err("it has another spelling".to_owned()) }
}

/// What a backup says in clear, as somebody brings it.
pub(super) fn head(transcript: &Transcript<'_>, member: usize, value: &str) -> Result<(), String> {
    let session = transcript.session();
    let backup = one(session, member)?;
    let text = text_of(value)?;
    let found = sha256(text.as_bytes());
    if found != backup.member.head {
        let expected = hex::encode(backup.member.head);
        return Err(format!(
            "the head of a backup that was brought is {}, the plan names {expected}",
            hex::encode(found)
        ));
    }
    judge(session)?.head(&backup, &text)
}

/// One custodian's proof, as they bring it.
pub(super) fn proof(transcript: &Transcript<'_>, author: &PersonId, member: usize, value: &str) -> Result<(), String> {
    let session = transcript.session();
    let backup = one(session, member)?;
    let line = format!("backup-{}", backup.member.node);
    let said = transcript.done().flat_map(|(_, said, _)| said.values());
    let head = said.filter_map(|said| line_of(said, &line)).next().ok_or("the backup was not brought")?;
    let nonce = proof_nonce(backup.plan, session.mode(), transcript.head(), &backup.member.node);
    let by = backup.plan.person(author).ok_or("they are nobody in the plan")?;
    judge(session)?.proof(&backup, &text_of(head)?, nonce, by, &envelope_of(value)?)
}
