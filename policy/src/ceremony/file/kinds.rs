//! What the tables of kinds mean.

use limen_wire::ids::{CharterHash, CommitteeSize, Epoch, KeyId, NodeId, PersonId, Protocol, RoleId, Scheme};
use limen_wire::keys::PublicKey;

use super::Reader;
use super::tables::{
    FileCharterChange, FileDestruction, FileDrill, FileGenesis, FileIdentityRotation, FileKey, FileKeyGeneration,
    FileMemberBackup, FileRefresh, FileReshare, Tables,
};
use crate::ceremony::{
    Backup, CharterChange, Destruction, Drill, Genesis, Handover, IdentityRotation, KekRotation, KeyGeneration, Kind,
    KnownKey, MemberBackup, Recovery, Sweep,
};
use crate::date;

/// Each kind and the tables that it needs, which are all that it may have.
const KINDS: &[(&str, &[&str])] = &[
    ("genesis", &["genesis"]),
    ("key-generation", &["key_generation"]),
    ("refresh", &["key", "refresh"]),
    ("reshare", &["key", "reshare"]),
    ("charter-change", &["charter_change"]),
    ("destruction", &["key", "destruction"]),
    ("recovery", &["key", "recovery"]),
    ("drill", &["key", "drill"]),
    ("backup", &["key", "backup"]),
    ("kek-rotation", &["key", "kek_rotation"]),
    ("identity-rotation", &["charter_change", "identity_rotation"]),
    ("sweep", &["key", "to", "sweep"]),
];

/// The committee of a table, as it is written.
struct Raw {
    protocol: String,
    signers_required: u16,
    nodes: Vec<String>,
}

type Shares = (Protocol, CommitteeSize, Vec<NodeId>);

