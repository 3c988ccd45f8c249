//! Nonces shared ahead: what a list must be, what happens to a nonce, and many sessions at once.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use limen_mpc::{
    DerivationPath, Dropped, NonceCommitment, NonceError, NoncePair, Received, Session, SignInput, SignMode,
    StartError, nonce_batch,
};
use limen_wire::ids::{PartyIndex, Protocol, Scheme};

use crate::frost_run::{Job, SCHEMES, Shares, commitments, keygen};
use crate::net::{Order, honest, run};
use crate::params::{params, party, seed, set, size};

type List = BTreeMap<PartyIndex, NonceCommitment>;

fn job(shares: &Shares) -> Job<'_> {
    Job { shares, signers: set(&[1, 2]), path: "m/1", message: b"nonces", run: 1 }
}

fn start(job: &Job<'_>, own: NoncePair, commitments: List) -> Result<Session, StartError> {
    let path: DerivationPath = job.path.parse().unwrap();
    let input = SignInput::Message(job.message.to_vec());
    let mode = SignMode::Shared { own, commitments };
    Session::sign(job.params(), party(1), job.shares[&party(1)].clone(), &path, &input, mode, seed())
        .map(|started| started.0)
}

fn nonce(shares: &Shares, index: u16) -> NoncePair {
    nonce_batch(&shares[&party(index)], 1, seed()).unwrap().remove(0)
}

#[test]
fn a_list_that_is_not_exactly_the_signers_is_refused() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 3), Order::Fifo);
        let job = job(&shares);
        let refused = |change: &dyn Fn(&mut List, &NoncePair)| {
            let mut nonces = job.nonces();
            let mut list = commitments(&nonces);
            let own = nonces.remove(&party(1)).unwrap();
            change(&mut list, &own);
            start(&job, own, list).err()
        };
        let other = |index| nonce(&shares, index).commitment();
        let set = Some(StartError::Nonce(NonceError::SignerSet));
        assert_eq!(refused(&|_, _| ()), None);
        assert_eq!(refused(&|list, _| list.clear()), set);
        assert_eq!(
            refused(&|list, _| {
                list.remove(&party(2));
            }),
            set
        );
        assert_eq!(
            refused(&|list, _| {
                list.remove(&party(1));
            }),
            set
        );
        assert_eq!(
            refused(&|list, _| {
                list.insert(party(3), other(3));
            }),
            set
        );
        let outsider = |list: &mut List, _: &NoncePair| {
            list.remove(&party(2));
            list.insert(party(3), other(3));
        };
        assert_eq!(refused(&outsider), set);
        // ours, but of another nonce; and ours at another's place
        let not_own = Some(StartError::Nonce(NonceError::NotOwnCommitment));
        assert_eq!(
            refused(&|list, _| {
                list.insert(party(1), other(1));
            }),
            not_own
        );
        let swapped = |list: &mut List, own: &NoncePair| {
            list.insert(party(1), other(2));
            list.insert(party(2), own.commitment());
        };
        assert_eq!(refused(&swapped), not_own);
        // the one nonce twice in the list
        let copied = |list: &mut List, own: &NoncePair| {
            list.insert(party(2), own.commitment());
        };
        assert_eq!(refused(&copied), Some(StartError::Nonce(NonceError::BadCommitment(party(2)))));
    }
}

#[test]
fn a_nonce_serves_only_the_share_it_was_made_for() {
    for scheme in SCHEMES {
        let (shares, others) = (keygen(scheme, size(2, 3), Order::Fifo), keygen(scheme, size(2, 3), Order::Fifo));
        let job = job(&shares);
        let wrong = |own: NoncePair| {
            let list = BTreeMap::from([(party(1), own.commitment()), (party(2), nonce(&shares, 2).commitment())]);
            start(&job, own, list).err()
        };
        assert_eq!(wrong(nonce(&shares, 1)), None);
        // another signer's, another key's, another scheme's
        let owner = Some(StartError::Nonce(NonceError::WrongOwner));
        assert_eq!(wrong(nonce(&shares, 2)), owner);
        assert_eq!(wrong(nonce(&others, 1)), owner);
        let scheme = if scheme == Scheme::EddsaEd25519 { Scheme::SchnorrBip340 } else { Scheme::EddsaEd25519 };
        assert_eq!(wrong(nonce(&keygen(scheme, size(2, 3), Order::Fifo), 1)), owner);
        // a peer's commitment of the other curve
        let foreign = nonce(&keygen(scheme, size(2, 3), Order::Fifo), 2).commitment();
        let own = nonce(&shares, 1);
        let list = BTreeMap::from([(party(1), own.commitment()), (party(2), foreign)]);
        assert_eq!(start(&job, own, list).err(), Some(StartError::Nonce(NonceError::BadCommitment(party(2)))));
    }
}

