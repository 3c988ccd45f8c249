//! Proofs under their custodians' own signatures.

use limen_recover::{Backup, Challenge, Nonce, ProofError, SaidError};
use limen_wire::backup::BackupProof;
use limen_wire::ids::{CredentialId, NodeId, PersonId, Scheme};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;

use crate::house::{Dealt, Keeper, SCHEMES, back_up, deal, keepers, party, person};

fn credential(name: &str) -> CredentialId {
    CredentialId::new(name).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::ed25519_from_seed(&[name.as_bytes()[0]; 32].into())
}

/// What the charter says: everybody has one credential.
fn key_of(person: &PersonId, by: &CredentialId) -> Option<PublicKey> {
    (by.as_str() == format!("{person}-token")).then(|| key(person.as_str()).public_key())
}

fn challenge() -> Challenge {
    Challenge { asked_by: NodeId::new("signer-1").unwrap(), nonce: Nonce([9; 32]) }
}

struct Scene {
    dealt: Dealt,
    keepers: [Keeper; 3],
    backup: Backup,
}

impl Scene {
    fn new(scheme: Scheme) -> Self {
        let (dealt, keepers) = (deal("hot", 1, scheme, 2, 3), keepers());
        let backup = back_up(&dealt.shares[0], &keepers, 2);
        Self { dealt, keepers, backup }
    }
    fn says(&self, keeper: usize) -> pb::Envelope {
        self.says_to(keeper, &self.backup, &challenge())
    }
    fn says_to(&self, keeper: usize, backup: &Backup, challenge: &Challenge) -> pb::Envelope {
        let keeper = &self.keepers[keeper];
        let (name, piece) = (credential(&format!("{}-token", keeper.name)), keeper.open(backup));
        backup.say(&piece, challenge, (&name, &key(keeper.name)), 1_700_000_000).unwrap()
    }
    fn all(&self) -> Vec<pb::Envelope> {
        (0..3).map(|keeper| self.says(keeper)).collect()
    }
    fn verify(&self, envelopes: &[pb::Envelope]) -> Result<usize, SaidError> {
        let share = &self.dealt.shares[0];
        let said = self.backup.verify_all_said((share.public(), share.index()), &challenge(), key_of, envelopes)?;
        Ok(said.len())
    }
    /// Anna's proof with a field that is another, signed anew by her.
    fn resigned(&self, edit: impl Fn(&mut BackupProof)) -> SaidError {
        let mut said = BackupProof::open(&self.says(0)).unwrap().0;
        edit(&mut said);
        let envelope = said.to_unsigned().sign(said.credential.as_str(), &key("anna"));
        self.verify(&[envelope, self.says(1), self.says(2)]).unwrap_err()
    }
}

#[test]
fn all_custodians_under_their_own_names_prove_a_backup() {
    for scheme in SCHEMES {
        let scene = Scene::new(scheme);
        let mut all = scene.all();
        assert_eq!(scene.verify(&all).unwrap(), 3);
        all.reverse();
        assert_eq!(scene.verify(&all).unwrap(), 3);
        let missing = SaidError::Missing(vec![person("bela")]);
        assert_eq!(scene.verify(&[scene.says(0), scene.says(2)]).unwrap_err(), missing);
        assert!(matches!(scene.verify(&[]).unwrap_err(), SaidError::Missing(all) if all.len() == 3));
        all.push(scene.says(0));
        assert_eq!(scene.verify(&all).unwrap_err(), SaidError::Twice(person("anna")));
    }
}

#[test]
fn every_field_that_is_another_is_refused_though_signed() {
    let scene = Scene::new(Scheme::EddsaEd25519);
    type Edit = fn(&mut BackupProof);
    let edits: [(&str, Edit); 8] = [
        ("cluster", |said| said.cluster = "other".parse().unwrap()),
        ("key", |said| said.key = "cold".parse().unwrap()),
        ("epoch", |said| said.epoch.0 += 1),
        ("member", |said| said.member = party(2)),
        ("backup", |said| said.backup[31] ^= 1),
        ("asker", |said| said.asked_by = "signer-2".parse().unwrap()),
        ("nonce", |said| said.nonce[0] ^= 1),
        ("", |said| said.proof[40] ^= 1),
    ];
    for (what, edit) in edits {
        match scene.resigned(edit) {
            SaidError::Other { person: who, what: found } => assert_eq!((who, found), (person("anna"), what)),
            SaidError::Proof(ProofError::Wrong { holder, .. }) if what.is_empty() => assert_eq!(holder, person("anna")),
            other => panic!("{what}: {other}"),
        }
    }
    // Another person's name, or credential, by anna's key.
    let refused = scene.resigned(|said| said.person = person("bela"));
    assert!(matches!(refused, SaidError::NoCredential { .. }), "{refused}");
    let refused = scene.resigned(|said| said.credential = credential("anna-phone"));
    assert!(matches!(refused, SaidError::NoCredential { .. }), "{refused}");
    let refused = scene.resigned(|said| (said.person, said.credential) = (person("bela"), credential("bela-token")));
    assert!(matches!(refused, SaidError::Signature { .. }), "{refused}");
    let refused = scene.resigned(|said| (said.person, said.credential) = (person("dora"), credential("dora-token")));
    assert!(matches!(refused, SaidError::Signature { .. }), "{refused}");
    let refused = scene.resigned(|said| said.made_at_secs = 0);
    assert!(matches!(refused, SaidError::Malformed(_)), "{refused}");
}

