//! The one place that prints. Results go to the output stream, everything else to the error stream.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this module is the command's printer")]

use serde::Serialize;

use crate::args::Format;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }
    /// A line of a story or table; in JSON output, where only the result may be on the output stream, on the error stream.
    pub(crate) fn line(self, text: &str) {
        match self.format {
            Format::Text => println!("{text}"),
            Format::Json => eprintln!("{text}"),
        }
    }
    /// Something that people should see beside the result.
    pub(crate) fn warning(self, text: &str) {
        eprintln!("warning: {text}");
    }
    /// Already formed text, such as a completion script.
    pub(crate) fn raw(self, text: &str) {
        print!("{text}");
    }
    /// The result: JSON on one line, or the text.
    pub(crate) fn result<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Json => println!("{}", serde_json::to_string(value)?),
            Format::Text => println!("{}", text()),
        }
        Ok(())
    }
    /// An error, as text or as one JSON object on the error stream.
    pub(crate) fn error(self, code: &str, message: &str, remedy: &str) {
        match self.format {
            Format::Json => {
                let error = serde_json::json!({ "error": { "code": code, "message": message, "remedy": remedy } });
                eprintln!("{error}");
            }
            Format::Text => {
                eprintln!("error: {message}");
                if !code.is_empty() {
                    eprintln!("  code: {code}");
                }
                if !remedy.is_empty() {
                    eprintln!("  remedy: {remedy}");
                }
            }
        }
    }
}

/// Columns padded to their widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}
