//! Signers whose shares are sealed behind the bridge's socket: spoken to as the daemon speaks, by a software provider.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limen_hsm::bridge::{frame, messages};
use limen_hsm::{DangerSoftware, HsmError, Kind};
use limen_node::clock::SystemClock;
use limen_node::node::{Node, StartError};
use limen_node::vault::VaultError;
use limen_wire::ids::{Protocol, Scheme};

use crate::cluster::{Cluster, message_intent, signature, write_private};

/// A bridge that answers until it is told that its token has gone.
struct Bridge {
    gone: Arc<AtomicBool>,
}

impl Bridge {
    fn serve(socket: &Path, key: &str) -> Self {
        let key_file = socket.with_extension("key");
        if !key_file.exists() {
            write_private(&key_file, &hex::encode([key.as_bytes()[0]; 32]));
        }
        let provider = Arc::new(DangerSoftware::open(&key_file, true).unwrap());
        let (listener, gone) = (UnixListener::bind(socket).unwrap(), Arc::new(AtomicBool::new(false)));
        let there = Arc::clone(&gone);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, provider, there) = (stream.unwrap(), Arc::clone(&provider), Arc::clone(&there));
                std::thread::spawn(move || {
                    while let Ok(Some(call)) = frame::wait(&mut stream, Duration::from_secs(60)) {
                        let answer = match there.load(Ordering::SeqCst) {
                            true => messages::refuse(&HsmError::new(Kind::Gone, "seal", "the token was pulled")),
                            false => messages::answer(&*provider, call),
                        };
                        let until = std::time::Instant::now() + Duration::from_secs(60);
                        if frame::write(&mut stream, &answer, until).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { gone }
    }
}

/// What a start says when it is refused.
async fn refused(cluster: &Cluster, index: usize) -> StartError {
    match Node::start(&cluster.config(index), Arc::new(SystemClock)).await {
        Err(error) => error,
        Ok(_) => panic!("it must not start"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_sealed_behind_a_bridge_and_open_by_its_token_only() {
    let mut cluster = Cluster::start_behind_bridges(2, 2, |socket| drop(Bridge::serve(socket, "a"))).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    // The shares come back with the token, and with no other.
    cluster.stop(0).await;
    cluster.restart(0).await;
    let (_, again) = message_intent(&cluster, "words", "m-2", "hello again");
    signature(&cluster.sign(&again, &[1, 2]).await[0]);
    cluster.stop(0).await;
    let socket = cluster.socket(0);
    for spare in [socket.clone(), socket.with_extension("key")] {
        std::fs::remove_file(spare).unwrap();
    }
    match refused(&cluster, 0).await {
        StartError::Provider(error) => assert_eq!(error.kind(), Kind::Unreachable),
        other => panic!("{other}"),
    }
    let other = Bridge::serve(&socket, "b");
    let error = refused(&cluster, 0).await;
    let kind = match &error {
        StartError::Provider(error) | StartError::Vault(VaultError::Provider(error)) => error.kind(),
        other => panic!("{other}"),
    };
    assert!(matches!(kind, Kind::DoesNotOpen | Kind::OtherKey | Kind::Missing), "{error}");
    other.gone.store(true, Ordering::SeqCst);
    match refused(&cluster, 0).await {
        StartError::Provider(error) => assert_eq!((error.kind(), error.detail()), (Kind::Gone, "the token was pulled")),
        other => panic!("{other}"),
    }
}
