//! The two messages of the SSH agent protocol (draft-ietf-sshm-ssh-agent) that signing with an Ed25519 key needs.

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
/// The longest answer that is read: what OpenSSH's own agent sends at most.
const MAX_ANSWER: usize = 256 * 1024;
/// The agent may ask its user first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A conversation with an agent.
pub(super) struct Agent<S = UnixStream> {
    stream: S,
}

impl Agent {
    /// Connects to the agent that SSH_AUTH_SOCK names.
    pub(super) fn connect() -> Result<Self> {
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
    /// The usable Ed25519 keys that the agent holds.
    pub(super) fn keys(&mut self) -> Result<Vec<PublicKey>> {
        let answer = self.ask(REQUEST_IDENTITIES, IDENTITIES_ANSWER, &[])?;
        let mut left = Fields(&answer);
        let count = left.number()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let (blob, _comment) = (left.string()?, left.string()?);
            let mut blob = Fields(blob);
            if blob.string()? == ED25519 {
                let key = PublicKey::from_ed25519_bytes(blob.string()?).context("the SSH agent shows a broken key")?;
                blob.end()?;
                keys.push(key);
            }
        }
        left.end()?;
        Ok(keys)
    }

    /// Signs with a key that the agent holds.
    pub(super) fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64]> {
        let blob = [string(ED25519)?, string(&key.to_bytes())?].concat();
        let question = [string(&blob)?, string(message)?, 0u32.to_be_bytes().to_vec()].concat();
        let answer = self.ask(SIGN_REQUEST, SIGN_RESPONSE, &question).context("the SSH agent did not sign")?;
        let mut left = Fields(&answer);
        let mut signature = Fields(left.string()?);
        left.end()?;
        if signature.string()? != ED25519 {
            bail!("the SSH agent signed in another way than Ed25519");
        }
        let bytes = <[u8; 64]>::try_from(signature.string()?).context("the SSH agent's signature is not 64 bytes")?;
        signature.end()?;
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

    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { bail!("the SSH agent's answer has {} bytes too many", self.0.len()) }
    }
}
