//! Keys out of use: what is read, what may follow what, which way each step goes, and what is signed still.

use limen_wire::effects::{Address, Asset, ChainId};

use super::*;
use crate::charter::tests::sample;
use crate::diff::{Direction, diff};
use crate::lint::lint;
use crate::succession::{Step, SuccessionError, follows};

const VENUE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ELSEWHERE: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";

/// `None` for a key in use; a compromised key's places follow a colon.
fn mark(state: &str) -> String {
    let (state, places) = state.split_once(':').unwrap_or((state, ""));
    let places: Vec<String> = places.split_whitespace().map(|place| format!("\"{place}\"")).collect();
    let sweep = if places.is_empty() { String::new() } else { format!("sweep_to = [{}]\n", places.join(", ")) };
    match state {
        "active" => String::new(),
        state => format!("\n[[keys]]\nkey = \"treasury\"\nstate = \"{state}\"\n{sweep}"),
    }
}

fn read(more: &str) -> Result<Charter, crate::charter::CharterError> {
    Charter::from_toml(&format!("{}{more}", sample()))
}

fn charter(state: &str) -> Charter {
    read(&mark(state)).unwrap()
}

fn key() -> KeyId {
    KeyId::new("treasury").unwrap()
}

fn after(parents: &[&Charter], state: &str) -> Charter {
    let hashes: Vec<String> = parents.iter().map(|parent| format!("\"{}\"", parent.hash())).collect();
    let text =
        sample().replacen("number = 1\nparents = []", &format!("number = 2\nparents = [{}]", hashes.join(", ")), 1);
    Charter::from_toml(&format!("{text}{}", mark(state))).unwrap()
}

#[test]
fn states_are_read() {
    assert!(charter("active").key_marks.is_empty());
    for state in [KeyState::Suspended, KeyState::Deactivated, KeyState::Compromised, KeyState::Destroyed] {
        let read = charter(state.as_str());
        assert_eq!(read.key_state(&key()), Some(state));
        assert_eq!(read.key_state(&KeyId::new("hot").unwrap()), None);
    }
    let reason = mark("compromised:exchange") + "reason = \"a laptop is gone\"\n";
    let read = read(&reason).unwrap().key_marks.remove(&key()).unwrap();
    assert_eq!(read.sweep_to, BTreeSet::from([BookEntryId::new("exchange").unwrap()]));
    assert_eq!(read.reason.as_deref(), Some("a laptop is gone"));
}

