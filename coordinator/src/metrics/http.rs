//! Just enough HTTP for a scraper: one request a connection, bounded in size, number and time.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::context::Core;

const CONNECTIONS: usize = 16;
const REQUEST_BYTES: usize = 8192;
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers `GET /metrics` until the coordinator stops.
pub async fn serve(core: Arc<Core>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = core.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let inner = Arc::clone(&core);
        core.tasks.spawn(async move {
            let _place = place;
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, answer(&inner, socket)).await {
                tracing::debug!(%error, "a metrics connection failed");
            }
        });
    }
}

async fn answer(core: &Core, mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        match socket.read(&mut part).await? {
            0 => return Ok(()),
            read => request.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", core.metrics.text(core))
    } else {
        ("404 Not Found", "only GET /metrics is here\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}
