//! One connection: two directions, each a reader that stamps chunks and a writer that holds them until they are due.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Carried, LineState, Setting};
use crate::dice::Dice;

const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks on the way in one direction: at most 64 MiB, which is 5 Gbit/s over 100 ms.
const CHUNKS_IN_FLIGHT: usize = 1024;

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

pub(super) struct Line {
    setting: watch::Receiver<Setting>,
    carried: Arc<Carried>,
    seed: u64,
}

impl Line {
    pub(super) fn new(setting: watch::Receiver<Setting>, carried: Arc<Carried>, seed: u64) -> Self {
        Self { setting, carried, seed }
    }

    /// Carries one connection until both directions have ended, or the line is refused.
    pub(super) async fn carry(&mut self, caller: TcpStream, target: SocketAddr) -> io::Result<()> {
        let accepted = Instant::now();
        let mut refused = self.setting.clone();
        tokio::select! {
            result = self.carry_both(caller, target, accepted) => result,
            _ = refused.wait_for(|setting| setting.state == LineState::Refused) => Ok(()),
        }
    }

    async fn carry_both(&self, caller: TcpStream, target: SocketAddr, accepted: Instant) -> io::Result<()> {
        let mut healthy = self.setting.clone();
        let one_way = match healthy.wait_for(|setting| setting.state == LineState::Up).await {
            Ok(setting) => setting.distance.one_way,
            Err(_) => return Ok(()),
        };
        let server = TcpStream::connect(target).await?;
        caller.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (caller_in, caller_out) = caller.into_split();
        let (server_in, server_out) = server.into_split();
        // The caller's kernel thinks that it is connected already; over the real distance its first byte could only
        // have set out one round trip later.
        let first_due = accepted + one_way * 3;
        let forth = self.direction(caller_in, server_out, first_due, 0, &self.carried.to_target);
        let back = self.direction(server_in, caller_out, accepted, 1, &self.carried.to_caller);
        tokio::try_join!(forth, back).map(drop)
    }

    async fn direction(
        &self,
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        first_due: Instant,
        salt: u64,
        carried: &AtomicU64,
    ) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let dice = Dice::new(self.seed ^ salt);
        let reading = stamp(from, sender, self.setting.clone(), first_due, dice);
        let writing = deliver(to, receiver, self.setting.clone(), carried);
        tokio::try_join!(reading, writing).map(drop)
    }
}

/// Reads as fast as bytes come, and notes when each chunk is due.
async fn stamp(
    mut from: OwnedReadHalf,
    sender: mpsc::Sender<Chunk>,
    setting: watch::Receiver<Setting>,
    first_due: Instant,
    mut dice: Dice,
) -> io::Result<()> {
    let mut last_due = first_due;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let distance = setting.borrow().distance;
        let due = Instant::now() + distance.one_way + jitter(distance.jitter, &mut dice);
        last_due = last_due.max(due);
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        // An empty chunk carries the end of the stream over the same distance.
        if sender.send(Chunk { due: last_due, bytes }).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

fn jitter(greatest: Duration, dice: &mut Dice) -> Duration {
    let nanos = u64::try_from(greatest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(dice.below(nanos.saturating_add(1)))
}

async fn deliver(
    mut to: OwnedWriteHalf,
    mut receiver: mpsc::Receiver<Chunk>,
    mut setting: watch::Receiver<Setting>,
    carried: &AtomicU64,
) -> io::Result<()> {
    while let Some(Chunk { due, bytes }) = receiver.recv().await {
        sleep_until(due).await;
        if setting.wait_for(|setting| setting.state == LineState::Up).await.is_err() {
            return Ok(());
        }
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&bytes).await?;
        carried.fetch_add(u64::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
    }
    Ok(())
}
