//! The protocols alone: every party in this thread, frames handed over in memory.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use limen_mpc::{
    DerivationPath, KeyShare, Output, Primes, Seed, Session, SessionParams, SignInput, SignMode, Step, generate_primes,
};
use limen_sim::{Mesh, Weather};
use limen_wire::ids::{ClusterId, Epoch, IntentId, KeyId, PartyIndex, Scheme, SessionId, SignerSet, tagged_hash};
use serde::Serialize;

use crate::machine::thread_cpu_nanos;
use crate::scenario::{Choice, Committee};

/// Signatures measured: enough for a mean, few enough for the slowest protocol.
const SIGNATURES: u32 = 20;

/// What the cryptography costs, without anything around it.
#[derive(Debug, Serialize)]
pub(crate) struct InProcess {
    pub(crate) protocol: String,
    pub(crate) committee: String,
    /// Key generation, processor time of all parties together, without CGGMP24's search for safe primes.
    pub(crate) keygen_cpu_ms: f64,
    /// Key generation, bytes sent by one party.
    pub(crate) keygen_bytes_per_party: usize,
    /// One signature, processor time of all signers together.
    pub(crate) sign_cpu_ms: f64,
    /// One signature, bytes sent by one signer.
    pub(crate) sign_bytes_per_signer: usize,
    /// Wall time of the whole measurement.
    pub(crate) seconds: f64,
}

type Parties = Vec<(PartyIndex, Session, Step)>;

pub(crate) fn measure(choice: Choice, committee: Committee) -> Result<InProcess> {
    let started = Instant::now();
    let primes = primes(choice, committee)?;
    let before = thread_cpu_nanos();
    let (shares, keygen_bytes) = keygen(choice, committee, primes)?;
    let keygen_cpu = thread_cpu_nanos().saturating_sub(before);
    let signers: Vec<PartyIndex> = shares.iter().map(|(party, _)| *party).take(committee.required.into()).collect();
    let before = thread_cpu_nanos();
    let mut sign_bytes = 0;
    for number in 0..SIGNATURES {
        sign_bytes = sign(choice, committee, &shares, &signers, number)?;
    }
    let sign_cpu = thread_cpu_nanos().saturating_sub(before);
    Ok(InProcess {
        protocol: choice.to_string(),
        committee: committee.to_string(),
        keygen_cpu_ms: nanos_to_millis(keygen_cpu),
        keygen_bytes_per_party: keygen_bytes,
        sign_cpu_ms: nanos_to_millis(sign_cpu) / f64::from(SIGNATURES),
        sign_bytes_per_signer: sign_bytes,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn nanos_to_millis(nanos: u64) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64() * 1000.0
}

fn params(choice: Choice, committee: Committee, signers: SignerSet, run: u32) -> Result<SessionParams> {
    Ok(SessionParams {
        cluster: ClusterId::new("bench")?,
        key: KeyId::new("bench")?,
        epoch: Epoch(1),
        scheme: choice.scheme(),
        protocol: choice.protocol(),
        size: committee.size()?,
        signers,
        session: SessionId::new(tagged_hash("limen bench session", [&run.to_be_bytes()[..]])),
        intent: IntentId::new([0; 32]),
    })
}

fn seed(run: u32, party: PartyIndex) -> Seed {
    Seed::new(tagged_hash("limen bench seed", [&run.to_be_bytes()[..], &[party.as_u8()][..]]))
}

type Shares = Vec<(PartyIndex, Arc<KeyShare>)>;

/// One set for each party of a CGGMP24 key, none otherwise.
fn primes(choice: Choice, committee: Committee) -> Result<Vec<Primes>> {
    let parties = SignerSet::all(committee.size()?);
    let needed = parties.parties().iter().filter(|_| choice == Choice::Cggmp24);
    Ok(needed.map(|party| generate_primes(seed(u32::MAX - 1, *party))).collect())
}

fn keygen(choice: Choice, committee: Committee, primes: Vec<Primes>) -> Result<(Shares, usize)> {
    let all = SignerSet::all(committee.size()?);
    let params = params(choice, committee, all.clone(), u32::MAX)?;
    let mut parties = Parties::new();
    let mut primes = primes.into_iter();
    for party in all.parties() {
        let seed = seed(u32::MAX, *party);
        let (session, step) = match primes.next() {
            Some(primes) => Session::keygen_with_primes(params.clone(), *party, primes, seed)?,
            None => Session::keygen(params.clone(), *party, seed)?,
        };
        parties.push((*party, session, step));
    }
    let (outputs, bytes) = run(parties)?;
    let mut shares = Shares::new();
    for (party, output) in outputs {
        let Output::Key(share) = output else { return Err(anyhow!("key generation gave something else")) };
        shares.push((party, Arc::from(share)));
    }
    Ok((shares, bytes))
}

fn sign(choice: Choice, committee: Committee, shares: &Shares, signers: &[PartyIndex], number: u32) -> Result<usize> {
    let params = params(choice, committee, SignerSet::new(signers.to_vec())?, number)?;
    let digest = tagged_hash("limen bench message", [&number.to_be_bytes()[..]]);
    let input = match choice.scheme() {
        Scheme::EcdsaSecp256k1 => SignInput::Digest(digest),
        _ => SignInput::Message(digest.to_vec()),
    };
    let mut parties = Parties::new();
    for party in signers {
        let (_, share) = shares.iter().find(|(index, _)| index == party).context("a signer without a share")?;
        let path = DerivationPath::default();
        let (session, step) = Session::sign(
            params.clone(),
            *party,
            Arc::clone(share),
            &path,
            &input,
            SignMode::Full,
            seed(number, *party),
        )?;
        parties.push((*party, session, step));
    }
    let (outputs, bytes) = run(parties)?;
    let signed = outputs.iter().all(|(_, output)| matches!(output, Output::Signature(_)));
    if signed { Ok(bytes) } else { Err(anyhow!("signing gave something else")) }
}

fn run(parties: Parties) -> Result<(Vec<(PartyIndex, Output)>, usize)> {
    let first = parties.first().map(|(party, _, _)| *party).context("no parties")?;
    let mut mesh = Mesh::start(1, Weather::CALM, parties);
    mesh.run();
    let bytes = mesh.bytes_sent(first);
    let outputs = mesh.into_outputs().map_err(|mesh| anyhow!("the session did not end well: {mesh:?}"))?;
    Ok((outputs, bytes))
}
