//! Approval formulas: who has to say yes. `2 of treasury and 1 terminal of risk`, nested with parentheses.
//!
//! ```text
//! formula  = chain  { "or"  chain  }
//! chain    = all    { "then" all   }          each part after the one before
//! all      = leaf   { "and" leaf   }
//! leaf     = NUMBER [ "terminal" ] "of" GROUP | "(" formula ")"
//! ```
//!
//! A person counts once in a whole formula, whatever groups they are in: `1 of a and 1 of b` needs two people.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use limen_wire::ids::GroupId;
use serde::Serialize;

pub use parse::FormulaError;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 8;
/// Most groups named in one formula, each time counted.
pub const MAX_LEAVES: usize = 16;
/// Most ways to meet one formula, after writing it as a choice between conjunctions.
pub const MAX_WAYS: usize = 64;
/// Most people that one leaf asks for.
pub const MAX_COUNT: u8 = 32;

/// So many different people of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Leaf {
    /// How many, from 1.
    pub count: u8,
    /// Of whom.
    pub group: GroupId,
    /// Only by credentials of class `terminal`: the approver saw what the bytes say on another machine than the console.
    pub terminal: bool,
}

/// Who has to approve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Formula {
    /// So many of a group.
    Leaf(Leaf),
    /// Every part, by different people.
    All(Vec<Formula>),
    /// At least one part.
    Any(Vec<Formula>),
    /// Every part, each by people who saw the approvals of the parts before it.
    Chain(Vec<Formula>),
}

/// A leaf with the place that a chain gives it: everything of the stages before must be met first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Staged {
    /// Which stage, from 0.
    pub stage: u8,
    /// The leaf.
    pub leaf: Leaf,
}

/// One way to meet a formula: all of these leaves, by different people.
pub type Way = Vec<Staged>;

impl Formula {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        parse::parse(text)
    }

    /// Every leaf, left to right.
    pub fn leaves(&self) -> Vec<&Leaf> {
        match self {
            Self::Leaf(leaf) => vec![leaf],
            Self::All(parts) | Self::Any(parts) | Self::Chain(parts) => parts.iter().flat_map(Self::leaves).collect(),
        }
    }

    /// Whether the order of approvals matters.
    pub fn is_ordered(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::Chain(_) => true,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::is_ordered),
        }
    }

    /// All ways to meet it, without doubles. `None` if there are more than [`MAX_WAYS`].
    pub fn ways(&self) -> Option<Vec<Way>> {
        let mut ways = self.ways_from(0)?.into_iter().map(|(way, _)| way).collect::<Vec<_>>();
        for way in &mut ways {
            way.sort();
        }
        ways.sort();
        ways.dedup();
        Some(ways)
    }

    /// The ways with all stages shifted by `first`, each with the first stage free after it.
    fn ways_from(&self, first: u8) -> Option<Vec<(Way, u8)>> {
        let next = first.checked_add(1)?;
        match self {
            Self::Leaf(leaf) => Some(vec![(vec![Staged { stage: first, leaf: leaf.clone() }], next)]),
            Self::Any(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.append(&mut part.ways_from(first)?);
                }
                (all.len() <= MAX_WAYS).then_some(all)
            }
            Self::All(parts) => Self::product(parts, first, |_| first),
            Self::Chain(parts) => Self::product(parts, first, |free| free),
        }
    }

    /// Every combination of one way of each part. `start` says at which stage a part begins, given the first one free.
    fn product(parts: &[Self], first: u8, start: impl Fn(u8) -> u8) -> Option<Vec<(Way, u8)>> {
        let mut made: Vec<(Way, u8)> = vec![(Way::new(), first)];
        for part in parts {
            let mut longer = Vec::new();
            for (way, free) in &made {
                for (more, after) in part.ways_from(start(*free))? {
                    longer.push(([way.as_slice(), &more].concat(), after.max(*free)));
                }
            }
            if longer.len() > MAX_WAYS {
                return None;
            }
            made = longer;
        }
        Some(made)
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.terminal { " terminal" } else { "" };
        write!(f, "{}{class} of {}", self.count, self.group)
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Leaf(leaf) => return leaf.fmt(f),
            Self::All(parts) => (parts, " and "),
            Self::Any(parts) => (parts, " or "),
            Self::Chain(parts) => (parts, " then "),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            match part {
                Self::Leaf(leaf) => leaf.fmt(f)?,
                nested => write!(f, "({nested})")?,
            }
        }
        Ok(())
    }
}
