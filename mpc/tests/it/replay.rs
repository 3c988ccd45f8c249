//! Frames that do not belong: of other runs, rounds, senders and receivers; twice, late, early, too long.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_mpc::{
    AbortReason, Action, Binding, Blame, DerivationPath, Dropped, Frame, KeyShare, Purpose, Received, Session,
    SessionParams, SignInput, SignMode, StartError, Step,
};
use limen_wire::ids::{ClusterId, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId};

use crate::dealer::{deal, deal_parts};
use crate::dkls23_run::ecdsa;
use crate::net::{Order, Packet, honest, run};
use crate::params::{among, party, seed, set, size};

type Shares = BTreeMap<PartyIndex, Arc<KeyShare>>;

fn base() -> SessionParams {
    among(ecdsa(size(2, 3), 1), &set(&[1, 2]))
}

fn start_with(params: &SessionParams, shares: &Shares, path: &str, digest: [u8; 32]) -> Vec<(Session, Step)> {
    let path: DerivationPath = path.parse().unwrap();
    let start = |party: &PartyIndex| {
        let input = SignInput::Digest(digest);
        Session::sign(params.clone(), *party, shares[party].clone(), &path, &input, SignMode::Full, seed()).unwrap()
    };
    params.signers.parties().iter().map(start).collect()
}

/// The same shares under other names, so that only the session's binding differs.
fn renamed(params: &SessionParams) -> Shares {
    let parts = deal_parts(params);
    let import = |(index, parts): (PartyIndex, crate::dealer::Parts)| {
        (index, Arc::new(KeyShare::import(parts.public, &parts.core, &parts.setup).unwrap()))
    };
    parts.into_iter().map(import).collect()
}

/// Every way in which a run can be another run of the same protocol.
fn other_runs() -> Vec<(&'static str, SessionParams, &'static str, [u8; 32])> {
    let other = |change: &dyn Fn(&mut SessionParams)| {
        let mut params = base();
        change(&mut params);
        params
    };
    vec![
        ("session", other(&|p| p.session = SessionId::new([9; 32])), "m/1", [7; 32]),
        ("intent", other(&|p| p.intent = IntentId::new([9; 32])), "m/1", [7; 32]),
        ("key", other(&|p| p.key = KeyId::new("cold").unwrap()), "m/1", [7; 32]),
        ("cluster", other(&|p| p.cluster = ClusterId::new("other").unwrap()), "m/1", [7; 32]),
        ("epoch", other(&|p| p.epoch = Epoch(2)), "m/1", [7; 32]),
        ("committee", other(&|p| p.size = size(2, 4)), "m/1", [7; 32]),
        ("path", base(), "m/2", [7; 32]),
        ("digest", base(), "m/1", [8; 32]),
    ]
}

#[test]
fn frames_of_every_other_run_are_dropped_and_the_session_goes_on() {
    let shares = deal(&base());
    for (what, params, path, digest) in other_runs() {
        let other = run(start_with(&params, &renamed(&params), path, digest), Order::Fifo, honest).sent;
        let mut replayed = 0;
        let report = run(start_with(&base(), &shares, "m/1", [7; 32]), Order::Fifo, |packet| {
            // the other run's frame for the same place comes first, and all its later frames too
            let same = other.iter().filter(|old| old.receiver == packet.receiver && old.sender == packet.sender);
            let mut out: Vec<Packet> = same.filter(|old| old.frame.round == packet.frame.round).cloned().collect();
            replayed += out.len();
            out.push(packet);
            out
        });
        assert!(replayed >= 6, "{what}");
        assert!(report.is_done(party(1)) && report.is_done(party(2)), "{what}: {:?}", report.ends);
        let dropped: usize = [1, 2].iter().map(|index| report.dropped(party(*index), Dropped::WrongTag)).sum();
        assert_eq!(dropped, replayed, "{what}: {:?}", report.dropped);
    }
}

#[test]
fn frames_of_another_signer_set_are_dropped() {
    let shares = deal(&base());
    let params = among(base(), &set(&[1, 3]));
    let other = run(start_with(&params, &shares, "m/1", [7; 32]), Order::Fifo, honest).sent;
    let (mut session, _) = start_with(&base(), &shares, "m/1", [7; 32]).remove(0);
    for packet in other.into_iter().filter(|packet| packet.receiver == party(1)) {
        // party 3 is nobody here, and what it said does not become party 2's by saying so
        let outside = session.receive(party(3), packet.frame.clone()).unwrap();
        assert!(matches!(outside, Received::Dropped(Dropped::OutsideSignerSet)));
        let claimed = session.receive(party(2), packet.frame.clone()).unwrap();
        assert!(matches!(claimed, Received::Dropped(Dropped::WrongSender)));
        let renamed = Frame { from: party(2), ..packet.frame };
        let renamed = session.receive(party(2), renamed).unwrap();
        assert!(matches!(renamed, Received::Dropped(Dropped::WrongTag | Dropped::WrongRound)), "{renamed:?}");
    }
    assert!(!session.is_ended());
}

