use limen_wire::effects::{Amount, ChainId};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{KeyId, RequesterId, VaultId};
use limen_wire::intent::Payload;
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::*;

const SAMPLE: &str = include_str!("../../development.sample.toml");
const ALICE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const US: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const USDT: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

/// The sample, with keys of carla, anna and boris that the tests hold.
fn charter() -> Charter {
    edited("", "")
}

fn edited(from: &str, to: &str) -> Charter {
    let before = Charter::from_toml(SAMPLE).unwrap();
    let enrolled = |person: &str, credential: &str| {
        before.roster.people[&person.parse().unwrap()].credentials[&credential.parse().unwrap()].public_key.to_string()
    };
    let text = SAMPLE
        .replace(&enrolled("carla", "carla-service"), &key(1).public_key().to_string())
        .replace(&enrolled("anna", "anna-terminal"), &key(2).public_key().to_string())
        .replace(&enrolled("boris", "boris-terminal"), &key(3).public_key().to_string());
    assert!(text.contains(from), "the sample no longer contains {from:?}");
    Charter::from_toml(&text.replacen(from, to, 1)).unwrap()
}

fn freeze(person: &str, credential: &str) -> Freeze {
    Freeze {
        id: IntentId::new([0; 32]),
        cluster: "sample".parse().unwrap(),
        person: person.parse().unwrap(),
        credential: credential.parse().unwrap(),
        scope: FreezeScope::Cluster,
        reason: "burglars".to_owned(),
        nonce: [7; 32],
    }
}

fn sealed(freeze: &Freeze, signer: &str, key: &SigningKey) -> pb::Envelope {
    seal(PayloadType::Freeze, freeze.to_payload(), signer, key)
}

fn judged(charter: &Charter, envelope: &pb::Envelope) -> Result<(), FreezeError> {
    let (freeze, opened) = Freeze::open(envelope).unwrap();
    verify_freeze(charter, &freeze, &opened)
}

#[test]
fn one_guardian_freezes_alone_and_nobody_else_does() {
    let carla = freeze("carla", "carla-service");
    assert_eq!(judged(&charter(), &sealed(&carla, "carla-service", &key(1))), Ok(()));
    let anna = freeze("anna", "anna-terminal");
    let refused = judged(&charter(), &sealed(&anna, "anna-terminal", &key(2))).unwrap_err();
    assert!(matches!(&refused, FreezeError::NoSay { .. }) && refused.to_string().contains("group risk"), "{refused}");
    let stranger = freeze("eve", "eve-terminal");
    assert!(matches!(judged(&charter(), &sealed(&stranger, "eve", &key(9))), Err(FreezeError::NoSay { .. })));
    let borrowed = freeze("carla", "anna-terminal");
    let refused = judged(&charter(), &sealed(&borrowed, "anna-terminal", &key(2)));
    assert!(matches!(refused, Err(FreezeError::NotEnrolled { .. })), "somebody else's credential");
}

#[test]
fn a_freeze_whose_proof_is_spoiled_stops_nothing() {
    let carla = freeze("carla", "carla-service");
    let forged = judged(&charter(), &sealed(&carla, "carla-service", &key(2)));
    assert!(matches!(forged, Err(FreezeError::Signature(EnvelopeError::BadSignature { .. }))));
    let unnamed = judged(&charter(), &sealed(&carla, "carla", &key(1)));
    assert!(matches!(unnamed, Err(FreezeError::Signature(EnvelopeError::NotSigned { .. }))));
    let mut altered = sealed(&carla, "carla-service", &key(1));
    altered.payload = Freeze { reason: "other".to_owned(), ..carla.clone() }.to_payload().into();
    assert!(matches!(judged(&charter(), &altered), Err(FreezeError::Signature(_))));
    let elsewhere = Freeze { cluster: "other".parse().unwrap(), ..carla.clone() };
    let refused = judged(&charter(), &sealed(&elsewhere, "carla-service", &key(1)));
    assert!(matches!(refused, Err(FreezeError::OtherCluster { .. })));
    let mut lawless = charter();
    lawless.governance = None;
    assert_eq!(judged(&lawless, &sealed(&carla, "carla-service", &key(1))), Err(FreezeError::NoGovernance));
}

#[test]
fn a_passkey_signs_no_envelope() {
    let with_passkey = edited("guardians = \"risk\"", "guardians = \"treasury\"");
    let anna = freeze("anna", "anna-passkey");
    let refused = judged(&with_passkey, &sealed(&anna, "anna-passkey", &key(2)));
    assert!(matches!(refused, Err(FreezeError::NotEnrolled { .. })));
}

