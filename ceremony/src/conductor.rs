//! The conductor's relay: the board over TLS, written down before anybody is answered.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_evidence::ceremony::{Mode, Offer, Record, Session, Transcript, completed};
use limen_wire::ids::PersonId;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::ceremony_server::{Ceremony, CeremonyServer};
use limen_wire::tls::{self, TlsIdentity};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::board::Board;
use crate::journal::Journal;

/// Longest wait for something new.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Envelopes in one answer, and their bytes.
const PAGE: usize = 64;
const PAGE_BYTES: usize = GRPC_MESSAGE_BYTES / 2;
/// Calls that one connection may have open.
const STREAMS: u32 = 16;

struct State {
    board: Board,
    journal: Journal,
}

struct Relay {
    session: Arc<Session>,
    state: Mutex<State>,
    length: watch::Sender<usize>,
}

/// A board that is served.
pub struct Conductor {
    relay: Arc<Relay>,
}

/// The words that a journal of a board begins with.
fn journal_head(session: &Session) -> String {
    let people: Vec<&str> = session.attendance().present().iter().map(PersonId::as_str).collect();
    let (plan, mode) = (session.plan(), session.mode());
    format!("limen-ceremony-board 1\nmode {mode}\nplan {}\npresent {}\n", plan.hash(), people.join(" "))
}

impl Conductor {
    /// A board in this file, begun or gone on with.
    pub fn open(session: Session, journal: &Path) -> Result<Self> {
        let (journal, stored) = Journal::open(journal, &journal_head(&session))?;
        let present: BTreeSet<PersonId> = session.attendance().present().clone();
        let mut board = Board::new(session.plan().clone(), present);
        stored.into_iter().for_each(|envelope| board.put(envelope));
        let (length, _) = watch::channel(board.from(0).len());
        let relay = Relay { session: Arc::new(session), state: Mutex::new(State { board, journal }), length };
        Ok(Self { relay: Arc::new(relay) })
    }

    /// Puts something on the board, such as a signature of the plan that was made beforehand.
    pub fn post(&self, envelope: &pb::Envelope) -> Result<()> {
        self.relay.put(envelope).map_err(|status| anyhow::anyhow!("{}", status.message()))
    }

    /// Serves until `stop` is done.
    pub async fn serve(
        &self,
        listener: TcpListener,
        identity: &TlsIdentity,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let incoming = tls::incoming(listener, tls::open_server(identity)?, |_, _| {});
        let service =
            CeremonyServer::new(Service(Arc::clone(&self.relay))).max_decoding_message_size(GRPC_MESSAGE_BYTES);
        let server = tonic::transport::Server::builder().max_concurrent_streams(STREAMS).add_service(service);
        server.serve_with_incoming_shutdown(incoming, stop).await.context("serving the board")
    }

    /// Waits until the board holds a whole record, or somebody has called the ceremony off; what it holds then.
    pub async fn ended(&self) -> Ended {
        let mut length = self.relay.length.subscribe();
        loop {
            length.borrow_and_update();
            if let Some(ended) = self.relay.look() {
                return ended;
            }
            if length.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whose part of the open step is missing on the board.
    pub fn missing(&self) -> Vec<PersonId> {
        let envelopes = self.relay.state().board.from(0).to_vec();
        let mut transcript = Transcript::new(&self.relay.session);
        offer_all(&mut transcript, &envelopes);
        transcript.missing().into_iter().cloned().collect()
    }
}

/// What a board holds in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All have signed.
    Completed(Record),
    /// Called off or found out; why, in words.
    Aborted(String),
}

fn offer_all(transcript: &mut Transcript<'_>, envelopes: &[pb::Envelope]) -> Option<Ended> {
    for envelope in envelopes {
        match transcript.offer(envelope) {
            Offer::Fault(fault) => return Some(Ended::Aborted(fault.to_string())),
            Offer::Abort(said) if !transcript.is_complete() && !transcript.has_signed(&said.contribution.author) => {
                let text = said.contribution.to_text();
                let cause = text.lines().find_map(|line| line.strip_prefix("cause ")).unwrap_or_default();
                return Some(Ended::Aborted(format!("{}: {cause}", said.contribution.author)));
            }
            _ => {}
        }
    }
    completed(transcript).map(Ended::Completed)
}

impl Relay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Option<Ended> {
        let envelopes = self.state().board.from(0).to_vec();
        offer_all(&mut Transcript::new(&self.session), &envelopes)
    }

    fn put(&self, envelope: &pb::Envelope) -> Result<(), Status> {
        let mut state = self.state();
        match state.board.admits(envelope) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(Status::permission_denied(error.to_string())),
        }
        state.journal.append(envelope).map_err(|error| Status::unavailable(error.to_string()))?;
        state.board.put(envelope.clone());
        let length = state.board.from(0).len();
        drop(state);
        self.length.send_replace(length);
        Ok(())
    }

    fn page(&self, from: u32) -> Vec<pb::Envelope> {
        let state = self.state();
        let mut bytes = 0usize;
        let fits = |envelope: &&pb::Envelope| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(prost::Message::encoded_len(*envelope));
            first || bytes <= PAGE_BYTES
        };
        let rest = state.board.from(usize::try_from(from).unwrap_or(usize::MAX));
        rest.iter().take(PAGE).take_while(fits).cloned().collect()
    }
}

struct Service(Arc<Relay>);

#[tonic::async_trait]
impl Ceremony for Service {
    async fn open_ceremony(
        &self,
        _: Request<pb::OpenCeremonyRequest>,
    ) -> Result<Response<pb::OpenCeremonyResponse>, Status> {
        let session = &self.0.session;
        let plan = bytes_of(session.plan().hash().as_bytes());
        let present = session.attendance().present().iter().map(ToString::to_string).collect();
        Ok(Response::new(pb::OpenCeremonyResponse { plan, rehearsal: session.mode() == Mode::Rehearsal, present }))
    }

    async fn post_contribution(
        &self,
        request: Request<pb::PostContributionRequest>,
    ) -> Result<Response<pb::PostContributionResponse>, Status> {
        let envelope = request.into_inner().envelope.ok_or_else(|| Status::invalid_argument("envelope is missing"))?;
        self.0.put(&envelope)?;
        Ok(Response::new(pb::PostContributionResponse {}))
    }

    async fn fetch_contributions(
        &self,
        request: Request<pb::FetchContributionsRequest>,
    ) -> Result<Response<pb::FetchContributionsResponse>, Status> {
        let pb::FetchContributionsRequest { from, wait_ms } = request.into_inner();
        let wait = Duration::from_millis(wait_ms.into()).min(LONG_POLL);
        let mut length = self.0.length.subscribe();
        let more = length.wait_for(|length| *length > usize::try_from(from).unwrap_or(usize::MAX));
        // That there is nothing new is an answer too.
        tokio::time::timeout(wait, more).await.ok();
        Ok(Response::new(pb::FetchContributionsResponse { envelopes: self.0.page(from) }))
    }
}

fn bytes_of(slice: &[u8]) -> tonic::codegen::Bytes {
    tonic::codegen::Bytes::copy_from_slice(slice)
}
