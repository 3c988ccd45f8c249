//! A version of the charter names another committee for a ledger, which takes over what counts.

use limen_policy::ledger::{Durable, Sequencer};

use super::kit::{Carrier, SPARE, World, call};
use super::line::{FEW, MOST};
use super::once::entry;
use super::*;

/// Another witness in the place of the one there was, which is lost.
fn replace_witness(world: &mut World) -> Arc<Committee> {
    let before = world.committee();
    let spare = world.machines[SPARE].key.public_key();
    let lost = world.text.find("[[witnesses]]").unwrap();
    let end = world.text[lost..].find("[[ledgers]]").unwrap() + lost;
    let witness = world.text[lost..end].to_owned();
    let place = format!("[[witnesses]]\nid = \"spare\"\naddress = \"h:7004\"\npublic_key = \"{spare}\"\n");
    let other = "[[ledgers]]\nid = \"other\"\nmembers = [\"n0\", \"n1\", \"n2\", \"w\"]\n";
    world.text = world.text.replace(&witness, &place).replace(other, &other.replace("\"w\"", "\"spare\""));
    let follows = format!("[\"n0\", \"n1\", \"n2\", \"spare\"]\nfollows = \"{}\"\n", before.hash());
    world.adopt("[\"n0\", \"n1\", \"n2\", \"w\"]\n", &follows);
    world.machines[WITNESS].down = true;
    before
}

/// Has the committee before sealed, and shows the seal to whoever can take it; a carrier that goes on from there.
async fn handed_over(world: &mut World, before: &Arc<Committee>, started: Carrier) -> Carrier {
    let mut sealing = started;
    sealing.committee = Some(before.to_wire());
    sealing.work(world).await;
    let (book, seal) = sealing.sequencer.sealed().expect("it is sealed");
    let next = world.committee();
    let view = Durable::succeed(&next, seal, book.clone()).unwrap();
    let certificates: Vec<_> = sealing.certified.iter().map(|one| one.envelope().clone()).collect();
    for member in (0..=SPARE).filter(|member| !world.machines[*member].down) {
        let (ledger, committee) = ("main".to_owned(), sealing.committee.clone());
        let call = pb::LedgerReserveRequest {
            ledger,
            committee,
            certificates: certificates.clone(),
            ..pb::LedgerReserveRequest::default()
        };
        assert!(world.keeper(member).reserve(call).await.unwrap().response.refusal.is_none(), "{member}");
    }
    Carrier::new(Sequencer::new(next, world.charter.hash(), view, Some(seal.clone()), 1_000))
}

