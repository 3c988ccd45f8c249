//! New shares for a key: who signs with which, when signers switch, what is left of the old ones.

use std::sync::Arc;

use limen_node::clock::SystemClock;
use limen_node::epochs;
use limen_node::store::rows::{BanRow, KeyPhase, KeyRow};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{Epoch, KeyId, NodeId, Protocol, Scheme};
use limen_wire::intent::protocol_to_wire;
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;

use crate::cluster::{
    Cluster, all, eventually, evm_message, message_intent, refusal, session, shared_nonces, sign_request, signature,
};

const KEY: &str = "treasury";

/// To whom the key may go besides.
const TO_OTHERS: &str = "[[committees]]\nkey = \"treasury\"\nnodes = [\"n2\", \"n3\", \"n4\"]\nsigners_required = 2\n";

fn key() -> KeyId {
    KeyId::new(KEY).unwrap()
}

pub(crate) fn row(cluster: &Cluster, index: usize) -> KeyRow {
    cluster.node(index).shared().store.view().unwrap().key(&key()).unwrap().unwrap()
}

fn epoch(cluster: &Cluster, index: usize) -> Option<Epoch> {
    row(cluster, index).in_force()
}

/// One order of new shares, and what its attempts are called with.
pub(crate) struct Plan {
    order: pb::KeyHandover,
    signed: pb::Envelope,
    certificate: pb::Envelope,
    shares: Vec<bytes::Bytes>,
}

impl Plan {
    /// For these nodes, by what the holders say of the present shares.
    pub(crate) async fn new(cluster: &Cluster, holder: usize, nodes: &[usize], protocol: Protocol) -> Self {
        let held = cluster.client(holder).list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner();
        let held = held.shares.into_iter().find(|share| share.key_id == KEY).unwrap();
        let certificate = held.certificate.unwrap();
        let present = limen_wire::handover::statement_hash(&certificate.payload).to_vec().into();
        let order = pb::KeyHandover {
            present,
            version: 1,
            cluster: "test".to_owned(),
            requester: "security".to_owned(),
            key_id: KEY.to_owned(),
            first_epoch: KeyStatement::decode(&certificate).unwrap().epoch.0 + 1,
            protocol: protocol_to_wire(protocol),
            signers_required: cluster.required,
            nodes: nodes.iter().map(|n| format!("n{}", n + 1)).collect(),
            expires_at_secs: limen_node::clock::Clock::now(&limen_node::clock::SystemClock).as_secs() + 600,
        };
        let signed = sealed(&order, "security", &cluster.security);
        Self { order, signed, certificate, shares: held.verifying_shares }
    }

    fn request(&self, epoch: u64, dealers: &[usize]) -> pb::HandOverKeyRequest {
        pb::HandOverKeyRequest {
            order: Some(self.signed.clone()),
            session_id: session().into(),
            timeout_ms: 0,
            epoch,
            dealers: dealers.iter().map(|n| format!("n{}", n + 1)).collect(),
            certificate: Some(self.certificate.clone()),
            verifying_shares: self.shares.clone(),
        }
    }