#[test]
fn different_lists_never_meet() {
    // a coordinator that gives the signers different lists gets silence, not a wrong share of an honest signer
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 3), Order::Fifo);
        let job = job(&shares);
        let (mut first, mut second) = (job.nonces(), job.nonces());
        let one = SignMode::Shared { commitments: commitments(&first), own: first.remove(&party(1)).unwrap() };
        let two = SignMode::Shared { commitments: commitments(&second), own: second.remove(&party(2)).unwrap() };
        let (mut session, _) = job.start_one(party(1), one);
        let (_, step) = job.start_one(party(2), two);
        let received = session.receive(party(2), step.send[0].clone()).unwrap();
        assert!(matches!(received, Received::Dropped(Dropped::WrongTag)));
        assert_eq!(session.waiting_for(), vec![party(2)]);
    }
}

#[test]
fn commitments_have_one_encoding() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 2), Order::Fifo);
        let commitment = nonce(&shares, 1).commitment();
        let bytes = commitment.to_bytes();
        assert_eq!(NonceCommitment::from_bytes(scheme, &bytes), Ok(commitment));
        let bad = |bytes: &[u8]| assert_eq!(NonceCommitment::from_bytes(scheme, bytes), Err(NonceError::Encoding));
        bad(&[]);
        bad(&bytes[1..]);
        bad(&bytes[..bytes.len() / 2]);
        bad(&[&bytes[..], &[0]].concat());
        bad(&vec![0; bytes.len()]);
        bad(&vec![0xff; bytes.len()]);
        let half = bytes.len() / 2;
        for position in [0, half] {
            let mut spoiled = bytes.clone();
            spoiled[position..position + half].fill(0);
            bad(&spoiled);
            // the identity of Ed25519, and a point of order two
            spoiled[position] = 1;
            bad(&spoiled);
            spoiled[position..position + half].fill(0xff);
            (spoiled[position], spoiled[position + half - 1]) = (0xec, 0x7f);
            bad(&spoiled);
        }
        let other = if scheme == Scheme::EddsaEd25519 { Scheme::SchnorrBip340 } else { Scheme::EddsaEd25519 };
        assert_eq!(NonceCommitment::from_bytes(other, &bytes), Err(NonceError::Encoding));
        assert_eq!(NonceCommitment::from_bytes(Scheme::EcdsaSecp256k1, &bytes), Err(NonceError::NotFrost));
    }
}

#[test]
fn nonces_are_unprintable_and_all_different() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 2), Order::Fifo);
        assert!(matches!(nonce_batch(&shares[&party(1)], 0, seed()), Err(NonceError::BatchSize)));
        assert!(matches!(nonce_batch(&shares[&party(1)], 1025, seed()), Err(NonceError::BatchSize)));
        let batch = nonce_batch(&shares[&party(1)], 64, seed()).unwrap();
        let points: BTreeSet<Vec<u8>> = batch.iter().map(|nonce| nonce.commitment().to_bytes()).collect();
        assert_eq!(points.len(), 64);
        assert_eq!(format!("{:?}", batch[0]), "NoncePair(redacted)");
    }
}

#[test]
fn the_other_protocols_take_no_shared_nonces() {
    let shares = keygen(Scheme::EddsaEd25519, size(2, 2), Order::Fifo);
    let params = params(Scheme::EcdsaSecp256k1, Protocol::Dkls23, size(2, 2), 1);
    let dealt = crate::dealer::deal(&params);
    let mode = SignMode::Shared { own: nonce(&shares, 1), commitments: BTreeMap::new() };
    let input = SignInput::Digest([1; 32]);
    let started =
        Session::sign(params, party(1), dealt[&party(1)].clone(), &DerivationPath::root(), &input, mode, seed());
    let error = started.map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Unsupported { .. }) && error.source().is_none());
    assert!(matches!(nonce_batch(&dealt[&party(1)], 1, seed()), Err(NonceError::NotFrost)));
}

/// Drijvers' attack (ePrint 2018/417) needs many sessions whose nonces are open before the messages are chosen. All 512
/// stand open here, are finished in another order, and every signature is of its own message and nonce.
#[test]
fn five_hundred_and_twelve_sessions_stand_open_at_once() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 3), Order::Fifo);
        let messages: Vec<[u8; 8]> = (0..512u64).map(u64::to_be_bytes).collect();
        let batches = [1, 2].map(|index| nonce_batch(&shares[&party(index)], 512, seed()).unwrap());
        let [first, second] = batches;
        let mut open: Vec<_> = (0..)
            .zip(&messages)
            .zip(first.into_iter().zip(second))
            .map(|((run, message), (one, two))| {
                let job = Job { shares: &shares, signers: set(&[1, 2]), path: "m/5", message, run };
                let nonces = BTreeMap::from([(party(1), one), (party(2), two)]);
                let starts = job.start_shared(nonces);
                (job, starts)
            })
            .collect();
        let shares_sent: BTreeSet<Vec<u8>> =
            open.iter().flat_map(|(_, starts)| starts.iter().map(|(_, step)| step.send[0].body.clone())).collect();
        assert_eq!(shares_sent.len(), 1024);
        open.reverse();
        let mut nonce_points = BTreeSet::new();
        for (job, starts) in open {
            let signature = job.check(run(starts, Order::Fifo, honest).outputs());
            assert!(nonce_points.insert(signature.to_bytes()[..32].to_vec()));
        }
    }
}
