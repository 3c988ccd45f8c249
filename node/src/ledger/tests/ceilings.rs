//! What may flow into a vault, at real members and guards: by what is attested, and by what was let in already.

use std::collections::BTreeSet;

use limen_policy::ledger::Scope;
use limen_wire::check::Check;
use limen_wire::effects::{Amount, Asset, ChainId};
use limen_wire::envelope::payload_id;
use limen_wire::error::Code;
use limen_wire::keys::SigningKey;

use super::*;

/// The most that the vault may hold, in wei; each refill of [`World::request`] brings 1 000.
const MOST: u128 = 10_000;

fn watch() -> SigningKey {
    SigningKey::ed25519_from_seed(&[0x61; 32].into())
}

/// Transfers go to an account of vault "shop", of which "watch" knows what it holds.
fn shop() -> World {
    let limit = format!(
        "max_amount = \"2\"\n\
         [[vaults]]\nid = \"shop\"\ntier = \"hot\"\nkeys = [\"till\"]\n\
         [[vaults]]\nid = \"safe\"\ntier = \"cold\"\nkeys = [\"hot\"]\n\
         [[checkers]]\nid = \"watch\"\npublic_key = \"{}\"\nmax_age_secs = 120\nbalances_of = [\"shop\"]\n\
         [[checkers]]\nid = \"other\"\npublic_key = \"{}\"\nmax_age_secs = 120\n\
         [[address_book]]\nid = \"till\"\nchain = \"eip155:31337\"\nvault = \"shop\"\n\
         address = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\n\
         [[ceilings]]\nid = \"shop-eth\"\nvault = \"shop\"\nasset = \"eth\"\n\
         max_balance = \"0.{MOST:018}\"\n",
        watch().public_key(),
        SigningKey::ed25519_from_seed(&[0x62; 32].into()).public_key()
    );
    World::under("claims = \"main\"\n", &limit)
}

impl World {
    /// So many wei are in the vault, as the watch says of this request now.
    pub(super) fn finding(&self, envelope: &pb::Envelope, wei: u128) -> Check {
        let now_secs = self.now_ms / 1000;
        let eth = Asset::Native(ChainId::eip155(31337));
        Check {
            cluster: self.charter.cluster.clone(),
            intent_id: payload_id(PayloadType::Intent, &envelope.payload),
            charter: self.charter.hash(),
            checker: "watch".parse().unwrap(),
            checked_at_secs: now_secs,
            expires_at_secs: now_secs + 3600,
            objection: None,
            balances: [(("shop".parse().unwrap(), eth), Amount::from_u128(wei))].into(),
            prices: [].into(),
            sequences: [].into(),
        }
    }

    fn attest(&mut self, envelope: &pb::Envelope, wei: u128) {
        let finding = self.finding(envelope, wei);
        self.checks.insert(finding.intent_id, vec![finding.seal(&watch())]);
    }

    fn refill(&mut self, number: u64, wei: u128, held: u128) -> pb::Envelope {
        let envelope = self.transfer(&format!("refill-{number}"), number, wei, None);
        self.attest(&envelope, held);
        envelope
    }

    /// Who pays.
    fn payer(&self, envelope: &pb::Envelope) -> (ChainId, limen_wire::effects::Address) {
        let claim = self.claim(envelope);
        let spent = claim.charges.into_keys().find_map(|scope| match scope {
            Scope::Nonce { chain, account, .. } => Some((chain, account)),
            _ => None,
        });
        spent.unwrap()
    }

    /// Whether any signer in any set of two would sign, with these reservations.
    pub(super) async fn anybody_signs(&mut self, envelope: &pb::Envelope, reservations: &[pb::Envelope]) -> bool {
        let mut signs = false;
        for (signer, other) in [(0, 2), (0, 3), (1, 1), (1, 3), (2, 1), (2, 2)] {
            signs |= self.sign_among(signer, other, envelope, reservations).await.is_ok();
        }
        signs
    }

    /// An entry over these requests at the ledger's first number, whether or not they fit, shown to a member.
    pub(super) async fn propose(&self, member: usize, envelopes: &[&pb::Envelope]) -> Result<(), String> {
        self.propose_on(None, member, envelopes).await
    }

    /// The same after what is certified.
    async fn propose_on(
        &self,
        base: Option<&Certificate>,
        member: usize,
        envelopes: &[&pb::Envelope],
    ) -> Result<(), String> {
        self.show(member, (&once::entry(self, base, envelopes), base), envelopes).await
    }