#[test]
fn who_knows_the_piece_and_has_no_credential_of_its_custodian_proves_nothing() {
    let scene = Scene::new(Scheme::EcdsaSecp256k1);
    // The maker of the backup knows anna's piece, and signs as itself or as her.
    let piece = scene.keepers[0].open(&scene.backup);
    let forged = |name: &str| {
        let envelope = scene.backup.say(&piece, &challenge(), (&credential(name), &key("maker")), 1).unwrap();
        scene.verify(&[envelope, scene.says(1), scene.says(2)]).unwrap_err()
    };
    assert!(matches!(forged("anna-token"), SaidError::Signature { .. }));
    assert!(matches!(forged("maker-token"), SaidError::NoCredential { .. }));
    // A custodian that the charter knows but this backup does not.
    let said = BackupProof {
        person: person("dora"),
        credential: credential("dora-token"),
        ..BackupProof::open(&scene.says(0)).unwrap().0
    };
    let stranger = said.to_unsigned().sign("dora-token", &key("dora"));
    let refused = scene.verify(&[stranger, scene.says(1), scene.says(2)]).unwrap_err();
    assert!(matches!(refused, SaidError::Proof(ProofError::NoCustodian { .. })), "{refused}");
}

#[test]
fn envelopes_are_as_they_were_signed_and_by_one_alone() {
    let scene = Scene::new(Scheme::SchnorrBip340);
    let refused = |edit: &dyn Fn(&mut pb::Envelope)| {
        let mut spoiled = scene.says(0);
        edit(&mut spoiled);
        scene.verify(&[spoiled, scene.says(1), scene.says(2)]).unwrap_err()
    };
    let payload = scene.says(0).payload;
    for at in 0..payload.len() {
        refused(&|envelope| {
            let mut bytes = payload.to_vec();
            bytes[at] ^= 1;
            envelope.payload = bytes.into();
        });
        refused(&|envelope| envelope.payload = payload.slice(..at));
    }
    refused(&|envelope| envelope.payload_type.push('x'));
    refused(&|envelope| envelope.signatures.clear());
    refused(&|envelope| envelope.signatures[0].signer = "bela-token".to_owned());
    refused(&|envelope| envelope.signatures.push(scene.says(1).signatures.remove(0)));
    refused(&|envelope| envelope.signatures.push(envelope.signatures[0].clone()));
    refused(&|envelope| envelope.signatures[0].signature = vec![0; 64].into());
}

#[test]
fn proofs_of_another_share_backup_or_challenge_are_worth_nothing_here() {
    let scene = Scene::new(Scheme::EddsaEd25519);
    let others = [
        back_up(&scene.dealt.shares[1], &scene.keepers, 2),
        back_up(&scene.dealt.shares[0], &scene.keepers, 2),
        back_up(&deal("hot", 2, Scheme::EddsaEd25519, 2, 3).shares[0], &scene.keepers, 2),
    ];
    for other in &others {
        let all: Vec<_> = (0..3).map(|keeper| scene.says_to(keeper, other, &challenge())).collect();
        assert!(matches!(scene.verify(&all).unwrap_err(), SaidError::Other { .. }));
        // and this share's proofs with the other's backup
        let share = &scene.dealt.shares[0];
        let refused = other.verify_all_said((share.public(), share.index()), &challenge(), key_of, &scene.all());
        refused.unwrap_err();
        let piece = scene.keepers[0].open(other);
        scene.backup.say(&piece, &challenge(), (&credential("anna-token"), &key("anna")), 1).unwrap_err();
    }
    // A backup of other shares is not proved in place of one's own, though all say so.
    let (share, other) = (&scene.dealt.shares[0], &scene.dealt.shares[1]);
    let refused = scene.backup.verify_all_said((share.public(), other.index()), &challenge(), key_of, &scene.all());
    assert!(matches!(refused.unwrap_err(), SaidError::OtherShare(_)));
    let next = deal("hot", 2, Scheme::EddsaEd25519, 2, 3);
    let refused =
        scene.backup.verify_all_said((next.shares[0].public(), share.index()), &challenge(), key_of, &scene.all());
    assert!(matches!(refused.unwrap_err(), SaidError::OtherShare(_)));
    // An earlier question, or somebody else's.
    for old in [
        Challenge { nonce: Nonce([8; 32]), ..challenge() },
        Challenge { asked_by: NodeId::new("signer-2").unwrap(), ..challenge() },
    ] {
        let said = scene.says_to(0, &scene.backup, &old);
        assert!(matches!(scene.verify(&[said]).unwrap_err(), SaidError::Other { .. }));
    }
}
