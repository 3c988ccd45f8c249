//! The program with files that are there already, are none, or are too few; and what it says of people.

use std::os::unix::fs::PermissionsExt as _;

use limen_recover::{Backup, Challenge, Nonce};
use limen_wire::ids::{CredentialId, NodeId, PersonId, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

use crate::command::{Folder, combine};
use crate::house::{Keeper, back_up, deal};

#[test]
fn the_place_for_a_secret_is_taken_before_anything_is_asked() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    std::fs::write(folder.path("key"), "precious").unwrap();
    // nothing else is even looked at: neither backups nor identities are there
    let words = ["combine", "absent", "--identity", "absent", "--export", "scalar", "--out", "key"];
    let refused = folder.run(&words).unwrap_err();
    assert!(refused.contains("must not be there yet"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path("key")).unwrap(), "precious");
    let elsewhere = ["combine", "absent", "--identity", "absent", "--export", "scalar", "--out", "no/such/folder"];
    assert!(folder.run(&elsewhere).unwrap_err().contains("making no/such/folder"));
    std::os::unix::fs::symlink("elsewhere", folder.path("link")).unwrap();
    let through = folder.run(&combine(&["--export", "scalar", "--out", "link"])).unwrap_err();
    assert!(through.contains("must not be there yet") && !folder.path("elsewhere").exists(), "{through}");
    // what came to nothing leaves nothing behind, and can be tried again
    let too_few = ["combine", "1.backup", "--identity", "anna", "--export", "scalar", "--out", "new"];
    folder.run(&too_few).unwrap_err();
    assert!(!folder.path("new").exists());
    folder.run(&combine(&["--export", "scalar", "--out", "new"])).unwrap();
    assert_eq!(std::fs::metadata(folder.path("new")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_identity_file_that_is_none_is_told_and_left_out() {
    let folder = Folder::new(Scheme::EddsaEd25519);
    std::fs::write(folder.path("foreign"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    std::fs::write(folder.path("dora"), Keeper::new("dora").identity_file()).unwrap();
    let bad = ["--identity", "foreign", "--identity", "absent", "--identity", "dora", "--piece", "gone"];
    let good = combine(&["--export", "scalar", "--danger-show-secret"]);
    let shown = folder.run(&[&good[..], &bad].concat()).unwrap();
    assert_eq!(shown.trim(), hex::encode(folder.dealt.secret));
    // too few: what happened to each
    let few = ["combine", "1.backup", "2.backup", "--identity", "anna", "--export", "scalar", "--danger-show-secret"];
    let refused = folder.run(&[&few[..], &bad].concat()).unwrap_err();
    for words in [
        "left out: foreign: reading an identity file",
        "0 shares of 2 are complete",
        "1.backup (member 1) has 1 of 2 pieces",
        "anna: it opened 2 pieces",
        "foreign: not used",
        "absent: not used: opening absent",
        "dora: it opened 0 pieces",
        "gone: opening gone",
    ] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert!(!refused.contains("BEGIN"), "{refused}");
    let check = ["check", "1.backup", "--holder", "anna", "--identity", "foreign", "--identity", "anna"];
    assert!(folder.run(&check).unwrap().contains("piece of anna decrypts"));
    let refused = folder.run(&check[..6]).unwrap_err();
    assert!(
        refused.contains("foreign: reading an identity file") && refused.contains("anna, bela, carla"),
        "{refused}"
    );
}

#[test]
fn show_counts_people_over_all_files_and_warns_of_too_few() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let show = |words: &[&str]| folder.run(&[&["show"], words].concat());
    // the same three keep all shares: two of them have the key
    let all = ["1.backup", "2.backup", "3.backup"];
    assert!(show(&all).unwrap().contains("hot, epoch 3: by what is in these files 2 people together have the key"));
    show(&[&all[..], &["--people-required", "2"]].concat()).unwrap();
    let warned = show(&[&all[..], &["--people-required", "3"]].concat()).unwrap_err();
    assert!(warned.contains("fewer than the 3 people required"), "{warned}");
    assert!(show(&["1.backup"]).unwrap().contains("not enough for the key"));
    // other names for the same recipients are the same people
    let dealt = deal("hot", 4, Scheme::EcdsaSecp256k1, 2, 3);
    let [anna, bela, carla] = &folder.keepers;
    let aliases = [anna.alias("anja"), bela.alias("bea"), carla.alias("carla")];
    let strangers = ["dora", "erik", "fred"].map(Keeper::new);
    std::fs::write(folder.path("a"), back_up(&dealt.shares[0], &folder.keepers, 2).encode()).unwrap();
    std::fs::write(folder.path("b"), back_up(&dealt.shares[1], &aliases, 2).encode()).unwrap();
    std::fs::write(folder.path("c"), back_up(&dealt.shares[2], &strangers, 2).encode()).unwrap();
    assert!(show(&["a", "b"]).unwrap().contains("hot, epoch 4: by what is in these files 2 people"));
    assert!(show(&["b", "c"]).unwrap().contains("hot, epoch 4: by what is in these files 4 people"));
    // joined only by a file of another key: her name there has the recipient of erik, who so is anna
    assert!(show(&["a", "c"]).unwrap().contains("epoch 4: by what is in these files 4 people"));
    let cold = deal("cold", 1, Scheme::EcdsaSecp256k1, 2, 3);
    let link = [strangers[1].alias("anna"), Keeper::new("gina"), Keeper::new("hugo")];
    std::fs::write(folder.path("link"), back_up(&cold.shares[1], &link, 2).encode()).unwrap();
    for order in [["a", "c", "link"], ["link", "a", "c"], ["c", "link", "a"]] {
        let joined = show(&order).unwrap();
        assert!(joined.contains("epoch 4: by what is in these files 3 people"), "{joined}");
    }
    // two keys are counted apart
    let both = show(&["1.backup", "2.backup", "b", "c"]).unwrap();
    assert!(
        both.contains("epoch 3: by what is in these files 2") && both.contains("epoch 4: by what is in these files 4")
    );
}

#[test]
fn a_custodian_signs_the_proof_in_their_own_name() {
    let folder = Folder::new(Scheme::SchnorrBip340);
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";
    std::fs::write(folder.path("anna.pem"), pem).unwrap();
    std::fs::set_permissions(folder.path("anna.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let nonce = "5a".repeat(32);
    let plain = ["check", "1.backup", "--holder", "anna", "--identity", "anna"];
    let asked = [&plain[..], &["--nonce", &nonce]].concat();
    let signed = ["--sign-as", "anna-token", "--key", "anna.pem", "--asked-by", "signer-1"];
    let said = folder.run(&[&asked[..], &signed].concat()).unwrap();
    let said = said.lines().find_map(|line| line.strip_prefix("signed proof of anna: ")).unwrap();
    let envelope = pb::Envelope::decode(&hex::decode(said).unwrap()[..]).unwrap();
    let backup = Backup::decode(&std::fs::read(folder.path("1.backup")).unwrap()).unwrap();
    let challenge = Challenge { asked_by: NodeId::new("signer-1").unwrap(), nonce: Nonce([0x5a; 32]) };
    let key_of = |person: &PersonId, by: &CredentialId| {
        let hers = person.as_str() == "anna" && by.as_str() == "anna-token";
        hers.then(|| SigningKey::ed25519_from_seed(&[7; 32].into()).public_key())
    };
    let proof = backup.verify_said(&challenge, key_of, &envelope).unwrap();
    assert!(proof.made_at_secs > 1_600_000_000);
    // a part of it is nothing
    for (without, named) in [(0, "--sign-as"), (2, "--key"), (4, "--asked-by")] {
        let mut fewer = signed.to_vec();
        fewer.drain(without..without + 2);
        let refused = folder.run(&[&asked[..], &fewer].concat()).unwrap_err();
        assert!(refused.contains(named), "{named}: {refused}");
    }
    assert!(folder.run(&[&plain[..], &signed].concat()).unwrap_err().contains("--nonce"));
    std::fs::set_permissions(folder.path("anna.pem"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = folder.run(&[&asked[..], &signed].concat()).unwrap_err();
    assert!(open.contains("can be read by others"), "{open}");
}