impl Reader {
    pub(super) fn kind(&mut self, word: &str, mut tables: Tables) -> Option<Kind> {
        let Some((_, needed)) = KINDS.iter().find(|(kind, _)| *kind == word) else {
            let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
            self.add("kind", format!("{word:?} is not known here; these are: {}", known.join(", ")));
            return None;
        };
        let found = tables.names();
        if found != *needed {
            let listed = |names: &[&str]| names.iter().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "the tables of its own kind are needed, {}, and no others; there is {}",
                listed(needed),
                if found.is_empty() { "none".to_owned() } else { listed(&found) }
            );
            self.add("kind", message);
            return None;
        }
        let key = tables.key.take().map(|raw| self.known("key", raw));
        let to = tables.to.take().map(|raw| self.known("to", raw));
        if let Some(raw) = tables.genesis {
            return self.genesis(raw).map(Kind::Genesis);
        }
        if let Some(raw) = tables.key_generation {
            return self.key_generation(raw).map(Kind::KeyGeneration);
        }
        if let Some(raw) = tables.charter_change {
            let change = self.charter_change(raw);
            return match tables.identity_rotation {
                Some(raw) => self.identity_rotation(change?, raw).map(Kind::IdentityRotation),
                None => change.map(Kind::CharterChange),
            };
        }
        self.of_key(key??, to.flatten(), tables)
    }

    /// Kinds that are about a key that is there.
    fn of_key(&mut self, key: KnownKey, to: Option<KnownKey>, tables: Tables) -> Option<Kind> {
        if let Some(raw) = tables.refresh {
            return self.refresh(key, raw).map(Kind::Refresh);
        }
        if let Some(raw) = tables.reshare {
            return self.reshare(key, raw).map(Kind::Reshare);
        }
        if let Some(raw) = tables.destruction {
            return self.destruction(key, raw).map(Kind::Destruction);
        }
        if let Some(raw) = tables.recovery {
            let custodians = self.roles("recovery.custodians", raw.custodians);
            let operator = self.take("recovery.operator", RoleId::new(raw.operator))?;
            return Some(Kind::Recovery(Recovery { key, custodians, operator }));
        }
        if let Some(raw) = tables.backup {
            let members = self.list(raw.members, Self::member_backup);
            return Some(Kind::Backup(Backup { key, members }));
        }
        if let Some(raw) = tables.kek_rotation {
            let nodes = self.list(raw.nodes, |reader, one| reader.take("kek_rotation.nodes", NodeId::new(one)));
            let orders = self.take("kek_rotation.orders", RoleId::new(raw.orders))?;
            return Some(Kind::KekRotation(KekRotation { key, nodes, orders }));
        }
        if let Some(raw) = tables.sweep {
            let retired_by = self.take("sweep.retired_by", raw.retired_by.parse::<CharterHash>());
            let sweeper = self.take("sweep.sweeper", RoleId::new(raw.sweeper));
            return Some(Kind::Sweep(Sweep { key, to: to?, retired_by: retired_by?, sweeper: sweeper? }));
        }
        tables.drill.and_then(|raw| self.drill(key, raw)).map(Kind::Drill)
    }

    fn member_backup(&mut self, raw: FileMemberBackup) -> Option<MemberBackup> {
        const PLACE: &str = "backup.members";
        let node = self.take(PLACE, NodeId::new(raw.node));
        let custodians = self.roles(PLACE, raw.custodians);
        let [backup, head] = [raw.sha256, raw.head_sha256].map(|hash| self.hash(PLACE, &hash));
        Some(MemberBackup { node: node?, backup: backup?, head: head?, custodians })
    }

    fn identity_rotation(&mut self, change: CharterChange, raw: FileIdentityRotation) -> Option<IdentityRotation> {
        const PLACE: &str = "identity_rotation";
        let replaced = self.list(raw.machines, |reader, one| {
            let id = reader.take(PLACE, NodeId::new(one.id));
            let before = reader.take(PLACE, one.before.parse::<PublicKey>());
            Some((id?, before?))
        });
        let reshare = self.list(raw.reshare, |reader, one| reader.take(PLACE, KeyId::new(one)));
        Some(IdentityRotation { change, replaced, reshare })
    }

    fn genesis(&mut self, raw: FileGenesis) -> Option<Genesis> {
        let charter = self.take("genesis.charter_sha256", raw.charter_sha256.parse::<CharterHash>());
        let unproven = self.list(raw.unproven, |reader, one| reader.take("genesis.unproven", PersonId::new(one)));
        Some(Genesis { charter: charter?, unproven: unproven.into_iter().collect() })
    }

    /// A committee whose protocol makes such signatures.
    fn shares(&mut self, place: &str, scheme: Option<Scheme>, raw: Raw) -> Option<Shares> {
        let total = u16::try_from(raw.nodes.len()).unwrap_or(u16::MAX);
        let nodes = self.list(raw.nodes, |reader, one| reader.take(place, NodeId::new(one)));
        let protocol = self.take(place, raw.protocol.parse::<Protocol>());
        let size = self.take(place, CommitteeSize::new(raw.signers_required, total));
        let protocol = protocol?;
        if let Some(scheme) = scheme
            && (!protocol.supports(scheme) || !protocol.is_threshold())
        {
            self.add(place, format!("{protocol} makes no threshold signatures of scheme {scheme}"));
        }
        Some((protocol, size?, nodes))
    }

    fn key_generation(&mut self, raw: FileKeyGeneration) -> Option<KeyGeneration> {
        const PLACE: &str = "key_generation";
        let key = self.take(PLACE, KeyId::new(raw.key));
        let scheme = self.take(PLACE, raw.scheme.parse::<Scheme>());
        let orders = self.take(PLACE, RoleId::new(raw.orders));
        let raw = Raw { protocol: raw.protocol, signers_required: raw.signers_required, nodes: raw.nodes };
        let (protocol, size, nodes) = self.shares(PLACE, scheme, raw)?;
        Some(KeyGeneration { key: key?, scheme: scheme?, protocol, size, nodes, orders: orders? })
    }

    fn known(&mut self, place: &str, raw: FileKey) -> Option<KnownKey> {
        let id = self.take(place, KeyId::new(raw.id));
        let scheme = self.take(place, raw.scheme.parse::<Scheme>());
        let public_key = scheme
            .and_then(|scheme| self.bytes(&format!("{place}.public_key"), &raw.public_key, scheme.public_key_len()));
        let shares = self.hash(&format!("{place}.shares_sha256"), &raw.shares_sha256);
        if raw.epoch == 0 {
            self.add(&format!("{place}.epoch"), "epochs count from 1");
        }
        let committee = Raw { protocol: raw.protocol, signers_required: raw.signers_required, nodes: raw.nodes };
        let (protocol, size, nodes) = self.shares(place, scheme, committee)?;
        let (epoch, public_key) = (Epoch(raw.epoch), public_key?);
        Some(KnownKey { id: id?, scheme: scheme?, protocol, size, nodes, public_key, epoch, shares: shares? })
    }

    fn hash(&mut self, place: &str, text: &str) -> Option<[u8; 32]> {
        self.bytes(place, text, 32)?.try_into().ok()
    }

    /// Bytes in lower-case hexadecimal.
    fn bytes(&mut self, place: &str, text: &str, len: usize) -> Option<Vec<u8>> {
        let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == len && hex::encode(bytes) == text);
        if bytes.is_none() {
            self.add(place, format!("{len} bytes in lower-case hexadecimal are needed"));
        }
        bytes
    }

    fn charter_change(&mut self, raw: FileCharterChange) -> Option<CharterChange> {
        let charter = self.take("charter_change.charter_sha256", raw.charter_sha256.parse::<CharterHash>());
        let parent = self.take("charter_change.parent_sha256", raw.parent_sha256.parse::<CharterHash>());
        let brings = self.take("charter_change.brings", RoleId::new(raw.brings));
        let approvers = self.roles("charter_change.approvers", raw.approvers);
        Some(CharterChange { charter: charter?, parent: parent?, brings: brings?, approvers })
    }

    fn roles(&mut self, place: &str, raw: Vec<String>) -> Vec<RoleId> {
        self.list(raw, |reader, one| reader.take(place, RoleId::new(one)))
    }

    fn destruction(&mut self, key: KnownKey, raw: FileDestruction) -> Option<Destruction> {
        let retired_by = self.take("destruction.retired_by", raw.retired_by.parse::<CharterHash>());
        let custodians = self.roles("destruction.custodians", raw.custodians);
        let lost = self.list(raw.lost, |reader, one| reader.take("destruction.lost", NodeId::new(one)));
        Some(Destruction { key, retired_by: retired_by?, custodians, lost })
    }

    fn drill(&mut self, key: KnownKey, raw: FileDrill) -> Option<Drill> {
        let absent = self.list(raw.absent, |reader, one| reader.take("drill.absent", NodeId::new(one)));
        let operator = self.take("drill.operator", RoleId::new(raw.operator));
        if date::day(&raw.next_due).is_none() {
            self.add("drill.next_due", "a date of the calendar, 2000 to 2199, is written YYYY-MM-DD");
        }
        Some(Drill { key, scenario: raw.scenario, absent, operator: operator?, next_due: raw.next_due })
    }

    fn refresh(&mut self, key: KnownKey, raw: FileRefresh) -> Option<Handover> {
        let reshare = FileReshare {
            orders: raw.orders,
            protocol: raw.protocol,
            signers_required: key.size.signers_required().into(),
            nodes: key.nodes.iter().map(ToString::to_string).collect(),
        };
        self.handover("refresh", key, reshare)
    }

    fn reshare(&mut self, key: KnownKey, raw: FileReshare) -> Option<Handover> {
        let handover = self.handover("reshare", key, raw)?;
        if handover.nodes == handover.key.nodes && handover.size == handover.key.size {
            self.add("reshare", "it is the committee that there is: that is a refresh");
        }
        Some(handover)
    }

    fn handover(&mut self, place: &str, key: KnownKey, raw: FileReshare) -> Option<Handover> {
        let orders = self.take(place, RoleId::new(raw.orders));
        let protocol = raw.protocol.unwrap_or_else(|| key.protocol.to_string());
        let raw = Raw { protocol, signers_required: raw.signers_required, nodes: raw.nodes };
        let (protocol, size, nodes) = self.shares(place, Some(key.scheme), raw)?;
        Some(Handover { key, protocol, size, nodes, orders: orders? })
    }
}
