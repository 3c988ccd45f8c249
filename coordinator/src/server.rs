//! The gRPC services over mutual TLS, health and reflection beside them.

mod services;

use std::sync::Arc;

use limen_wire::pb::admin_server::AdminServer;
use limen_wire::pb::custody_server::CustodyServer;
use limen_wire::{FILE_DESCRIPTORS, limits, tls};
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::context::Core;
use services::{AdminService, CustodyService};

/// Requests at one time on one connection.
const STREAMS: u32 = 512;
/// No call but a watch takes longer.
const CALL: std::time::Duration = std::time::Duration::from_secs(60);

/// Why the server stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The reflection service refuses the descriptors: a build that is not whole.
    #[error("the reflection service could not be made: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport.
    #[error("serving clients failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves clients until the coordinator stops.
pub async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
) -> Result<(), ServeError> {
    let counted = Arc::clone(&core);
    let incoming = tls::incoming(listener, config, move |remote, reason| {
        counted.metrics.refused_connections.inc();
        tracing::warn!(%remote, reason, "a connection was refused");
    });
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_not_serving::<CustodyServer<CustodyService>>().await;
    let watched = Arc::clone(&core);
    core.tasks.spawn(async move {
        tokio::select! {
            () = watched.ready.cancelled() => reporter.set_serving::<CustodyServer<CustodyService>>().await,
            () = watched.stop.cancelled() => return,
        }
        watched.stop.cancelled().await;
        reporter.set_not_serving::<CustodyServer<CustodyService>>().await;
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTORS)
        .build_v1()?;
    let custody = CustodyServer::new(CustodyService(Arc::clone(&core)))
        .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(4 * limits::GRPC_MESSAGE_BYTES);
    let admin = AdminServer::new(AdminService(Arc::clone(&core)));
    let stop = core.stop.clone();
    Server::builder()
        .timeout(CALL)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .add_service(custody)
        .add_service(admin)
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await })
        .await?;
    Ok(())
}
