//! The one place where a session is bound to what it belongs to.
//!
//! Everything that names a run goes into one digest; every frame's tag and every protocol's session id come from it.
//! A frame of any other run therefore fails the tag check before a protocol sees it.

use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId, SignerSet, tagged_hash,
};

/// What a session is for. Frames of one purpose are never accepted in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Makes a new key among all its signers.
    Keygen,
    /// Makes the protocol set-up that a core share lacks (CGGMP24 auxiliary information).
    AuxInfo,
    /// Makes one signature.
    Sign,
    /// Makes one CGGMP24 presignature.
    Presign,
    /// Makes new shares of a key for a new committee, or new ones for the same.
    Reshare,
    /// Takes in a key that was dealt outside of the cluster.
    Import,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Keygen => b"keygen",
            Self::AuxInfo => b"aux-info",
            Self::Sign => b"sign",
            Self::Presign => b"presign",
            Self::Reshare => b"reshare",
            Self::Import => b"import",
        }
    }
}

/// Names a run: equal on all its parties, or their frames do not mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionParams {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key made or used.
    pub key: KeyId,
    /// The epoch of the shares made or used.
    pub epoch: Epoch,
    /// The signature scheme of the key.
    pub scheme: Scheme,
    /// The protocol of the key.
    pub protocol: Protocol,
    /// The key's committee.
    pub size: CommitteeSize,
    /// The parties of this run: all of the committee for key generation, exactly `signers_required` to sign, the new
    /// committee and whoever of the old one gives and leaves for a reshare.
    pub signers: SignerSet,
    /// The run itself; never used twice.
    pub session: SessionId,
    /// The intent that authorises the run.
    pub intent: IntentId,
}

/// Session parameters, purpose and content (what is signed) as one value with one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    params: SessionParams,
    purpose: Purpose,
    context: [u8; 32],
    digest: [u8; 32],
}

impl Binding {
    /// Binds `params` to a purpose and to a hash of the content: what is signed and how, or zero for key generation.
    pub fn new(params: SessionParams, purpose: Purpose, context: [u8; 32]) -> Self {
        let digest = digest(&params, purpose, &context);
        Self { params, purpose, context, digest }
    }
    /// The parameters.
    pub fn params(&self) -> &SessionParams {
        &self.params
    }
    /// The purpose.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
    /// The hash of what is signed, zero for key generation.
    pub fn context(&self) -> &[u8; 32] {
        &self.context
    }
    /// Injective tagged hash over every field: the session id given to the protocols.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
    /// The tag of a frame: binds its round, sender, receiver and body to this session.
    pub fn frame_tag(&self, round: u8, from: PartyIndex, to: Option<PartyIndex>, body: &[u8]) -> [u8; 32] {
        // zero is no party index, so a broadcast cannot be read as a direct frame
        let to = to.map_or(0, PartyIndex::as_u8);
        tagged_hash("limen mpc frame v1", [&self.digest[..], &[round, from.as_u8(), to], body])
    }
    /// A hash of `parts` bound to this session, under a label of its own.
    pub(crate) fn derive<'a>(&'a self, label: &'static str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        tagged_hash(label, [&self.digest[..]].into_iter().chain(parts))
    }
}

fn digest(params: &SessionParams, purpose: Purpose, context: &[u8; 32]) -> [u8; 32] {
    let signers: Vec<u8> = params.signers.parties().iter().map(|party| party.as_u8()).collect();
    tagged_hash(
        "limen mpc session v1",
        [
            params.cluster.as_str().as_bytes(),
            params.key.as_str().as_bytes(),
            &params.epoch.0.to_be_bytes(),
            params.scheme.as_str().as_bytes(),
            params.protocol.as_str().as_bytes(),
            purpose.label(),
            &[params.size.signers_required(), params.size.signers_total()],
            &signers,
            params.session.as_bytes(),
            params.intent.as_bytes(),
            context,
        ],
    )
}

#[cfg(test)]
mod tests;