/// A carrier that ends a committee; it has seen nothing yet.
fn sealing(world: &World, before: &Arc<Committee>) -> Carrier {
    let view = Durable::genesis(before);
    let sequencer = Sequencer::new(Arc::clone(before), world.charter.hash(), view, None, 1_000);
    Carrier::new(sequencer.sealing_for(world.committee().hash()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committee_that_follows_takes_over_what_counts() {
    let mut world = World::claiming(2);
    let (one, two, three) = (world.request(1), world.request(2), world.request(3));
    let mut carrier = world.carrier();
    let reserved = world.reserve(&mut carrier, &one).await.unwrap();
    let before = replace_witness(&mut world);
    assert_ne!(before.hash(), world.committee().hash());
    // What the committee before has certified stands for nothing any more, and it reserves nothing.
    assert!(world.sign(0, &one, &[reserved.envelope().clone()]).await.is_err());
    let mut late = Carrier { committee: Some(before.to_wire()), ..world.carrier() };
    late.submit(&world, &two);
    let claims = entry(&world, None, &[&two]);
    let body = limen_policy::ledger::Body {
        committee: before.hash(),
        number: 2,
        base: 1,
        previous: reserved.entry().hash(),
        ..limen_policy::ledger::Body::clone(&claims)
    };
    let committee = Some(before.to_wire());
    let shown = pb::LedgerReserveRequest {
        committee,
        requests: vec![world.requested(&two)],
        ..call(&Entry::new(body).unwrap(), Some(&reserved))
    };
    let error = world.keeper(0).reserve(shown).await.unwrap_err();
    assert_eq!(error.code, Code::WrongState);
    assert!(error.message.contains("has ended by the charter"), "{}", error.message);
    let show = pb::LedgerShowRequest { ledger: "main".to_owned(), ..Default::default() };
    let shown = world.keeper(0).show(show.clone()).await.unwrap();
    assert_eq!((shown.certificates.len(), shown.head, shown.before), (0, 0, Some(before.to_wire())));
    assert_eq!(world.keeper(SPARE).show(show).await.unwrap().before, None, "it has never heard of it");
    // Nobody starts before that is sealed.
    let ask = || pb::LedgerReserveRequest { ledger: "main".to_owned(), ..Default::default() };
    for member in [0, SPARE] {
        let refusal = world.keeper(member).reserve(ask()).await.unwrap().response.refusal.unwrap();
        assert_eq!(refusal.hint(), pb::LedgerHint::Unsealed, "{member}");
        let close = pb::LedgerCloseRequest { ledger: "main".to_owned(), through: 1, committee: None };
        let refusal = world.keeper(member).close(close).await.unwrap().refusal.unwrap();
        assert_eq!(refusal.hint(), pb::LedgerHint::Unsealed, "{member}");
    }
    let started = Carrier { certified: vec![reserved.clone()], ..sealing(&world, &before) };
    let mut carrier = handed_over(&mut world, &before, started).await;
    // Of two requests that the limit holds one is taken, and its number too.
    let rival = world.transfer("rival", 1, 1_000, None);
    assert!(world.reserve(&mut carrier, &rival).await.is_none());
    world.machines[1].down = true;
    let certificate = world.reserve(&mut carrier, &two).await.expect("with the new witness");
    world.machines[1].down = false;
    assert!(world.sign(0, &two, &[certificate.envelope().clone()]).await.is_ok());
    assert!(world.reserve(&mut carrier, &three).await.is_none(), "the window goes on");
    // All of it is on disk, and the one before is as it was.
    for member in [0, 1, 2, SPARE] {
        world.restart(member);
        let show = |committee| pb::LedgerShowRequest { ledger: "main".to_owned(), after: 0, committee };
        let own = world.keeper(member).show(show(None)).await.unwrap();
        assert_eq!(own.before.as_ref(), Some(&before.to_wire()), "{member}");
        let old = world.keeper(member).show(show(own.before)).await.unwrap();
        assert_eq!((old.before, old.head), (None, 2), "{member}");
    }
    assert!(world.reserve(&mut carrier, &three).await.is_none());
    assert!(
        world.reserve(&mut carrier, &one).await.is_some(),
        "what was taken over is reserved anew under its own name"
    );
    // And it is handed over once more.
    let (second, first) = (world.committee(), world.text.find("follows = ").unwrap());
    let old = world.text[first..first + 76].to_owned();
    world.adopt(&old, &format!("follows = \"{}\"", second.hash()));
    carrier.sequencer.judge_by(world.charter.hash());
    let sealing = Carrier::new(carrier.sequencer.sealing_for(world.committee().hash()));
    let started = Carrier { certified: carrier.certified.clone(), ..sealing };
    let mut carrier = handed_over(&mut world, &second, started).await;
    assert!(world.reserve(&mut carrier, &three).await.is_none());
    assert!(world.reserve(&mut carrier, &two).await.is_some());
}

/// Only who the charter's own committee is known to follow, and each by its whole definition.
#[tokio::test(flavor = "multi_thread")]
async fn committees_that_nothing_follows_are_refused() {
    let mut world = World::claiming(2);
    let mut carrier = world.carrier();
    world.reserve(&mut carrier, &world.request(1)).await.unwrap();
    let before = replace_witness(&mut world);
    let good = before.to_wire();
    let spoil = |change: &dyn Fn(&mut pb::LedgerCommittee)| {
        let mut raw = good.clone();
        change(&mut raw);
        raw
    };
    let spare = world.machines[SPARE].key.public_key().to_string();
    let strange = [
        spoil(&|raw| raw.quorum = 4),
        spoil(&|raw| raw.corrupt = 0),
        spoil(&|raw| raw.lifetime_ms += 1000),
        spoil(&|raw| raw.members.swap(0, 1)),
        spoil(&|raw| raw.members[3].public_key.clone_from(&spare)),
        spoil(&|raw| raw.members[3].node = "x".to_owned()),
        spoil(&|raw| raw.predecessor = vec![1; 32].into()),
    ];
    let malformed = [
        spoil(&|raw| raw.members.clear()),
        spoil(&|raw| raw.members = vec![raw.members[0].clone(); 17]),
        spoil(&|raw| raw.quorum = 2),
        spoil(&|raw| raw.lifetime_ms = 0),
        spoil(&|raw| raw.predecessor = vec![1; 31].into()),
        spoil(&|raw| raw.members[0].public_key = "rsa:00".to_owned()),
        spoil(&|raw| raw.members[0].node = String::new()),
    ];
    for (all, code) in [(strange.as_slice(), Code::NotPermitted), (&malformed, Code::Malformed)] {
        for committee in all {
            let committee = Some(committee.clone());
            let show = pb::LedgerShowRequest { ledger: "main".to_owned(), after: 0, committee };
            assert_eq!(world.keeper(0).show(show.clone()).await.unwrap_err().code, code, "{show:?}");
        }
    }
    let show = pb::LedgerShowRequest { ledger: "main".to_owned(), after: 0, committee: Some(good) };
    assert!(world.keeper(0).show(show).await.is_ok());
}

/// Of the committee that is ended and of those that the charter names the one with more corrupt members says who has to stand.
#[tokio::test(flavor = "multi_thread")]
async fn a_committee_is_ended_with_the_standing_that_it_asks_for_itself() {
    let mut world = World::claiming(2);
    let mut carrier = world.carrier();
    world.reserve(&mut carrier, &world.request(1)).await.unwrap();
    let before = replace_witness(&mut world);
    // The charter now says of all its ledgers that nobody is corrupt.
    world.text = world.text.replace("corrupt = 1", "corrupt = 0");
    world.adopt("corrupt = 0", "corrupt = 0");
    assert!(world.charter.ledgers.values().all(|committee| committee.corrupt() == 0));
    world.standing = super::kit::Standing(0);
    let committee = Some(before.to_wire());
    let close = pb::LedgerCloseRequest { ledger: "main".to_owned(), through: 9, committee: committee.clone() };
    assert_eq!(world.keeper(0).close(close.clone()).await.unwrap_err().code, Code::NoStanding);
    let head = carrier.certified.last().unwrap();
    let seal = |world: &World| {
        let mut book = limen_policy::ledger::Book::default();
        book.apply(head.entry());
        let seal = Some(limen_policy::ledger::Seal { successor: world.committee().hash(), book: book.digest() });
        let body = limen_policy::ledger::Body { seal, charter: world.charter.hash(), ..after(head, world.now_ms) };
        pb::LedgerReserveRequest { committee: committee.clone(), ..call(&Entry::new(body).unwrap(), Some(head)) }
    };
    assert_eq!(world.keeper(0).reserve(seal(&world)).await.unwrap_err().code, Code::NoStanding);
    world.standing = super::kit::Standing(1);
    let sealed = world.keeper(0).reserve(seal(&world)).await.unwrap().response;
    assert!(sealed.acknowledgement.is_some(), "{:?}", sealed.refusal);
    assert!(world.keeper(1).close(close).await.unwrap().closing.is_some());
}

/// An empty entry of the same committee, on this one.
fn after(base: &Certificate, time_ms: u64) -> limen_policy::ledger::Body {
    let entry = base.entry();
    limen_policy::ledger::Body {
        cluster: entry.cluster.clone(),
        ledger: entry.ledger.clone(),
        committee: entry.committee,
        charter: entry.charter,
        number: entry.number + 1,
        base: entry.number,
        previous: entry.hash(),
        time_ms,
        expires_at_ms: time_ms + entry.expires_at_ms - entry.time_ms,
        prices: Vec::new(),
        claims: Vec::new(),
        releases: Vec::new(),
        closings: Vec::new(),
        carried: Vec::new(),
        seal: None,
    }
}

/// So many committees came before the charter's own.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_committees_of_a_ledger_are_told_and_the_end_is_named() {
    for (before, told, serves) in [
        (MOST - FEW - 2, None, true),
        (MOST - FEW - 1, Some("ledger main has had 56 committees, 8 more can follow"), true),
        (MOST - 1, Some("ledger main has had 64 committees, 0 more can follow"), true),
        (MOST, Some("ledger main has had 65 committees, 0 more can follow"), false),
    ] {
        let mut world = World::claiming(2);
        let own = world.committee();
        let whose = || (own.cluster().clone(), own.ledger().clone());
        let mut line: Vec<Arc<Committee>> = vec![Arc::clone(&own)];
        while line.len() < before {
            let predecessor = line.last().unwrap().hash().as_bytes().to_vec().into();
            let raw = pb::LedgerCommittee { predecessor, ..own.to_wire() };
            line.push(Arc::new(Committee::from_wire(raw, whose()).unwrap()));
        }
        let follows = format!("\"w\"]\nfollows = \"{}\"\n", line.last().unwrap().hash());
        world.adopt("\"w\"]\n", &follows);
        let newest = world.committee();
        assert_eq!(newest.predecessor(), Some(line.last().unwrap().hash()));
        let keeper = world.keeper(0);
        let (store, wall) = (keeper.decisions.store, keeper.decisions.now.wall);
        let rows = line.clone();
        let write = move |txn: &mut Txn<'_>| rows.iter().try_for_each(|one| txn.put_ledger(one, &[], wall));
        store.write(write).await.unwrap();
        let words = line::ending(&world.charter, &store.view().unwrap()).unwrap();
        assert_eq!(words.first().map(String::as_str), told, "{before}");
        let ask = pb::LedgerReserveRequest { ledger: "main".to_owned(), ..Default::default() };
        match keeper.reserve(ask).await {
            Ok(reserved) => {
                let refusal = reserved.response.refusal.unwrap();
                assert!(serves && refusal.hint() == pb::LedgerHint::Unsealed, "the one before has to be sealed first");
            }
            Err(error) => {
                assert!(!serves && error.code == Code::WrongState, "{error}");
                assert!(
                    error.message.starts_with("ledger main has had 64 committees, and no other can follow"),
                    "{error}"
                );
            }
        }
    }
}
