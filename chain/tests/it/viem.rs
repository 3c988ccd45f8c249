//! Runs the independent implementation: `tests/differential/compare.mjs` under node, one batch per test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Answers of viem, in the order of the requests. An answer that is an error fails the test.
pub(crate) fn ask(requests: &[Value]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    install(&folder);
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

/// `npm ci`, once, when the packages are missing. Tests run as processes of their own, so a lock file keeps them apart.
fn install(folder: &Path) {
    let ready = |folder: &Path| folder.join("node_modules/viem/package.json").exists();
    if ready(folder) {
        return;
    }
    let target = option_env!("CARGO_TARGET_TMPDIR").map_or_else(|| folder.to_owned(), PathBuf::from);
    let lock = std::fs::File::create(target.join("npm-ci.lock")).unwrap();
    lock.lock().unwrap();
    if ready(folder) {
        return;
    }
    let status = Command::new("npm")
        .args(["ci", "--no-fund", "--no-audit", "--ignore-scripts"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| {
            panic!("cannot start npm ({error}): install Node.js and npm, or run `npm ci` in {}", folder.display())
        });
    assert!(status.success(), "`npm ci` in {} ended with {status}", folder.display());
}

/// The text of a field.
pub(crate) fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no {field} in {answer}"))
}

/// `0x` and hexadecimal.
pub(crate) fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}