    /// Shows an entry with what was found about these requests to a member.
    pub(super) async fn show(
        &self,
        member: usize,
        (entry, base): (&Entry, Option<&Certificate>),
        envelopes: &[&pb::Envelope],
    ) -> Result<(), String> {
        let requests = envelopes.iter().map(|one| self.requested(one)).collect();
        let shown = pb::LedgerReserveRequest { requests, ..call(entry, base) };
        let answer = self.keeper(member).reserve(shown).await.unwrap().response;
        answer.refusal.map_or(Ok(()), |refusal| Err(refusal.error.unwrap().message))
    }
}

/// FTX 2022: nearly everything was hot. A vault that is full is not filled up further, in however many parts and by
/// whichever signers.
#[tokio::test(flavor = "multi_thread")]
async fn ftx_2022_hot_ceiling_blocks_refill() {
    let mut world = shop();
    let mut carrier = world.carrier();
    // 4 000 are there: six parts of 1 000 fit, and the other six do not.
    let mut signed = 0;
    for number in 0..12 {
        let refill = world.refill(number, 1_000, 4_000);
        let reserved = world.reserve(&mut carrier, &refill).await.map(|one| envelopes(&one)).unwrap_or_default();
        assert_eq!(reserved.is_empty(), number >= 6, "part {number}");
        signed += u32::from(world.anybody_signs(&refill, &reserved).await);
    }
    assert_eq!(signed, 6);
    // One large part more is not signed either, and what no attestation could make room for is denied at once.
    let refill = world.refill(20, 6_001, 4_000);
    assert!(world.reserve(&mut carrier, &refill).await.is_none());
    assert_eq!(world.sign(0, &refill, &[]).await.unwrap_err().code, Code::ReservationMissing);
    let refill = world.refill(21, MOST + 1, 0);
    let error = world.sign(1, &refill, &[]).await.unwrap_err();
    assert_eq!(error.code, Code::PolicyDenied);
    assert!(error.message.contains("ceiling shop-eth allows at most 10000"), "{}", error.message);
}

