//! Members and signers that lie to a running desk: hints that help nobody, and voids that are none.

use super::*;
use crate::fake::SpoilVoid;

fn hint(hint: pb::LedgerHint) -> pb::LedgerRefusal {
    let mut told = pb::LedgerRefusal { number: u64::MAX, intent_id: vec![7; 32].into(), ..Default::default() };
    told.certificates = vec![pb::Envelope::default(), pb::Envelope { payload: vec![1].into(), ..Default::default() }];
    told.set_hint(hint);
    told
}

impl World {
    fn lies(&self, member: usize, lie: Option<pb::LedgerHint>) {
        *self.members[member].lie.lock().unwrap() = lie.map(hint);
    }
}

#[tokio::test]
async fn one_member_that_forges_its_hints_holds_nobody_up() {
    let all = (0..).map_while(|number| pb::LedgerHint::try_from(number).ok());
    let mut seen = 0;
    for lie in all {
        let world = World::with_ledger(HOLDS_THREE);
        let (_disk, running) = world.with_key().await;
        world.lies(1, Some(lie));
        for name in ["one", "two"] {
            let (entry, _) = running.submit(&world.transfer(name)).await.unwrap();
            running.in_state(&entry.record.id, State::Signed).await;
        }
        seen += 1;
    }
    assert_eq!(seen, 7, "every hint that there is");
}

/// What one member says of the charter or of how the committees before ended is not believed: once enough others answer it goes on.
#[tokio::test]
async fn a_forged_hint_beside_a_member_that_is_down_gives_nothing_up() {
    for lie in [pb::LedgerHint::Stale, pb::LedgerHint::Unsealed] {
        let world = World::with_ledger(HOLDS_THREE);
        let (_disk, running) = world.with_key().await;
        world.lies(0, Some(lie));
        world.set_down(3, true);
        let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
        let waiting = running.in_state(&entry.record.id, State::Reserved).await;
        assert_eq!(waiting.error.unwrap().code, Code::ReservationMissing, "{lie:?}");
        world.set_down(3, false);
        running.in_state(&entry.record.id, State::Signed).await;
        world.lies(0, None);
        let (entry, _) = running.submit(&world.transfer("two")).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
    }
}

/// Of two places one is taken by what is cancelled. Only when every signer has voided it is there room for two others.
#[tokio::test]
async fn a_spoilt_void_gives_nothing_back_and_holds_nobody_up() {
    let other = IntentId::new([9; 32]);
    let spoils: [Option<SpoilVoid>; 4] = [
        None,
        Some(Box::new(|void| void.map(|void| pb::Envelope { payload: vec![1, 2, 3].into(), ..void }))),
        Some(Box::new(|void| {
            void.map(|mut void| {
                void.signatures[0].signature = vec![7; 64].into();
                void
            })
        })),
        Some(Box::new(move |_| {
            let cluster = limen_wire::ids::ClusterId::new("test").unwrap();
            let me = NodeId::new("signer-1").unwrap();
            Some(limen_policy::ledger::void(&cluster, &other, &me, &machine(1)))
        })),
    ];
    for spoil in spoils {
        let honest = spoil.is_none();
        let world = World::with_ledger("max_count = 2");
        let (_disk, running) = world.with_key().await;
        *world.signers[0].spoil_void.lock().unwrap() = spoil;
        let first = reserved(&world, &running).await;
        cancel(&world, &running, &first).await;
        let (second, _) = running.submit(&world.transfer("two")).await.unwrap();
        running.in_state(&second.record.id, State::Signed).await;
        let (third, _) = running.submit(&world.transfer("three")).await.unwrap();
        let wanted = if honest { State::Signed } else { State::Reserved };
        let third = running.in_state(&third.record.id, wanted).await;
        assert_eq!(third.error.map(|error| error.code), (!honest).then_some(Code::LimitReached));
        assert_eq!(running.record(&first).state, State::Cancelled);
    }
}
