//! A key that was handed over: its new shares wait for auxiliary information, get it, and sign.

use limen_wire::ids::{Epoch, IntentId, SessionId};

use super::*;
use crate::key::ImportError;
use crate::{Handover, StartError, Succession};

/// The key after a handover from holders 1 and 3, of which 1 takes the second place and 3 leaves.
fn handed_over(old: &Shares, size: CommitteeSize) -> Shares {
    let public = old[&party(1)].public().clone();
    let next = Succession { epoch: Epoch(public.epoch.0 + 1), protocol: Protocol::Cggmp24, size };
    let dealers = BTreeMap::from([(party(1), Some(party(2))), (party(3), None)]);
    let plan = Handover::new(public, next, &dealers).unwrap();
    let ids = (SessionId::new([1; 32]), IntentId::new([2; 32]));
    let share = |me: PartyIndex| {
        let holder = old.keys().find(|holder| plan.party_of_dealer(**holder) == Some(me))?;
        Some(&*old[holder])
    };
    let start = |me: &PartyIndex| Session::reshare(&plan, ids, *me, share(*me), seed()).unwrap();
    let starts = plan.params(ids.0, ids.1).signers.parties().iter().map(start).collect();
    let mut outputs = run(starts, Order::Fifo, honest).outputs();
    let left = outputs.remove(&plan.party_of_dealer(party(3)).unwrap());
    assert!(matches!(left, Some(Output::HandedOver(_))));
    keys(outputs)
}

#[test]
fn new_shares_sign_once_they_have_auxiliary_information_and_not_before() {
    let old = whole(size(2, 3));
    let bare = handed_over(&old, size(3, 4));
    let signers = set(&[1, 2, 4]);
    let start = |share: &Arc<KeyShare>| {
        let (params, root) = (run_params(&bare, &signers, 1), DerivationPath::root());
        Session::sign(params, party(1), share.clone(), &root, &preimage(1), SignMode::Full, seed())
    };
    assert_eq!(start(&bare[&party(1)]).err(), Some(StartError::NoSetup));
    // the old epoch's auxiliary information is of other parties' moduli
    let set_up = old[&party(1)].export_setup().unwrap();
    let (public, core) = (bare[&party(1)].public().clone(), bare[&party(1)].export_core());
    assert!(matches!(KeyShare::import(public, &core, &set_up), Err(ImportError::Setup(_))));

    let starts = start_aux(&bare, |party| primes(100 + u64::from(party.as_u16())));
    let new = keys(run(starts, Order::Fifo, honest).outputs());
    let outputs = run(start_sign(&new, &signers, "m/1", &preimage(1), 5), Order::Fifo, honest).outputs();
    check_signature(&old, "m/1", &preimage(1), outputs);
}
