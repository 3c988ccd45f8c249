//! What signers say to each other besides sessions: how they stand, what was stopped, which versions of the charter there are.
//!
//! The one way for everybody: the daemon's links come through here, and so do simulations, whose programs carry the words.

use bytes::Bytes;
use limen_wire::error::ApiError;
use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::pb::peer_message::Kind;
use prost::Message as _;

use crate::charters::{self, Follows, history};
use crate::decisions::Heard;
use crate::guard::KeyFacts;
use crate::identity::Identity;
use crate::log::LogAlarm;
use crate::shared::Shared;
use crate::standing::{Standings, talk};
use crate::stops::{self, exchange};
use crate::store::StoreError;

/// What one signer says to another.
#[derive(Debug, Clone, PartialEq)]
pub enum Talk {
    /// A stop record.
    StopRecord(pb::Envelope),
    /// A question for the stop records that were not read.
    StopsAfter(pb::StopsAfter),
    /// Some stop records.
    StopsPage(pb::StopsPage),
    /// A signed version of the charter.
    CharterVersion(pb::Envelope),
    /// A question how one stands.
    StandingCall(pb::StandingCall),
    /// The answer.
    Standing(pb::Envelope),
    /// A question for old versions of the charter.
    ChartersWanted(pb::ChartersWanted),
    /// The answer.
    CharterTexts(pb::CharterTexts),
}

impl Talk {
    /// `None` if this is something else.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::StopRecord(record) => Some(Self::StopRecord(record)),
            Kind::StopsAfter(question) => Some(Self::StopsAfter(question)),
            Kind::StopsPage(page) => Some(Self::StopsPage(page)),
            Kind::CharterVersion(version) => Some(Self::CharterVersion(version)),
            Kind::StandingCall(call) => Some(Self::StandingCall(call)),
            Kind::Standing(said) => Some(Self::Standing(said)),
            Kind::ChartersWanted(question) => Some(Self::ChartersWanted(question)),
            Kind::CharterTexts(told) => Some(Self::CharterTexts(told)),
            Kind::Frame(_) | Kind::Ping(_) | Kind::Pong(_) | Kind::NonceBatch(_) | Kind::KeyEpoch(_) => None,
        }
    }

    /// Its name in metrics and the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StopRecord(_) => "stop_record",
            Self::StopsAfter(_) => "stops_after",
            Self::StopsPage(_) => "stops_page",
            Self::CharterVersion(_) => "charter_version",
            Self::StandingCall(_) => "standing_call",
            Self::Standing(_) => "standing",
            Self::ChartersWanted(_) => "charters_wanted",
            Self::CharterTexts(_) => "charter_texts",
        }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::StopRecord(envelope) | Self::CharterVersion(envelope) | Self::Standing(envelope) => {
                envelope.encoded_len()
            }
            Self::StopsAfter(question) => question.encoded_len(),
            Self::StopsPage(page) => page.encoded_len(),
            Self::StandingCall(call) => call.encoded_len(),
            Self::ChartersWanted(question) => question.encoded_len(),
            Self::CharterTexts(told) => told.encoded_len(),
        }
    }

    /// Copies what is part of the transport's whole buffer, which is longer than what was counted.
    pub fn detach(&mut self) {
        match self {
            Self::StopRecord(envelope) | Self::CharterVersion(envelope) | Self::Standing(envelope) => detach(envelope),
            Self::StopsAfter(question) => copy(&mut question.head),
            Self::StandingCall(call) => copy(&mut call.nonce),
            Self::ChartersWanted(question) => question.hashes.iter_mut().for_each(copy),
            // Strings are copies already.
            Self::CharterTexts(_) => {}
            Self::StopsPage(page) => {
                copy(&mut page.head);
                page.records.iter_mut().for_each(detach);
            }
        }
    }
}

fn copy(bytes: &mut Bytes) {
    *bytes = Bytes::copy_from_slice(bytes);
}

/// Copies what is part of the transport's whole buffer.
pub(crate) fn detach(envelope: &mut pb::Envelope) {
    copy(&mut envelope.payload);
    envelope.signatures.iter_mut().for_each(|one| copy(&mut one.signature));
}

/// A signer among its peers.
pub trait Talks: Follows {
    /// Its name.
    fn me(&self) -> &NodeId;
    /// Signs what it says of itself.
    fn identity(&self) -> &Identity;
    /// What peers have said of themselves.
    fn standings(&self) -> &Standings;
    /// Whether another log was shown than the one that was cosigned.
    fn log_alarm(&self) -> &LogAlarm;
    /// Says something to a peer: it may be lost.
    fn send(&self, to: &NodeId, kind: Kind);

    /// The other signers of the charter.
    fn peers(&self) -> Vec<NodeId> {
        let charter = self.charter();
        charter.nodes.iter().map(|node| node.id.clone()).filter(|node| node != self.me()).collect()
    }

    /// Says the same to every peer.
    fn send_all(&self, kind: &Kind) {
        self.peers().iter().for_each(|peer| self.send(peer, kind.clone()));
    }
}

impl Talks for Shared {
    fn me(&self) -> &NodeId {
        &self.me
    }
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn standings(&self) -> &Standings {
        &self.standings
    }
    fn log_alarm(&self) -> &LogAlarm {
        &self.log_alarm
    }
    fn send(&self, to: &NodeId, kind: Kind) {
        self.mesh.send(to, kind);
    }
}

/// Takes in what a peer says, and answers it.
pub async fn read(host: &impl Talks, from: &NodeId, said: Talk) -> Result<(), ApiError> {
    match said {
        Talk::StopRecord(record) => stops::take(host, record, charters::Door::Peers).await.map(drop),
        Talk::StopsAfter(question) => exchange::answer(host, from, &question),
        Talk::StopsPage(page) => exchange::read(host, from, page).await,
        Talk::CharterVersion(version) => Ok(charters::take(host, version, charters::Door::Peers).await.map(drop)?),
        Talk::StandingCall(call) => talk::answer(host, from, &call).await,
        Talk::Standing(said) => talk::hear(host, from, said).await,
        Talk::ChartersWanted(question) => history::answer(host, from, &question),
        Talk::CharterTexts(told) => history::read(host, from, told).await,
    }
}

/// Hears a stop record or a version of the charter, whoever brings it; tells nobody.
pub async fn hear(host: &impl Talks, record: pb::Envelope) -> Heard {
    stops::hear(host, record).await
}

/// Asks every peer for stop records, versions and old texts that are not known here.
pub fn ask_for_records(host: &impl Talks) -> Result<(), StoreError> {
    exchange::ask(host)
}

/// Asks every peer how it stands.
pub fn ask_for_standing(host: &impl Talks) {
    talk::ask(host);
}

/// Refuses unless so many peers of a key stand well that one honest one among any set that could sign would have told what it
/// knows.
pub fn stands_for(host: &impl Talks, key: &KeyFacts) -> Result<(), ApiError> {
    // Nobody signs along with a key in the token: whether this journal is the newest one, another signer must know all the same.
    if !key.public.protocol.is_threshold() {
        return stands(host, 1);
    }
    let peers = key.nodes.iter().filter(|node| *node != host.me());
    let needed = usize::from(key.public.size.signers_required()).saturating_sub(1);
    host.standings().check(peers, needed, host.decisions().now.uptime)
}

/// Refuses unless so many peers stand well, or all where there are fewer.
pub fn stands(host: &impl Talks, needed: usize) -> Result<(), ApiError> {
    let peers = host.peers();
    host.standings().check(peers.iter(), needed.min(peers.len()), host.decisions().now.uptime)
}