    /// Calls these nodes for one attempt.
    pub(crate) async fn attempt(
        &self,
        cluster: &Cluster,
        (epoch, dealers): (u64, &[usize]),
        who: &[usize],
    ) -> Vec<pb::HandOverKeyResponse> {
        let request = self.request(epoch, dealers);
        let calls = who.iter().map(|index| {
            let (mut client, request) = (cluster.client(*index), request.clone());
            async move { client.hand_over_key(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }

    /// An attempt that gives the new certificate.
    pub(crate) async fn certified(&self, cluster: &Cluster, attempt: (u64, &[usize]), who: &[usize]) -> pb::Envelope {
        let answers = self.attempt(cluster, attempt, who).await;
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.refusal.as_ref()).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let statements: Vec<_> = answers.into_iter().filter_map(|answer| answer.statement).collect();
        assert_eq!(statements.len(), self.order.nodes.len());
        combine(&statements).unwrap()
    }

    /// Hands one signer what proves that the new shares are in force.
    pub(crate) async fn tell(
        &self,
        cluster: &Cluster,
        index: usize,
        certificate: &pb::Envelope,
    ) -> Result<(), tonic::Status> {
        let (certificate, order) = (Some(certificate.clone()), Some(self.signed.clone()));
        cluster.client(index).activate_key(pb::ActivateKeyRequest { certificate, order }).await.map(drop)
    }
}

fn sealed(order: &pb::KeyHandover, who: &str, by: &SigningKey) -> pb::Envelope {
    seal(PayloadType::KeyHandover, order.encode_to_vec(), who, by)
}

/// Signs with these signers, numbered in the epoch's own committee, and gives their answers.
async fn sign_at(
    cluster: &Cluster,
    epoch: u64,
    (numbers, nodes): (&[u32], &[usize]),
    name: &str,
) -> Vec<pb::SignResponse> {
    let present = pb::Envelope::decode(row(cluster, nodes[0]).certificate.as_slice()).unwrap();
    let (_, intent) = match KeyStatement::decode(&present).unwrap().scheme {
        Scheme::EcdsaSecp256k1 => evm_message(cluster, KEY, name, "hello"),
        _ => message_intent(cluster, KEY, name, "hello"),
    };
    let session = session();
    let calls = numbers.iter().map(|number| {
        let mut client = cluster.client(nodes[*number as usize - 1]);
        let request = pb::SignRequest { epoch, ..sign_request(&intent, numbers, session.clone()) };
        async move { client.sign(request).await.unwrap().into_inner() }
    });
    all(calls).await
}

/// Every signer has switched, and has erased what was before.
pub(crate) async fn all_switched(cluster: &Cluster, nodes: &[usize], to: u64) {
    eventually("all to have switched and erased", || {
        nodes
            .iter()
            .all(|index| epoch(cluster, *index) == Some(Epoch(to)) && row(cluster, *index).epochs.old.is_empty())
    })
    .await;
}

pub(crate) const THREE: [usize; 3] = [0, 1, 2];

async fn refreshed(scheme: Scheme, protocol: Protocol) {
    let cluster = Cluster::start(3, 2).await;
    let public = cluster.make_key(KEY, scheme, protocol).await;
    let plan = Plan::new(&cluster, 0, &THREE, protocol).await;
    let certificate = plan.certified(&cluster, (2, &[0, 2]), &THREE).await;
    let statement = KeyStatement::decode(&certificate).unwrap();
    assert_eq!((statement.public_key.as_slice(), statement.epoch), (public.as_slice(), Epoch(2)));
    // Nobody has been told: the present shares sign.
    signature(&sign_at(&cluster, 1, (&[1, 2], &THREE), "before").await[0]);
    assert_eq!(refusal(&sign_at(&cluster, 2, (&[1, 2], &THREE), "early").await[0]).code, "epoch_changed");
    plan.tell(&cluster, 1, &certificate).await.unwrap();
    // One tells the others, and with all of them what was before goes.
    all_switched(&cluster, &THREE, 2).await;
    signature(&sign_at(&cluster, 2, (&[1, 3], &THREE), "after").await[0]);
    assert_eq!(refusal(&sign_at(&cluster, 1, (&[2, 3], &THREE), "late").await[0]).code, "epoch_changed");
    for index in THREE {
        let shared = cluster.node(index).shared();
        let names: Vec<_> =
            shared.store.view().unwrap().share_records().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["treasury/2/core", "treasury/2/set-up"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_eddsa_key_signs_with_its_new_shares_and_with_no_others() {
    refreshed(Scheme::EddsaEd25519, Protocol::Frost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_schnorr_key_signs_with_its_new_shares_and_with_no_others() {
    refreshed(Scheme::SchnorrBip340, Protocol::Frost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_ecdsa_key_signs_with_its_new_shares_and_with_no_others() {
    refreshed(Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_shared_ahead_are_of_the_new_shares() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let before = shared_nonces(&cluster, KEY, &[1, 2]).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &THREE).await;
    plan.tell(&cluster, 0, &certificate).await.unwrap();
    all_switched(&cluster, &THREE, 2).await;
    let with = |nonces: Vec<pb::NonceReference>, name: &str| {
        let (_, intent) = message_intent(&cluster, KEY, name, "hello");
        let session = session();
        let calls = [1u32, 2].map(|number| {
            let mut client = cluster.client(number as usize - 1);
            let request =
                pb::SignRequest { epoch: 2, nonces: nonces.clone(), ..sign_request(&intent, &[1, 2], session.clone()) };
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls)
    };
    assert_eq!(refusal(&with(before.clone(), "old").await[0]).code, "nonce_unavailable");
    let after = shared_nonces(&cluster, KEY, &[1, 2]).await;
    let numbers = |nonces: &[pb::NonceReference]| nonces.iter().map(|nonce| nonce.index).collect::<Vec<_>>();
    assert!(
        numbers(&after).iter().zip(numbers(&before)).all(|(after, before)| *after > before),
        "a number comes twice"
    );
    signature(&with(after, "new").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_to_others_and_who_leaves_signs_no_more() {
    let cluster = Cluster::start_with_ledger(4, 2, TO_OTHERS.to_owned()).await;
    let public = cluster.make_key_of(KEY, Scheme::EddsaEd25519, Protocol::Frost, &THREE).await;
    let plan = Plan::new(&cluster, 0, &[1, 2, 3], Protocol::Frost).await;
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &[0, 1, 2, 3]).await;
    plan.tell(&cluster, 3, &certificate).await.unwrap();
    all_switched(&cluster, &[0, 1, 2, 3], 2).await;
    let members = [1, 2, 3];
    let signed = sign_at(&cluster, 2, (&[1, 3], &members), "after").await;
    assert_eq!(signature(&signed[0]).public_key, public);
    assert_eq!(row(&cluster, 0).phase, KeyPhase::Away);
    assert_eq!(refusal(&sign_at(&cluster, 1, (&[1, 2], &THREE), "old").await[0]).code, "unknown_key");
    let left = cluster.node(0).shared().store.view().unwrap().share_records().unwrap();
    assert!(left.is_empty(), "the share of who left is erased");
    // The order that made the key, shown again, makes no second one of its name.
    let again = pb::GenerateKeyRequest {
        order: Some(pb::Envelope::decode(row(&cluster, 0).order.as_slice()).unwrap()),
        session_id: session().into(),
        timeout_ms: 0,
        ..Default::default()
    };
    let answer = cluster.client(0).generate_key(again).await.unwrap().into_inner();
    assert_eq!((answer.statement, answer.refusal.unwrap().code.as_str()), (None, "key_not_active"));
    assert_eq!(row(&cluster, 0).phase, KeyPhase::Away);
    // And back it does not come: the charter names another committee, and the one that there is.
    let back = Plan::new(&cluster, 1, &THREE, Protocol::Frost).await;
    for answer in back.attempt(&cluster, (3, &[1, 2]), &[1, 2]).await {
        assert_eq!(answer.refusal.unwrap().code, "not_permitted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_returns_late_is_caught_up_and_only_then_the_old_shares_go() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &THREE).await;
    cluster.stop(2).await;
    plan.tell(&cluster, 0, &certificate).await.unwrap();
    eventually("two to have switched", || [0, 1].iter().all(|index| row(&cluster, *index).epochs.switched.len() == 2))
        .await;
    signature(&sign_at(&cluster, 2, (&[1, 2], &THREE), "two").await[0]);
    assert!(
        [0, 1].iter().all(|index| row(&cluster, *index).epochs.old.len() == 1),
        "two of three are too few to erase"
    );
    cluster.restart(2).await;
    all_switched(&cluster, &THREE, 2).await;
    signature(&sign_at(&cluster, 2, (&[2, 3], &THREE), "three").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_burns_its_number_and_the_next_takes_a_later_one() {
    let cluster = Cluster::start_with(3, 2, "keygen_timeout_ms = 2000\n").await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    // One member is not called.
    for answer in plan.attempt(&cluster, (2, &[0, 1]), &[0, 1]).await {
        assert_eq!(answer.refusal.unwrap().code, "session_timeout");
    }
    let again = plan.attempt(&cluster, (2, &[0, 1]), &[0]).await.remove(0);
    assert_eq!(again.refusal.unwrap().code, "epoch_taken");
    let skipped = plan.attempt(&cluster, (4, &[0, 1]), &THREE).await;
    assert!(skipped.iter().all(|answer| answer.statement.is_some()), "a later number is as good");
    let lower = plan.attempt(&cluster, (3, &[0, 1]), &[2]).await.remove(0);
    assert_eq!(lower.refusal.unwrap().code, "epoch_taken");
    // The same call again gives the same statement: nothing is made twice.
    let repeated = plan.attempt(&cluster, (4, &[0, 1]), &[1]).await.remove(0);
    assert_eq!(repeated.statement, skipped[1].statement);
    let certificate = plan.certified(&cluster, (5, &[1, 2]), &THREE).await;
    plan.tell(&cluster, 2, &certificate).await.unwrap();
    all_switched(&cluster, &THREE, 5).await;
    assert!(row(&cluster, 0).epochs.pending.is_empty(), "what was never certified is erased too");
    signature(&sign_at(&cluster, 5, (&[1, 2], &THREE), "after").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_cut_off_is_stated_after_the_start() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &THREE).await;
    // As a crash between storing and stating leaves it.
    let store = cluster.node(1).shared().store.clone();
    let mut cut = row(&cluster, 1);
    let stated = std::mem::take(&mut cut.epochs.pending.get_mut(&2).unwrap().statement);
    store.write(move |txn| txn.put_key(&key(), &cut)).await.unwrap();
    drop(store);
    cluster.stop(1).await;
    cluster.restart(1).await;
    let again = row(&cluster, 1).epochs.pending[&2].statement.clone();
    let payload = |bytes: &[u8]| pb::Envelope::decode(bytes).unwrap().payload;
    assert_eq!(payload(&again), payload(&stated));
    signature(&sign_at(&cluster, 1, (&[1, 2], &THREE), "meanwhile").await[0]);
    plan.tell(&cluster, 1, &certificate).await.unwrap();
    all_switched(&cluster, &THREE, 2).await;
    // A start after the switch takes the new shares up, and no others.
    cluster.stop(0).await;
    cluster.restart(0).await;
    signature(&sign_at(&cluster, 2, (&[1, 2], &THREE), "after").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_ordered_or_certified_is_refused() {
    let cluster = Cluster::start_with_ledger(4, 2, TO_OTHERS.to_owned()).await;
    cluster.make_key_of(KEY, Scheme::EddsaEd25519, Protocol::Frost, &THREE).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let good = plan.request(2, &[0, 1]);
    let resigned = |change: fn(&mut pb::KeyHandover)| {
        let mut order = plan.order.clone();
        change(&mut order);
        pb::HandOverKeyRequest { order: Some(sealed(&order, "security", &cluster.security)), ..good.clone() }
    };
    let mut shares = good.clone();
    shares.verifying_shares.swap(0, 1);
    let mut fewer = good.clone();
    fewer.verifying_shares.pop();
    let mut point = good.clone();
    point.verifying_shares[0] = bytes::Bytes::from_static(&[7; 32]);
    let mut unsigned = good.clone();
    unsigned.certificate.as_mut().unwrap().signatures.pop();
    let mut forged = good.clone();
    forged.order.as_mut().unwrap().signatures[0].signature = vec![7; 64].into();
    let stranger = pb::HandOverKeyRequest {
        order: Some(sealed(
            &pb::KeyHandover { requester: "backend".to_owned(), ..plan.order.clone() },
            "backend",
            &cluster.backend,
        )),
        ..good.clone()
    };
    let dealers = |names: &[&str]| pb::HandOverKeyRequest {
        dealers: names.iter().map(ToString::to_string).collect(),
        ..good.clone()
    };
    let cases = [
        ("shares in another order", shares, "malformed"),
        ("too few shares", fewer, "malformed"),
        ("no point", point, "malformed"),
        ("a certificate that not all have signed", unsigned, "bad_signature"),
        ("another's order", forged, "bad_signature"),
        ("somebody without the duty", stranger, "not_permitted"),
        ("another cluster", resigned(|order| order.cluster = "elsewhere".to_owned()), "wrong_cluster"),
        ("another key", resigned(|order| order.key_id = "other".to_owned()), "malformed"),
        ("another committee", resigned(|order| order.nodes.swap_remove(1).clear()), "not_permitted"),
        ("more needed", resigned(|order| order.signers_required = 3), "not_permitted"),
        (
            "another scheme's protocol",
            resigned(|order| order.protocol = protocol_to_wire(Protocol::Dkls23)),
            "wrong_scheme",
        ),
        ("an expired order", resigned(|order| order.expires_at_secs = 1), "expired"),
        ("an order for years", resigned(|order| order.expires_at_secs += 1_000_000), "expiry_too_far"),
        ("too few dealers", dealers(&["n1"]), "bad_signer_set"),
        ("too many dealers", dealers(&["n1", "n2", "n3"]), "bad_signer_set"),
        ("a dealer without a share", dealers(&["n1", "n4"]), "bad_signer_set"),
        ("a dealer twice", dealers(&["n1", "n1"]), "malformed"),
        ("an epoch before the order's", pb::HandOverKeyRequest { epoch: 1, ..good.clone() }, "malformed"),
        ("an epoch after the order's", pb::HandOverKeyRequest { epoch: 10, ..good.clone() }, "malformed"),
        ("no session", pb::HandOverKeyRequest { session_id: bytes::Bytes::new(), ..good.clone() }, "malformed"),
        ("an empty call", pb::HandOverKeyRequest::default(), "bad_signature"),
    ];
    for (what, request, code) in cases {
        let answer = cluster.client(0).hand_over_key(request).await.unwrap().into_inner();
        assert_eq!(answer.refusal.unwrap().code, code, "{what}");
    }
    let outside = cluster.client(3).hand_over_key(good).await.unwrap().into_inner().refusal.unwrap();
    assert_eq!(outside.code, "bad_signer_set");
    assert!([0, 1, 2].iter().all(|index| row(&cluster, *index).epochs.burnt == 0), "no number was taken");
}

/// So few corrupt signers as a key stands must not talk the others out of it: shares that nobody needs any more are erased.
#[tokio::test(flavor = "multi_thread")]
async fn two_signers_cannot_certify_a_key_away() {
    let cluster = Cluster::start_with_ledger(4, 3, String::new()).await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let present =
        KeyStatement::decode(&pb::Envelope::decode(row(&cluster, 0).certificate.as_slice()).unwrap()).unwrap();
    let plan = Plan::new(&cluster, 0, &[0, 1, 2, 3], Protocol::Frost).await;
    let forged = KeyStatement {
        epoch: Epoch(9),
        size: limen_wire::ids::CommitteeSize::new(2, 2).unwrap(),
        nodes: present.nodes[..2].to_vec(),
        generation_id: limen_wire::handover::KeyHandover::open(&plan.signed).unwrap().0.id,
        ..present.clone()
    };
    let by = |statement: &KeyStatement, who: &[usize]| {
        let signed = who.iter().map(|index| {
            let unsigned = statement.unsigned();
            let identity = &cluster.node(*index).shared().identity;
            let signature = identity.sign(&unsigned.message()).unwrap();
            unsigned.signed(&format!("n{}", index + 1), &signature)
        });
        combine(&signed.collect::<Vec<_>>()).unwrap()
    };
    let take = |certificate: pb::Envelope, order: Option<pb::Envelope>| {
        let news = pb::KeyEpoch { certificate: Some(certificate), order, ..pb::KeyEpoch::default() };
        let shared = cluster.node(3).shared().clone();
        async move { epochs::take(&shared, news).await.unwrap_err().code.as_str() }
    };
    let two = by(&forged, &[0, 1]);
    assert_eq!(take(two.clone(), None).await, "malformed", "without an order");
    assert_eq!(take(two.clone(), Some(plan.signed.clone())).await, "wrong_state", "the order says something else");
    let mut order = plan.order.clone();
    (order.nodes, order.signers_required) = (vec!["n1".to_owned(), "n2".to_owned()], 2);
    let fitting = sealed(&order, "security", &cluster.security);
    let id = limen_wire::handover::KeyHandover::open(&fitting).unwrap().0.id;
    let ordered = by(&KeyStatement { generation_id: id, ..forged.clone() }, &[0, 1]);
    assert_eq!(take(ordered, Some(fitting)).await, "not_permitted", "the charter names no such committee");
    let other_key = KeyStatement {
        public_key: {
            let mut key = present.public_key.clone();
            key[3] ^= 1;
            key
        },
        nodes: present.nodes.clone(),
        size: present.size,
        ..forged
    };
    let all = by(&other_key, &[0, 1, 2, 3]);
    assert_eq!(take(all, Some(plan.signed.clone())).await, "wrong_state", "another public key");
    let marked = KeyStatement { public_key: present.public_key.clone(), was_whole: true, ..other_key.clone() };
    let all = by(&marked, &[0, 1, 2, 3]);
    assert_eq!(take(all, Some(plan.signed.clone())).await, "wrong_state", "a key that was never whole");
    let few = by(&KeyStatement { public_key: present.public_key.clone(), ..other_key }, &[0, 1, 2]);
    assert_eq!(take(few, Some(plan.signed.clone())).await, "bad_signature", "not of all members");
    assert_eq!(epoch(&cluster, 3), Some(Epoch::FIRST));
    signature(&sign_at(&cluster, 1, (&[1, 2, 4], &[0, 1, 2, 3]), "still").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_switching_count_only_from_members_about_what_is_in_force() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key(KEY, Scheme::EddsaEd25519, Protocol::Frost).await;
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &THREE).await;
    cluster.stop(2).await;
    plan.tell(&cluster, 0, &certificate).await.unwrap();
    eventually("two to have switched", || row(&cluster, 0).epochs.switched.len() == 2).await;
    let own = pb::Envelope::decode(row(&cluster, 0).epochs.switched["n1"].as_slice()).unwrap();
    let word = |change: fn(&mut pb::EpochSwitched), signer: &str| {
        let mut said = pb::EpochSwitched::decode(own.payload.clone()).unwrap();
        said.node = "n3".to_owned();
        change(&mut said);
        let unsigned = limen_wire::envelope::Unsigned::new(PayloadType::EpochSwitched, said.encode_to_vec());
        // The first signer speaks for the third.
        let signature = cluster.node(0).shared().identity.sign(&unsigned.message()).unwrap();
        unsigned.signed(signer, &signature)
    };
    let shared = cluster.node(1).shared().clone();
    let hear = |said: pb::Envelope| {
        let (certificate, shared) = (Some(certificate.clone()), shared.clone());
        async move {
            let news = pb::KeyEpoch { certificate, switched: vec![said], ..pb::KeyEpoch::default() };
            epochs::take(&shared, news).await
        }
    };
    assert_eq!(hear(word(|_| {}, "n3")).await.unwrap_err().code.as_str(), "bad_signature");
    for unheard in [
        word(|said| said.epoch = 1, "n3"),
        word(|said| said.statement_hash = vec![7; 32].into(), "n3"),
        word(|said| said.node = "n9".to_owned(), "n9"),
    ] {
        hear(unheard).await.unwrap();
    }
    let garbage = pb::Envelope { payload: vec![7].into(), ..own.clone() };
    assert_eq!(hear(garbage).await.unwrap_err().code.as_str(), "malformed");
    assert_eq!(row(&cluster, 1).epochs.switched.len(), 2);
    assert_eq!(row(&cluster, 1).epochs.old.len(), 1, "nothing was erased");
}

/// Two corrupt nodes state a key of their own under the name, and a genuine order is made for what they state.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_over_another_certificate_than_the_one_in_force_is_refused() {
    let cluster = Cluster::start_with_ledger(4, 2, TO_OTHERS.to_owned()).await;
    cluster.make_key_of(KEY, Scheme::EddsaEd25519, Protocol::Frost, &THREE).await;
    let plan = Plan::new(&cluster, 0, &[1, 2, 3], Protocol::Frost).await;
    let present = KeyStatement::decode(&plan.certificate).unwrap();
    for (epoch, code) in [(1, "wrong_state"), (2, "epoch_changed")] {
        // Their key: the present one's shares in other hands are a degree too high, so that the least that holds together is taken.
        let shares = [plan.shares[0].clone(), plan.shares[1].clone()];
        let two = limen_wire::ids::CommitteeSize::new(2, 2).unwrap();
        let hash = shares.iter().fold(Vec::new(), |bytes, share| [bytes, share.to_vec()].concat());
        let stated = KeyStatement {
            epoch: Epoch(epoch),
            size: two,
            nodes: present.nodes[..2].to_vec(),
            verifying_shares_hash: limen_wire::handover::statement_hash(&hash),
            ..present.clone()
        };
        let signed = [0, 1].map(|index| {
            let unsigned = stated.unsigned();
            let signature = cluster.node(index).shared().identity.sign(&unsigned.message()).unwrap();
            unsigned.signed(&format!("n{}", index + 1), &signature)
        });
        let certificate = combine(&signed).unwrap();
        let order = pb::KeyHandover {
            present: limen_wire::handover::statement_hash(&certificate.payload).to_vec().into(),
            first_epoch: 3,
            ..plan.order.clone()
        };
        let request = pb::HandOverKeyRequest {
            order: Some(sealed(&order, "security", &cluster.security)),
            certificate: Some(certificate),
            verifying_shares: shares.to_vec(),
            ..plan.request(3, &[0, 1])
        };
        let answer = cluster.client(2).hand_over_key(request).await.unwrap().into_inner();
        assert_eq!(answer.refusal.unwrap().code, code);
    }
    assert_eq!(row(&cluster, 2).epochs.burnt, 0);
}

/// Notes that `peer` failed a check at this signer in a session whose bytes are all `session`.
async fn ban(cluster: &Cluster, index: usize, peer: &str, session: u8) {
    let peer = NodeId::new(peer).unwrap();
    let stored = cluster.node(index).shared().store.write(move |txn| {
        let (reason, tainted) = ("a spoiled check".to_owned(), txn.newest_epochs()?);
        txn.put_ban(&peer, &BanRow { at_ms: 1, session: [session; 32], reason, tainted })
    });
    stored.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readmitted_pair_meets_with_new_shares_and_with_none_from_before_the_ban() {
    let lifted = hex::encode([1; 32]);
    let more = format!("[[readmissions]]\nnodes = [\"n1\", \"n2\"]\nsessions = [\"{lifted}\"]\n");
    let cluster = Cluster::start_by_under(3, 2, Arc::new(SystemClock), more).await;
    cluster.make_key(KEY, Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    ban(&cluster, 0, "n2", 1).await;
    let status = async || cluster.client(0).status(pb::StatusRequest {}).await.unwrap().into_inner();
    let told = status().await;
    assert_eq!((told.banned_peers, told.bans[0].lifted), (vec!["n2".to_owned()], true));
    assert_eq!(told.bans[0].keys_from_before, [KEY]);
    let answers = sign_at(&cluster, 1, (&[1, 2], &[0, 1, 2]), "before").await;
    let error = refusal(&answers[0]);
    assert!(error.code == "peer_banned" && error.message.contains("refresh the key"), "{error:?}");
    let answers = sign_at(&cluster, 1, (&[1, 3], &[0, 1, 2]), "around").await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));

    let plan = Plan::new(&cluster, 0, &[0, 1, 2], Protocol::Dkls23).await;
    let certificate = plan.certified(&cluster, (2, &[0, 2]), &[0, 1, 2]).await;
    for index in 0..3 {
        plan.tell(&cluster, index, &certificate).await.unwrap();
    }
    let answers = sign_at(&cluster, 2, (&[1, 2], &[0, 1, 2]), "after").await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    let told = status().await;
    assert!(told.banned_peers.is_empty() && told.bans.len() == 1, "{told:?}");

    // another ban is another matter
    ban(&cluster, 0, "n2", 2).await;
    let answers = sign_at(&cluster, 2, (&[1, 2], &[0, 1, 2]), "again").await;
    assert_eq!(refusal(&answers[0]).code, "peer_banned");
    let plan = Plan::new(&cluster, 0, &[0, 1, 2], Protocol::Dkls23).await;
    let answers = plan.attempt(&cluster, (3, &[0, 2]), &[0]).await;
    assert_eq!(answers[0].refusal.as_ref().unwrap().code, "peer_banned");
}
