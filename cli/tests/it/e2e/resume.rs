//! `limen dev up` stopped by Ctrl-C at different places goes on at the next call.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::story::{nonces, up, up_command};

#[test]
fn what_ctrl_c_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // Before any key, while the first is made, while coins move, in the middle of approvals, under a freeze.
    for words in [
        "signers    all reachable",
        "key        hot: ",
        "attested by its signers",
        "withdrawal 0.5",
        "anna approves",
        "freeze     carla",
    ] {
        interrupt_at(folder.path(), words);
    }
    let report = up(folder.path(), &[]);
    let last = nonces(&report);
    assert!(last[0] >= 1 && last[1] > last[0], "coins moved before: {last:?}");
    assert_eq!(report["keys"][0]["key_id"], "hot", "no second key was made");
}

/// Sends the signal when the story says these words, and waits until everything has stopped.
fn interrupt_at(dir: &Path, words: &str) {
    let mut child = up_command(dir).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut story = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = story.find(|line| line.contains(words));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Read on, or it could not write its last words.
    story.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(told.is_some(), "the story never said {words:?}: {error}");
    assert!(!output.status.success() && error.contains("stopped by Ctrl-C"), "at {words:?}: {error}");
}
