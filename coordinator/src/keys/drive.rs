//! Drives one key from its order to the last member that holds the certificate.

use std::sync::Arc;

use bytes::Bytes;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{NodeId, Protocol};
use limen_wire::intent::KeyGeneration;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ring::ActiveKey;
use super::{KeyEvent, KeyPhase, KeyRecord, fits, step};
use crate::backups::{self, Waiting};
use crate::context::{Core, random_bytes};
use crate::signers::{CallError, Signer};
use crate::store::StoreError;

struct Driver {
    core: Arc<Core>,
    record: KeyRecord,
    order: KeyGeneration,
    /// Shares that wait for their backups, by what the members said last.
    waiting: Waiting,
    proofs: watch::Receiver<u64>,
}

/// Starts the driver of a stored key that is not finished.
pub(crate) fn spawn(core: &Arc<Core>, record: KeyRecord, order: KeyGeneration) {
    let (waiting, proofs) = (Waiting::default(), core.proofs.subscribe());
    let mut driver = Driver { core: Arc::clone(core), record, order, waiting, proofs };
    let core = Arc::clone(core);
    core.clone().tasks.spawn(async move {
        let stop = core.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            result = driver.run() => if let Err(error) = result {
                tracing::error!(key = %driver.record.key_id, %error, "a key stands still");
            }
        }
    });
}

/// A statement of this member about this order, signed by it.
pub(crate) fn checked_statement(
    signer: &Signer,
    order: &KeyGeneration,
    statement: pb::Envelope,
) -> Result<pb::Envelope, ApiError> {
    let bad = |why: String| ApiError { code: Code::Internal, message: why, node: signer.node.to_string() };
    let opened = envelope::open(&statement, PayloadType::KeyStatement).map_err(|error| bad(error.to_string()))?;
    opened.verify(signer.node.as_str(), &signer.public_key).map_err(|error| bad(error.to_string()))?;
    let said = KeyStatement::decode(&statement).map_err(|error| bad(error.to_string()))?;
    if fits(&said, order) { Ok(statement) } else { Err(bad("its statement is about another order".to_owned())) }
}

impl Driver {
    async fn run(&mut self) -> Result<(), StoreError> {
        // What an earlier attempt has finished without us is on the members' disks.
        if self.record.attempts > 0 || !self.record.statements.is_empty() {
            self.recover().await?;
        }
        while self.record.phase == KeyPhase::Ordered {
            // People may take days, which the order's expiry does not count: its shares are made.
            if let Some(awaited) = self.awaited() {
                self.feed(KeyEvent::Waiting(awaited)).await?;
                backups::next_proof(&self.core, &mut self.proofs).await;
                self.recover().await?;
                continue;
            }
            if self.order.expires_at_secs < self.core.clock.now_secs() {
                let error = ApiError::new(Code::Expired, "the order expired before all members had made their shares");
                self.feed(KeyEvent::GivenUp(error)).await?;
                break;
            }
            self.await_members().await;
            self.attempt().await?;
            if self.record.phase == KeyPhase::Ordered && self.awaited().is_none() {
                tokio::time::sleep(self.core.timing.retry_max).await;
                self.recover().await?;
            }
        }
        self.log_end();
        while matches!(self.record.phase, KeyPhase::Certified | KeyPhase::Active)
            && self.record.activated.len() < self.order.nodes.len()
        {
            self.activate().await?;
        }
        Ok(())
    }

    fn log_end(&self) {
        match (&self.record.phase, &self.record.error) {
            (KeyPhase::Failed, Some(error)) => {
                tracing::error!(key = %self.record.key_id, %error, "key generation failed");
            }
            _ => tracing::info!(key = %self.record.key_id, "key certified"),
        }
    }

    async fn feed(&mut self, event: KeyEvent) -> Result<(), StoreError> {
        let required = usize::from(self.order.size.signers_required());
        if step(&mut self.record, event, required) {
            self.core.store.update_key(self.record.clone()).await?;
        }
        Ok(())
    }

    /// What keeps members that hold their shares from stating them; nothing while one has none.
    fn awaited(&self) -> Option<ApiError> {
        let open = self.order.nodes.iter().filter(|node| !self.record.statements.contains_key(*node));
        self.waiting.words(open, backups::is_awaited(self.record.error.as_ref()))
    }

