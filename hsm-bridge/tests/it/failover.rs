//! Two tokens that hold the same keys. SoftHSM2 has no ceremony for that: its files are copied, and the copy gets another name.

use std::path::Path;

use limen_hsm::{Anchor, Kind, Provider as _};
use limen_wire::ids::KekId;

use crate::soft::{Soft, kek, names};

/// Changes every place in a token's files where these bytes stand.
fn patch(token: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let file = token.join("token.object");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(file, bytes).unwrap();
}

/// Copies the token `node1`, with all its keys, as `node2`.
fn copy_token(soft: &Soft) -> (String, String) {
    let tokens = soft.path("tokens");
    let shown = soft.util(&["--show-slots"]);
    let serial = shown.lines().find_map(|line| line.trim().strip_prefix("Serial number:")).unwrap().trim();
    let first = names(&tokens).remove(0);
    let other = if first.ends_with('2') { "3" } else { "2" };
    let second = format!("{}{other}", &first[..first.len() - 1]);
    std::fs::create_dir(tokens.join(&second)).unwrap();
    for name in names(&tokens.join(&first)) {
        std::fs::copy(tokens.join(&first).join(&name), tokens.join(&second).join(&name)).unwrap();
    }
    let last = if serial.ends_with('0') { "1" } else { "0" };
    patch(&tokens.join(&second), serial.as_bytes(), format!("{}{last}", &serial[..serial.len() - 1]).as_bytes());
    patch(&tokens.join(&second), b"node1", b"node2");
    (first, second)
}

#[test]
fn the_second_token_steps_in_and_nothing_else_does() {
    let Some(soft) = Soft::new() else { return };
    let made = soft.init();
    let spare = KekId::new("spare").unwrap();
    assert!(soft.run(&["init", "--kek", "spare"]).status.success());
    let (first, second) = copy_token(&soft);
    soft.configure(&["node1", "node2"], "");
    let daemon = soft.daemon();
    let client = soft.client();
    let sealed = client.seal(&kek(), b"c", b"secret").unwrap();
    let identity = client.identity().unwrap();
    assert!(made.contains(&identity.to_string()));
    client.anchor_advance(&Anchor { sequence: 7, head: [7; 32] }).unwrap();
    assert_eq!(client.describe().unwrap().label, "node1");

    soft.move_tokens(&format!("tokens/{first}"), "first");
    assert_eq!(client.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
    assert_eq!(client.describe().unwrap().label, "node2");
    assert_eq!(client.identity().unwrap(), identity);
    assert!(identity.verify(b"message", &client.sign_identity(b"message").unwrap()));
    assert_eq!(client.anchor_read().unwrap().unwrap().sequence, 7, "both were told");
    client.anchor_advance(&Anchor { sequence: 8, head: [8; 32] }).unwrap();
    // Keys are made and destroyed where all tokens learn of it.
    assert_eq!(client.create_kek(&KekId::new("new").unwrap()).unwrap_err().kind(), Kind::Gone);
    assert_eq!(client.destroy_kek(&spare).unwrap_err().kind(), Kind::Gone);

    soft.move_tokens(&format!("tokens/{second}"), "second");
    let error = client.unseal(&kek(), b"c", &sealed).unwrap_err();
    assert!(error.kind().is_of_the_token(), "{error}");
    daemon.kill();
    soft.move_tokens("first", &format!("tokens/{first}"));
    soft.move_tokens("second", &format!("tokens/{second}"));
    let _daemon = soft.daemon();
    assert_eq!(client.anchor_read().unwrap().unwrap().sequence, 8, "the furthest counts");
    let back = Anchor { sequence: 7, head: [7; 32] };
    assert_eq!(client.anchor_advance(&back).unwrap_err().kind(), Kind::AnchorBack);
}

/// A token that was never brought the keys is no second token.
#[test]
fn a_token_with_other_keys_does_not_step_in() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let first = names(&soft.path("tokens")).remove(0);
    soft.add_token("node2");
    soft.configure(&["node2"], "");
    let own_state = std::fs::read_to_string(soft.path("bridge.toml")).unwrap().replace("\"state\"", "\"other\"");
    std::fs::write(soft.path("bridge.toml"), own_state).unwrap();
    soft.init();
    soft.configure(&["node1", "node2"], "");
    let daemon = soft.daemon();
    let client = soft.client();
    let sealed = client.seal(&kek(), b"c", b"secret").unwrap();
    client.identity().unwrap();
    soft.move_tokens(&format!("tokens/{first}"), "first");
    assert!(client.unseal(&kek(), b"c", &sealed).unwrap_err().kind().is_of_the_token());
    assert!(client.seal(&kek(), b"c", b"secret").unwrap_err().kind().is_of_the_token());
    assert!(client.sign_identity(b"m").unwrap_err().kind().is_of_the_token(), "not by another identity");
    daemon.kill();
    soft.move_tokens("first", &format!("tokens/{first}"));
    let _daemon = soft.daemon();
    assert_eq!(client.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
}
