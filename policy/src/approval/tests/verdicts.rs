//! Whose an approval is, and what it holds for.

use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::effects::sha256;
use limen_wire::ids::{ApprovalId, FreezeEpoch, IntentId, SliceHash};

use super::authenticator::{Authenticator, BACKUP_ELIGIBLE, client_data};
use super::{NOW, approval, by_key, ed25519, facts, p256, roster};
use crate::approval::{ApprovalError, AssertionError, Facts, verify};
use crate::charter::people::CredentialClass;

fn check(signed: &SignedApproval) -> Result<crate::approval::Verified, ApprovalError> {
    verify(signed, &roster(), &facts(), NOW)
}

#[test]
fn keys_and_passkeys_prove_approvals() {
    let alice = check(&by_key(approval("alice", "token"), &ed25519(1))).unwrap();
    assert_eq!((alice.class(), alice.is_backup_eligible()), (CredentialClass::Terminal, false));
    assert_eq!(alice.sign_count(), None);
    check(&by_key(approval("bob", "token"), &p256(2))).unwrap();
    let synced = Authenticator { flags: 0x1d, ..Authenticator::default() };
    let phone = check(&synced.approve(approval("alice", "phone"))).unwrap();
    assert_eq!((phone.class(), phone.is_backup_eligible()), (CredentialClass::Console, true));
    assert_eq!(phone.sign_count(), Some(7));
    assert_eq!(phone.id(), approval("alice", "phone").digest());
}

#[test]
fn an_ed25519_passkey_proves_approvals() {
    let said = approval("carol", "phone");
    let client = client_data(said.digest().as_bytes());
    let mut assertion = Authenticator { flags: 0x05 | BACKUP_ELIGIBLE, ..Authenticator::default() }.assert(&client);
    let signed = [assertion.authenticator_data.as_ref(), &sha256(client.as_bytes())].concat();
    assertion.signature = ed25519(3).sign(&signed).to_vec().into();
    assert!(
        check(&SignedApproval { approval: said, proof: Proof::Assertion(assertion) }).unwrap().is_backup_eligible()
    );
}

type Change<'a> = &'a dyn Fn(&mut Approval);

