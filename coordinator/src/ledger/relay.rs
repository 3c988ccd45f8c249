//! Certificates from members that have them to one that lacks them. Nothing is kept on the way, and nothing is believed.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::ids::{LedgerId, NodeId};
use limen_wire::pb;

use super::handover::Ended;
use super::port::{LedgerPort, bounded};
use crate::signers::CallError;

/// One member that lacks certificates, and those that may have them.
pub(super) struct Relay {
    pub(super) ledger: LedgerId,
    pub(super) to: Arc<dyn LedgerPort>,
    pub(super) from: Vec<(NodeId, Arc<dyn LedgerPort>)>,
    /// How long one call may take.
    pub(super) patience: Duration,
}

impl Relay {
    /// Shows what others have of this committee's numbers, page by page, until nobody has more. What one of them has invented is
    /// refused, and the next one is asked.
    pub(super) async fn numbers(&self, committee: Option<&pb::LedgerCommittee>) -> Result<(), CallError> {
        let (ledger, committee) = (self.ledger.to_string(), committee.cloned());
        let mut after = self.show(committee.clone(), Vec::new()).await?;
        for (node, from) in &self.from {
            loop {
                let request = pb::LedgerShowRequest { ledger: ledger.clone(), after, committee: committee.clone() };
                let Ok(page) = bounded(self.patience, from.show(request)).await else { break };
                if page.certificates.is_empty() {
                    break;
                }
                let head = match self.show(committee.clone(), page.certificates).await {
                    Ok(head) => head,
                    Err(CallError::Refused(error)) => {
                        tracing::warn!(%ledger, from = %node, %error, "a member shows certificates that another refuses");
                        break;
                    }
                    Err(error) => return Err(error),
                };
                if head <= after {
                    break;
                }
                after = head;
            }
        }
        Ok(())
    }

    /// The same for all committees that kept the ledger before, the first one first. Each is known by the one that follows it.
    pub(super) async fn all(&self, past: &[Ended]) -> Result<(), CallError> {
        for Ended { committee, .. } in past.iter().rev() {
            self.show(Some(committee.to_wire()), Vec::new()).await?;
        }
        for Ended { committee, seal } in past {
            let named = Some(committee.to_wire());
            self.numbers(named.as_ref()).await?;
            self.show(named, vec![seal.envelope().clone()]).await?;
        }
        Ok(())
    }

    /// Shows certificates; the last number that is known then.
    async fn show(
        &self,
        committee: Option<pb::LedgerCommittee>,
        certificates: Vec<pb::Envelope>,
    ) -> Result<u64, CallError> {
        let ledger = self.ledger.to_string();
        let request = pb::LedgerReserveRequest { ledger, certificates, committee, ..Default::default() };
        Ok(bounded(self.patience, self.to.reserve(request)).await?.head)
    }
}
