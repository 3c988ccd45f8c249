//! Requests, what people say about them, and the calls that want a decision.

use std::collections::BTreeSet;

use limen_node::approvals::{Papers, Shown};
use limen_node::clock::{Millis, Now, Uptime};
use limen_node::guard::{self, Reservations, Verdict as Decision};
use limen_node::store::rows::StoredSignature;
use limen_node::{admission, decisions::Decisions};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict as Word};
use limen_wire::error::ApiError;
use limen_wire::ids::{CredentialId, PersonId, SessionId};
use limen_wire::intent::seal_intent;
use limen_wire::pb;

use super::{Asked, Said, Stage, Token};
use crate::hostile::bytes::{self, CHAIN};
use crate::hostile::flaw::Flaw;
use crate::hostile::judge::{Rank, Release, Request, Statement, Violation};
use crate::hostile::program::{Draft, Forge, Handed, Label, Paper, Spoil, Step, Verdict};
use crate::hostile::signer::wait;
use crate::hostile::{KEY, people};

/// How long a session may take, in milliseconds.
pub(super) const SESSION_MS: u64 = 10_000;

/// The name of a session.
fn session_id(session: usize) -> [u8; 32] {
    let mut id = [0x5e; 32];
    id[..8].copy_from_slice(&(session as u64).to_be_bytes());
    id
}

impl Stage {
    pub(super) fn ask(&mut self, label: Label, draft: &Draft) {
        let payload = bytes::payload(draft);
        let expires_at_secs = self.now_secs() + draft.life_secs;
        let digest = payload.digest();
        let replaces = draft.replaces.and_then(|other| self.asked.get(&other)).map(|asked| *asked.id.as_bytes());
        let raw = pb::Intent {
            version: 1,
            cluster: "sim".to_owned(),
            requester: format!("r{}", draft.requester),
            idempotency_key: format!("name-{}", draft.name),
            key_id: KEY.to_owned(),
            chain: format!("eip155:{CHAIN}"),
            expires_at_secs,
            replaces: replaces.map(|id| id.to_vec().into()).unwrap_or_default(),
            payload: Some(match payload {
                bytes::Payload::Transaction(bytes) => pb::intent::Payload::EvmTransaction(bytes.into()),
                bytes::Payload::Text(text) => pb::intent::Payload::EvmMessage(text.into()),
            }),
            ..pb::Intent::default()
        };
        let (id, envelope) = seal_intent(&raw, people::requester_key(draft.requester)).expect("an intent");
        // The same words again are the same request.
        if self.asked.contains_key(&label) || self.asked.values().any(|asked| asked.id == id) {
            return;
        }
        let mut draft = draft.clone();
        draft.replaces = draft.replaces.filter(|other| self.asked.contains_key(other));
        self.judge.asked(label, Request { draft, digest, expires_at_secs });
        self.asked.insert(label, Asked { envelope, id });
    }

