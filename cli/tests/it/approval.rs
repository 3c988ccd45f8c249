//! Deciding from files: what the card shows, what is signed, and what is refused.

mod desk;
mod replay;
pub(crate) mod ssh;
mod token;

use limen_policy::approval::{Facts, Verified, verify, words};
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::ids::{FreezeEpoch, IntentId};

use desk::{Desk, NOTE};

/// The written verdict, verified against the desk's own charter.
fn verified(desk: &Desk, file: &str) -> Verified {
    let signed = desk.verdict(file);
    verify(&signed, &desk.charter().roster, &facts(&signed), 0).unwrap()
}

/// What the verdict itself says it holds for.
fn facts(signed: &SignedApproval) -> Facts {
    let said = &signed.approval;
    Facts {
        cluster: said.cluster.clone(),
        intent_id: said.intent_id,
        effects_digest: said.effects_digest,
        decoder_version: said.decoder_version,
        slice: said.slice,
        freeze_epoch: said.freeze_epoch,
    }
}

#[test]
fn an_approval_is_signed_in_sight_of_the_bytes() {
    let desk = Desk::new();
    let text = desk.succeeds(&desk.approve("anna", "out.bin", &["--yes"]));
    for words in [
        "1 transfer    12.5 ETH",
        "0x 7099 7970 C518 12dc 3A01 0C7d 01b5 0e0d 17dc 79C8  (\"exchange\")",
        "2 fee         at most 0.00042 ETH",
        "asked by      backend as \"order-1\"",
        "treasury m/0/7, vault reserve (cold)",
        "asks for 1 terminal of treasury then 1 of risk, and 1 h after the last approval",
        "as anna with anna-terminal, for 1 h",
        &format!("{NOTE:?}"),
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    let anna = verified(&desk, "out.bin");
    assert_eq!((anna.approval().verdict, anna.approval().person.as_str()), (Verdict::Approve, "anna"));
    assert_eq!(anna.approval().intent_id, desk.intent_id());
    assert_eq!(anna.approval().freeze_epoch, FreezeEpoch::of([]));
    assert_eq!(anna.approval().preceding, None);
    assert!(text.contains(&anna.id().to_string()));
    for row in words::read_back(anna.approval()).chunks(4) {
        assert!(text.contains(&row.join(" ")), "{row:?} is missing in\n{text}");
    }
}

#[test]
fn a_later_stage_follows_an_earlier_approval() {
    let desk = Desk::new();
    desk.succeeds(&desk.approve("anna", "anna.bin", &["--yes"]));
    let text = desk.succeeds(&desk.approve("carla", "carla.bin", &["--yes", "--after", &desk.path("anna.bin")]));
    let (anna, carla) = (verified(&desk, "anna.bin"), verified(&desk, "carla.bin"));
    assert_eq!(carla.approval().preceding, Some(anna.id()));
    assert!(text.contains(&format!("approve by anna, {}", anna.id())), "{text}");
}

#[test]
fn programs_get_json_and_people_the_card() {
    let desk = Desk::new();
    let output =
        desk.run(&[&["--output", "json"], strs(&desk.approve("anna", "out.bin", &["--yes"])).as_slice()].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let anna = verified(&desk, "out.bin");
    assert_eq!(json["approval"], anna.id().to_string());
    assert_eq!(json["words"].as_array().unwrap().len(), words::COUNT);
    assert!(String::from_utf8_lossy(&output.stderr).contains("12.5 ETH"));
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn rejections_and_withdrawals_carry_their_reason() {
    let desk = Desk::new();
    let args = desk.verdict_of("reject", "anna", "no.bin", &["--yes", "--reason", "not asked for"]);
    assert!(desk.succeeds(&args).contains("This ends the intent"));
    let no = verified(&desk, "no.bin");
    assert_eq!((no.approval().verdict, no.approval().reason.as_str()), (Verdict::Reject, "not asked for"));
    desk.succeeds(&desk.verdict_of("withdraw", "anna", "back.bin", &["--yes"]));
    assert_eq!(verified(&desk, "back.bin").approval().verdict, Verdict::Withdraw);
    let empty = desk.verdict_of("reject", "anna", "x.bin", &["--yes", "--reason", " "]);
    desk.fails(&empty, "needs a reason");
    desk.fails(&desk.verdict_of("reject", "anna", "x.bin", &["--yes"]), "--reason");
    // Nobody approves in sight of a rejection.
    desk.fails(&desk.approve("carla", "x.bin", &["--yes", "--after", &desk.path("no.bin")]), "anna has rejected");
}

#[test]
fn a_freeze_named_is_a_freeze_approved_under() {
    let desk = Desk::new();
    let freeze = IntentId::new([7; 32]);
    desk.succeeds(&desk.approve("anna", "out.bin", &["--yes", "--freeze", &freeze.to_string()]));
    assert_eq!(verified(&desk, "out.bin").approval().freeze_epoch, FreezeEpoch::of([freeze]));
}

#[test]
fn nothing_is_signed_without_the_word() {
    let desk = Desk::new();
    let args = desk.approve("anna", "out.bin", &[]);
    for answer in ["", "yes\n", "approved\n", "reject\n"] {
        let output = desk.answers(&args, answer);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was signed"), "{answer:?}");
        assert!(!std::path::Path::new(&desk.path("out.bin")).exists());
    }
    assert!(desk.answers(&args, "approve\n").status.success());
    desk.fails(&desk.approve("anna", "out.bin", &["--yes"]), "name a new file");
}

#[test]
fn somebody_who_does_not_count_is_told() {
    let desk = Desk::new();
    let text = desk.succeeds(&desk.approve("boris", "out.bin", &["--yes"]));
    assert!(text.contains("! you do not count for it: you are in none of its groups"), "{text}");
    let text = desk.succeeds(&desk.approve("dora", "dora.bin", &["--yes"]));
    assert!(text.contains("! you do not count for it: you are one of the people behind the requester"), "{text}");
}

#[test]
fn what_the_rules_deny_or_time_has_passed_is_not_approved_but_can_be_rejected() {
    let denied =
        Desk::with(|intent| intent.key_id = "treasury".to_owned(), |charter| charter.replace("\"1000\"", "\"12\""));
    denied.fails(&denied.approve("anna", "x.bin", &["--yes"]), "the rules deny this intent");
    let args = denied.verdict_of("reject", "anna", "no.bin", &["--yes", "--reason", "too much"]);
    assert!(denied.succeeds(&args).contains("! DENIED: "));
    let late = Desk::with(|intent| intent.expires_at_secs = 1, str::to_owned);
    late.fails(&late.approve("anna", "x.bin", &["--yes"]), "has expired");
}

#[test]
fn an_approval_never_outlives_its_intent() {
    let soon = u64::from(u32::MAX);
    let desk = Desk::with(|intent| intent.expires_at_secs = soon, str::to_owned);
    desk.succeeds(&desk.approve("anna", "out.bin", &["--yes", "--valid-for", &u64::MAX.to_string()]));
    assert_eq!(verified(&desk, "out.bin").approval().expires_at_secs, soon);
}

/// Everything that is read before signing, to the letter; but for how long there is left, which differs.
#[test]
fn the_whole_card_of_a_key_in_one_token() {
    let mark = "\n[[hsm_keys]]\nid = \"treasury\"\nnode = \"signer-1\"\nscheme = \"ecdsa-secp256k1\"\noutside_the_promise = true\n";
    let ledger = "\n[[ledgers]]\nid = \"main\"\nmembers = [\"signer-1\", \"signer-2\"]\nquorum = 2\ncorrupt = 1\n";
    let marked = |charter: &str| format!("claims = \"main\"\n{charter}{ledger}{mark}");
    let desk = Desk::with(|intent| intent.path.clear(), marked);
    desk.fails(&desk.approve("anna", "x.bin", &["--yes"]), "marks treasury under [[hsm_keys]]");
    desk.write("key.bin", &desk.certificate_of_token("treasury"));
    let text = desk.succeeds(&desk.approve("anna", "out.bin", &["--yes"]));
    let (card, _) = text.split_once("\n\nRead back these words").unwrap();
    let card: Vec<_> = card.lines().filter(|line| !line.starts_with("intent ends")).collect();
    let (intent, charter) = (desk.intent_id().to_string(), desk.charter().hash().to_string());
    let expected = CARD.replace("INTENT", &intent).replace("CHARTER", &charter);
    assert_eq!(card.join("\n"), expected.trim_matches('\n'));
}

const CARD: &str = r#"
intent        INTENT
cluster       test
asked by      backend as "order-1"
why           "rent \u{202e}!", says the requester
key           treasury m, vault reserve (cold)
              ! OUTSIDE THE PROMISE: this key lives in one token, at signer-1; whoever holds that token or its signer signs alone, whatever anybody approves
account       0x 58DA 990A 8F4A 3a6c a7cb 6315 d68a 1401 0591 7352
on            eip155:31337, number 7
1 transfer    12.5 ETH
  from        0x 58DA 990A 8F4A 3a6c a7cb 6315 d68a 1401 0591 7352  (this account)
  to          0x 7099 7970 C518 12dc 3A01 0C7d 01b5 0e0d 17dc 79C8  ("exchange")
2 fee         at most 0.00042 ETH
  paid by     0x 58DA 990A 8F4A 3a6c a7cb 6315 d68a 1401 0591 7352  (this account)
charter       CHARTER
rule          "to venues" asks for 1 terminal of treasury then 1 of risk, and 1 h after the last approval
you approve   as anna with anna-terminal, for 1 h
"#;

#[test]
fn unknown_things_alarm() {
    let raw = limen_wire::pb::intent::Payload::RawDigest(vec![9; 32].into());
    let desk = Desk::with(|intent| intent.payload = Some(raw), str::to_owned);
    let text = desk.succeeds(&desk.verdict_of("reject", "anna", "no.bin", &["--yes", "--reason", "what is it?"]));
    assert!(text.contains("! UNKNOWN: a bare digest hides what it does: 0909"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours are for terminals only");
}

#[test]
fn papers_that_do_not_fit_together_are_refused() {
    let desk = Desk::new();
    let args = desk.approve("anna", "x.bin", &["--yes"]);
    for (file, other, words) in [
        ("intent.bin", desk.intent_by(&desk::signing_key(99), "test"), "does not verify"),
        ("intent.bin", desk.intent_by(&desk.requester(), "other"), "for cluster other"),
        ("intent.bin", desk.read("key.bin"), "where \"application/vnd.limen.intent.v1+protobuf\" is needed"),
        ("intent.bin", vec![0xff], "no envelope"),
        ("key.bin", desk.certificate("other", 2), "is for key other"),
        ("key.bin", desk.certificate("treasury", 1), "1 of the 2 signatures needed"),
        ("charter.toml", b"version = 1".to_vec(), "charter.toml is refused"),
        ("charter.toml", vec![0xff], "is not text"),
    ] {
        let good = desk.read(file);
        desk.write(file, &other);
        desk.fails(&args, words);
        desk.write(file, &good);
    }
    desk.succeeds(&args);
}

#[test]
fn keys_that_are_nobodys_or_everybodys_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    desk.write_key("stranger.pem", &desk::pem());
    desk.fails(&desk.approve("stranger", "x.bin", &["--yes"]), "is no credential of anybody");
    desk.fails(&desk.approve("anna", "x.bin", &["--yes", "--credential", "boris-terminal"]), "is no credential");
    desk.fails(&desk.approve("phone", "x.bin", &["--yes"]), "is a passkey: it approves in a browser");
    desk.write_key("broken.pem", "nothing");
    desk.fails(&desk.approve("broken", "x.bin", &["--yes"]), "not a PKCS#8 PEM private key");
    std::fs::set_permissions(desk.path("anna.pem"), std::fs::Permissions::from_mode(0o640)).unwrap();
    desk.fails(&desk.approve("anna", "x.bin", &["--yes"]), "chmod 600");
}
