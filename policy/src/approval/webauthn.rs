//! A passkey's assertion, checked as W3C Web Authentication level 3, section 7.2, says, with every choice that it leaves to
//! the relying party taken strictly: user verification required, no frames, no extensions.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use limen_wire::approval::Assertion;
use limen_wire::effects::sha256;
use limen_wire::keys::PublicKey;
use serde::{Deserialize, Deserializer};

use crate::charter::people::Passkey;

/// Why an assertion does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not 37 bytes.
    #[error("the authenticator data has {found} bytes where an assertion without extensions has 37")]
    AuthenticatorData {
        /// Its length.
        found: usize,
    },
    /// Made for another relying party.
    #[error("the passkey signed for another relying party than {expected:?}")]
    RelyingParty {
        /// The enrolled one.
        expected: String,
    },
    /// Flag UP.
    #[error("nobody was present at the authenticator (flag UP)")]
    NotPresent,
    /// Flag UV.
    #[error("the authenticator did not verify its user (flag UV): use a PIN or biometrics")]
    NotVerified,
    /// Flag BS without BE.
    #[error("the authenticator claims a backup of a passkey that cannot have one (flag BS without BE)")]
    BackupState,
    /// Flags AT or ED.
    #[error("the authenticator data claims attested data or extensions, which nobody asked for")]
    Unsolicited,
    /// Not the JSON of client data.
    #[error("the client data cannot be read: {0}")]
    ClientData(String),
    /// Another ceremony.
    #[error("the client data is of type {found:?} where \"webauthn.get\" is needed")]
    Type {
        /// Which, cut to 100 characters.
        found: String,
    },
    /// The challenge is not the digest.
    #[error("the passkey signed another challenge than the digest of this approval")]
    Challenge,
    /// Asked by another page.
    #[error("the page at {found:?} asked, which is not among the passkey's enrolled origins")]
    Origin {
        /// Which, cut to 100 characters.
        found: String,
    },
    /// Asked from within a frame of another site.
    #[error("the page that asked was a frame within another site's page")]
    Framed,
    /// The signature.
    #[error("the signature does not verify under the enrolled key")]
    Signature,
}

/// What an assertion tells besides that it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Flag BE: the passkey may leave its authenticator.
    pub(super) backup_eligible: bool,
    /// The signature counter; zero where there is none.
    pub(super) sign_count: u32,
}

/// Flags of authenticator data (section 6.1). The two reserved bits mean nothing yet and are not looked at.
mod flag {
    pub(super) const USER_PRESENT: u8 = 0x01;
    pub(super) const USER_VERIFIED: u8 = 0x04;
    pub(super) const BACKUP_ELIGIBLE: u8 = 0x08;
    pub(super) const BACKED_UP: u8 = 0x10;
    pub(super) const ATTESTED_DATA: u8 = 0x40;
    pub(super) const EXTENSIONS: u8 = 0x80;
}

/// Checks an assertion by this passkey whose challenge must be these 32 bytes.
pub(super) fn verify(
    assertion: &Assertion,
    passkey: &Passkey,
    key: &PublicKey,
    challenge: &[u8; 32],
) -> Result<Seen, AssertionError> {
    check_client_data(&assertion.client_data, passkey, challenge)?;
    let seen = check_authenticator_data(&assertion.authenticator_data, passkey)?;
    let signed = [assertion.authenticator_data.as_ref(), &sha256(&assertion.client_data)].concat();
    if key.verify_assertion(&signed, &assertion.signature) { Ok(seen) } else { Err(AssertionError::Signature) }
}

fn check_authenticator_data(data: &[u8], passkey: &Passkey) -> Result<Seen, AssertionError> {
    let wrong_length = || AssertionError::AuthenticatorData { found: data.len() };
    let (relying_party, rest) = data.split_first_chunk::<32>().ok_or_else(wrong_length)?;
    let (&flags, rest) = rest.split_first().ok_or_else(wrong_length)?;
    if *relying_party != sha256(passkey.relying_party.as_bytes()) {
        return Err(AssertionError::RelyingParty { expected: passkey.relying_party.clone() });
    }
    let has = |flag: u8| flags & flag != 0;
    if !has(flag::USER_PRESENT) {
        return Err(AssertionError::NotPresent);
    }
    if !has(flag::USER_VERIFIED) {
        return Err(AssertionError::NotVerified);
    }
    if has(flag::BACKED_UP) && !has(flag::BACKUP_ELIGIBLE) {
        return Err(AssertionError::BackupState);
    }
    if has(flag::ATTESTED_DATA) || has(flag::EXTENSIONS) {
        return Err(AssertionError::Unsolicited);
    }
    let count = <[u8; 4]>::try_from(rest).map_err(|_| wrong_length())?;
    Ok(Seen { backup_eligible: has(flag::BACKUP_ELIGIBLE), sign_count: u32::from_be_bytes(count) })
}

/// The members that we judge; others may be added by clients (section 5.8.1). A member that is there twice is an error, since
/// two readers could take different ones.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin", deserialize_with = "present")]
    has_top_origin: bool,
}

/// True for any value, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn check_client_data(json: &[u8], passkey: &Passkey, challenge: &[u8; 32]) -> Result<(), AssertionError> {
    // `serde` would also read a list of the members' values.
    if json.first() != Some(&b'{') {
        return Err(AssertionError::ClientData("it is no JSON object".to_owned()));
    }
    let data: ClientData =
        serde_json::from_slice(json).map_err(|error| AssertionError::ClientData(cut(&error.to_string())))?;
    if data.kind != "webauthn.get" {
        return Err(AssertionError::Type { found: cut(&data.kind) });
    }
    if data.challenge != Base64UrlUnpadded::encode_string(challenge) {
        return Err(AssertionError::Challenge);
    }
    if !passkey.origins.contains(&data.origin) {
        return Err(AssertionError::Origin { found: cut(&data.origin) });
    }
    if data.cross_origin || data.has_top_origin {
        return Err(AssertionError::Framed);
    }
    Ok(())
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}
