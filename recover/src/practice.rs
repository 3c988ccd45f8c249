//! Backups of a key that nobody has: for the rehearsal of what people do with real ones.
//!
//! One process deals the key, so it is worth nothing, and nothing is encrypted: heads, pieces and proofs are as they always are.

use age::x25519;
use limen_mpc::{KeyPublic, Point};
use limen_wire::effects::sha256;
use limen_wire::ids::{
    CharterHash, ClusterId, CommitteeSize, CredentialId, Epoch, KeyId, NodeId, PartyIndex, PersonId, Protocol, Scheme,
};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::backup::{Backup, Piece};
use crate::curve;
use crate::head::{Custodian, Head};
use crate::said::{Challenge, SaidError};
use limen_wire::recipient::Recipient;

/// What the key of a rehearsal is to be called, and who has pieces of each member's share.
#[derive(Debug, Clone)]
pub struct Dealing {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key.
    pub key: KeyId,
    /// The generation of its shares.
    pub epoch: Epoch,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol.
    pub protocol: Protocol,
    /// Its committee.
    pub size: CommitteeSize,
    /// The chain code for derivation.
    pub chain_code: [u8; 32],
    /// Members in index order, each with their custodians.
    pub members: Vec<(NodeId, Vec<PersonId>)>,
}

/// A dealt key, in backups.
#[derive(Debug)]
pub struct Practice {
    backups: Vec<Backup>,
    pieces: Vec<Vec<Piece>>,
}

/// SHA-256 over a seed and a counter: the same seed deals the same key.
struct Dice([u8; 32], u64);

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(32) {
            self.1 = self.1.wrapping_add(1);
            let drawn = sha256(&[&self.0[..], &self.1.to_be_bytes()].concat());
            chunk.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        }
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Dice {}

/// A secret whose key the scheme knows as it is.
fn secret(scheme: Scheme, rng: &mut Dice) -> Option<(Zeroizing<[u8; 32]>, Point)> {
    (0..64).find_map(|_| {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut bytes[..]);
        // Below both orders, whichever end counts.
        let ([first, .., last], mask) = (&mut *bytes, 0x0f);
        (*first, *last) = (*first & mask, *last & mask);
        let point = curve::public_point(scheme, &bytes)?;
        let odd = scheme == Scheme::SchnorrBip340 && point.as_bytes().first() != Some(&2);
        (!odd).then_some((bytes, point))
    })
}

impl Practice {
    /// Deals it. Nothing if the scheme has no shares, or the numbers do not go together.
    pub fn deal(of: &Dealing, seed: [u8; 32]) -> Option<Self> {
        let mut rng = Dice(seed, 0);
        let (secret, public_key) = secret(of.scheme, &mut rng)?;
        let (required, total) = (of.size.signers_required(), of.size.signers_total());
        let shares = curve::split(of.scheme, &secret, required, total, &mut rng)?.pieces;
        let parties = (1..=u16::from(total)).map(PartyIndex::new).collect::<Result<Vec<_>, _>>().ok()?;
        let points = shares.iter().map(|share| curve::public_point(of.scheme, share)).collect::<Option<Vec<_>>>()?;
        let public = KeyPublic {
            cluster: of.cluster.clone(),
            key: of.key.clone(),
            epoch: of.epoch,
            scheme: of.scheme,
            protocol: of.protocol,
            size: of.size,
            public_key,
            chain_code: of.chain_code,
            verifying_shares: parties.iter().copied().zip(points).collect(),
        };
        let (mut backups, mut pieces) = (Vec::new(), Vec::new());
        for ((member, (node, people)), share) in parties.into_iter().zip(&of.members).zip(&shares) {
            let count = u8::try_from(people.len()).ok()?;
            let split = curve::split(of.scheme, share, count.div_ceil(2), count, &mut rng)?;
            let custodians = people.iter().map(|person| {
                let recipient = Recipient::new(&x25519::Identity::generate().to_public().to_string()).ok()?;
                Some(Custodian { person: person.clone(), recipient })
            });
            let head = Head {
                public: public.clone(),
                member,
                node: node.clone(),
                charter: CharterHash::new([0; 32]),
                custodians: custodians.collect::<Option<_>>()?,
                commitments: split.commitments,
            };
            head.check().ok()?;
            let backup = Backup { head, sealed: vec![b"practice".to_vec(); people.len()] };
            let piece = |((place, holder), scalar): ((u8, &PersonId), Zeroizing<[u8; 32]>)| Piece {
                backup: backup.hash(),
                scheme: of.scheme,
                place,
                holder: holder.clone(),
                scalar,
            };
            pieces.push((1..=count).zip(people).zip(split.pieces).map(piece).collect());
            backups.push(backup);
        }
        Some(Self { backups, pieces })
    }

    /// The backups, in the order of members.
    pub fn backups(&self) -> &[Backup] {
        &self.backups
    }

    /// A custodian's signed proof of a member's backup, as [`Backup::say`] makes it. Nothing for who has no piece.
    pub fn say(
        &self,
        member: usize,
        holder: &PersonId,
        challenge: &Challenge,
        by: (&CredentialId, &SigningKey),
    ) -> Option<Result<pb::Envelope, SaidError>> {
        let piece = self.pieces.get(member)?.iter().find(|piece| piece.holder == *holder)?;
        Some(self.backups.get(member)?.say(piece, challenge, by, 1))
    }
}
