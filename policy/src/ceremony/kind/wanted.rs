//! What a key's certificate must say by the plan.

use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, NodeId, Protocol, Scheme};
use limen_wire::statement::KeyStatement;

use super::{Handover, KeyGeneration, KnownKey, Sweep};

/// Which certificate of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Of the shares that the key has before.
    Present,
    /// Of the shares that come of the ceremony.
    New,
}

/// What the epoch of a certificate must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedEpoch {
    /// This one.
    Exactly(Epoch),
    /// A later one than this.
    Above(Epoch),
}

/// What a certificate must say by the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which one it is.
    pub which: Which,
    /// The key.
    pub key: KeyId,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol.
    pub protocol: Protocol,
    /// How many must take part.
    pub size: CommitteeSize,
    /// The members in index order.
    pub nodes: Vec<NodeId>,
    /// The generation of the shares.
    pub epoch: WantedEpoch,
    /// The public key, where the plan knows it.
    pub public_key: Option<Vec<u8>>,
    /// The hash of all verifying shares, where the plan knows it.
    pub shares: Option<[u8; 32]>,
}

impl KeyGeneration {
    /// What the new key's certificate must say.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            which: Which::New,
            key: self.key.clone(),
            scheme: self.scheme,
            protocol: self.protocol,
            size: self.size,
            nodes: self.nodes.clone(),
            epoch: WantedEpoch::Exactly(Epoch::FIRST),
            public_key: None,
            shares: None,
        }
    }
}

impl Sweep {
    /// What the certificate of the key that things go to must say.
    pub fn wanted(&self) -> Wanted {
        Wanted { which: Which::New, ..self.to.wanted() }
    }
}

impl KnownKey {
    /// What the present certificate must say.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            which: Which::Present,
            key: self.id.clone(),
            scheme: self.scheme,
            protocol: self.protocol,
            size: self.size,
            nodes: self.nodes.clone(),
            epoch: WantedEpoch::Exactly(self.epoch),
            public_key: Some(self.public_key.clone()),
            shares: Some(self.shares),
        }
    }
}

impl Handover {
    /// What the certificate of the new shares must say.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            which: Which::New,
            protocol: self.protocol,
            size: self.size,
            nodes: self.nodes.clone(),
            epoch: WantedEpoch::Above(self.key.epoch),
            shares: None,
            ..self.key.wanted()
        }
    }
}

impl Wanted {
    /// What a statement says otherwise than the plan; `None` if it says what it must.
    pub fn differs(&self, cluster: &ClusterId, statement: &KeyStatement) -> Option<&'static str> {
        let epoch = match self.epoch {
            WantedEpoch::Exactly(epoch) => statement.epoch == epoch,
            WantedEpoch::Above(epoch) => statement.epoch > epoch,
        };
        let public_key = self.public_key.as_ref().is_none_or(|key| *key == statement.public_key);
        let shares = self.shares.is_none_or(|shares| shares == statement.verifying_shares_hash);
        let facts = [
            (statement.cluster == *cluster, "cluster"),
            (statement.key_id == self.key, "key"),
            (statement.scheme == self.scheme, "scheme"),
            (statement.protocol == self.protocol, "protocol"),
            (statement.size == self.size && statement.nodes == self.nodes, "committee"),
            (epoch, "epoch"),
            (public_key, "public key"),
            (shares, "verifying shares"),
        ];
        facts.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
    }
}
