//! Runs one of the library's asynchronous protocols as rounds.
//!
//! The protocol talks to two queues in memory. When a round is complete all its messages go into one queue, then the
//! future is polled until it waits for the next round; what it has put into the other queue is that round's output.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use limen_wire::ids::{PartyIndex, SignerSet};
use round_based::{Incoming, MessageDestination, MessageType, MpcParty, Outgoing as LibOutgoing, Sink, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blame;
use crate::blame::Abort;
use crate::machine::{Inbox, Outgoing};

/// A message of one of the library's protocols.
pub(super) trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The round and kind (`true` for direct) that it belongs to; `None` for the library's own echo, which is off.
    fn place(&self) -> Option<(u8, bool)>;
}

/// Looks at a peer's message before the library does.
pub(super) type Check<M> = Box<dyn FnMut(PartyIndex, &M) -> Result<(), Abort> + Send>;

struct Queues<M> {
    incoming: VecDeque<Incoming<M>>,
    outgoing: Vec<LibOutgoing<M>>,
}

type Shared<M> = Arc<Mutex<Queues<M>>>;

fn with<M, R>(queues: &Shared<M>, act: impl FnOnce(&mut Queues<M>) -> R) -> R {
    // a poisoned queue is still a queue: the panic itself has ended the protocol
    act(&mut queues.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The protocol's receiving end: never wakes, as nothing arrives while the future is polled.
pub(super) struct Receiver<M>(Shared<M>);

impl<M> Stream for Receiver<M> {
    type Item = Result<Incoming<M>, Infallible>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match with(&self.0, |queues| queues.incoming.pop_front()) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Pending,
        }
    }
}

/// The protocol's sending end.
pub(super) struct Sender<M>(Shared<M>);

impl<M> Sink<LibOutgoing<M>> for Sender<M> {
    type Error = Infallible;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, message: LibOutgoing<M>) -> Result<(), Infallible> {
        with(&self.0, |queues| queues.outgoing.push(message));
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

/// What a protocol is given in place of a network.
pub(super) type Party<M> = MpcParty<M, (Receiver<M>, Sender<M>)>;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where a protocol stands after a poll.
pub(super) enum Progress<T> {
    /// It waits for the round's messages; these are ours.
    Send(Outgoing),
    /// The end.
    Done(T),
}

/// A running protocol.
pub(super) struct Run<M, T, E> {
    future: Pin<Box<dyn Future<Output = Result<T, E>> + Send>>,
    queues: Shared<M>,
    check: Check<M>,
    signers: SignerSet,
    me: PartyIndex,
    round: u8,
}

impl<M: Message, T, E: fmt::Debug> Run<M, T, E> {
    /// Sets a protocol up; the first [`Run::poll`] starts it.
    pub(super) fn new<F>(
        me: PartyIndex,
        signers: &SignerSet,
        check: Check<M>,
        protocol: impl FnOnce(Party<M>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let queues = Arc::new(Mutex::new(Queues { incoming: VecDeque::new(), outgoing: Vec::new() }));
        let party = MpcParty::connected((Receiver(queues.clone()), Sender(queues.clone())));
        Self { future: Box::pin(protocol(party)), queues, check, signers: signers.clone(), me, round: 0 }
    }

    /// Hands over a complete round and polls on.
    pub(super) fn advance(&mut self, inbox: &Inbox) -> Result<Progress<T>, Abort> {
        let broadcasts = inbox.broadcast.iter().map(|(from, body)| (*from, false, body));
        let directs = inbox.direct.iter().map(|(from, body)| (*from, true, body));
        for (id, (from, direct, body)) in (0..).zip(broadcasts.chain(directs)) {
            let msg = decode::<M>(from, body)?;
            if msg.place() != Some((self.round, direct)) {
                return Err(Abort::malformed(from, "message of another round"));
            }
            (self.check)(from, &msg)?;
            let sender = self.position(from)?;
            let msg_type = if direct { MessageType::P2P } else { MessageType::Broadcast };
            with(&self.queues, |queues| queues.incoming.push_back(Incoming { id, sender, msg_type, msg }));
        }
        self.poll()
    }

    /// Polls until the protocol waits for messages or ends.
    pub(super) fn poll(&mut self) -> Result<Progress<T>, Abort> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        while woken.0.swap(false, Ordering::Relaxed) {
            // the library is an alpha version: a panic on a peer's message must stay within this session
            let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(&mut context)));
            match polled {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(Ok(output))) => return Ok(Progress::Done(output)),
                Ok(Poll::Ready(Err(error))) => return Err(blame::translate(&error, &self.signers, self.me)),
                Err(_) => return Err(blame::panicked(&self.signers, self.me)),
            }
        }
        self.round = self.round.saturating_add(1);
        self.outgoing().map(Progress::Send)
    }

    fn outgoing(&self) -> Result<Outgoing, Abort> {
        let mut outgoing = Outgoing::default();
        for LibOutgoing { recipient, msg } in with(&self.queues, |queues| std::mem::take(&mut queues.outgoing)) {
            let body = encode(&msg)?;
            match recipient {
                MessageDestination::AllParties => outgoing.broadcast = Some(body),
                MessageDestination::OneParty(position) => {
                    let party = self.signers.parties().get(usize::from(position));
                    let party = party.ok_or_else(|| Abort::local("the library addresses a party that is not there"))?;
                    outgoing.direct.insert(*party, body);
                }
            }
        }
        Ok(outgoing)
    }

    fn position(&self, party: PartyIndex) -> Result<u16, Abort> {
        position(&self.signers, party)
    }
}

/// The library's index of a party: its position in the signer set, from 0.
pub(super) fn position(signers: &SignerSet, party: PartyIndex) -> Result<u16, Abort> {
    let position = signers.position(party).and_then(|position| u16::try_from(position).ok());
    position.ok_or_else(|| Abort::local(format!("party {party} is not in the signer set")))
}

fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, Abort> {
    let mut body = Vec::new();
    match ciborium::into_writer(message, &mut body) {
        Ok(()) => Ok(body),
        Err(error) => Err(Abort::local(format!("a message does not encode: {error}"))),
    }
}

fn decode<M: DeserializeOwned>(from: PartyIndex, body: &[u8]) -> Result<M, Abort> {
    read_cbor(body).ok_or_else(|| Abort::malformed(from, "CGGMP24 message"))
}

/// Reads one value that fills all of `bytes`.
pub(super) fn read_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut rest = bytes;
    // the library's integers carry a radix, and an impossible one makes its decoder panic
    match catch_unwind(AssertUnwindSafe(|| ciborium::from_reader(&mut rest))) {
        Ok(Ok(value)) if rest.is_empty() => Some(value),
        _ => None,
    }
}
