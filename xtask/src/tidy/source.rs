//! The text files of the repository, and just enough of Rust's grammar to find functions.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A text file: its path from the root with forward slashes, and its text.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files that belong to the repository, sorted by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
}

/// Folders that hold what was built or installed. They mirror `.gitignore`.
const SKIPPED: &[&str] = &[".git", "node_modules", "__pycache__", ".dev", ".venv"];

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// A tree for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    pub(crate) fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files.iter().filter(move |file| file.path.rsplit_once('.').is_some_and(|(_, e)| e == extension))
    }

    pub(crate) fn find(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) && !name.starts_with("target") {
            walk(root, &path, files)?;
        } else if kind.is_file() && name != ".git" {
            // What is not UTF-8 is not a text file and none of our business.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(SourceFile { path: relative, text });
        }
    }
    Ok(())
}

impl SourceFile {
    /// Whether the file holds tests only.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let folders = ["/tests/", "/benches/", "/examples/", "/fuzz/"];
        name == "tests.rs" || name.ends_with("_tests.rs") || folders.iter().any(|f| self.path.contains(f))
    }
}

/// Rust source with comments, strings and character literals blanked, line for line.
pub(crate) fn code_only(text: &str) -> String {
    let mut blanker = Blanker { chars: text.chars().collect(), at: 0, out: String::with_capacity(text.len()) };
    while blanker.at < blanker.chars.len() {
        blanker.step();
    }
    blanker.out
}

struct Blanker {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Blanker {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn keep(&mut self) {
        self.out.push(self.peek(0));
        self.at += 1;
    }

    /// Drops characters up to `end`, but keeps the line breaks.
    fn blank_to(&mut self, end: usize) {
        let end = end.min(self.chars.len());
        while self.at < end {
            self.out.push(if self.peek(0) == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn step(&mut self) {
        let previous_is_word = self.out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.blank_to(self.find_from(self.at, '\n')),
            ('/', '*') => self.blank_to(self.block_comment_end()),
            ('"', _) => self.blank_to(self.string_end(self.at + 1)),
            ('r', '"' | '#') if !previous_is_word => self.raw_string(1),
            ('b', 'r') if !previous_is_word && matches!(self.peek(2), '"' | '#') => {
                self.raw_string(2);
            }
            ('\'', _) => self.quote(),
            _ => self.keep(),
        }
    }

    fn find_from(&self, from: usize, wanted: char) -> usize {
        (from..self.chars.len()).find(|i| self.chars[*i] == wanted).unwrap_or(self.chars.len())
    }

    fn block_comment_end(&self) -> usize {
        let (mut depth, mut i) = (0_usize, self.at);
        while i + 1 < self.chars.len() {
            match (self.chars[i], self.chars[i + 1]) {
                ('/', '*') => (depth, i) = (depth + 1, i + 2),
                ('*', '/') if depth == 1 => return i + 2,
                ('*', '/') => (depth, i) = (depth - 1, i + 2),
                _ => i += 1,
            }
        }
        self.chars.len()
    }

    fn string_end(&self, from: usize) -> usize {
        let mut i = from;
        while i < self.chars.len() {
            match self.chars[i] {
                '\\' => i += 2,
                '"' => return i + 1,
                _ => i += 1,
            }
        }
        self.chars.len()
    }

    /// `prefix` letters, then hashes, then the quote; `r#name` is an identifier and is kept.
    fn raw_string(&mut self, prefix: usize) {
        let hashes = (0..).take_while(|n| self.peek(prefix + n) == '#').count();
        if self.peek(prefix + hashes) != '"' {
            return self.keep();
        }
        let mut closing = vec!['"'];
        closing.resize(hashes + 1, '#');
        let body = self.at + prefix + hashes + 1;
        let end = (body..self.chars.len()).find(|i| self.chars[*i..].starts_with(&closing));
        self.blank_to(end.map_or(self.chars.len(), |i| i + closing.len()));
    }

    /// A character literal is blanked; a lifetime is kept.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            let end = self.find_from(self.at + 3, '\'');
            self.blank_to(end + 1);
        } else if self.peek(2) == '\'' {
            self.blank_to(self.at + 3);
        } else {
            self.keep();
        }
    }
}

/// A function with a body: its name, its first line (from one), and how many lines of code it spans.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// Finds functions in Rust source. Lines that are blank or hold only a comment do not count.
pub(crate) fn functions(text: &str) -> Vec<Function> {
    let code = code_only(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        let Some(body) = body_of(&code[at..]) else {
            continue;
        };
        let line = code[..at].matches('\n').count() + 1;
        let lines = code[at..at + body].lines().filter(|l| !l.trim().is_empty()).count();
        found.push(Function { name, line, lines });
    }
    found
}

/// How many bytes from `fn` to the brace that closes its body; none for a declaration without a body.
fn body_of(code: &str) -> Option<usize> {
    let (mut round, mut depth) = (0_usize, 0_usize);
    for (i, c) in code.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round = round.saturating_sub(1),
            ';' if depth == 0 && round == 0 => return None,
            '{' => depth += 1,
            '}' if depth == 1 => return Some(i + 1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Code with the items under `#[cfg(test)]` blanked as well.
pub(crate) fn shipped_code(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut code = code_only(text);
    while let Some(at) = code.find(MARK) {
        let rest = &code[at..];
        let length = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => body_of(rest),
            (_, Some(semicolon)) => Some(semicolon + 1),
            _ => None,
        };
        let end = at + length.unwrap_or(rest.len());
        let blank: String = code[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(at..end, &blank);
    }
    code
}

#[cfg(test)]
mod tests;
