//! Reads as much of the proto3 grammar as our files use: names, numbers, types and comments.

use anyhow::{Context, Result, bail};

/// What a definition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Package,
    Message,
    Oneof,
    Field,
    Enum,
    EnumValue,
    Service,
    Method,
}

/// Something with a name in a `.proto` file.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) kind: Kind,
    pub(super) file: String,
    pub(super) line: usize,
    /// Package, enclosing names and own name.
    pub(super) name: String,
    /// For what crosses the wire: number and type, or a method's messages.
    pub(super) shape: Option<String>,
    /// Whether a comment stands right above it.
    pub(super) commented: bool,
}

/// A word or symbol.
struct Token {
    text: String,
    line: usize,
    commented: bool,
}

/// Every definition of a file, in order.
pub(super) fn file(path: &str, text: &str) -> Result<Vec<Definition>> {
    let mut parser = Parser { path, tokens: tokens(text), at: 0, scope: Vec::new(), found: Vec::new() };
    while parser.at < parser.tokens.len() {
        parser.top_level()?;
    }
    Ok(parser.found)
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut comment_ends: Option<usize> = None;
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let (code, comment) = split_comment(raw);
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = token_length(rest, first);
            let (word, tail) = rest.split_at(length);
            let commented = comment_ends.is_some_and(|end| end + 1 == line);
            found.push(Token { text: word.to_owned(), line, commented });
            rest = tail.trim_start();
        }
        if comment && code.trim().is_empty() {
            comment_ends = Some(line);
        }
    }
    found
}

/// The code before `//`, and whether there is a comment with words in it.
fn split_comment(line: &str) -> (&str, bool) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => {
                return (&line[..at], line.len() > at + 3);
            }
            _ => {}
        }
    }
    (line, false)
}

fn token_length(rest: &str, first: char) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '-';
    if first == '"' {
        return rest.char_indices().skip(1).find(|(_, c)| *c == '"').map_or(rest.len(), |(at, _)| at + 1);
    }
    if is_word(first) {
        return rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    }
    first.len_utf8()
}

struct Parser<'a> {
    path: &'a str,
    tokens: Vec<Token>,
    at: usize,
    scope: Vec<String>,
    found: Vec<Definition>,
}

impl Parser<'_> {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", |token| token.text.as_str())
    }

    fn next(&mut self) -> Result<String> {
        let token = self.tokens.get(self.at).context("the file ends too early")?;
        self.at += 1;
        Ok(token.text.clone())
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let found = self.next()?;
        if found != wanted {
            bail!("line {line}: expected `{wanted}`, found `{found}`");
        }
        Ok(())
    }

    /// Skips a statement: up to its semicolon, or the block that ends it.
    fn skip_statement(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()?.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => return Ok(()),
                "}" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return Ok(()),
                _ => {}
            }
        }
    }

    fn record(&mut self, kind: Kind, at: usize, name: &str, shape: Option<String>) {
        let mut full = self.scope.clone();
        full.push(name.to_owned());
        let (line, commented) = self.tokens.get(at).map_or((0, false), |token| (token.line, token.commented));
        self.found.push(Definition { kind, file: self.path.to_owned(), line, name: full.join("."), shape, commented });
    }

    fn top_level(&mut self) -> Result<()> {
        match self.peek() {
            "package" => {
                let at = self.at;
                self.next()?;
                let name = self.next()?;
                self.record(Kind::Package, at, &name, None);
                self.scope = vec![name];
                self.expect(";")
            }
            "message" => self.message(),
            "enum" => self.enumeration(),
            "service" => self.service(),
            ";" => self.next().map(drop),
            _ => self.skip_statement(),
        }
    }

    /// Opens a named block, and returns whether there was one.
    fn open(&mut self, kind: Kind) -> Result<()> {
        let at = self.at;
        self.next()?;
        let name = self.next()?;
        self.record(kind, at, &name, None);
        self.scope.push(name);
        self.expect("{")
    }

    fn close(&mut self) -> Result<()> {
        self.scope.pop();
        self.expect("}")
    }

    fn message(&mut self) -> Result<()> {
        self.open(Kind::Message)?;
        while self.peek() != "}" {
            match self.peek() {
                "message" => self.message()?,
                "enum" => self.enumeration()?,
                "oneof" => self.oneof()?,
                "option" | "reserved" | "extensions" => self.skip_statement()?,
                ";" => drop(self.next()?),
                _ => self.field("")?,
            }
        }
        self.close()
    }

    /// Members of a choice are named as fields of the message, as they are in generated code.
    fn oneof(&mut self) -> Result<()> {
        let at = self.at;
        self.next()?;
        let name = self.next()?;
        self.record(Kind::Oneof, at, &name, None);
        self.expect("{")?;
        while self.peek() != "}" {
            match self.peek() {
                "option" => self.skip_statement()?,
                _ => self.field(&format!("oneof {name} "))?,
            }
        }
        self.expect("}")
    }

    fn field(&mut self, prefix: &str) -> Result<()> {
        let at = self.at;
        let mut words = Vec::new();
        while self.peek() != "=" {
            words.push(self.next()?);
        }
        self.expect("=")?;
        let number = self.next()?;
        self.skip_statement()?;
        let name = words.pop().context("a field without a name")?;
        let shape = format!("{number} {prefix}{}", words.join(" "));
        self.record(Kind::Field, at, &name, Some(shape));
        Ok(())
    }

    fn enumeration(&mut self) -> Result<()> {
        self.open(Kind::Enum)?;
        while self.peek() != "}" {
            match self.peek() {
                "option" | "reserved" => self.skip_statement()?,
                _ => {
                    let at = self.at;
                    let name = self.next()?;
                    self.expect("=")?;
                    let number = self.next()?;
                    self.skip_statement()?;
                    self.record(Kind::EnumValue, at, &name, Some(number));
                }
            }
        }
        self.close()
    }

    fn service(&mut self) -> Result<()> {
        self.open(Kind::Service)?;
        while self.peek() != "}" {
            match self.peek() {
                "rpc" => self.method()?,
                _ => self.skip_statement()?,
            }
        }
        self.close()
    }

    fn method(&mut self) -> Result<()> {
        let at = self.at;
        self.next()?;
        let name = self.next()?;
        let mut words = Vec::new();
        while !matches!(self.peek(), ";" | "{") {
            words.push(self.next()?);
        }
        self.skip_statement()?;
        let shape = words.join(" ").replace("( ", "(").replace(" )", ")");
        self.record(Kind::Method, at, &name, Some(shape));
        Ok(())
    }
}
