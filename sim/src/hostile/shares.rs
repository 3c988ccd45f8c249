//! The cryptography: a stand-in, by which a signature exists once enough signers have let their last message go, or the
//! real protocol.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use limen_mpc::{DerivationPath, KeyPublic, KeyShare, Output, Point, Seed, Session, SessionParams, SignMode};
use limen_node::guard::{KeyFacts, SignToken};
use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, PartyIndex, Protocol, Scheme, SessionId, SignerSet,
    tagged_hash,
};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};

use super::plan::Plan;
use super::{KEY, people, signer};
use crate::{Mesh, Weather};

/// The generator of secp256k1: a public key like any other.
const GENERATOR: [u8; 33] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
];
/// The committee of the real key.
pub(crate) const REAL: (u8, u8) = (2, 3);

/// What signers sign with.
pub(crate) enum Shares {
    /// Nothing: permissions are taken for signatures.
    StandIn,
    /// DKLs23 shares of a 2-of-3 key.
    Real(BTreeMap<PartyIndex, Arc<KeyShare>>),
}

fn party(index: u8) -> PartyIndex {
    PartyIndex::new(index.into()).expect("an index")
}

fn size(required: u8, signers: u8) -> CommitteeSize {
    CommitteeSize::new(required.into(), signers.into()).expect("a committee")
}

impl Shares {
    /// The shares of a real key, generated once for all runs.
    pub(crate) fn real() -> Arc<Self> {
        static SHARES: OnceLock<Arc<Shares>> = OnceLock::new();
        Arc::clone(SHARES.get_or_init(|| Arc::new(Self::Real(generate()))))
    }

    /// What a signer knows of the one key.
    pub(crate) fn facts(&self, plan: &Plan, index: u8) -> KeyFacts {
        let public = match self {
            Self::Real(shares) => shares.values().next().expect("a share").public().clone(),
            Self::StandIn => KeyPublic {
                cluster: ClusterId::new("sim").expect("a name"),
                key: KeyId::new(KEY).expect("a name"),
                epoch: Epoch::FIRST,
                scheme: Scheme::EcdsaSecp256k1,
                protocol: Protocol::Dkls23,
                size: size(plan.required, plan.signers),
                public_key: Point::secp256k1(&GENERATOR).expect("a point"),
                chain_code: [7; 32],
                verifying_shares: BTreeMap::new(),
            },
        };
        let nodes = (1..=plan.signers).map(signer::node).collect();
        KeyFacts { public, nodes, me: party(index), active: true, moved: false }
    }

    /// The key's certificate by all its signers, for members that hold no share of it.
    pub(crate) fn certificate(&self, plan: &Plan) -> pb::Envelope {
        let KeyFacts { public, nodes, .. } = self.facts(plan, 1);
        let statement = KeyStatement {
            cluster: public.cluster,
            key_id: public.key,
            scheme: public.scheme,
            protocol: public.protocol,
            epoch: public.epoch,
            size: public.size,
            public_key: GENERATOR.to_vec(),
            chain_code: public.chain_code,
            verifying_shares_hash: [8; 32],
            generation_id: IntentId::new([9; 32]),
            was_whole: false,
            nodes,
        };
        let sign = |(node, index): (&NodeId, u8)| statement.sign(node, people::machine_key(index));
        let signed: Vec<pb::Envelope> = statement.nodes.iter().zip(1..).map(sign).collect();
        combine(&signed).expect("a certificate")
    }

    /// The signature of a permission whose whole set takes part.
    pub(crate) fn sign(&self, permit: &SignToken) -> Result<Vec<u8>, String> {
        let Self::Real(shares) = self else { return Ok(vec![1; 64]) };
        let mut parties = Vec::new();
        for member in permit.call().signers.parties() {
            let share = Arc::clone(shares.get(member).ok_or("a member without a share")?);
            let seed =
                Seed::new(tagged_hash("limen sim sign seed", [&permit.session().as_bytes()[..], &[member.as_u8()]]));
            let (path, input): (&DerivationPath, _) = (permit.path(), permit.input());
            let started = Session::sign(permit.params(), *member, share, path, input, SignMode::Full, seed);
            let (session, step) = started.map_err(|error| format!("the session did not start: {error}"))?;
            parties.push((*member, session, step));
        }
        let outputs = run(parties)?;
        let Some((_, Output::Signature(signature))) = outputs.first() else {
            return Err("signing gave something else".to_owned());
        };
        let key = permit.examined().child_key();
        signature.verify(&key, permit.input()).map_err(|error| error.to_string())?;
        Ok(signature.to_bytes().to_vec())
    }
}

fn run(parties: Vec<(PartyIndex, Session, limen_mpc::Step)>) -> Result<Vec<(PartyIndex, Output)>, String> {
    let mut mesh = Mesh::start(1, Weather::RESTLESS, parties);
    mesh.run();
    mesh.into_outputs().map_err(|mesh| format!("the session did not end well: {mesh:?}"))
}

fn generate() -> BTreeMap<PartyIndex, Arc<KeyShare>> {
    let size = size(REAL.0, REAL.1);
    let params = SessionParams {
        cluster: ClusterId::new("sim").expect("a name"),
        key: KeyId::new(KEY).expect("a name"),
        epoch: Epoch::FIRST,
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        size,
        signers: SignerSet::all(size),
        session: SessionId::new([1; 32]),
        intent: IntentId::new([0; 32]),
    };
    let all = SignerSet::all(size);
    let parties = all.parties().iter().map(|member| {
        let seed = Seed::new(tagged_hash("limen sim key seed", [&[member.as_u8()][..]]));
        let (session, step) = Session::keygen(params.clone(), *member, seed).expect("a session");
        (*member, session, step)
    });
    let outputs = run(parties.collect()).expect("key generation");
    let shares = outputs.into_iter().map(|(member, output)| match output {
        Output::Key(share) => (member, Arc::from(share)),
        other => panic!("key generation gave {other:?}"),
    });
    shares.collect()
}