fn dropped(session: &mut Session, sender: PartyIndex, frame: &Frame) -> Option<Dropped> {
    match session.receive(sender, frame.clone()) {
        Ok(Received::Dropped(why)) => Some(why),
        Ok(Received::Step(_)) | Err(_) => None,
    }
}

#[test]
fn misplaced_frames_are_dropped_by_name() {
    let shares = deal(&base());
    let mut starts = start_with(&base(), &shares, "m", [7; 32]);
    let (_, step) = starts.remove(1);
    let (mut session, own) = starts.remove(0);
    let good = step.send[0].clone();
    let change = |change: &dyn Fn(&mut Frame)| {
        let mut frame = good.clone();
        change(&mut frame);
        frame
    };
    let cases = [
        (party(1), own.send[0].clone(), Dropped::OutsideSignerSet),
        (party(3), good.clone(), Dropped::WrongSender),
        (party(3), change(&|f| f.from = party(3)), Dropped::OutsideSignerSet),
        (party(2), change(&|f| f.from = party(3)), Dropped::WrongSender),
        (party(2), change(&|f| f.to = Some(party(3))), Dropped::NotForUs),
        (party(2), change(&|f| f.to = Some(party(2))), Dropped::NotForUs),
        (party(2), change(&|f| f.to = None), Dropped::WrongKind),
        (party(2), change(&|f| f.round = 0), Dropped::WrongRound),
        (party(2), change(&|f| f.round = 2), Dropped::WrongTag),
        (party(2), change(&|f| f.round = 3), Dropped::WrongRound),
        (party(2), change(&|f| f.round = 255), Dropped::WrongRound),
        (party(2), change(&|f| f.body = vec![0; 2 << 20]), Dropped::Oversize),
        (party(2), change(&|f| f.body[0] ^= 1), Dropped::WrongTag),
        (party(2), change(&|f| f.body.push(0)), Dropped::WrongTag),
        (party(2), change(&|f| f.tag[31] ^= 1), Dropped::WrongTag),
    ];
    for (sender, frame, expected) in cases {
        assert_eq!(
            dropped(&mut session, sender, &frame),
            Some(expected),
            "{sender} {:?}",
            (frame.round, frame.from, frame.to)
        );
        assert_eq!(session.waiting_for(), vec![party(2)]);
    }
    // and the session still takes the good one, once
    assert!(matches!(session.receive(party(2), good.clone()), Ok(Received::Step(_))));
    assert_eq!(dropped(&mut session, party(2), &good), Some(Dropped::Duplicate));
}

#[test]
fn duplicates_and_reordering_do_no_harm_and_late_frames_find_the_session_ended() {
    let shares = deal(&base());
    for order in [Order::Fifo, Order::Lifo, Order::Shuffled(21), Order::Shuffled(22)] {
        let report = run(start_with(&base(), &shares, "m", [7; 32]), order, |packet| {
            vec![packet.clone(), packet.clone(), packet]
        });
        assert!(report.is_done(party(1)) && report.is_done(party(2)), "{:?}", report.ends);
        let harmless = [Dropped::Duplicate, Dropped::AfterEnd];
        assert!(report.dropped.keys().all(|(_, why)| harmless.contains(why)), "{:?}", report.dropped);
    }
}

#[test]
fn two_different_messages_for_one_place_blame_their_sender() {
    let shares = deal(&base());
    let starts = start_with(&base(), &shares, "m", [7; 32]);
    let binding = starts[0].0.binding().clone();
    let report = run(starts, Order::Fifo, |packet| {
        if packet.frame.round != 2 || packet.sender != party(1) {
            return vec![packet];
        }
        let other = packet.clone().with_body(&binding, vec![1, 2, 3]);
        vec![packet, other]
    });
    let abort = report.abort(party(2)).unwrap();
    assert_eq!(abort.reason, AbortReason::Equivocation { from: party(1), round: 2 });
    assert_eq!(abort.blame, Blame::party(party(1), Action::Replace));
}