/// Whoever keeps signed transactions from the chain sends them whenever it likes: what was signed counts until its number is
/// known to have passed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_counts_until_its_number_has_passed() {
    let mut world = shop();
    let mut carrier = world.carrier();
    for number in 0..6 {
        let refill = world.refill(number, 1_000, 4_000);
        let reserved = world.reserve(&mut carrier, &refill).await.expect("there is room");
        assert!(world.anybody_signs(&refill, &envelopes(&reserved)).await);
    }
    // Nothing ages out, and the requests expire.
    world.now_ms += 1_000 * 90_000;
    let refill = world.refill(6, 1_000, 4_000);
    assert!(world.reserve(&mut carrier, &refill).await.is_none());
    let payer = world.payer(&refill);
    let elsewhere = (ChainId::eip155(1), payer.1.clone());
    for sequences in [
        [(payer.clone(), 0)].into(),
        [(elsewhere, 6)].into(),
        [((payer.0.clone(), limen_wire::effects::Address::from_canonical("0x01").unwrap()), 6)].into(),
    ] {
        let check = Check { sequences, ..world.finding(&refill, 4_000) };
        world.checks.insert(check.intent_id, vec![check.seal(&watch())]);
        assert!(world.reserve(&mut carrier, &refill).await.is_none());
        let refused = world.propose_on(carrier.certified.last(), 0, &[&refill]).await.unwrap_err();
        assert!(refused.contains("with what is reserved and not known to have arrived"), "{refused}");
    }
    // One has arrived, which the balance tells, and another one fits.
    let told =
        |world: &World, wei, next| Check { sequences: [(payer.clone(), next)].into(), ..world.finding(&refill, wei) };
    let (one, all) = (told(&world, 5_000, 1), told(&world, 9_000, 6));
    world.checks.insert(one.intent_id, vec![one.seal(&watch())]);
    assert!(world.reserve(&mut carrier, &refill).await.is_none(), "five more may arrive");
    // Who also tells that nothing has arrived is believed.
    let none = told(&world, 4_000, 0);
    world.checks.insert(all.intent_id, vec![all.seal(&watch()), none.seal(&watch())]);
    assert!(world.reserve(&mut carrier, &refill).await.is_none());
    world.checks.insert(all.intent_id, vec![all.seal(&watch())]);
    let reserved = world.reserve(&mut carrier, &refill).await.expect("all have arrived");
    assert!(world.anybody_signs(&refill, &envelopes(&reserved)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_flows_in_without_an_attestation_that_holds() {
    type Spoil = fn(&mut Check);
    let spoils: [(&str, Spoil); 10] = [
        ("missing", |check| check.balances.clear()),
        ("stale", |check| check.checked_at_secs -= 120),
        ("expired", |check| {
            (check.checked_at_secs, check.expires_at_secs) = (check.checked_at_secs - 2, check.checked_at_secs);
        }),
        ("from the future", |check| check.checked_at_secs += 31),
        ("of another intent", |check| check.intent_id = IntentId::new([1; 32])),
        ("under another charter", |check| check.charter = limen_wire::ids::CharterHash::new([1; 32])),
        ("of another cluster", |check| check.cluster = "other".parse().unwrap()),
        ("of another checker", |check| check.checker = "other".parse().unwrap()),
        ("of another asset", |check| {
            let token = Asset::Native(ChainId::eip155(1));
            check.balances = [(("shop".parse().unwrap(), token), Amount::ZERO)].into();
        }),
        ("of another vault", |check| {
            let eth = check.balances.keys().next().unwrap().1.clone();
            check.balances = [(("safe".parse().unwrap(), eth), Amount::ZERO)].into();
        }),
    ];
    let mut world = shop();
    let mut carrier = world.carrier();
    let refill = world.refill(1, 1_000, 0);
    let reserved = envelopes(&world.reserve(&mut carrier, &refill).await.unwrap());
    assert!(world.sign(0, &refill, &reserved).await.is_ok());
    let mut fresh = shop();
    let request = fresh.refill(1, 1_000, 0);
    let (id, good, theirs) = (world.claim(&refill).intent, world.finding(&refill, 0), fresh.finding(&request, 0));
    for (what, spoil) in spoils {
        // At signing, with a certificate that holds.
        let mut check = good.clone();
        spoil(&mut check);
        world.checks.insert(id, vec![check.seal(&watch())]);
        let error = world.sign(0, &refill, &reserved).await.unwrap_err();
        assert_eq!(error.code, Code::ApprovalsMissing, "{what}");
        assert!(error.message.contains("ceiling shop-eth"), "{what}: {}", error.message);
        // And before, at every member.
        let mut check = theirs.clone();
        spoil(&mut check);
        fresh.checks.insert(theirs.intent_id, vec![check.seal(&watch())]);
        for member in 0..4 {
            let refused = fresh.propose(member, &[&request]).await.unwrap_err();
            assert!(refused.contains("what vault shop holds, attested by watch"), "{what} at {member}: {refused}");
        }
    }
    for (what, checks) in
        [("none", Vec::new()), ("by another key", vec![good.seal(&SigningKey::ed25519_from_seed(&[9; 32].into()))])]
    {
        world.checks.insert(id, checks);
        assert_eq!(world.sign(0, &refill, &reserved).await.unwrap_err().code, Code::ApprovalsMissing, "{what}");
    }
    // Nothing of an attestation is remembered, but one that still counts may be shown again for the same request.
    world.checks.insert(id, vec![good.seal(&watch())]);
    assert!(world.sign(0, &refill, &reserved).await.is_ok());
    // The watch may object, whatever else it says.
    let no = Check { objection: Some("not now".to_owned()), balances: [].into(), ..good.clone() };
    world.checks.insert(id, vec![good.seal(&watch()), no.seal(&watch())]);
    let error = world.sign(0, &refill, &reserved).await.unwrap_err();
    assert!(error.message.contains("checker watch objects: not now"), "{}", error.message);
}

/// A low balance that was attested for one request says nothing of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_is_not_replayed_for_another_request() {
    let mut world = shop();
    let (first, second) = (world.refill(1, 1_000, 0), world.refill(2, 1_000, 9_999));
    let (low, high) = (world.claim(&first).intent, world.claim(&second).intent);
    let shown = world.checks.values().flatten().cloned().collect();
    world.checks.insert(high, shown);
    let refused = world.propose(0, &[&second]).await.unwrap_err();
    assert!(refused.contains("shop-eth"), "{refused}");
    world.checks.insert(high, world.checks[&low].clone());
    assert!(world.propose(0, &[&second]).await.unwrap_err().contains("what vault shop holds"));
    // Of two that hold the higher counts.
    world
        .checks
        .insert(low, vec![world.finding(&first, 0).seal(&watch()), world.finding(&first, 9_500).seal(&watch())]);
    assert!(world.propose(0, &[&first]).await.unwrap_err().contains("more than the bound 500"));
    world.attest(&first, 9_000);
    assert_eq!(world.propose(0, &[&first]).await, Ok(()));
}

/// What one entry lets in together fits by the highest balance that is attested for any part of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_has_room_by_the_worst_of_what_is_attested_with_it() {
    let mut world = shop();
    let (first, second) = (world.refill(1, 1_000, 0), world.refill(2, 1_000, 8_500));
    for member in 0..4 {
        let refused = world.propose(member, &[&first, &second]).await.unwrap_err();
        assert!(
            refused.contains("limit \"shop-eth\": 2000 is more than the bound 1500 that what is attested leaves"),
            "{refused}"
        );
        assert_eq!(world.propose(member, &[&second]).await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_racing_refills_as_many_get_in_as_there_is_room_for() {
    let mut world = shop();
    let mut carrier = world.carrier();
    let refills: Vec<_> = (0..64).map(|number| world.refill(number, 1_000, 2_500)).collect();
    for refill in &refills {
        carrier.submit(&world, refill);
    }
    carrier.work(&mut world).await;
    let claimed = carrier.certified.iter().flat_map(|one| one.entry().claims.iter().map(|claim| claim.intent));
    let certified: BTreeSet<IntentId> = claimed.collect();
    assert_eq!((certified.len(), carrier.dropped.len()), (7, 57));
    let mut signed = 0;
    for refill in &refills {
        for certificate in carrier.certified.clone() {
            if world.anybody_signs(refill, &envelopes(&certificate)).await {
                signed += 1;
                break;
            }
        }
    }
    assert_eq!(signed, 7);
}

/// A request whose worth is not known, or is too much, is not reserved.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reserved_at_an_unknown_price() {
    let rates = SigningKey::ed25519_from_seed(&[0x63; 32].into());
    let mut world = World::limited(&format!(
        "max_amount = \"1\"\n[currencies.usd]\ndecimals = 2\n\
         [[checkers]]\nid = \"rates\"\npublic_key = \"{}\"\nmax_age_secs = 120\nprices_in = [\"usd\"]\n\
         [[rules]]\nname = \"no more\"\ndeny = \"transfer\"\nasset = \"eth\"\ncurrency = \"usd\"\nmore_than = \"10\"",
        rates.public_key()
    ));
    let request = world.request(1);
    for member in 0..4 {
        let refused = world.propose(member, &[&request]).await.unwrap_err();
        assert!(refused.contains("is worth in usd, attested by rates"), "{refused}");
    }
    let quoted = |world: &World, cents: u128| {
        let eth = Asset::Native(ChainId::eip155(31337));
        let price = limen_wire::check::Price { value: Amount::from_u128(cents), scale: 0 };
        let prices = [((eth, "usd".parse().unwrap()), price)].into();
        let checker = "rates".parse().unwrap();
        Check { checker, balances: [].into(), prices, ..world.finding(&request, 0) }.seal(&rates)
    };
    let id = payload_id(PayloadType::Intent, &request.payload);
    world.checks.insert(id, vec![quoted(&world, 2)]);
    assert!(world.propose(0, &[&request]).await.unwrap_err().contains("rule \"no more\" denies it"));
    world.checks.insert(id, vec![quoted(&world, 1)]);
    let reserved = world.reserve(&mut world.carrier(), &request).await.expect("a thousand cents are ten");
    assert!(world.sign(0, &request, &envelopes(&reserved)).await.is_ok());
    world.checks.clear();
    let error = world.sign(1, &request, &envelopes(&reserved)).await.unwrap_err();
    assert_eq!(error.code, Code::ApprovalsMissing);
}

/// Between reservation and signature the vault may have been filled from outside.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_attested_is_asked_for_again_when_it_is_signed() {
    let mut world = shop();
    let mut carrier = world.carrier();
    let refill = world.refill(1, 1_000, 0);
    let reserved = envelopes(&world.reserve(&mut carrier, &refill).await.unwrap());
    world.attest(&refill, 9_001);
    for signer in 0..3 {
        let error = world.sign(signer, &refill, &reserved).await.unwrap_err();
        assert_eq!(error.code, Code::LimitReached);
        assert!(error.message.contains("ceiling shop-eth: its vault holds 9001"), "{}", error.message);
    }
    world.attest(&refill, 9_000);
    assert!(world.sign(0, &refill, &reserved).await.is_ok());
    // Also in the next session of what was allowed once.
    world.attest(&refill, 9_001);
    assert_eq!(world.sign(0, &refill, &reserved).await.unwrap_err().code, Code::LimitReached);
}
