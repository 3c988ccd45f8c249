//! Runs the independent implementation: `tests/differential/compare.mjs` under node, one batch per test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Answers of viem, in the order of the requests. An answer that is an error fails the test. No answers where the packages
/// are missing and `LIMEN_OFFLINE` says that they cannot be had; then the error stream says so.
pub(crate) fn ask(requests: &[Value]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    if !folder.join("node_modules/viem/package.json").exists() {
        let offline = std::env::var_os("LIMEN_OFFLINE").is_some_and(|value| !value.is_empty());
        assert!(offline, "viem is missing: run `cargo xtask setup`, or set LIMEN_OFFLINE=1 to do without");
        eprintln!("skipped: viem is missing, and LIMEN_OFFLINE is set");
        return Vec::new();
    }
    let mut node = Command::new("node")
        .arg("compare.mjs")
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot start node ({error}): install Node.js 20 or newer; nothing is compared without it")
        });
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let mut input = node.stdin.take().unwrap();
    // on a thread of its own: node answers while it reads
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "compare.mjs ended with {}", output.status);
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), requests.len(), "one answer per request");
    for (request, answer) in requests.iter().zip(&answers) {
        assert!(answer.get("error").is_none(), "viem refuses {request}: {answer}");
    }
    answers
}

/// The text of a field.
pub(crate) fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no {field} in {answer}"))
}

/// `0x` and hexadecimal.
pub(crate) fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}