#[test]
fn any_field_changed_after_signing_is_refused() {
    let changes: [(&str, Change<'_>); 11] = [
        ("cluster", &|a| a.cluster = "other".parse().unwrap()),
        ("intent_id", &|a| a.intent_id = IntentId::new([9; 32])),
        ("effects_digest", &|a| a.effects_digest = [9; 32]),
        ("decoder_version", &|a| a.decoder_version = 2),
        ("slice", &|a| a.slice = SliceHash::new([9; 32])),
        ("freeze_epoch", &|a| a.freeze_epoch = FreezeEpoch::new([9; 32])),
        ("preceding", &|a| a.preceding = Some(ApprovalId::new([9; 32]))),
        ("expires_at_secs", &|a| a.expires_at_secs += 1),
        ("verdict", &|a| a.verdict = Verdict::Withdraw),
        ("reason", &|a| a.reason = "why".to_owned()),
        ("nonce", &|a| a.nonce = [9; 32]),
    ];
    for (field, change) in changes {
        let mut key = by_key(approval("alice", "token"), &ed25519(1));
        let mut passkey = Authenticator::default().approve(approval("alice", "phone"));
        change(&mut key.approval);
        change(&mut passkey.approval);
        // Also where the verifier's own facts are as changed: the proof is what fails.
        let a = &key.approval;
        let moved = Facts {
            cluster: a.cluster.clone(),
            intent_id: a.intent_id,
            effects_digest: a.effects_digest,
            decoder_version: a.decoder_version,
            slice: a.slice,
            freeze_epoch: a.freeze_epoch,
        };
        for facts in [facts(), moved] {
            let error = verify(&key, &roster(), &facts, NOW).unwrap_err();
            assert!(matches!(error, ApprovalError::BadSignature { .. }), "{field}: {error}");
            let error = verify(&passkey, &roster(), &facts, NOW).unwrap_err();
            let challenge = matches!(error, ApprovalError::Assertion { source: AssertionError::Challenge, .. });
            assert!(challenge, "{field}: {error}");
        }
    }
}

#[test]
fn another_persons_name_or_credential_is_refused() {
    let signed = by_key(approval("alice", "token"), &ed25519(1));
    let change = |change: &dyn Fn(&mut Approval)| {
        let mut changed = signed.clone();
        change(&mut changed.approval);
        check(&changed).unwrap_err()
    };
    let bob = "bob".parse().unwrap();
    let theirs = change(&|a| a.person = "bob".parse().unwrap());
    assert!(matches!(theirs, ApprovalError::NotTheirs { person, .. } if person == bob));
    let unknown = change(&|a| a.credential = "alice-watch".parse().unwrap());
    assert!(matches!(unknown, ApprovalError::NotEnrolled { .. }));
    let both = change(&|a| (a.person, a.credential) = ("bob".parse().unwrap(), "bob-token".parse().unwrap()));
    assert!(matches!(both, ApprovalError::BadSignature { person, .. } if person == bob));
    // Signed anew in Bob's name with Alice's key.
    let forged = by_key(approval("bob", "token"), &ed25519(1));
    assert!(matches!(check(&forged), Err(ApprovalError::BadSignature { .. })));
}

#[test]
fn a_passkey_and_a_key_are_not_taken_for_each_other() {
    let bare = by_key(approval("alice", "phone"), &ed25519(1));
    assert!(matches!(check(&bare), Err(ApprovalError::OtherProof { enrolled: "a passkey", .. })));
    let assertion = Authenticator::default().approve(approval("alice", "token"));
    assert!(matches!(check(&assertion), Err(ApprovalError::OtherProof { enrolled: "a bare key", .. })));
}

#[test]
fn a_high_s_of_a_bare_key_is_refused() {
    let mut signed = by_key(approval("bob", "token"), &p256(2));
    let Proof::Signature(low) = signed.proof else { panic!("a bare key signs") };
    let (r, s) = p256::ecdsa::Signature::from_slice(&low).unwrap().split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    signed.proof = Proof::Signature(high.to_bytes().into());
    assert!(matches!(check(&signed), Err(ApprovalError::BadSignature { .. })));
}

/// Facts with one difference, how approvals are then refused, and whether bad news is.
type Other = (Facts, fn(&ApprovalError) -> bool, bool);

/// Every way in which facts can differ from those approved.
fn other_facts() -> Vec<Other> {
    let change = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        facts
    };
    vec![
        (change(|f| f.cluster = "other".parse().unwrap()), |e| matches!(e, ApprovalError::OtherCluster { .. }), true),
        (change(|f| f.intent_id = IntentId::new([9; 32])), |e| matches!(e, ApprovalError::OtherIntent { .. }), true),
        (change(|f| f.effects_digest = [9; 32]), |e| matches!(e, ApprovalError::OtherEffects), false),
        (change(|f| f.decoder_version = 2), |e| matches!(e, ApprovalError::OtherDecoder { .. }), false),
        (change(|f| f.slice = SliceHash::new([9; 32])), |e| matches!(e, ApprovalError::OtherSlice), false),
        (
            change(|f| f.freeze_epoch = FreezeEpoch::new([9; 32])),
            |e| matches!(e, ApprovalError::OtherFreezeEpoch),
            false,
        ),
    ]
}

/// Named after the loss of 2024: signatures of failed requests were used for another.
#[test]
fn wazirx_approvals_of_one_intent_are_useless_for_another() {
    let signed = by_key(approval("alice", "token"), &ed25519(1));
    let other = Facts { intent_id: IntentId::new([9; 32]), ..facts() };
    assert!(matches!(verify(&signed, &roster(), &other, NOW), Err(ApprovalError::OtherIntent { .. })));
}

#[test]
fn an_approval_lapses_when_anything_it_holds_for_changes() {
    let signed = by_key(approval("alice", "token"), &ed25519(1));
    let verified = check(&signed).unwrap();
    for (facts, is_expected, _) in other_facts() {
        let error = verify(&signed, &roster(), &facts, NOW).unwrap_err();
        assert!(is_expected(&error), "{error}");
        assert_eq!(verified.holds(&facts, NOW), Err(error));
    }
    assert!(verify(&signed, &roster(), &facts(), NOW + 59).is_ok());
    let late = verify(&signed, &roster(), &facts(), NOW + 60).unwrap_err();
    assert_eq!(late, ApprovalError::Expired { expired_at_secs: NOW + 60, now_secs: NOW + 60 });
}

#[test]
fn bad_news_about_the_intent_holds_whatever_else_has_changed() {
    for verdict in [Verdict::Reject, Verdict::Withdraw] {
        let said = Approval { verdict, reason: "stolen laptop".to_owned(), ..approval("alice", "token") };
        let signed = by_key(said, &ed25519(1));
        for (facts, _, is_refused) in other_facts() {
            assert_eq!(verify(&signed, &roster(), &facts, u64::MAX).is_err(), is_refused, "{verdict:?}");
        }
    }
}

#[test]
fn refusals_say_what_to_do() {
    let text = ApprovalError::OtherSlice.to_string();
    assert!(text.contains("lapsed") && text.contains("approve again"), "{text}");
}
