//! A TCP proxy that puts distance between two processes on one machine.
//!
//! Every byte is held for the one-way delay, in each direction, in order; bandwidth is not limited. A new connection
//! pays the round trip of its handshake as well. The line can be cut and healed at run time. It works in user space
//! because `tc netem` is missing from many kernels.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::dice::Dice;

mod line;

/// How far apart the two ends are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Distance {
    /// Delay of each byte in each direction: half the round-trip time.
    pub one_way: Duration,
    /// Greatest extra delay, drawn anew for every chunk from the proxy's seed. Bytes never overtake each other.
    pub jitter: Duration,
}

impl Distance {
    /// A fixed round-trip time, without jitter.
    pub fn round_trip(time: Duration) -> Self {
        Self { one_way: time / 2, jitter: Duration::ZERO }
    }
}

/// What the line does with bytes and connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineState {
    /// Carries them.
    #[default]
    Up,
    /// Nothing arrives and nothing breaks: a partition. What is on the way arrives after healing, as TCP would resend it.
    Silent,
    /// Connections are closed, and new ones as soon as they come: a dead host.
    Refused,
}

/// What every connection follows while it runs.
#[derive(Debug, Clone, Copy, Default)]
struct Setting {
    distance: Distance,
    state: LineState,
}

/// Bytes carried, in both directions.
#[derive(Debug, Default)]
struct Carried {
    to_target: AtomicU64,
    to_caller: AtomicU64,
}

/// A running proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    setting: watch::Sender<Setting>,
    carried: Arc<Carried>,
    accepting: JoinHandle<()>,
}

impl DelayProxy {
    /// Listens on a free loopback port and forwards to `target`. Jitter comes from `seed`.
    pub async fn start(target: SocketAddr, distance: Distance, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (setting, followed) = watch::channel(Setting { distance, state: LineState::Up });
        let carried = Arc::new(Carried::default());
        let accepting = tokio::spawn(accept(listener, target, followed, Arc::clone(&carried), Dice::new(seed)));
        Ok(Self { address, setting, carried, accepting })
    }

    /// Where callers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves the ends apart or together; bytes on the way keep the delay that they set out with.
    pub fn set_distance(&self, distance: Distance) {
        self.setting.send_modify(|setting| setting.distance = distance);
    }

    /// Cuts or heals the line.
    pub fn set_state(&self, state: LineState) {
        self.setting.send_modify(|setting| setting.state = state);
    }

    /// Bytes delivered to the target so far.
    pub fn bytes_to_target(&self) -> u64 {
        self.carried.to_target.load(Ordering::Relaxed)
    }

    /// Bytes delivered to callers so far.
    pub fn bytes_to_caller(&self) -> u64 {
        self.carried.to_caller.load(Ordering::Relaxed)
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns every connection: when this task ends, they end.
async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    setting: watch::Receiver<Setting>,
    carried: Arc<Carried>,
    mut dice: Dice,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((caller, _)) => {
                    let line = line::Line::new(setting.clone(), Arc::clone(&carried), dice.throw());
                    connections.spawn(connect(caller, target, line));
                }
                // Out of descriptors, or the caller has gone: the next one may do better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(caller: TcpStream, target: SocketAddr, mut line: line::Line) {
    // A caller sees a failed connection as one that closes; there is nobody else to tell.
    let _ = line.carry(caller, target).await;
}

#[cfg(test)]
mod tests;
