//! The core share: dealt, opened, checked and confirmed.

use std::collections::BTreeMap;

use limen_wire::ids::PartyIndex;
use zeroize::{Zeroize, Zeroizing};

use super::dealing::{Commitments, Polynomial, SCALAR_LEN};
use super::seats::{complaint, drain, fill};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::group::{Group, evaluate, lagrange};
use crate::handover::Handover;
use crate::key::{CoreShare, ImportError, KeyPublic, KeyShare, ProtocolSetup};
use crate::machine::{Inbox, Outgoing, Round};
use crate::seed::Seed;
use crate::session::Output;

/// Round 2 has room for more commitments than any key has, so that a polynomial of too high a degree is seen and blamed.
pub(super) const ROUNDS: [Round; 4] = [
    Round { broadcast: 32, direct: 0, echo: true },
    Round { broadcast: 2048, direct: 0, echo: true },
    Round { broadcast: 0, direct: SCALAR_LEN, echo: false },
    Round { broadcast: 32, direct: 0, echo: false },
];

/// What a handover makes: the new epoch's public part, and for a new member its share.
pub(super) struct Made {
    pub(super) public: KeyPublic,
    pub(super) core: Option<CoreShare>,
}

impl Made {
    /// A new member's share with its set-up.
    pub(super) fn take(self, setup: ProtocolSetup) -> Result<Output, ImportError> {
        let core = self.core.ok_or(ImportError::Encoding("core share"))?;
        KeyShare::assemble(self.public, core, setup).map(|share| Output::Key(Box::new(share)))
    }
    /// What is left to a dealer that leaves: nothing secret.
    pub(super) fn leave(self) -> Result<Output, Abort> {
        match self.core {
            Some(_) => Err(Abort::local("a new member does not leave")),
            None => Ok(Output::HandedOver(Box::new(self.public))),
        }
    }
}

/// What comes of a round.
pub(super) enum Progress {
    Next(Outgoing),
    Made(Made),
}

/// What we say of what was dealt to us.
enum Verdict {
    Fit(Made),
    /// Why not, told to the others by naming the sender.
    Unfit(Abort),
}

enum State {
    Committed,
    Opened,
    Dealt,
    Judged(Verdict),
    Ended,
}

/// One party's part.
pub(super) struct Core<G: Group> {
    binding: Binding,
    handover: Handover,
    me: PartyIndex,
    state: State,
    /// A dealer's polynomial, until its shares are out.
    polynomial: Option<Polynomial<G>>,
    /// A dealer's opening; empty for others.
    own_body: Vec<u8>,
    hashes: BTreeMap<PartyIndex, [u8; 32]>,
    dealings: BTreeMap<PartyIndex, Commitments<G>>,
    /// The share that we dealt to ourselves, if we deal and stay.
    own_share: Option<Zeroizing<[u8; 32]>>,
    transcript: [u8; 32],
}

impl<G: Group> Core<G> {
    /// Starts; `share` is the old one of a dealer.
    pub(super) fn start(
        binding: &Binding,
        handover: &Handover,
        me: PartyIndex,
        share: Option<&CoreShare>,
        seed: Seed,
    ) -> Result<(Self, Outgoing), Abort> {
        let mut core = Self {
            binding: binding.clone(),
            handover: handover.clone(),
            me,
            state: State::Committed,
            polynomial: None,
            own_body: Vec::new(),
            hashes: BTreeMap::new(),
            dealings: BTreeMap::new(),
            own_share: None,
            transcript: [0; 32],
        };
        let mut outgoing = Outgoing::default();
        if let Some(share) = share {
            let mut rng = seed.into_rng();
            let weight = core.weight(share.index())?;
            let mut part = G::scalar(share.scalar()).ok_or_else(|| Abort::local("the share is no scalar"))? * weight;
            let polynomial = Polynomial::<G>::new(&part, handover.next().size.signers_required(), &mut rng);
            part.zeroize();
            core.own_body = polynomial.open(binding, me, &mut rng)?;
            core.polynomial = Some(polynomial);
            outgoing = Outgoing::broadcast(core.hash(me, &core.own_body).to_vec());
        }
        let outgoing = core.filled(0, outgoing)?;
        Ok((core, outgoing))
    }