#[test]
fn whoever_the_formula_names_may_lift_and_nobody_else() {
    let judge = |person: &str, credential: &str, seed: u8| {
        let unfreeze = Unfreeze {
            id: IntentId::new([0; 32]),
            cluster: "sample".parse().unwrap(),
            person: person.parse().unwrap(),
            credential: credential.parse().unwrap(),
            freezes: vec![IntentId::new([1; 32])],
            reason: String::new(),
        };
        let envelope = seal(PayloadType::Unfreeze, unfreeze.to_payload(), credential, &key(seed));
        let (read, opened) = Unfreeze::open(&envelope).unwrap();
        verify_unfreeze(&charter(), &read, &opened)
    };
    assert_eq!(judge("anna", "anna-terminal", 2), Ok(()));
    assert!(matches!(judge("carla", "carla-service", 1), Err(FreezeError::NoSay { .. })), "a guardian only freezes");
    assert!(matches!(judge("anna", "anna-terminal", 3), Err(FreezeError::Signature(_))));
}

fn lifters(said: &[(&str, &str)]) -> Lifters {
    let mut lifters = Lifters::new();
    for (person, credential) in said {
        lifters.entry(person.parse().unwrap()).or_default().insert(credential.parse().unwrap());
    }
    lifters
}

#[test]
fn a_freeze_is_lifted_by_enough_different_people() {
    let (anna, boris) = (("anna", "anna-terminal"), ("boris", "boris-terminal"));
    let enough = |charter: &Charter, said: &[(&str, &str)]| enough_to_lift(charter, &lifters(said));
    assert!(enough(&charter(), &[anna, boris]));
    assert!(!enough(&charter(), &[]));
    assert!(!enough(&charter(), &[anna]));
    assert!(!enough(&charter(), &[anna, ("anna", "anna-passkey")]), "one person twice");
    assert!(!enough(&charter(), &[anna, ("carla", "carla-service")]), "carla is not in treasury");
    assert!(!enough(&charter(), &[anna, ("boris", "boris-old")]), "a credential that is no longer enrolled");
    let smaller = edited("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"dora\"]");
    assert!(!enough(&smaller, &[anna, boris]), "boris has left the group");
    let mixed = edited("unfreeze = \"2 of treasury\"", "unfreeze = \"1 terminal of treasury and 1 of risk\"");
    assert!(enough(&mixed, &[anna, ("carla", "carla-service")]));
    let shown = edited("unfreeze = \"2 of treasury\"", "unfreeze = \"1 of treasury and 1 terminal of risk\"");
    assert!(!enough(&shown, &[anna, ("carla", "carla-service")]), "carla's credential is of class console");
    let mut lawless = charter();
    lawless.governance = None;
    assert!(!enough(&lawless, &[anna, boris]));
}

#[test]
fn lifting_has_no_order() {
    let ordered = SAMPLE.replace("unfreeze = \"2 of treasury\"", "unfreeze = \"1 of treasury then 1 of risk\"");
    let error = Charter::from_toml(&ordered).unwrap_err().to_string();
    assert!(error.contains("governance.unfreeze"), "{error}");
}

fn address(text: &str) -> Address {
    Address::from_canonical(text).unwrap()
}

fn chain() -> ChainId {
    ChainId::eip155(31337)
}

fn intent(key: &str) -> Intent {
    Intent {
        id: IntentId::new([1; 32]),
        cluster: "sample".parse().unwrap(),
        requester: RequesterId::new("backend").unwrap(),
        idempotency_key: "a".to_owned(),
        vault: None,
        key_id: KeyId::new(key).unwrap(),
        path: vec![],
        chain: Some(chain()),
        payload: Payload::Message(bytes::Bytes::new()),
        expires_at_secs: 1,
        replaces: None,
        note: String::new(),
    }
}

fn effects(list: Vec<Effect>) -> Effects {
    Effects { decoder_version: 1, chain: chain(), account: address(US), nonce: Some(0), list }
}

fn pays(asset: Asset) -> Effect {
    Effect::Transfer { asset, amount: Amount::from_u128(1), from: address(US), to: address(ALICE) }
}

fn touched(key: &str, list: Vec<Effect>, scope: &str) -> bool {
    touches(&charter(), &intent(key), &effects(list), &scope.parse().unwrap())
}

