//! Stock packs: parts of a charter for common vaults, each with its tests. Copy one, change the numbers, test it.

/// A part of a charter.
#[derive(Debug, Clone, Copy)]
pub struct Pack {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// Vaults, limits and rules, to be written below the rest of a charter.
    pub charter: &'static str,
    /// Tests of it, in the form of [`crate::cases`].
    pub tests: &'static str,
}

macro_rules! pack {
    ($name:literal, $summary:literal) => {
        Pack {
            name: $name,
            summary: $summary,
            charter: include_str!(concat!("../packs/", $name, ".toml")),
            tests: include_str!(concat!("../packs/", $name, ".tests.toml")),
        }
    };
}

/// All packs, by how close to the outside they are.
pub const PACKS: [Pack; 5] = [
    pack!("hot", "payments by machines: small ones at once, larger ones ask somebody, limits for the day"),
    pack!("warm", "refills and settlement: to known places, with approvals in sight of the bytes and an hour's delay"),
    pack!("cold", "everything else: to our own accounts only, three people in order, a day's delay"),
    pack!("staking", "deposits into the staking contract and nothing else, read by two people"),
    pack!("gas", "tops our own accounts up with what fees take"),
];

/// What the tests of the packs stand on: a charter without vaults and rules.
pub const BASE: &str = include_str!("../packs/base.toml");

/// The pack of this name.
pub fn find(name: &str) -> Option<&'static Pack> {
    PACKS.iter().find(|pack| pack.name == name)
}