    /// Lagrange's coefficient at zero of a holder among the dealers.
    fn weight(&self, holder: PartyIndex) -> Result<G::Scalar, Abort> {
        let holders = self.handover.dealers().values().map(|holder| holder.as_u8());
        lagrange::<G>(holder.as_u8(), 0, holders).ok_or_else(|| Abort::local("a holder deals twice"))
    }

    fn filled(&self, round: usize, outgoing: Outgoing) -> Result<Outgoing, Abort> {
        let round = ROUNDS.get(round).ok_or_else(|| Abort::local("the handover has no such round"))?;
        Ok(fill(outgoing, *round, &self.binding.params().signers, self.me))
    }

    fn hash(&self, from: PartyIndex, body: &[u8]) -> [u8; 32] {
        // the sender is in it, so a copied hash cannot be opened; a random coefficient needs no salt to stay hidden
        self.binding.derive("limen mpc handover commitment v1", [&[from.as_u8()][..], body])
    }

    pub(super) fn advance(&mut self, inbox: Inbox) -> Result<Progress, Abort> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Committed => self.open(inbox).map(Progress::Next),
            State::Opened => self.deal(inbox).map(Progress::Next),
            State::Dealt => self.judge(inbox).map(Progress::Next),
            State::Judged(verdict) => self.confirm(verdict, &inbox).map(Progress::Made),
            State::Ended => Err(Abort::local("the handover has ended")),
        }
    }

    fn deals(&self, party: PartyIndex) -> bool {
        self.handover.holder(party).is_some()
    }

    /// After round 1, which all saw alike: every dealing is fixed, so ours cannot help anyone to choose another.
    fn open(&mut self, mut inbox: Inbox) -> Result<Outgoing, Abort> {
        drain(&mut inbox.broadcast, |from| self.deals(from))?;
        for (from, body) in &inbox.broadcast {
            let hash = body.as_slice().try_into().map_err(|_| Abort::malformed(*from, "commitment"))?;
            self.hashes.insert(*from, hash);
        }
        self.state = State::Opened;
        let opening = (!self.own_body.is_empty()).then(|| Outgoing::broadcast(self.own_body.clone()));
        self.filled(1, opening.unwrap_or_default())
    }

    /// After round 2, which all saw alike: checks every dealing, ours too; only then do shares leave.
    fn deal(&mut self, mut inbox: Inbox) -> Result<Outgoing, Abort> {
        drain(&mut inbox.broadcast, |from| self.deals(from))?;
        for (from, body) in &inbox.broadcast {
            if self.hashes.get(from) != Some(&self.hash(*from, body)) {
                let reason = AbortReason::Commitment { from: *from };
                return Err(Abort::new(Blame::party(*from, Action::Replace), reason));
            }
        }
        if self.deals(self.me) {
            inbox.broadcast.insert(self.me, Zeroizing::new(self.own_body.clone()));
        }
        for (from, body) in &inbox.broadcast {
            let dealing = self.read(*from, body)?;
            self.dealings.insert(*from, dealing);
        }
        let hashes: Vec<_> = inbox.broadcast.iter().map(|(from, body)| self.hash(*from, body)).collect();
        self.transcript = self.binding.derive("limen mpc handover transcript v1", hashes.iter().map(|hash| &hash[..]));
        let mut outgoing = Outgoing::default();
        if let Some(polynomial) = self.polynomial.take() {
            for member in 1..=self.handover.next().size.signers_total() {
                let member = PartyIndex::new(member.into()).map_err(|error| Abort::local(error.to_string()))?;
                let share = polynomial.share(member)?;
                if member == self.me {
                    self.own_share = Some(share);
                } else {
                    outgoing.direct.insert(member, share.to_vec());
                }
            }
        }
        self.state = State::Dealt;
        self.filled(2, outgoing)
    }

    fn read(&self, from: PartyIndex, body: &[u8]) -> Result<Commitments<G>, Abort> {
        let holder = self.handover.holder(from).ok_or_else(|| Abort::local("a dealer without a share"))?;
        let share = self.handover.old().verifying_share(holder).and_then(G::element);
        let part = share.ok_or_else(|| Abort::local("a verifying share is missing"))? * self.weight(holder)?;
        let required = self.handover.next().size.signers_required();
        Commitments::read(&self.binding, from, required, &part, body)
    }

    /// After round 3: checks what was sent to us alone, and tells the others.
    fn judge(&mut self, inbox: Inbox) -> Result<Outgoing, Abort> {
        let public = self.public()?;
        let (body, verdict) = match self.receive(inbox) {
            Ok(core) => (self.confirmation(&public).to_vec(), Verdict::Fit(Made { public, core })),
            Err(abort) => match &abort.blame {
                Blame::Party { party, .. } if *party != self.me => (vec![party.as_u8()], Verdict::Unfit(abort)),
                Blame::Party { .. } => return Err(Abort::local("what we dealt ourselves does not fit")),
                Blame::Nobody | Blame::Suspects(_) => return Err(abort),
            },
        };
        self.state = State::Judged(verdict);
        self.filled(3, Outgoing::broadcast(body))
    }

    /// A new member's share: the sum of what was dealt to it (Desmedt and Jajodia 1997).
    fn receive(&self, mut inbox: Inbox) -> Result<Option<CoreShare>, Abort> {
        let member = self.handover.is_member(self.me);
        drain(&mut inbox.direct, |from| member && self.deals(from))?;
        if !member {
            return Ok(None);
        }
        if let Some(own) = &self.own_share {
            inbox.direct.insert(self.me, Zeroizing::new(own.to_vec()));
        }
        let mut sum = Zeroizing::new(vec![G::Scalar::from(0)]);
        for (from, dealing) in &self.dealings {
            let body = inbox.direct.get(from).ok_or_else(|| Abort::local("a share is missing"))?;
            let mut share = dealing.read_share(*from, self.me, body)?;
            sum.iter_mut().for_each(|sum| *sum = *sum + share);
            share.zeroize();
        }
        Ok(sum.first().map(|sum| CoreShare::new(self.me, G::scalar_bytes(sum))))
    }

    /// The new epoch's public part, from the dealers' commitments alone.
    fn public(&self) -> Result<KeyPublic, Abort> {
        let others = || Blame::suspects(self.binding.params().signers.others(self.me));
        let unusable = || Abort::new(others(), AbortReason::InconsistentShares);
        let (old, next) = (self.handover.old(), self.handover.next());
        let sum = Commitments::sum(self.dealings.values());
        let mut verifying_shares = BTreeMap::new();
        for member in 1..=next.size.signers_total() {
            let share = evaluate::<G, _>(&sum, member).and_then(|share| G::point(&share)).ok_or_else(unusable)?;
            let member = PartyIndex::new(member.into()).map_err(|error| Abort::local(error.to_string()))?;
            verifying_shares.insert(member, share);
        }
        let public =
            KeyPublic { epoch: next.epoch, protocol: next.protocol, size: next.size, verifying_shares, ..old.clone() };
        // the key that they interpolate to is the old one
        public.validate().map_err(|_| unusable())?;
        Ok(public)
    }

    fn confirmation(&self, public: &KeyPublic) -> [u8; 32] {
        self.binding.derive("limen mpc key confirmation v1", [&public.digest()[..], &self.transcript[..]])
    }

    /// After round 4: all must have made the same epoch from the same dealings, and none have got a wrong share.
    fn confirm(&self, verdict: Verdict, inbox: &Inbox) -> Result<Made, Abort> {
        let made = match verdict {
            Verdict::Fit(made) => made,
            Verdict::Unfit(abort) => return Err(abort),
        };
        let expected = self.confirmation(&made.public);
        let mut disputed = None;
        for (from, body) in &inbox.broadcast {
            match body.as_slice() {
                body if body == expected => {}
                [accused] => match complaint(*from, *accused, &self.binding.params().signers, self.me) {
                    malformed if matches!(malformed.blame, Blame::Party { .. }) => return Err(malformed),
                    dispute => disputed = disputed.or(Some(dispute)),
                },
                // every public input was made consistent before, so only a liar can differ
                _ => {
                    let reason = AbortReason::KeyConfirmation { from: *from };
                    return Err(Abort::new(Blame::party(*from, Action::Replace), reason));
                }
            }
        }
        disputed.map_or(Ok(made), Err)
    }
}