    fn members(&self) -> Vec<Arc<Signer>> {
        self.core.signers.among(&self.order.nodes).cloned().collect()
    }

    /// Key generation needs every member: wait until all answer and are linked, or the order is too old.
    async fn await_members(&self) {
        let mut changes = self.core.signers.changes();
        let members = self.members();
        let linked = |signer: &Arc<Signer>| {
            let health = signer.health();
            health.reachable && members.iter().all(|other| health.linked(other.node.as_str()))
        };
        while !members.iter().all(linked) && self.order.expires_at_secs >= self.core.clock.now_secs() {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.core.timing.status_interval) => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<(), StoreError> {
        let Ok(session) = random_bytes::<32>() else { return Ok(()) };
        self.feed(KeyEvent::AttemptStarted).await?;
        let timing = &self.core.timing;
        let bound = match self.order.protocol {
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => timing.keygen_timeout,
            Protocol::Cggmp24 => timing.keygen_timeout.saturating_add(timing.primes_timeout),
        };
        let request = pb::GenerateKeyRequest {
            order: Some(self.record.order.clone()),
            session_id: session.to_vec().into(),
            timeout_ms: u32::try_from(bound.as_millis()).unwrap_or(u32::MAX),
            piece: Bytes::new(),
        };
        let mut calls = JoinSet::new();
        for signer in self.members() {
            let request = pb::GenerateKeyRequest { piece: self.piece_of(&signer.node), ..request.clone() };
            calls.spawn(async move {
                let answer = signer.within(bound, signer.port().generate_key(request)).await;
                (signer, answer)
            });
        }
        let mut failure = None;
        while let Some(Ok((signer, answer))) = calls.join_next().await {
            match self.statement_of(&signer, answer) {
                Ok(statement) => self.feed(KeyEvent::Statement(signer.node.clone(), statement)).await?,
                Err(error) => {
                    tracing::warn!(key = %self.record.key_id, node = %signer.node, %error, "no statement");
                    // A final refusal says more than the time-outs that it causes at the others.
                    let keep = failure.as_ref().is_some_and(|known: &ApiError| {
                        !known.code.retryable() || (error.code == Code::BackupUnproven && known.code != error.code)
                    });
                    if !keep {
                        failure = Some(error);
                    }
                }
            }
        }
        if failure.is_some() {
            self.recover().await?;
            if self.record.phase != KeyPhase::Ordered || self.awaited().is_some() {
                return Ok(());
            }
        }
        self.certify(failure).await
    }

    /// A member's own piece; empty for a key that is made.
    fn piece_of(&self, node: &NodeId) -> Bytes {
        let place = self.order.nodes.iter().position(|member| member == node);
        place.and_then(|place| self.record.pieces.get(place)).cloned().unwrap_or_default()
    }

    fn statement_of(
        &self,
        signer: &Signer,
        answer: Result<pb::GenerateKeyResponse, CallError>,
    ) -> Result<pb::Envelope, ApiError> {
        let node = signer.node.to_string();
        match answer {
            Ok(pb::GenerateKeyResponse { refusal: Some(error), .. }) => {
                Err(ApiError { node, ..ApiError::from_wire(&error) })
            }
            Ok(pb::GenerateKeyResponse { statement: Some(statement), .. }) => {
                checked_statement(signer, &self.order, statement)
            }
            Ok(_) => Err(ApiError { code: Code::Internal, message: "an empty answer".to_owned(), node }),
            Err(CallError::Refused(error)) => Err(ApiError { node, ..error }),
            Err(error) => Err(ApiError { code: Code::SessionAborted, message: error.to_string(), node }),
        }
    }

    /// Makes the certificate if all members have stated the same.
    async fn certify(&mut self, failure: Option<ApiError>) -> Result<(), StoreError> {
        let statements: Vec<_> = self.record.statements.values().cloned().collect();
        if statements.len() < self.order.nodes.len() {
            let missing = || ApiError::new(Code::SessionAborted, "some members have made no share");
            return self.feed(KeyEvent::AttemptFailed(failure.unwrap_or_else(missing))).await;
        }
        let certificate = combine(&statements);
        let checked =
            certificate.as_ref().map(|certificate| ActiveKey::from_certificate(certificate, &self.core.charter()));
        match (certificate, checked) {
            (Some(certificate), Some(Ok(_))) => self.feed(KeyEvent::Certified(certificate)).await,
            (_, Some(Err(error))) => {
                self.feed(KeyEvent::AttemptFailed(ApiError::new(Code::SessionAborted, error.to_string()))).await
            }
            _ => {
                // Statements of different attempts do not fit together; the next attempt replaces them.
                let error = ApiError::new(Code::SessionAborted, "the members state different keys");
                self.feed(KeyEvent::AttemptFailed(error)).await
            }
        }
    }

    /// Asks the members what they hold already.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let mut calls = JoinSet::new();
        for signer in self.members() {
            let bound = self.core.timing.call_timeout;
            calls.spawn(async move {
                let answer = signer.key_shares(bound).await;
                (signer, answer)
            });
        }
        let (mut found, mut waiting) = (Vec::new(), Waiting::default());
        while let Some(Ok((signer, answer))) = calls.join_next().await {
            if let Ok(shares) = &answer {
                let own = shares.iter().find(|share| share.key_id == self.order.key_id.as_str());
                waiting.note(&signer.node, &self.order.id, own);
            }
            for share in answer.unwrap_or_default() {
                let statement = share.statement.map(|statement| checked_statement(&signer, &self.order, statement));
                let certificate = share.certificate.filter(|certificate| self.is_certificate(certificate));
                found.push((signer.node.clone(), statement, certificate));
            }
        }
        self.waiting = waiting;
        for (node, statement, certificate) in found {
            if let Some(certificate) = certificate {
                return self.feed(KeyEvent::Certified(certificate)).await;
            }
            if let Some(Ok(statement)) = statement {
                self.feed(KeyEvent::Statement(node, statement)).await?;
            }
        }
        if self.record.statements.len() == self.order.nodes.len() {
            return self.certify(None).await;
        }
        Ok(())
    }

