//! Metrics over HTTP/1.1 on a loopback port: one path, one answer, then the connection closes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::node::StartError;

/// Longest request head that is read.
const HEAD: usize = 4096;
/// Connections at a time.
const CONNECTIONS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the registry until the signer stops. Gives the address in use.
pub async fn serve(
    metrics: &Metrics,
    stop: &CancellationToken,
    links: &TaskTracker,
    address: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let registry = Arc::new(metrics.registry());
    let (stop, answers) = (stop.clone(), links.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    links.spawn(async move {
        loop {
            let socket = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tracing::debug!(%error, "metrics connection failed");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                },
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let registry = Arc::clone(&registry);
            answers.spawn(async move {
                let _place = place;
                drop(tokio::time::timeout(TIMEOUT, answer(socket, &registry)).await);
            });
        }
    });
    Ok(bound)
}

async fn answer(mut socket: TcpStream, registry: &Registry) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics ") {
        let mut body = String::new();
        match encode(&mut body, registry) {
            Ok(()) => ("200 OK", body),
            Err(_) => ("500 Internal Server Error", String::new()),
        }
    } else {
        ("404 Not Found", "only GET /metrics is served here\n".to_owned())
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await
}