#[test]
fn a_scope_takes_in_what_it_names() {
    let coin = || vec![pays(Asset::Native(chain()))];
    let token = || vec![pays(Asset::Erc20(chain(), address(USDT)))];
    for scope in [
        "cluster",
        "key:treasury",
        "requester:backend",
        "chain:eip155:31337",
        "asset:eip155:31337/slip44:60",
        &format!("destination:{ALICE}"),
    ] {
        assert!(touched("treasury", coin(), scope), "{scope}");
    }
    for scope in [
        "key:other",
        "requester:security",
        "chain:eip155:1",
        "vault:reserve",
        "asset:eip155:1/slip44:60",
        &format!("asset:eip155:31337/erc20:{USDT}"),
        &format!("destination:{US}"),
    ] {
        assert!(!touched("treasury", coin(), scope), "{scope}");
    }
    assert!(touched("reserve", coin(), "vault:reserve"), "by the key that belongs to it");
    assert!(touched("treasury", token(), &format!("asset:eip155:31337/erc20:{USDT}")));
    let fee = Effect::Fee { asset: Asset::Native(chain()), max_amount: Amount::from_u128(1), payer: address(US) };
    assert!(touched("treasury", vec![fee], "asset:eip155:31337/slip44:60"), "a fee leaves too");
    let one = pays(Asset::Erc721(chain(), address(USDT), Amount::from_u128(7)));
    assert!(touched("treasury", vec![one], &format!("asset:eip155:31337/nft:{USDT}")), "one of a collection");
    let mut named = intent("treasury");
    named.vault = Some(VaultId::new("reserve").unwrap());
    assert!(touches(&charter(), &named, &effects(coin()), &"vault:reserve".parse().unwrap()), "by its own word");
}

#[test]
fn in_doubt_a_freeze_stops() {
    let unknown = || Effect::Unknown { what: "?".to_owned(), contract: None, hash: [0; 32] };
    let asset = format!("asset:eip155:31337/erc20:{USDT}");
    assert!(touched("treasury", vec![unknown()], &asset));
    assert!(touched("treasury", vec![unknown()], &format!("destination:{ALICE}")));
    assert!(!touched("treasury", vec![unknown()], "asset:eip155:1/slip44:60"), "another chain's asset");
    assert!(!touched("treasury", vec![unknown()], "chain:eip155:1"));
    let bare = || vec![Effect::Raw { digest: [1; 32] }];
    assert!(touched("treasury", bare(), "chain:eip155:1"), "nobody knows for which chain a digest is");
    assert!(touched("treasury", bare(), "asset:eip155:1/slip44:60"));
    // A key without a chain signs transactions of any as they are.
    let offchain = Effects { chain: ChainId::offchain(), ..effects(vec![unknown()]) };
    for scope in ["chain:eip155:1", "asset:eip155:1/slip44:60"] {
        assert!(touches(&charter(), &intent("treasury"), &offchain, &scope.parse().unwrap()), "{scope}");
    }
    let message = || vec![Effect::Message { signer: address(US), text: "hi".to_owned() }];
    assert!(!touched("treasury", message(), &asset));
    assert!(touched("treasury", message(), "cluster"));
}

fn live(scope: &str) -> Live {
    Live { scope: scope.parse().unwrap(), person: "carla".parse().unwrap(), reason: "burglars".to_owned() }
}

#[test]
fn the_epoch_tells_of_every_freeze_that_touches_and_of_no_other() {
    let (charter, intent, effects) = (charter(), intent("treasury"), effects(vec![pays(Asset::Native(chain()))]));
    let id = |byte: u8| IntentId::new([byte; 32]);
    let mut freezes = Freezes::default();
    let epoch = |freezes: &Freezes| freezes.touching(&charter, &intent, &effects).epoch;
    assert_eq!(epoch(&freezes), FreezeEpoch::NONE);
    freezes.live.insert(id(1), live("vault:reserve"));
    assert_eq!(epoch(&freezes), FreezeEpoch::NONE, "it does not touch");
    freezes.live.insert(id(2), live("key:treasury"));
    freezes.live.insert(id(3), live("cluster"));
    let touching = freezes.touching(&charter, &intent, &effects);
    assert_eq!(touching.live.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(touching.epoch, FreezeEpoch::of([id(2), id(3)]));
    freezes.live.remove(&id(2));
    freezes.live.remove(&id(3));
    freezes.lifted.entry("key:treasury".parse().unwrap()).or_default().insert(id(2));
    freezes.lifted.entry("vault:reserve".parse().unwrap()).or_default().insert(id(9));
    let after = FreezeEpoch::with_lifted([], [id(2)]);
    assert_eq!(epoch(&freezes), after, "what was approved before does not come back");
    let own = Automatic { id: id(4), refused: 20, within_secs: 3600, since_ms: 7 };
    freezes.automatic.insert("other".parse().unwrap(), own.clone());
    assert_eq!(freezes.touching(&charter, &intent, &effects).automatic, None, "it is somebody else's");
    freezes.automatic.insert(intent.requester.clone(), own.clone());
    let touching = freezes.touching(&charter, &intent, &effects);
    assert_eq!((touching.automatic, touching.live.len(), touching.epoch), (Some(&own), 0, after));
}
