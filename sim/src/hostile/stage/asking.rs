//! Requests, what people say about them, and the calls that want a decision.

use std::collections::BTreeSet;

use limen_node::approvals::Papers;
use limen_node::clock::{Millis, Now, Uptime};
use limen_node::guard;
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict as Word};
use limen_wire::error::ApiError;
use limen_wire::ids::{CredentialId, PersonId};
use limen_wire::intent::seal_intent;
use limen_wire::pb;

use super::{Asked, Said, Stage};
use crate::hostile::bytes::{self, CHAIN};
use crate::hostile::flaw::Flaw;
use crate::hostile::judge::{Rank, Request, Statement, Violation};
use crate::hostile::program::{Draft, Forge, Label, Paper, Spoil, Step, Verdict};
use crate::hostile::signer::wait;
use crate::hostile::{KEY, people};

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
        let name = PersonId::new(format!("p{person}")).expect("a name");
        let credential = CredentialId::new(format!("p{person}-{class}")).expect("a name");
        let word = match verdict {
            Verdict::Approve => Word::Approve,
            Verdict::Reject => Word::Reject,
            Verdict::Withdraw => Word::Withdraw,
        };
        let mut approval = facts.draft((name, credential), word, (expires_at_secs, nonce));
        approval.preceding = preceding;
        if word == Word::Reject {
            approval.reason = "no".to_owned();
        }
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

    pub(super) fn spoilt(&self, request: Label, spoil: Option<Spoil>) -> Option<pb::Envelope> {
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
        let known = self.noted.contains(&(signer, request));
        if (known || self.signer(signer).is_some_and(|one| one.holds(&id)))
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
        let (checks, _) = self.findings(request);
        let Some(decisions) = self.signer(signer).and_then(|one| one.decisions()) else { return Ok(()) };
        let answer = decisions.examine(&envelope).and_then(|examined| {
            let shown = decisions.show(&examined, &Papers { approvals: &papers, checks: &checks })?;
            wait(decisions.announce(examined, envelope, shown))
        });
        self.sighted(signer, request);
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
}

pub(super) fn prove(approval: Approval, key: &limen_wire::keys::SigningKey) -> SignedApproval {
    let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }
}