#[test]
fn what_is_no_state_is_refused() {
    let many: String = (0..=1024).map(|n| mark("suspended").replace("treasury", &format!("k{n}"))).collect();
    for (text, says) in [
        (mark("lost"), "lost"),
        (mark("suspended").replace("suspended", "active"), "active"),
        (mark("suspended").replace("treasury", "Treasury"), "state of key"),
        (mark("suspended") + "colour = 1\n", "colour"),
        (mark("suspended") + "reason = \"\"\n", "reason"),
        (mark("suspended") + &format!("reason = \"{}\"\n", "a".repeat(201)), "reason"),
        (mark("suspended:exchange"), "only a compromised key"),
        (mark("destroyed:exchange"), "only a compromised key"),
        (mark("compromised:nowhere"), "no entry nowhere"),
        (mark("suspended") + &mark("deactivated"), "named twice"),
        (many, "at most 1024"),
    ] {
        let error = read(&text).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Every pair of states: whether one may follow the other, and when it binds.
#[test]
fn only_some_states_follow_others() {
    const STATES: [&str; 6] =
        ["active", "suspended", "deactivated", "compromised", "compromised:exchange", "destroyed"];
    // Per row what follows: n nothing changes, + at once, - after the delay, . never.
    let allowed = [
        "n++++.", // from active
        "-n++-.", // from suspended
        "..n+--", // from deactivated
        "...n--", // from compromised
        "...+n-", // from compromised with a place to sweep to
        ".....n", // from destroyed
    ];
    for (from, row) in STATES.into_iter().zip(allowed) {
        for (to, expected) in STATES.into_iter().zip(row.chars()) {
            let parent = charter(from);
            let followed = follows(&[&parent], &after(&[&parent], to));
            let found = match &followed {
                Ok(Step::AtOnce) if from == to => 'n',
                Ok(Step::AtOnce) => '+',
                Ok(Step::After { secs }) => {
                    assert_eq!(*secs, 86_400);
                    '-'
                }
                Err(SuccessionError::KeyState { .. }) => '.',
                Err(error) => panic!("{from} → {to}: {error}"),
            };
            assert_eq!(found, expected, "{from} → {to}: {followed:?}");
        }
    }
}

#[test]
fn a_destroyed_key_is_destroyed_by_a_version_that_waits() {
    let (old, new) = (charter("compromised:exchange"), charter("destroyed"));
    let loosening: Vec<_> = diff(&old, &new).into_iter().filter(|one| one.direction == Direction::Loosens).collect();
    assert_eq!(loosening.len(), 1);
    assert!(loosening[0].sentence.contains("destroyed: every signer erases its shares"), "{loosening:?}");
    // It does not make a mixed version of it that the places go.
    assert!(!diff(&old, &new).iter().any(|one| one.direction == Direction::Tightens));
    let words = |from: &str, to: &str| diff(&charter(from), &charter(to)).remove(0).sentence;
    assert_eq!(words("active", "suspended"), "key treasury is suspended");
    assert_eq!(words("suspended", "active"), "key treasury is no longer suspended: it signs again");
    assert_eq!(words("suspended", "deactivated"), "key treasury is deactivated; it was suspended");
}

/// Two branches join in what follows from both; a key that one of them has destroyed is destroyed.
#[test]
fn branches_join_in_the_later_state() {
    let root = charter("active");
    let (one, two) = (after(&[&root], "deactivated"), after(&[&root], "active"));
    let joined = |parents: &[&Charter], state: &str| {
        super::forbidden_step(
            &parents.iter().map(|parent| parent.key_state(&key())).collect::<Vec<_>>(),
            charter(state).key_state(&key()),
        )
    };
    assert_eq!(joined(&[&one, &two], "deactivated"), None);
    assert!(joined(&[&one, &two], "active").is_some());
    assert_eq!(joined(&[&charter("destroyed"), &two], "destroyed"), None);
    assert!(joined(&[&charter("destroyed"), &two], "compromised").is_some());
    assert!(joined(&[&charter("suspended"), &two], "destroyed").is_some());
}

fn address(text: &str) -> Address {
    limen_chain::parse_address(text).unwrap()
}

fn amount(units: u64) -> Amount {
    Amount::from_u128(units.into())
}

fn transfer(to: &str) -> Effect {
    let chain = ChainId::eip155(31337);
    let (from, to) = (address(ELSEWHERE), address(to));
    Effect::Transfer { asset: Asset::Native(chain), amount: amount(1), from, to }
}

fn effects(list: Vec<Effect>) -> Effects {
    let account = address(ELSEWHERE);
    Effects { decoder_version: 1, chain: ChainId::eip155(31337), account, nonce: Some(0), list }
}

fn allowance(units: u64, change: AllowanceChange) -> Effect {
    let (owner, spender) = (address(ELSEWHERE), address(VENUE));
    let asset = Asset::Native(ChainId::eip155(31337));
    Effect::Allowance { asset, amount: amount(units), change, owner, spender, expires_at: None, submit_by: None }
}

#[test]
fn only_a_sweep_is_signed_by_a_compromised_key() {
    let fee = || Effect::Fee {
        asset: Asset::Native(ChainId::eip155(31337)),
        max_amount: amount(1),
        payer: address(ELSEWHERE),
    };
    let asked = |state: &str, list: Vec<Effect>| charter(state).check_key_state(&key(), &effects(list));
    for state in ["suspended", "deactivated", "compromised", "destroyed"] {
        assert!(asked(state, vec![transfer(VENUE), fee()]).is_err(), "{state}");
        assert!(charter(state).check_key_in_use(&key()).is_err());
    }
    assert_eq!(asked("active", vec![transfer(ELSEWHERE)]), Ok(()));
    let swept = |list| asked("compromised:exchange", list);
    assert_eq!(swept(vec![transfer(VENUE), fee()]), Ok(()));
    assert_eq!(swept(vec![allowance(0, AllowanceChange::Set), fee()]), Ok(()), "it takes an allowance back");
    for (list, says) in [
        (vec![transfer(ELSEWHERE), fee()], "goes to"),
        (vec![transfer(VENUE), transfer(ELSEWHERE)], "goes to"),
        (vec![fee()], "moves none"),
        (vec![], "moves none"),
        (vec![allowance(1, AllowanceChange::Set)], "allowance"),
        (vec![allowance(0, AllowanceChange::Increase)], "allowance"),
        (vec![Effect::Raw { digest: [1; 32] }], "raw"),
        (vec![transfer(VENUE), Effect::Call { contract: address(VENUE), method: "x()".into() }], "call"),
    ] {
        let error = swept(list).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    // The same address on another chain is not in the book.
    let mut other = effects(vec![transfer(VENUE)]);
    other.chain = ChainId::eip155(1);
    assert!(charter("compromised:exchange").check_key_state(&key(), &other).is_err());
    // Nothing is made ahead for it.
    assert!(charter("compromised:exchange").check_key_in_use(&key()).is_err());
}

#[test]
fn lint_names_what_a_key_leaves_behind() {
    let found = |text: &str| -> String {
        let text = text.replace("treasury", "hot");
        lint(&read(&text).unwrap()).into_iter().map(|one| format!("{}: {}\n", one.place, one.message)).collect()
    };
    let destroyed = found(&mark("destroyed"));
    assert!(destroyed.contains("state of key hot: it is a key of vault hot still"), "{destroyed}");
    assert!(found(&mark("compromised")).contains("can be moved by whoever has the key"));
    assert!(found(&mark("compromised:hot-account")).contains("of a vault with no key in use"));
    assert!(!found(&mark("compromised:exchange")).contains("state of key"));
    let treasury: String = lint(&charter("destroyed")).into_iter().map(|one| one.message).collect();
    assert!(treasury.contains("names it still"), "{treasury}");
}
