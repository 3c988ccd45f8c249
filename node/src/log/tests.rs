use limen_hsm::Provider as _;
use limen_hsm::conformance::Device;
use limen_wire::ids::ClusterId;

use super::*;
use crate::clock::{Millis, Uptime};
use crate::store::Options;

/// A signer whose identity lies in a device, with leaves that it has not signed yet.
struct Signer {
    _folder: tempfile::TempDir,
    device: Arc<Device>,
    identity: Identity,
    store: Store,
    me: NodeId,
    metrics: Metrics,
}

fn body(number: usize) -> Vec<u8> {
    format!("leaf {number} ").repeat(10).into_bytes()
}

impl Signer {
    fn with(leaves: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Arc::new(Device::open(&folder.path().join("token.key"), 0xab));
        let own = device.software.identity().unwrap();
        let identity = Identity::in_token(Arc::clone(&device) as _, own);
        let me = NodeId::new("n1").unwrap();
        let store = Store::open(folder.path(), Options::new(me.clone(), ClusterId::new("sample").unwrap())).unwrap();
        for number in 0..leaves {
            let leaf = PendingLeaf { bytes: body(number), whole: false, since: 1, required: 2 };
            store.write_blocking(move |txn| txn.add_leaf(&leaf)).unwrap();
        }
        Self { _folder: folder, device, identity, store, me, metrics: Metrics::default() }
    }

    /// One call of a keeper whose log is empty still.
    async fn follow(&self) -> Result<pb::FollowResponse, ApiError> {
        let now = Now { wall: Millis(1), uptime: Uptime(1) };
        let charter = Arc::new(crate::guard::tests::charter());
        let (store, me, identity, metrics) = (&self.store, &self.me, &self.identity, &self.metrics);
        let root = limen_evidence::merkle::empty_root();
        let root = bytes::Bytes::copy_from_slice(root.as_bytes());
        let request = pb::FollowRequest { root, ..pb::FollowRequest::default() };
        Follower { charter, store, me, identity, metrics, now }.follow(request).await
    }

    /// What is durable: the whole leaves, and how many are not.
    fn durable(&self) -> (Vec<bytes::Bytes>, usize) {
        let leaves = self.store.view().unwrap().pending_leaves().unwrap();
        let (whole, bare): (Vec<_>, Vec<_>) = leaves.into_iter().map(|(_, leaf)| leaf).partition(|leaf| leaf.whole);
        (whole.into_iter().map(|leaf| leaf.bytes.into()).collect(), bare.len())
    }
}

#[tokio::test]
async fn a_token_that_fails_in_the_middle_of_a_page_loses_no_leaf_and_signs_none_twice() {
    let signer = Signer::with(7);
    signer.device.pull_after(0);
    assert_eq!(signer.follow().await.unwrap_err().code, Code::HsmUnavailable, "nothing is signed, and nothing leaves");
    assert_eq!(signer.durable(), (Vec::new(), 7));

    signer.device.pull_after(3);
    let before = signer.device.calls();
    let mut first = signer.follow().await.unwrap();
    // A slow machine ends a page early: what counts is where the token does.
    while !signer.device.is_pulled() {
        first = signer.follow().await.unwrap();
    }
    assert!(first.more, "there is something for the next call");
    assert_eq!(signer.durable(), (first.pending.clone(), 4), "what leaves is durable");
    assert_eq!(first.pending.len(), 3);
    // Without the token, what was signed is given again.
    let again = signer.follow().await.unwrap();
    assert_eq!((again.pending, again.more), (first.pending.clone(), true));
    assert!(signer.device.calls() > before + 3, "it was asked and has refused");

    signer.device.put_back();
    let before = signer.device.calls();
    let mut last = signer.follow().await.unwrap();
    while last.more {
        last = signer.follow().await.unwrap();
    }
    assert_eq!(signer.device.calls() - before, 4, "what was signed is not signed again");
    assert_eq!(signer.durable(), (last.pending.clone(), 0));
    assert_eq!(last.pending[..3], first.pending[..], "nor with other bytes");
    for (number, leaf) in last.pending.iter().enumerate() {
        let (said, signature) = leaf.split_at(body(number).len());
        assert_eq!(said, body(number));
        let message = pre_authentication_encoding(leaf::authorization::PAYLOAD_TYPE, said);
        assert!(signer.identity.public_key().verify(&message, signature), "{number}");
    }
    assert_eq!(last.pending.len(), 7);
}
