//! What was signed or made elsewhere, and comes in a file: as other programs wrote it.

use base64ct::{Base64, Encoding as _};
use limen_evidence::ceremony::proof_nonce;
use limen_evidence::destroyed::DestructionProof;
use limen_policy::ceremony::{Kind, MemberBackup};
use limen_recover::Backup;
use limen_wire::charter::SignedCharter;
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::pb;
use prost::Message as _;

use super::{LocalHands, NoGo, Task};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

impl LocalHands {
    fn path(&self, line: &str) -> Result<&std::path::Path, NoGo> {
        let found = self.brought.get(line).map(std::path::PathBuf::as_path);
        found.ok_or_else(|| NoGo(format!("{line} is not at hand: --bring {line}=FILE")))
    }

    pub(super) fn bring(&self, line: &str) -> Result<Vec<u8>, NoGo> {
        let path = self.path(line)?;
        let size = std::fs::metadata(path).map_err(|error| NoGo::of(line, error))?.len();
        if size > MAX_FILE {
            return Err(NoGo(format!("{line}: {} has more than {MAX_FILE} bytes", path.display())));
        }
        std::fs::read(path).map_err(|error| NoGo::of(line, error))
    }

    fn text(&self, line: &str) -> Result<String, NoGo> {
        String::from_utf8(self.bring(line)?).map_err(|error| NoGo::of(line, error))
    }

    /// A line as it was brought.
    pub(super) fn line(&self, name: &str) -> Result<String, NoGo> {
        Ok(self.text(name)?.trim().to_owned())
    }

    /// What can only be made now: the person is told what for, and says when it lies in the file.
    pub(super) fn made_now(&mut self, line: &str, what: &str) -> Result<String, NoGo> {
        let path = self.path(line)?.display().to_string();
        self.console.say(&format!("{line}: {what}"));
        self.yes(&format!("Does it lie in {path}"))?;
        self.text(line)
    }

    /// Our signature out of what `limen charter sign` wrote.
    pub(super) fn approval(&self, task: &Task, line: &str) -> Result<String, NoGo> {
        let failed = |error: &dyn std::fmt::Display| NoGo::of("the signature under the version", error);
        let envelope = pb::Envelope::decode(self.bring(line)?.as_slice()).map_err(|error| failed(&error))?;
        let signed = SignedCharter::open(&envelope).map_err(|error| failed(&error))?;
        let ours = signed.approvals.iter().find(|one| one.approval.person == task.me);
        let ours = ours.ok_or_else(|| failed(&format!("{} has not signed in that file", task.me)))?;
        Ok(Base64::encode_string(&ours.to_envelope().encode_to_vec()))
    }

    /// A machine's word out of what `limen key destroyed-proof` wrote.
    pub(super) fn destroyed(&self, task: &Task, place: usize, line: &str) -> Result<String, NoGo> {
        let machine = task.plan.machines.get(place).ok_or_else(|| NoGo("there is no such machine".to_owned()))?;
        let proof = DestructionProof::decode(&self.text(line)?).map_err(|error| NoGo::of(line, error))?;
        let theirs = |word: &&pb::Envelope| KeyDestroyed::open(word).is_ok_and(|(word, _)| word.node == machine.id);
        let word = proof.words.iter().find(theirs);
        let word =
            word.ok_or_else(|| NoGo(format!("{line}: {} has not said that the key is destroyed there", machine.id)))?;
        Ok(Base64::encode_string(&word.encode_to_vec()))
    }

    /// What a backup that was fetched says in clear.
    pub(super) fn head_of(&self, task: &Task, member: usize, line: &str) -> Result<String, NoGo> {
        let member = member_of(task, member)?;
        let backup = Backup::decode(&self.bring(line)?).map_err(|error| NoGo::of(line, error))?;
        let expected = hex::encode(member.backup);
        if backup.hash().0 != member.backup {
            return Err(NoGo(format!("NO GO: {line}: that is backup {}, the plan names {expected}", backup.hash())));
        }
        Ok(Base64::encode_string(backup.head().to_text().as_bytes()))
    }

    /// Our proof of a piece out of what `limen-recover check` printed.
    pub(super) fn proof_of_piece(&mut self, task: &Task, member: usize, line: &str) -> Result<String, NoGo> {
        let (node, me) = (&member_of(task, member)?.node, &task.me);
        let nonce = hex::encode(proof_nonce(&task.plan, task.mode, task.head, node));
        let what = format!(
            "prove your piece offline: limen-recover check BACKUP --holder {me} --identity … --nonce {nonce} --asked-by {node} --sign-as … --key …"
        );
        let printed = self.made_now(line, &what)?;
        let hexadecimal = printed.lines().find_map(|line| line.strip_prefix("signed proof of ")?.split_once(": "));
        let hexadecimal = hexadecimal.map_or(printed.trim(), |(_, proof)| proof.trim());
        let bytes = hex::decode(hexadecimal).map_err(|error| NoGo::of(line, error))?;
        Ok(Base64::encode_string(&bytes))
    }
}

fn member_of(task: &Task, member: usize) -> Result<&MemberBackup, NoGo> {
    let Kind::Backup(backup) = &task.plan.kind else { return Err(NoGo("the plan is about no backup".to_owned())) };
    backup.members.get(member).ok_or_else(|| NoGo("the plan has no such backup".to_owned()))
}
