use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const RTT: Duration = Duration::from_millis(80);

/// Sends back whatever comes. Ends with the test's runtime.
async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn proxy(distance: Distance) -> DelayProxy {
    DelayProxy::start(echo_server().await, distance, 1).await.expect("a proxy")
}

async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let started = Instant::now();
    stream.write_all(bytes).await.expect("sent");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.expect("received");
    assert_eq!(back, bytes);
    started.elapsed()
}

// Time is paused: it moves only while everything waits for a timer, so the delays below are exact to the millisecond
// of tokio's timer wheel.
fn assert_about(found: Duration, wanted: Duration) {
    assert!(found >= wanted && found <= wanted + Duration::from_millis(4), "{found:?} instead of {wanted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_round_trip_takes_its_time_and_a_new_connection_one_more() {
    let proxy = proxy(Distance::round_trip(RTT)).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    assert_about(round_trip(&mut stream, b"first").await, RTT * 2);
    assert_about(round_trip(&mut stream, b"second").await, RTT);
    assert_eq!(proxy.bytes_to_target(), 11);
    assert_eq!(proxy.bytes_to_caller(), 11);
}

#[tokio::test(start_paused = true)]
async fn distance_changes_at_run_time() {
    let proxy = proxy(Distance::default()).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    assert_about(round_trip(&mut stream, b"near").await, Duration::ZERO);
    proxy.set_distance(Distance::round_trip(RTT));
    assert_about(round_trip(&mut stream, b"far").await, RTT);
}

#[tokio::test(start_paused = true)]
async fn jitter_never_reorders() {
    let distance = Distance { one_way: Duration::from_millis(5), jitter: Duration::from_millis(50) };
    let proxy = proxy(distance).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    for round in 0..20_u8 {
        let took = round_trip(&mut stream, &[round; 1000]).await;
        assert!(took >= Duration::from_millis(10) && took < Duration::from_millis(230), "{took:?}");
    }
}

#[tokio::test]
async fn bandwidth_is_not_limited() {
    let proxy = proxy(Distance::round_trip(Duration::from_millis(2))).await;
    let stream = TcpStream::connect(proxy.address()).await.expect("connected");
    let (mut from, mut to) = stream.into_split();
    let bytes = vec![7; 8 << 20];
    let sending = async {
        to.write_all(&bytes).await.expect("sent");
        to.shutdown().await.expect("closed");
    };
    let mut back = Vec::new();
    let (_, received) = tokio::join!(sending, from.read_to_end(&mut back));
    received.expect("received");
    assert!(back == bytes, "8 MiB come back whole, and the end of the stream with them");
}

#[tokio::test(start_paused = true)]
async fn a_silent_line_holds_bytes_until_it_heals() {
    let proxy = proxy(Distance::round_trip(RTT)).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    round_trip(&mut stream, b"before").await;
    proxy.set_state(LineState::Silent);
    let waited = tokio::time::timeout(Duration::from_secs(30), round_trip(&mut stream, b"during")).await;
    assert!(waited.is_err(), "nothing comes through");
    proxy.set_state(LineState::Up);
    let mut back = [0; 6];
    stream.read_exact(&mut back).await.expect("received");
    assert_eq!(&back, b"during");
}

#[tokio::test]
async fn a_refused_line_closes_connections_and_heals() {
    let proxy = proxy(Distance::default()).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    round_trip(&mut stream, b"before").await;
    proxy.set_state(LineState::Refused);
    assert!(is_closed(&mut stream).await);
    let mut another = TcpStream::connect(proxy.address()).await.expect("the port is open");
    assert!(is_closed(&mut another).await);
    proxy.set_state(LineState::Up);
    let mut after = TcpStream::connect(proxy.address()).await.expect("connected");
    round_trip(&mut after, b"after").await;
}

#[tokio::test]
async fn dropping_the_proxy_closes_its_connections() {
    let proxy = proxy(Distance::default()).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    round_trip(&mut stream, b"before").await;
    drop(proxy);
    assert!(is_closed(&mut stream).await);
}

/// Waits for the other end to close.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte).await, Ok(0) | Err(_))
}