    pub(super) fn say(&mut self, step: &Step) {
        let Step::Say { label, person, terminal, request, verdict, after, life_secs, version } = step else { return };
        let version = version % self.files.charters.len();
        let (Some(asked), false) = (self.asked.get(request), self.said.contains_key(label)) else { return };
        let (charter, key) = (&self.files.charters[version], self.shares.facts(&self.plan, 1));
        let now = Now { wall: Millis(self.now_secs() * 1000), uptime: Uptime(self.elapsed_ms) };
        let examined = guard::examine(
            charter,
            &std::sync::Arc::default(),
            |_| Some(std::sync::Arc::new(key)),
            &asked.envelope,
            now,
        );
        let Ok(examined) = examined else { return };
        let facts = guard::facts(charter, &examined);
        let class = if *terminal { "terminal" } else { "console" };
        let preceding = after.and_then(|other| self.said.get(&other)).map(|said| said.signed.approval.digest());
        let after = after.filter(|other| self.said.contains_key(other));
        let expires_at_secs = self.now_secs() + life_secs;
        let mut nonce = [7; 32];
        nonce[..8].copy_from_slice(&(*label as u64).to_be_bytes());
        let approval = Approval {
            cluster: facts.cluster,
            intent_id: facts.intent_id,
            effects_digest: facts.effects_digest,
            decoder_version: facts.decoder_version,
            slice: facts.slice,
            freeze_epoch: facts.freeze_epoch,
            person: PersonId::new(format!("p{person}")).expect("a name"),
            credential: CredentialId::new(format!("p{person}-{class}")).expect("a name"),
            preceding,
            expires_at_secs,
            verdict: match verdict {
                Verdict::Approve => Word::Approve,
                Verdict::Reject => Word::Reject,
                Verdict::Withdraw => Word::Withdraw,
            },
            reason: if *verdict == Verdict::Reject { "no".to_owned() } else { String::new() },
            nonce,
        };
        let signed = prove(approval, people::credential_key(*person, *terminal));
        let (person, terminal, verdict, request) = (*person, *terminal, *verdict, *request);
        let statement = Statement { person, terminal, request, verdict, after, expires_at_secs, version };
        self.judge.said(*label, statement);
        self.said.insert(*label, Said { envelope: signed.to_envelope(), signed, request });
        self.count(match verdict {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
            Verdict::Withdraw => "withdrawn",
        });
    }

    /// The papers as they arrive, and the numbers of those that are as they were said.
    pub(super) fn papers(&self, papers: &[Paper], request: Label) -> (Vec<pb::Envelope>, BTreeSet<Label>) {
        let (mut envelopes, mut honest) = (Vec::new(), BTreeSet::new());
        for paper in papers {
            let Some(said) = self.said.get(&paper.said) else { continue };
            let is_no = said.signed.approval.verdict != Word::Approve;
            match paper.forge {
                None => {
                    honest.insert(paper.said);
                    // A deaf signer is one whose harness keeps bad news from it.
                    if !(is_no && self.flaw == Some(Flaw::Deaf)) {
                        envelopes.push(said.envelope.clone());
                    }
                }
                Some(forge) => envelopes.push(self.forge(said, forge, request)),
            }
        }
        (envelopes, honest)
    }

    pub(super) fn forge(&self, said: &Said, forge: Forge, request: Label) -> pb::Envelope {
        let mut signed = said.signed.clone();
        let approval = &mut signed.approval;
        match forge {
            Forge::Request => {
                if let Some(asked) = self.asked.get(&request) {
                    approval.intent_id = asked.id;
                }
                approval.expires_at_secs += 1;
            }
            Forge::Person(person) => {
                approval.person = PersonId::new(format!("p{person}")).expect("a name");
                approval.nonce[31] ^= 1;
            }
            Forge::Approve => {
                (approval.verdict, approval.reason) = (Word::Approve, String::new());
                approval.nonce[31] ^= 1;
            }
            Forge::Expiry => approval.expires_at_secs += 100_000,
            Forge::Key => {
                approval.nonce[31] ^= 1;
                signed = prove(signed.approval, people::foreign_key());
            }
        }
        signed.to_envelope()
    }

    fn spoilt(&self, request: Label, spoil: Option<Spoil>) -> Option<pb::Envelope> {
        let mut envelope = self.asked.get(&request)?.envelope.clone();
        let mut payload = envelope.payload.to_vec();
        match spoil {
            None => {}
            Some(Spoil::Byte(at)) => {
                let at = at % payload.len();
                payload[at] ^= 1;
            }
            Some(Spoil::Encoding) => payload.extend([0xf8, 0x7f, 0x00]),
            Some(Spoil::Signature(other)) => envelope.signatures = self.asked.get(&other)?.envelope.signatures.clone(),
            Some(Spoil::Key) => {
                let text = [envelope.payload_type.as_bytes(), &payload].concat();
                for signature in &mut envelope.signatures {
                    signature.signature = people::foreign_key().sign(&text).to_vec().into();
                }
            }
        }
        envelope.payload = payload.into();
        Some(envelope)
    }

