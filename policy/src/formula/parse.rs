//! The text form of formulas, by recursive descent with a bounded depth.

use limen_wire::ids::GroupId;

use super::{Formula, Leaf, MAX_COUNT, MAX_DEPTH, MAX_LEAVES, MAX_WAYS};

/// Why a formula cannot be read. Always a matter for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// Not the grammar.
    #[error(
        "the formula cannot be read at {at:?}: {expected} is expected, as in `2 of treasury and 1 terminal of risk`"
    )]
    Syntax {
        /// The offending word, or "the end".
        at: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// A number of people that makes no sense.
    #[error("{found} people cannot be asked for: 1 to {MAX_COUNT} can")]
    Count {
        /// The number as written.
        found: String,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("the formula is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More leaves than [`MAX_LEAVES`].
    #[error("the formula names groups {found} times, more than the {MAX_LEAVES} allowed")]
    TooManyLeaves {
        /// How many.
        found: usize,
    },
    /// More ways to meet it than [`MAX_WAYS`].
    #[error("there are more than {MAX_WAYS} ways to meet the formula: write fewer alternatives")]
    TooManyWays,
}

pub(super) fn parse(text: &str) -> Result<Formula, FormulaError> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { left: spaced.split_whitespace().collect::<Vec<_>>() };
    words.left.reverse();
    let formula = any(&mut words, 0)?;
    if let Some(word) = words.next() {
        return Err(syntax(Some(word), "`and`, `or`, `then` or the end"));
    }
    let leaves = formula.leaves().len();
    if leaves > MAX_LEAVES {
        return Err(FormulaError::TooManyLeaves { found: leaves });
    }
    formula.ways().ok_or(FormulaError::TooManyWays)?;
    Ok(formula)
}

/// The words that are left, last first.
struct Words<'a> {
    left: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.left.pop()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.left.last() == Some(&word);
        if found {
            self.left.pop();
        }
        found
    }
}

fn syntax(at: Option<&str>, expected: &'static str) -> FormulaError {
    FormulaError::Syntax { at: at.unwrap_or("the end").chars().take(80).collect(), expected }
}

fn any(words: &mut Words<'_>, depth: usize) -> Result<Formula, FormulaError> {
    if depth > MAX_DEPTH {
        return Err(FormulaError::TooDeep);
    }
    list(words, "or", Formula::Any, |words| {
        list(words, "then", Formula::Chain, |words| list(words, "and", Formula::All, |words| leaf(words, depth)))
    })
}

/// One part, or several joined by `word`.
fn list(
    words: &mut Words<'_>,
    word: &str,
    join: impl Fn(Vec<Formula>) -> Formula,
    part: impl Fn(&mut Words<'_>) -> Result<Formula, FormulaError>,
) -> Result<Formula, FormulaError> {
    let first = part(words)?;
    let mut parts = vec![first];
    while words.take(word) {
        // More than the leaves allowed: stop before they fill memory.
        if parts.len() > MAX_LEAVES {
            return Err(FormulaError::TooManyLeaves { found: parts.len() });
        }
        parts.push(part(words)?);
    }
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    })
}

fn leaf(words: &mut Words<'_>, depth: usize) -> Result<Formula, FormulaError> {
    let word = words.next();
    if word == Some("(") {
        let inner = any(words, depth.saturating_add(1))?;
        return match words.next() {
            Some(")") => Ok(inner),
            other => Err(syntax(other, "`)`")),
        };
    }
    let number = word.filter(|word| word.bytes().all(|b| b.is_ascii_digit()));
    let number = number.ok_or_else(|| syntax(word, "a number of people or `(`"))?;
    let count = number.parse::<u8>().ok().filter(|count| (1..=MAX_COUNT).contains(count));
    let count = count.ok_or_else(|| FormulaError::Count { found: number.chars().take(20).collect() })?;
    let terminal = words.take("terminal");
    match words.next() {
        Some("of") => {}
        other => return Err(syntax(other, if terminal { "`of`" } else { "`terminal` or `of`" })),
    }
    let name = words.next();
    let group = name.and_then(|name| GroupId::new(name).ok()).ok_or_else(|| syntax(name, "the name of a group"))?;
    Ok(Formula::Leaf(Leaf { count, group, terminal }))
}