    fn is_certificate(&self, certificate: &pb::Envelope) -> bool {
        ActiveKey::from_certificate(certificate, &self.core.charter())
            .is_ok_and(|key| fits(&key.statement, &self.order))
    }

    /// Hands the certificate to every member that lacks it, once; called again until all have it.
    async fn activate(&mut self) -> Result<(), StoreError> {
        let Some(certificate) = self.record.certificate.clone() else { return Ok(()) };
        let mut changes = self.core.signers.changes();
        let mut calls = JoinSet::new();
        for signer in self.members() {
            if self.record.activated.contains(&signer.node) || !signer.is_reachable() {
                continue;
            }
            let (bound, certificate) = (self.core.timing.call_timeout, Some(certificate.clone()));
            calls.spawn(async move {
                let call = signer.port().activate_key(pb::ActivateKeyRequest { certificate, order: None });
                let answer = signer.within(bound, call).await;
                (signer.node.clone(), answer)
            });
        }
        while let Some(Ok((node, answer))) = calls.join_next().await {
            self.activated(node, answer).await?;
        }
        if self.record.activated.len() < self.order.nodes.len() {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(self.core.timing.retry_max) => {}
            }
        }
        Ok(())
    }

    async fn activated(
        &mut self,
        node: NodeId,
        answer: Result<pb::ActivateKeyResponse, CallError>,
    ) -> Result<(), StoreError> {
        match answer {
            Ok(answer) if answer.state == i32::from(pb::KeyState::Active) => {
                // Whoever reads "active" must be able to use it: into use first.
                if self.record.activated.len() + 1 >= usize::from(self.order.size.signers_required()) {
                    self.take_into_use();
                }
                self.feed(KeyEvent::Activated(node)).await?;
            }
            Ok(answer) => tracing::warn!(key = %self.record.key_id, %node, state = answer.state, "not active"),
            Err(error) => tracing::warn!(key = %self.record.key_id, %node, %error, "not activated yet"),
        }
        Ok(())
    }

    fn take_into_use(&self) {
        let Some(certificate) = &self.record.certificate else { return };
        if let Ok(key) = ActiveKey::from_certificate(certificate, &self.core.charter()) {
            self.core.keys.insert(key);
        }
    }
}