    pub(super) fn refused(&mut self, signer: u8, error: &ApiError) {
        self.count(error.code.as_str());
        self.note(format!("    signer {signer} refuses: {error}"));
    }

    /// Notes a call for the judge, if the signer holds the request now.
    pub(super) fn entered(&mut self, signer: u8, request: Label, said: BTreeSet<Label>) {
        let Some(id) = self.asked.get(&request).map(|asked| asked.id) else { return };
        let holds =
            |decisions: Decisions<'_>| decisions.store.view().expect("a view").intent(&id).expect("a row").is_some();
        let known = self.noted.contains(&(signer, request));
        if (known || self.signer(signer).and_then(|one| one.decisions()).is_some_and(holds))
            && let Some(moment) = self.moment(signer)
        {
            self.noted.insert((signer, request));
            self.judge.called(signer, request, moment, said);
        }
    }

    pub(super) fn announce(
        &mut self,
        signer: u8,
        request: Label,
        papers: &[Paper],
        spoil: Option<Spoil>,
    ) -> Result<(), Violation> {
        let Some(envelope) = self.spoilt(request, spoil) else { return Ok(()) };
        let (papers, honest) = self.papers(papers, request);
        let Some(decisions) = self.signer(signer).and_then(|one| one.decisions()) else { return Ok(()) };
        let answer = decisions.examine(&envelope).and_then(|examined| {
            let shown = decisions.show(&examined, &Papers { approvals: &papers, checks: &[] })?;
            wait(decisions.announce(examined, envelope, shown))
        });
        match answer {
            Ok(announced) => {
                let allowed = announced.examined.decision().allowed;
                let (progress, moment) = (announced.progress, self.moment(signer));
                self.note(format!(
                    "    signer {signer}: {}{}",
                    if allowed { "allowed" } else { "denied" },
                    progress.check().err().map(|error| format!(", {error}")).unwrap_or_default()
                ));
                self.count(if allowed { "announced, allowed" } else { "announced, denied" });
                self.entered(signer, request, honest);
                self.learnt(signer, progress.news);
                let judged = moment.and_then(|moment| self.judge.allows(request, moment.version));
                if self.flaw.is_none() && judged != Some(allowed) {
                    let what = format!("signer {signer} says {allowed} to i{request}, the judge {judged:?}");
                    return Err(Violation { rank: Rank::Disagreement, what });
                }
            }
            Err(error) => self.refused(signer, &error),
        }
        Ok(())
    }

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
        let handed = self.handed(certificates);
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
            let mut shown: Shown = decisions.show(&examined, &Papers { approvals: &papers, checks: &[] })?;
            shown.reservations = Reservations::read(&decisions.charter, &examined, &handed, SESSION_MS);
            wait(decisions.sign(examined, call, envelope, shown)).map(Some)
        });
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
                self.release(token, certificates)
            }
            Decision::Repeat(_) => {
                self.count("repeated");
                Ok(())
            }
            Decision::Refused(error) => {
                self.refused(signer, &error);
                Ok(())
            }
        }
    }

    fn release(&mut self, token: Token, certificates: &[Handed]) -> Result<(), Violation> {
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
            moment,
        };
        self.count("permitted");
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
        let elapsed = self.elapsed_ms;
        if self.signed.insert(request) {
            self.count("signed");
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
            let Some(decisions) = self.signer(*signer).and_then(|one| one.decisions()) else { continue };
            let token = self.tokens.iter().rfind(|token| token.session == session && token.signer == *signer);
            let (session, now) = (session_id(session).to_vec(), decisions.now);
            let stored =
                StoredSignature { signature: signature.to_vec(), recovery_id: 0, session, signers: set.to_vec() };
            let leaf =
                token.and_then(|token| admission::signature_leaf(&decisions.charter, &token.permit, &stored, now));
            let keeping = decisions.store.write_blocking(move |txn| admission::keep(txn, id, (stored, leaf), now.wall));
            keeping.expect("a write");
        }
    }
}

fn prove(approval: Approval, key: &limen_wire::keys::SigningKey) -> SignedApproval {
    let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }
}
