use super::*;
use crate::guard::tests::{charter, examined, facts, sealed, transfer};

fn name(raw: &pb::Intent) -> Name {
    Recent::name(charter().hash(), &sealed(raw)).unwrap()
}

#[test]
fn only_the_very_same_bytes_and_key_are_found_again() {
    let recent = Recent::default();
    let raw = transfer(5, "a");
    recent.put(name(&raw), examined(&raw));
    let same = |_: &_| Some(Arc::new(facts()));
    assert_eq!(recent.get(&name(&raw), same).unwrap().intent(), examined(&raw).intent());
    assert!(recent.get(&name(&transfer(6, "a")), same).is_none());
    let mut unsigned = sealed(&raw);
    unsigned.signatures.clear();
    assert!(
        recent.get(&Recent::name(charter().hash(), &unsigned).unwrap(), same).is_none(),
        "a signature less is another envelope"
    );
    let other = Recent::name(CharterHash::new([9; 32]), &sealed(&raw)).unwrap();
    assert!(recent.get(&other, same).is_none(), "another charter may say something else");
    let inactive = |_: &_| Some(Arc::new(KeyFacts { active: false, ..facts() }));
    assert!(recent.get(&name(&raw), inactive).is_none(), "the key is not what it was");
    assert!(recent.get(&name(&raw), |_| None).is_none());
}

#[test]
fn memory_is_bounded() {
    let recent = Recent::default();
    let first = examined(&transfer(0, "a"));
    for number in 0..=MOST {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&number.to_be_bytes());
        recent.put(Name(name), first.clone());
    }
    assert!(recent.get(&Name([0; 32]), |_| Some(Arc::new(facts()))).is_none(), "the oldest has gone");
    assert_eq!(recent.lock().examined.len(), MOST);
    let long = pb::Envelope { payload: vec![0; BYTES].into(), ..pb::Envelope::default() };
    assert!(Recent::name(charter().hash(), &long).is_none());
}
