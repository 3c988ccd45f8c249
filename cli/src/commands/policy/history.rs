//! Past requests, as a coordinator lists them or as a file keeps them. Nothing of them is believed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use limen_client::{Filter, RequestState};
use limen_policy::charter::Charter;
use limen_wire::ids::KeyId;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

use crate::commands::Session;
use crate::commands::request::newest;
use crate::commands::verify::read;

/// Longest file that is read, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// Requests, oldest first, and the certificates of keys.
///
/// The file is a `limen.v1.ListKeysResponse` and a `limen.v1.ListResponse` after it, each with its length before it as a varint.
pub(super) struct History {
    keys: Vec<pb::Key>,
    pub(super) requests: Vec<pb::Request>,
}

impl History {
    /// The newest requests of the cluster, at most so many.
    pub(super) async fn fetch(session: &Session, limit: usize) -> Result<Self> {
        let filter = Filter { page_size: 200, ..Filter::default() };
        let requests = newest(session, &filter, limit).await?;
        let request = |one: limen_client::Request| pb::Request {
            intent_id: one.intent.id.as_bytes().to_vec().into(),
            state: one.state.to_wire().into(),
            envelope: Some(one.envelope),
            created_at_ms: one.created_at_ms,
            ..pb::Request::default()
        };
        let requests = requests.into_iter().map(request).collect();
        let key = |one: limen_client::KeyInfo| pb::Key {
            key_id: one.key_id.to_string(),
            certificate: one.certificate,
            ..pb::Key::default()
        };
        let keys = session.client.list_keys(None).await?.into_iter().map(key).collect();
        Ok(Self { keys, requests }.in_order())
    }

    /// What [`save`](Self::save) wrote.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = read(path, MAX_BYTES)?;
        if bytes.len() > MAX_BYTES {
            bail!("{} is longer than the {MAX_BYTES} bytes that are read", path.display());
        }
        let mut rest = bytes.as_slice();
        let failed = || format!("{} is no file of `limen policy replay --save`", path.display());
        let keys = pb::ListKeysResponse::decode_length_delimited(&mut rest).with_context(failed)?.keys;
        let requests = pb::ListResponse::decode_length_delimited(&mut rest).with_context(failed)?.requests;
        if !rest.is_empty() {
            bail!("{}: {} bytes are left at its end", failed(), rest.len());
        }
        Ok(Self { keys, requests }.in_order())
    }

    /// Writes a new file.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = pb::ListKeysResponse { keys: self.keys.clone() }.encode_length_delimited_to_vec();
        let requests = pb::ListResponse { requests: self.requests.clone(), ..pb::ListResponse::default() };
        bytes.extend(requests.encode_length_delimited_to_vec());
        let failed = || format!("could not write {}: name a new file", path.display());
        let mut file = std::fs::File::create_new(path).with_context(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).with_context(failed)
    }

    fn in_order(mut self) -> Self {
        self.requests.sort_by_key(|request| request.created_at_ms);
        self
    }

    /// The keys whose certificates hold under the node keys that this charter pins.
    pub(super) fn keys(&self, charter: &Charter) -> BTreeMap<KeyId, KeyStatement> {
        let certificates = self.keys.iter().filter_map(|key| key.certificate.as_ref());
        let statement = |certificate| KeyStatement::from_certificate(certificate, charter);
        let held = certificates.filter_map(|certificate| statement(certificate).ok());
        let marked = |key: &KeyStatement| charter.check_held(&key.key_id, key.protocol, key.scheme, &key.nodes).is_ok();
        held.filter(|key| key.cluster == charter.cluster && marked(key)).map(|key| (key.key_id.clone(), key)).collect()
    }
}

/// Where a request stood, in a word.
pub(super) fn state(request: &pb::Request) -> &'static str {
    RequestState::from_number(request.state).map_or("unknown", RequestState::as_str)
}
