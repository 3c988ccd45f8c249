//! From the library's errors to ours.
//!
//! The library knows the culprits of most failed checks but tells them only in its errors' debug text, as
//! `faulty_party: 1` or `parties: [1, 2]`. What it does not tell suspects everyone else.

use std::fmt;

use limen_wire::ids::{PartyIndex, SignerSet};

use crate::blame::{Abort, AbortReason, Action, Blame};

/// Translates an error of the library.
pub(super) fn translate(error: &dyn fmt::Debug, signers: &SignerSet, me: PartyIndex) -> Abort {
    let text = format!("{error:?}");
    let named = culprits(&text).filter_map(|position| signers.parties().get(position).copied());
    let mut named: Vec<PartyIndex> = named.filter(|party| *party != me).collect();
    named.sort_unstable();
    named.dedup();
    match named.as_slice() {
        [] => Abort::new(Blame::suspects(signers.others(me)), AbortReason::InconsistentShares),
        [from] => Abort::new(Blame::party(*from, Action::Replace), reason(&text, *from)),
        [from, ..] => Abort::new(Blame::suspects(named.iter().copied()), reason(&text, *from)),
    }
}

/// The library panicked on what the others sent.
pub(super) fn panicked(signers: &SignerSet, me: PartyIndex) -> Abort {
    let reason = AbortReason::LocalState("the protocol library panicked on a message".to_owned());
    Abort::new(Blame::suspects(signers.others(me)), reason)
}

fn culprits(text: &str) -> impl Iterator<Item = usize> + '_ {
    let single = text.split("faulty_party: ").skip(1).filter_map(leading_number);
    let lists = text.split("parties: [").skip(1).filter_map(|rest| rest.split_once(']'));
    let listed = lists.flat_map(|(list, _)| list.split(", ").filter_map(|item| item.parse().ok()));
    single.chain(listed)
}

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn reason(text: &str, from: PartyIndex) -> AbortReason {
    let known = [
        ("InvalidRingPedersenParameters", "ring-Pedersen parameters"),
        ("InvalidModProof", "Paillier modulus of two primes"),
        ("InvalidFacProof", "Paillier modulus without small factors"),
        ("InvalidSchnorrProof", "knowledge of the share"),
        ("EncProofOfK", "encryption in range"),
        ("InvalidPsiPrimePrime", "exponent of the nonce"),
        ("InvalidPsi", "affine operation in range"),
    ];
    if text.contains("InvalidDecommitment") {
        return AbortReason::Commitment { from };
    }
    if text.contains("FeldmanVerificationFailed") {
        return AbortReason::WrongShare { from };
    }
    match known.iter().find(|(name, _)| text.contains(name)) {
        Some((_, what)) => AbortReason::Proof { from, what },
        None => AbortReason::Malformed { from, what: "CGGMP24 message" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(text: &str) -> Abort {
        struct Text<'a>(&'a str);
        impl fmt::Debug for Text<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        let party = |index| PartyIndex::new(index).unwrap();
        let signers = SignerSet::new(vec![party(2), party(5), party(7)]).unwrap();
        translate(&Text(text), &signers, party(5))
    }

    #[test]
    fn culprits_come_from_the_debug_text() {
        let party = |index| PartyIndex::new(index).unwrap();
        let one = blamed("Aborted(InvalidPsi([(AbortBlame { faulty_party: 2, data_message: 4 }, (None, None))]))");
        assert_eq!(one.blame, Blame::party(party(7), Action::Replace));
        let feldman = blamed("Aborted(FeldmanVerificationFailed { parties: [0] })");
        assert_eq!(feldman.reason, AbortReason::WrongShare { from: party(2) });
        let both = blamed("parties: [AbortBlame { faulty_party: 0, x: 1 }, AbortBlame { faulty_party: 2, x: 1 }]");
        assert_eq!(both.blame, Blame::suspects([party(2), party(7)]));
        assert_eq!(blamed("Aborted(MismatchedDelta)").blame, Blame::suspects([party(2), party(7)]));
        assert_eq!(blamed("faulty_party: 99999999999999999999999").blame, Blame::suspects([party(2), party(7)]));
    }
}
