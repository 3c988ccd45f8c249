//! What a rule or a limit is about: one asset, or several that stand for each other and are added up.

use std::collections::BTreeMap;
use std::fmt;

use limen_wire::effects::{Amount, Asset};
use serde::Serialize;

/// Assets of like worth, such as dollars of several issuers: one of any counts as one of any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetGroup {
    /// Its name.
    pub id: String,
    /// Its members, each with its decimal places.
    pub members: BTreeMap<Asset, u8>,
    /// Decimal places of the unit in which amounts of the group are counted; at least as many as each member has.
    pub decimals: u8,
}

/// One asset or a group of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Assets {
    /// This one, in its smallest unit.
    One(Asset),
    /// All of these together, in the unit of the group.
    Group(AssetGroup),
}

impl Assets {
    /// Whether the asset is meant.
    pub fn contains(&self, asset: &Asset) -> bool {
        match self {
            Self::One(one) => one == asset,
            Self::Group(group) => group.members.contains_key(asset),
        }
    }

    /// Each of them.
    pub fn each(&self) -> Box<dyn Iterator<Item = &Asset> + '_> {
        match self {
            Self::One(one) => Box::new(std::iter::once(one)),
            Self::Group(group) => Box::new(group.members.keys()),
        }
    }

    /// So much of an asset in the unit of all; `None` if it is not among them, or the number is beyond 256 bits.
    pub fn units(&self, asset: &Asset, amount: Amount) -> Option<Amount> {
        match self {
            Self::One(one) => (one == asset).then_some(amount),
            Self::Group(group) => {
                let places = group.decimals.checked_sub(*group.members.get(asset)?)?;
                (0..places).try_fold(amount, |amount, _| amount.checked_mul_u64(10))
            }
        }
    }

    /// Whether amounts of both can be compared: the same asset, or the group of the same name with the same unit.
    pub fn is_same_unit(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => one == other,
            (Self::Group(one), Self::Group(other)) => (&one.id, one.decimals) == (&other.id, other.decimals),
            _ => false,
        }
    }
}

impl fmt::Display for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(asset) => asset.fmt(f),
            Self::Group(group) => {
                let members: Vec<_> = group.members.keys().map(ToString::to_string).collect();
                write!(f, "{} ({})", group.id, members.join(", "))
            }
        }
    }
}
