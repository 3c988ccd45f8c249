//! Tests of rules, as operators write them: given this charter, this request with these approvals after this time is allowed,
//! lacks something, or is refused by a rule. `docs/rules.md` shows the form.
//!
//! What is judged is what signers judge: [`crate::decide::decide`] and the requirements' own evaluation. Approvals and findings stand for
//! themselves here; that they are signed is not rehearsed.

mod file;
mod judge;
#[cfg(test)]
mod tests;

use crate::charter::CharterError;

/// The longest test file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Why a test file cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// Not TOML, or not the shape of a test file. The message has the line.
    #[error("the tests cannot be read: {0}")]
    Syntax(String),
    /// A part of the charter is not there.
    #[error("the charter's part {part:?} cannot be had: {reason}")]
    Part {
        /// As the file names it.
        part: String,
        /// What is wrong.
        reason: String,
    },
    /// The parts together are no charter.
    #[error("the charter made of {parts} is refused: {source}")]
    Charter {
        /// Their names.
        parts: String,
        /// What is wrong.
        source: CharterError,
    },
    /// A test that says nothing that can be judged.
    #[error("line {line}, test {name:?}: {reason}")]
    Test {
        /// Where it begins, from 1.
        line: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It would be signed.
    Allowed,
    /// Something is missing: by rule, what.
    Needs(Vec<(String, String)>),
    /// The reasons.
    Refused(Vec<String>),
}

/// How one test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What came of the request.
    pub judgement: Judgement,
    /// What was expected instead, in words; `None` if that came.
    pub expected: Option<String>,
}

impl Outcome {
    /// Whether what was expected came.
    pub const fn passed(&self) -> bool {
        self.expected.is_none()
    }
}

/// Runs a test file. `part` gives the text of a part of the charter that is no pack, by the name that the file uses.
pub fn run(text: &str, part: &dyn Fn(&str) -> Result<String, String>) -> Result<Vec<Outcome>, CasesError> {
    let file = file::read(text)?;
    let charter = file.charter(part)?;
    file.tests(text).map(|(line, test)| judge::run(&charter, &file.given, test, line)).collect()
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Needs(missing) => {
                let words: Vec<String> = missing.iter().map(|(rule, what)| format!("rule {rule:?}: {what}")).collect();
                write!(f, "not yet: {}", words.join("; "))
            }
            Self::Refused(reasons) => write!(f, "refused: {}", reasons.join("; ")),
        }
    }
}