#[test]
fn a_silent_party_is_named_and_garbage_from_outside_changes_nothing() {
    let shares = deal(&base());
    let report = run(start_with(&base(), &shares, "m", [7; 32]), Order::Fifo, |packet| {
        if packet.sender == party(2) && packet.frame.round == 2 { vec![] } else { vec![packet] }
    });
    assert!(matches!(&report.ends[&party(1)], crate::net::End::Waiting(who) if who == &[party(2)]));
    let mut noise = 0u8;
    let report = run(start_with(&base(), &shares, "m", [7; 32]), Order::Fifo, |packet| {
        noise = noise.wrapping_add(31);
        let (round, to) = (packet.frame.round, packet.frame.to);
        let garbage = |from| Frame { round, from, to, tag: [noise; 32], body: vec![noise; 100] };
        let outside = Packet { sender: party(3), frame: garbage(party(3)), ..packet };
        let inside = Packet { frame: garbage(packet.sender), ..packet };
        vec![outside, inside, packet]
    });
    assert!(report.is_done(party(1)) && report.is_done(party(2)), "{:?}", report.ends);
}

#[test]
fn sessions_do_not_start_on_what_does_not_fit() {
    let shares = deal(&base());
    let start = |params: SessionParams, me: u16, share: u16, input: SignInput| {
        let share = shares[&party(share)].clone();
        Session::sign(params, party(me), share, &DerivationPath::root(), &input, SignMode::Full, seed())
            .map(|_| ())
            .unwrap_err()
    };
    let digest = || SignInput::Digest([7; 32]);
    let with = |change: &dyn Fn(&mut SessionParams)| {
        let mut params = base();
        change(&mut params);
        params
    };
    assert_eq!(start(base(), 3, 3, digest()), StartError::NotInSignerSet(party(3)));
    assert_eq!(start(base(), 1, 2, digest()), StartError::ShareMismatch("party"));
    assert_eq!(start(with(&|p| p.epoch = Epoch(2)), 1, 1, digest()), StartError::ShareMismatch("epoch"));
    assert_eq!(start(with(&|p| p.key = KeyId::new("cold").unwrap()), 1, 1, digest()), StartError::ShareMismatch("key"));
    assert_eq!(
        start(with(&|p| p.cluster = ClusterId::new("c").unwrap()), 1, 1, digest()),
        StartError::ShareMismatch("cluster")
    );
    assert_eq!(start(with(&|p| p.size = size(2, 5)), 1, 1, digest()), StartError::ShareMismatch("committee size"));
    assert_eq!(start(with(&|p| p.protocol = Protocol::Cggmp24), 1, 1, digest()), StartError::ShareMismatch("protocol"));
    assert!(matches!(start(with(&|p| p.protocol = Protocol::Frost), 1, 1, digest()), StartError::Unsupported { .. }));
    assert_eq!(start(base(), 1, 1, SignInput::Message(vec![1])), StartError::Input(Scheme::EcdsaSecp256k1));
    let too_many = StartError::SignerSet { needed: 2, found: 3, total: 3 };
    assert_eq!(start(with(&|p| p.signers = set(&[1, 2, 3])), 1, 1, digest()), too_many);
    let outside = StartError::SignerSet { needed: 2, found: 2, total: 3 };
    assert_eq!(start(with(&|p| p.signers = set(&[1, 4])), 1, 1, digest()), outside);
}

#[test]
fn no_threshold_protocol_starts_for_p256() {
    for protocol in [Protocol::Dkls23, Protocol::Cggmp24, Protocol::Frost] {
        let params = |signers| SessionParams { protocol, scheme: Scheme::EcdsaP256, signers, ..base() };
        let unsupported = StartError::Unsupported { protocol, scheme: Scheme::EcdsaP256 };
        let keygen = Session::keygen(params(set(&[1, 2, 3])), party(1), seed());
        assert_eq!(keygen.map(|_| ()).unwrap_err(), unsupported);
        let share = deal(&base())[&party(1)].clone();
        let (path, input) = (DerivationPath::root(), SignInput::Digest([7; 32]));
        let sign = Session::sign(params(set(&[1, 2])), party(1), share, &path, &input, SignMode::Full, seed());
        assert_eq!(sign.map(|_| ()).unwrap_err(), unsupported);
    }
}

#[test]
fn sessions_are_send() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Session>();
    is_send::<KeyShare>();
}

#[test]
fn purposes_do_not_mix() {
    let digest = |purpose| *Binding::new(base(), purpose, [0; 32]).digest();
    let all = [Purpose::Keygen, Purpose::AuxInfo, Purpose::Sign, Purpose::Presign, Purpose::Reshare, Purpose::Import]
        .map(digest);
    let distinct: std::collections::BTreeSet<_> = all.into_iter().collect();
    assert_eq!(distinct.len(), 6);
}
