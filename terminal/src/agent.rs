//! The two messages of the SSH agent protocol (draft-ietf-sshm-ssh-agent) that signing needs, with Ed25519 keys (RFC 8709)
//! and P-256 keys (RFC 5656), which tokens behind PKCS#11 have.

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use limen_wire::keys::PublicKey;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

const ED25519: &[u8] = b"ssh-ed25519";
const P256: &[u8] = b"ecdsa-sha2-nistp256";
const P256_CURVE: &[u8] = b"nistp256";
/// The longest answer that is read: what OpenSSH's own agent sends at most.
const MAX_ANSWER: usize = 256 * 1024;
/// The agent may ask its user first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A conversation with an agent.
pub(crate) struct Agent<S = UnixStream> {
    stream: S,
}

impl Agent {
    /// Connects to the agent that SSH_AUTH_SOCK names.
    pub(crate) fn connect() -> Result<Self> {
        let path = std::env::var_os("SSH_AUTH_SOCK")
            .context("SSH_AUTH_SOCK is not set: start an SSH agent and add your key to it")?;
        let stream = UnixStream::connect(&path)
            .with_context(|| format!("could not reach the SSH agent at {}", std::path::Path::new(&path).display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }
}

impl<S: Read + Write> Agent<S> {
    /// The usable keys that the agent holds.
    pub(crate) fn keys(&mut self) -> Result<Vec<PublicKey>> {
        let answer = self.ask(REQUEST_IDENTITIES, IDENTITIES_ANSWER, &[])?;
        let mut left = Fields(&answer);
        let count = left.number()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let (blob, _comment) = (left.string()?, left.string()?);
            keys.extend(read_key(blob).context("the SSH agent shows a broken key")?);
        }
        left.end()?;
        Ok(keys)
    }

    /// Signs with a key that the agent holds.
    pub(crate) fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64]> {
        let question = [string(&write_key(key)?)?, string(message)?, 0u32.to_be_bytes().to_vec()].concat();
        let answer = self.ask(SIGN_REQUEST, SIGN_RESPONSE, &question).context("the SSH agent did not sign")?;
        let mut left = Fields(&answer);
        let signature = left.string()?;
        left.end()?;
        let bytes = read_signature(key, signature).context("the SSH agent's signature cannot be read")?;
        if key.verify(message, &bytes) { Ok(bytes) } else { bail!("the SSH agent's signature does not verify") }
    }

    /// One question and its answer, without their types.
    fn ask(&mut self, question: u8, expected: u8, body: &[u8]) -> Result<Vec<u8>> {
        let message = string(&[&[question], body].concat())?;
        self.stream.write_all(&message).context("could not ask the SSH agent")?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("the SSH agent does not answer")?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        if !(1..=MAX_ANSWER).contains(&length) {
            bail!("the SSH agent's answer has {length} bytes, 1 to {MAX_ANSWER} are possible");
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).context("the SSH agent's answer is cut short")?;
        match answer.split_first() {
            Some((kind, rest)) if *kind == expected => Ok(rest.to_vec()),
            Some((&FAILURE, _)) => bail!("the SSH agent refuses: is the key there, and did its owner agree?"),
            other => {
                bail!("the SSH agent answers with message {:?} instead of {expected}", other.map(|(kind, _)| kind))
            }
        }
    }
}

/// A key blob; `None` for kinds that we do not use.
fn read_key(blob: &[u8]) -> Result<Option<PublicKey>> {
    let mut blob = Fields(blob);
    let kind = blob.string()?;
    let key = if kind == ED25519 {
        PublicKey::from_ed25519_bytes(blob.string()?)?
    } else if kind == P256 && blob.string()? == P256_CURVE {
        PublicKey::from_p256_sec1(blob.string()?)?
    } else {
        return Ok(None);
    };
    blob.end()?;
    Ok(Some(key))
}

fn write_key(key: &PublicKey) -> Result<Vec<u8>> {
    Ok(match key {
        PublicKey::Ed25519(key) => [string(ED25519)?, string(key.as_bytes())?].concat(),
        PublicKey::P256(key) => {
            let point = key.to_encoded_point(false);
            [string(P256)?, string(P256_CURVE)?, string(point.as_bytes())?].concat()
        }
    })
}

/// As our bare keys write it: 64 bytes, and low S, which agents do not care for.
fn read_signature(key: &PublicKey, signature: &[u8]) -> Result<[u8; 64]> {
    let mut signature = Fields(signature);
    let kind = signature.string()?;
    let mut body = Fields(signature.string()?);
    signature.end()?;
    match key {
        PublicKey::Ed25519(_) if kind == ED25519 => Ok(body.0.try_into()?),
        PublicKey::P256(_) if kind == P256 => {
            let (r, s) = (body.scalar()?, body.scalar()?);
            body.end()?;
            let signature = p256::ecdsa::Signature::from_scalars(r, s)?;
            Ok(signature.normalize_s().unwrap_or(signature).to_bytes().into())
        }
        _ => bail!("it is of another kind than the key"),
    }
}

/// A length-prefixed byte string (RFC 4251, section 5).
fn string(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&u32::try_from(bytes.len())?.to_be_bytes(), bytes].concat())
}

/// What is left of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length).context("the SSH agent's answer is cut short")?;
        self.0 = left;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn string(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?)?;
        self.take(length)
    }

    /// A positive number of at most 256 bits as 32 bytes (`mpint`, RFC 4251, section 5).
    fn scalar(&mut self) -> Result<[u8; 32]> {
        let bytes = self.string()?;
        let digits = match bytes {
            [0, digits @ ..] if digits.first().is_some_and(|first| first & 0x80 != 0) => digits,
            [first, ..] if (1..0x80).contains(first) => bytes,
            _ => bail!("a number in the SSH agent's answer is not in its one spelling"),
        };
        let zeros = 32usize.checked_sub(digits.len()).context("a number in the SSH agent's answer is too long")?;
        Ok([&vec![0; zeros], digits].concat().as_slice().try_into()?)
    }

    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { bail!("the SSH agent's answer has {} bytes too many", self.0.len()) }
    }
}
