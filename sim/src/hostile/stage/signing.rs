//! Signers are asked to sign, and what they let go makes a signature.

use limen_node::admission;
use limen_node::approvals::{Papers, Shown};
use limen_node::guard::{self, Reservations, SignToken, Verdict as Decision};
use limen_node::store::rows::StoredSignature;
use limen_wire::error::Code;
use limen_wire::ids::SessionId;

use super::{Stage, Token};
use crate::hostile::judge::{Rank, Release, Violation};
use crate::hostile::program::{Handed, Label, Step};
use crate::hostile::shares::Shares;
use crate::hostile::signer::wait;
use crate::solver::Seen;

/// The signature of a permission, for who looks for a nonce that served twice.
fn seen(permit: &SignToken, signature: &[u8]) -> Option<Seen> {
    let key = permit.examined().child_key().as_bytes().try_into().ok()?;
    Some(Seen::Ecdsa { key, digest: permit.input().ecdsa_digest()?, signature: signature.try_into().ok()? })
}

/// How long a session may take, in milliseconds.
pub(super) const SESSION_MS: u64 = 10_000;

/// The name of a session.
fn session_id(session: usize) -> [u8; 32] {
    let mut id = [0x5e; 32];
    id[..8].copy_from_slice(&(session as u64).to_be_bytes());
    id
}

impl Stage {
    pub(super) fn sign(&mut self, step: &Step) -> Result<(), Violation> {
        let Step::Sign { asked, session, finish, .. } = step else { return Ok(()) };
        for signer in asked {
            if let Err(violation) = self.sign_at(*signer, step) {
                self.wrong.entry(*session).or_insert(violation);
            }
        }
        if !self.is_signed(*session) {
            return Ok(());
        }
        // Only what came to a signature is a loss.
        self.wrong.get(session).map_or(Ok(()), |violation| Err(violation.clone()))?;
        self.finish(*session, *finish)
    }

    fn sign_at(&mut self, signer: u8, step: &Step) -> Result<(), Violation> {
        let Step::Sign { set, session, request, papers, certificates, spoil, .. } = step else { return Ok(()) };
        let Some(envelope) = self.spoilt(*request, *spoil) else { return Ok(()) };
        let (papers, honest) = self.papers(papers, *request);
        let (handed, (checks, found)) = (self.handed(certificates), self.findings(*request));
        let Some(decisions) = self.signer(signer).and_then(|one| one.decisions()) else { return Ok(()) };
        let indices: Vec<u32> = set.iter().map(|index| u32::from(*index)).collect();
        let decided = decisions.examine(&envelope).and_then(|examined| {
            let call = guard::sign_call(&session_id(*session), &indices)?;
            let no_standing = self.lacks_standing(signer, examined.key());
            // Where the evidence log is not played no leaf is ever missing.
            let leaf_patience_ms = if self.plan.log { guard::LEAF_PATIENCE_MS } else { u64::MAX };
            let call = guard::SignCall { leaf_patience_ms, no_standing, ..call };
            if decisions.stored(&examined)?.is_some() {
                return Ok(None);
            }
            let mut shown: Shown = decisions.show(&examined, &Papers { approvals: &papers, checks: &checks })?;
            shown.reservations = Reservations::read(&decisions.charter, &examined, &handed, SESSION_MS);
            wait(decisions.sign(examined, call, envelope, shown)).map(Some)
        });
        self.sighted(signer, *request);
        let decided = match decided {
            Ok(Some(decided)) => decided,
            Ok(None) => {
                self.count("repeated");
                self.note(format!("    signer {signer} repeats its answer"));
                return Ok(());
            }
            Err(error) => {
                self.refused(signer, &error);
                return Ok(());
            }
        };
        self.entered(signer, *request, honest);
        self.learnt(signer, decided.news);
        match decided.verdict {
            Decision::Allowed(permit) => {
                self.note(format!("    signer {signer} takes part"));
                let token = Token { signer, request: *request, session: *session, set: set.clone(), permit };
                self.release(token, certificates, found)
            }
            Decision::Repeat(_) => {
                self.count("repeated");
                Ok(())
            }
            Decision::Refused(error) => {
                if error.code == Code::Frozen {
                    self.says_frozen(signer, *request);
                }
                if ["the check by", "objects:", "nobody attests"].iter().any(|words| error.message.contains(words)) {
                    self.count("check: missing");
                }
                self.refused(signer, &error);
                Ok(())
            }
        }
    }

