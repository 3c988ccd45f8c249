//! Whether a version of the charter is signed as the charter before it asks.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use limen_policy::approval::verify;
use limen_policy::ceremony::check::replaces;
use limen_policy::charter::Charter;
use limen_policy::succession::{facts, follows, judge};
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::ids::{CharterHash, PersonId};

use super::content::envelope_of;
use super::contribution::{Body, Said};
use super::transcript::{Session, Transcript};

/// The name of the line that the parent's text stands in.
const PARENT: &str = "parent";
/// That of a signature.
const APPROVAL: &str = "approval";

fn version(session: &Session) -> Result<Charter, String> {
    let text = session.charter().ok_or("the version's text is missing")?;
    Charter::from_toml(text).map_err(|error| format!("the version is refused: {error}"))
}

/// The charter with this hash, which the session's charter follows.
pub(super) fn parent(session: &Session, hash: CharterHash, value: &str) -> Result<Charter, String> {
    let bytes = Base64::decode_vec(value).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    let found = Charter::hash_of(&text);
    if found != hash || Base64::encode_string(text.as_bytes()) != value {
        return Err(format!("the charter brought is {found}, the plan's parent {hash}"));
    }
    let parent = Charter::from_toml(&text).map_err(|error| error.to_string())?;
    let version = version(session)?;
    replaces(session.plan(), &parent, &version)?;
    follows(&[&parent], &version).map_err(|error| error.to_string())?;
    Ok(parent)
}

/// The parent as it was brought in an earlier step.
fn brought(transcript: &Transcript<'_>) -> Result<Charter, String> {
    let said = transcript.done().flat_map(|(_, said, _)| said.values());
    let line = said.filter_map(|said| line_of(said, PARENT)).next().ok_or("the parent's text was not brought")?;
    let text = Base64::decode_vec(line).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    Charter::from_toml(&text).map_err(|error| error.to_string())
}

/// What somebody said in this line of a step.
pub(super) fn line_of<'a>(said: &'a Said, line: &str) -> Option<&'a str> {
    let Body::Step { fields, .. } = &said.contribution.body else { return None };
    fields.iter().find(|(name, _)| name == line).map(|(_, value)| value.as_str())
}

/// One person's signature under the version.
pub(super) fn approval(transcript: &Transcript<'_>, author: &PersonId, value: &str) -> Result<SignedApproval, String> {
    let signed = SignedApproval::open(&envelope_of(value)?).map_err(|error| error.to_string())?;
    if signed.approval.person != *author {
        return Err(format!("it is signed by {}", signed.approval.person));
    }
    if signed.approval.verdict != Verdict::Approve {
        return Err("it rejects the version".to_owned());
    }
    let (parent, version) = (brought(transcript)?, version(transcript.session())?);
    verify(&signed, &parent.roster, &facts(&version), 0).map_err(|error| error.to_string())?;
    Ok(signed)
}

/// That all signatures together are what the parent asks for.
pub(super) fn quorum(transcript: &Transcript<'_>, said: &BTreeMap<PersonId, Said>) -> Result<(), String> {
    let lines = said.iter().filter_map(|(author, said)| Some((author, line_of(said, APPROVAL)?)));
    let approvals = lines.map(|(author, value)| approval(transcript, author, value)).collect::<Result<Vec<_>, _>>()?;
    let (parent, version) = (brought(transcript)?, version(transcript.session())?);
    judge(&[&parent], &version, &approvals).map(|_| ()).map_err(|error| format!("NO GO: {error}"))
}
