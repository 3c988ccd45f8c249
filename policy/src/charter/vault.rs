//! Vaults, the address book and limits: where value is, where it may go, and how fast.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{BookEntryId, KeyId, LedgerId, LimitId, RequesterId, VaultId};
use serde::{Deserialize, Serialize};

use super::Currency;
use super::assets::Assets;

/// How close to the outside a vault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// For payments by machines.
    Hot,
    /// Refills the hot tier.
    Warm,
    /// Everything else.
    Cold,
}

/// Accounts under one tier and one set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vault {
    /// Its name.
    pub id: VaultId,
    /// Its tier.
    pub tier: Tier,
    /// Keys that belong to it with all their children; a key belongs to one vault only.
    pub keys: BTreeSet<KeyId>,
}

/// Which vault each key belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vaults {
    /// Vaults by name.
    pub by_id: BTreeMap<VaultId, Vault>,
}

impl Vaults {
    /// The vault that a key belongs to.
    pub fn of_key(&self, key: &KeyId) -> Option<&Vault> {
        self.by_id.values().find(|vault| vault.keys.contains(key))
    }
}

/// A destination that people have checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookEntry {
    /// Its name.
    pub id: BookEntryId,
    /// The chain on which it is good.
    pub chain: ChainId,
    /// The address.
    pub address: Address,
    /// What rules can call it.
    pub tags: BTreeSet<String>,
    /// The vault of ours that holds what comes there. It says nothing of how long the entry has been known.
    #[serde(skip)]
    pub vault: Option<VaultId>,
}

/// Every destination that people have checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    entries: BTreeMap<BookEntryId, BookEntry>,
    places: BTreeMap<Address, Vec<BookEntryId>>,
}

impl Book {
    /// Adds an entry; gives it back if its name is taken.
    pub(super) fn add(&mut self, entry: BookEntry) -> Result<(), BookEntry> {
        if self.entries.contains_key(&entry.id) {
            return Err(entry);
        }
        self.places.entry(entry.address.clone()).or_default().push(entry.id.clone());
        self.entries.insert(entry.id.clone(), entry);
        Ok(())
    }

    /// The entry of this name.
    pub fn entry(&self, id: &BookEntryId) -> Option<&BookEntry> {
        self.entries.get(id)
    }

    /// All entries by name.
    pub fn entries(&self) -> impl Iterator<Item = &BookEntry> {
        self.entries.values()
    }

    /// Whether the address is one of this vault's. One key has the same address on many chains, so that the chain of the entry
    /// does not matter here.
    pub fn is_of(&self, address: &Address, vault: &VaultId) -> bool {
        let named = self.places.get(address).into_iter().flatten();
        named.filter_map(|id| self.entries.get(id)).any(|entry| entry.vault.as_ref() == Some(vault))
    }

    /// The entries for this address on this chain.
    pub fn at(&self, chain: &ChainId, address: &Address) -> impl Iterator<Item = &BookEntry> {
        let named = self.places.get(address).into_iter().flatten();
        named.filter_map(|id| self.entries.get(id)).filter(move |entry| entry.chain == *chain)
    }
}

/// What a limit adds up over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Everything that it matches together.
    All,
    /// Each key for itself.
    Key,
    /// Each vault for itself; keys outside every vault together.
    Vault,
    /// Each requester for itself.
    Requester,
    /// Each destination for itself.
    Destination,
}

/// So much of an asset within a rolling window or for ever: transfers, allowances and the largest possible fees together. Or a
/// *ceiling*: what flows into a vault and has not arrived, on top of what the vault is attested to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its name.
    pub id: LimitId,
    /// Of what.
    pub assets: Assets,
    /// The money in which it counts what the assets are worth when they are reserved; `None` where it counts units of theirs.
    pub currency: Option<Currency>,
    /// Added up over what.
    pub per: Per,
    /// From which vaults; empty means all.
    pub vaults: BTreeSet<VaultId>,
    /// For whom; empty means everybody.
    pub requesters: BTreeSet<RequesterId>,
    /// How long something counts, in seconds; `None` for ever, and in a ceiling until it is known to have arrived.
    pub window_secs: Option<u64>,
    /// The most within the window, in the smallest unit of the asset, the group or the currency; of a ceiling the most that the
    /// vault may hold.
    pub max_amount: Option<Amount>,
    /// The most requests within the window.
    pub max_count: Option<u64>,
    /// The part of `max_amount` that signers share out among themselves and allow without the ledger's certificate.
    pub split_amount: Amount,
    /// The same part of `max_count`.
    pub split_count: u64,
    /// The vault of which it is the ceiling.
    pub ceiling_of: Option<VaultId>,
    /// The ledger that certifies the rest. Who keeps count changes nothing that a person approves.
    #[serde(skip)]
    pub ledger: Option<LedgerId>,
}

impl Limit {
    /// Its name with what it is.
    pub fn title(&self) -> String {
        let what = if self.ceiling_of.is_some() { "ceiling" } else { "limit" };
        format!("{what} {}", self.id)
    }
}