    fn release(&mut self, token: Token, certificates: &[Handed], findings: Vec<Label>) -> Result<(), Violation> {
        let Some(moment) = self.moment(token.signer) else { return Ok(()) };
        let id = token.permit.examined().intent().id;
        let request = self.asked.iter().find(|(_, asked)| asked.id == id).map_or(Label::MAX, |(label, _)| *label);
        let release = Release {
            signer: token.signer,
            request,
            session: token.session,
            set: token.set.clone(),
            digest: token.permit.input().ecdsa_digest().unwrap_or_default(),
            certificates: certificates.iter().filter(|one| one.forge.is_none()).map(|one| one.entry).collect(),
            findings,
            moment,
        };
        self.count("permitted");
        if let Some(one) = self.signer_mut(token.signer) {
            one.promise(&token.permit);
        }
        let other_charter = token.permit.record().charter != *self.files.charters[moment.version].hash().as_bytes();
        let other_session = *token.permit.session() != SessionId::new(session_id(token.session));
        self.tokens.push(token);
        if other_charter || other_session {
            let what = "the permission is for another charter or session than asked for".to_owned();
            return Err(Violation { rank: Rank::Set, what });
        }
        self.judge.released(release)
    }

    /// A signature exists once every honest member of the set has let its last message go: the others are the adversary's.
    fn is_signed(&self, session: usize) -> bool {
        let tokens: Vec<&Token> = self.tokens.iter().filter(|token| token.session == session).collect();
        let Some(last) = tokens.last() else { return false };
        let with = |member: &&u8| {
            **member > self.plan.honest()
                || tokens.iter().any(|token| {
                    token.signer == **member
                        && token.set == last.set
                        && token.permit.params() == last.permit.params()
                        && token.permit.input() == last.permit.input()
                })
        };
        last.set.iter().all(|member| with(&member))
    }

    fn finish(&mut self, session: usize, finish: bool) -> Result<(), Violation> {
        let Some(last) = self.tokens.iter().rfind(|token| token.session == session) else { return Ok(()) };
        let (request, set) = (last.request, last.set.clone());
        let version = self.moment(last.signer).map_or(0, |moment| moment.version);
        let signature = self.shares.sign(&last.permit).map_err(|what| Violation { rank: Rank::Bytes, what })?;
        let seen = match self.shares.as_ref() {
            Shares::StandIn => None,
            Shares::Real(_) => seen(&last.permit, &signature),
        };
        let elapsed = self.elapsed_ms;
        self.signatures.extend(seen);
        if self.signed.insert(request) {
            self.count("signed");
            if self.judge.flows_in(request) {
                self.count("ceiling: let in");
            }
            let kinds = (self.judge.wants_people(request, version), self.judge.waits(request, version));
            match kinds {
                (true, _) => self.count("signed after approvals"),
                (_, true) => self.count("signed after a delay"),
                _ => {}
            }
            if kinds.1 && kinds.0 {
                self.count("signed after approvals and a delay");
            }
        } else {
            self.count("signed again");
        }
        self.note(format!("    i{request} is signed"));
        if finish {
            self.keep(request, session, &set, &signature);
        }
        self.judge.signed(request, elapsed)
    }

    /// The honest members of the set get the signature.
    fn keep(&self, request: Label, session: usize, set: &[u8], signature: &[u8]) {
        let Some(id) = self.asked.get(&request).map(|asked| asked.id) else { return };
        for signer in set {
            let Some(one) = self.signer(*signer) else { continue };
            let Some(decisions) = one.decisions() else { continue };
            let token = self.tokens.iter().rfind(|token| token.session == session && token.signer == *signer);
            let (session, now) = (session_id(session).to_vec(), decisions.now);
            let stored =
                StoredSignature { signature: signature.to_vec(), recovery_id: 0, session, signers: set.to_vec() };
            let leaf =
                token.and_then(|token| admission::signature_leaf(&decisions.charter, &token.permit, &stored, now));
            let keeping = decisions.store.write_blocking(move |txn| admission::keep(txn, id, (stored, leaf), now.wall));
            one.kept(keeping);
        }
    }
}
