//! The real door: mutual TLS, gRPC, typed errors, health.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use limen_coordinator::lifecycle::State;
use limen_coordinator::{metrics, server};
use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::admin_client::AdminClient;
use limen_wire::pb::custody_client::CustodyClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Channel;

use crate::world::{PATIENCE, Running, World};

struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = directory.path().join("ca.crt");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file, directory }
    }

    fn identity(&self, name: &str) -> TlsIdentity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let path = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        std::fs::write(path("crt"), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        TlsIdentity::from_pem_files(&path("crt"), &path("key")).unwrap()
    }
}

/// Serves on a port of the system's choice; gives the address.
async fn serve(running: &Running, authority: &Authority) -> String {
    let config = tls::authority_server(&authority.identity("coordinator.internal"), &authority.file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let core = Arc::clone(&running.core);
    tokio::spawn(async move { server::serve(core, listener, config).await.unwrap() });
    address
}

fn channel(address: &str, identity: &TlsIdentity, authority: &Path) -> Channel {
    let config = tls::authority_client(identity, authority).unwrap();
    Dial::new(address, "coordinator.internal").lazy(config).unwrap()
}

#[tokio::test]
async fn clients_with_a_certificate_of_the_authority_are_served() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let authority = Authority::new();
    let address = serve(&running, &authority).await;
    let channel = channel(&address, &authority.identity("backend"), &authority.file);
    let mut custody = CustodyClient::new(channel.clone());
    let envelope = Some(world.transfer("one"));
    let answer = custody.submit(pb::SubmitRequest { envelope: envelope.clone() }).await.unwrap().into_inner();
    let id = answer.request.unwrap().intent_id;
    let watch = pb::WatchRequest { intent_id: id.clone(), after_sequence: 0 };
    let mut changes = custody.watch(watch).await.unwrap().into_inner();
    let signed = async {
        loop {
            let request = changes.message().await.unwrap().unwrap().request.unwrap();
            if request.state == i32::from(pb::RequestState::Signed) {
                return request;
            }
        }
    };
    let request = tokio::time::timeout(PATIENCE, signed).await.unwrap();
    assert!(!request.result.unwrap().signed_transaction.is_empty());
    let again = custody.submit(pb::SubmitRequest { envelope }).await.unwrap().into_inner();
    assert!(again.repeated_submit);
    let other = Some(world.transfer_of("one", 3));
    let status = custody.submit(pb::SubmitRequest { envelope: other }).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
    assert_eq!(ApiError::from_status(&status).unwrap().code, Code::IdempotencyConflict);
    let keys = custody.list_keys(pb::ListKeysRequest::default()).await.unwrap().into_inner();
    assert_eq!(keys.keys.len(), 1);
    let status = AdminClient::new(channel.clone()).cluster_status(pb::ClusterStatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!((status.signers.len(), status.requests_ended), (3, 1));
    assert!(status.signers.iter().all(|signer| signer.reachable));
}

#[tokio::test]
async fn certificates_of_other_authorities_are_not() {
    let world = World::new(2);
    let (_disk, running) = world.with_key().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = serve(&running, &authority).await;
    let channel = channel(&address, &stranger.identity("backend"), &authority.file);
    let error = CustodyClient::new(channel).list_keys(pb::ListKeysRequest::default()).await.unwrap_err();
    assert!(ApiError::from_status(&error).is_none(), "{error}");
}

#[tokio::test]
async fn metrics_are_shown_over_plain_http() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(metrics::serve(Arc::clone(&running.core), listener));
    let get = async |path: &str| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let text = get("/metrics").await;
    assert!(text.contains("limen_coordinator_requests_entered_total{state=\"signed\"} 1"), "{text}");
    assert!(text.contains("limen_coordinator_signer_reachable{node=\"signer-1\"} 1"));
    assert!(get("/secrets").await.starts_with("HTTP/1.1 404"));
}
