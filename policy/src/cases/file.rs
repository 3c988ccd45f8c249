//! The text form of tests.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{CasesError, MAX_BYTES};
use crate::charter::Charter;
use crate::packs;

/// Most tests of a file.
const MAX_TESTS: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Parts of the charter, put together in this order: files, or `pack:NAME`.
    charter: Vec<String>,
    #[serde(default)]
    pub(super) given: Given,
    #[serde(default, rename = "test")]
    tests: Vec<Spanned<Test>>,
}

/// What holds for a test: its own word, or else that of `[given]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    pub(super) requester: Option<String>,
    pub(super) key: Option<String>,
    pub(super) account: Option<String>,
    pub(super) chain: Option<String>,
    pub(super) at: Option<String>,
    pub(super) in_force: Option<String>,
    pub(super) balances: Option<Balances>,
    pub(super) prices: Option<Prices>,
}

/// What one unit of an asset is worth, as somebody attests who may: by currency and asset.
pub(super) type Prices = BTreeMap<String, BTreeMap<String, String>>;

/// What vaults hold, as somebody attests who may: by vault and asset, in units of the asset.
pub(super) type Balances = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) requester: Option<String>,
    pub(super) key: Option<String>,
    pub(super) account: Option<String>,
    pub(super) chain: Option<String>,
    /// `mon 10:00`, in UTC.
    pub(super) at: Option<String>,
    /// For how long all entries and credentials have been in force.
    pub(super) in_force: Option<String>,
    #[serde(default)]
    pub(super) does: Vec<FileEffect>,
    /// Unsigned transaction bytes in hexadecimal, instead of `does`.
    pub(super) transaction: Option<String>,
    /// Credentials, in the order in which they approve; each has seen those before.
    #[serde(default)]
    pub(super) approvals: Vec<String>,
    pub(super) rejected_by: Option<String>,
    /// Checkers that have passed it.
    #[serde(default)]
    pub(super) checks: Vec<String>,
    pub(super) balances: Option<Balances>,
    pub(super) prices: Option<Prices>,
    /// How long ago the last approval came.
    pub(super) waited: Option<String>,
    /// What of each limit is used already, in units of its asset.
    #[serde(default)]
    pub(super) spent: BTreeMap<String, String>,
    pub(super) expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEffect {
    pub(super) effect: crate::charter::rule::Class,
    pub(super) asset: Option<String>,
    pub(super) amount: Option<String>,
    /// An address, or `book:ENTRY`.
    pub(super) to: Option<String>,
    /// A call's method, an authority change's kind, a primary type.
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Expect {
    Word(String),
    Rule(ExpectRule),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectRule {
    pub(super) needs: Option<String>,
    pub(super) refused: Option<String>,
}

pub(super) fn read(text: &str) -> Result<File, CasesError> {
    if text.len() > MAX_BYTES {
        return Err(CasesError::Syntax(format!("{} bytes, at most {MAX_BYTES} are read", text.len())));
    }
    let file: File = toml::from_str(text).map_err(|error| CasesError::Syntax(error.to_string()))?;
    if file.tests.is_empty() || file.tests.len() > MAX_TESTS {
        return Err(CasesError::Syntax(format!("{} tests, 1 to {MAX_TESTS} are possible", file.tests.len())));
    }
    Ok(file)
}

impl File {
    pub(super) fn charter(&self, part: &dyn Fn(&str) -> Result<String, String>) -> Result<Charter, CasesError> {
        let mut text = String::new();
        for name in &self.charter {
            let found = match name.strip_prefix("pack:") {
                Some(pack) => packs::find(pack).map(|pack| pack.charter.to_owned()).ok_or_else(|| {
                    let names: Vec<&str> = packs::PACKS.iter().map(|pack| pack.name).collect();
                    format!("there is no such pack; there are {}", names.join(", "))
                }),
                None => part(name),
            };
            text.push_str(&found.map_err(|reason| CasesError::Part { part: name.clone(), reason })?);
            text.push('\n');
        }
        let refused = |source| CasesError::Charter { parts: self.charter.join(", "), source };
        Charter::from_toml(&text).map_err(refused)
    }

    /// The tests, each with its line.
    pub(super) fn tests<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, &'a Test)> {
        self.tests.iter().map(|test| {
            let before = text.get(..test.span().start).unwrap_or_default();
            (before.matches('\n').count().saturating_add(1), test.get_ref())
        })
    }
}
