//! The network between an upload and the service: a proxy that does to connections what networks do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// What the path does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// Nothing gets through, and nobody says so.
    pub(crate) hole: bool,
    /// Nobody listens.
    pub(crate) refuses: bool,
    /// Connections that are there end when this changes.
    pub(crate) cut: u64,
    /// Bytes a second towards the service.
    pub(crate) rate: Option<u64>,
    /// So much later, in each direction.
    pub(crate) delay: Duration,
}

/// A way to the service.
pub(crate) struct Path {
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
    target: Arc<Mutex<SocketAddr>>,
    /// Connections that were made.
    pub(crate) connections: Arc<AtomicU64>,
}

impl Path {
    /// To a service, in fine weather.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::default());
        let target = Arc::new(Mutex::new(target));
        let connections = Arc::new(AtomicU64::new(0));
        let path =
            Self { address, weather, target: Arc::clone(&target), connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let target = *target.lock().unwrap();
                tokio::spawn(carry(client, target, seen.clone()));
            }
        });
        path
    }

    /// Changes the weather.
    pub(crate) fn weather(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.weather(|weather| weather.cut += 1);
    }

    /// Leads elsewhere from now on.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let at_first = *weather.borrow_and_update();
    if at_first.refuses {
        return reset(client);
    }
    // In a hole not even the connection comes about on the other side.
    if weather.wait_for(|weather| !weather.hole).await.is_err() {
        return;
    }
    let Ok(service) = TcpStream::connect(target).await else { return reset(client) };
    let _ = (client.set_nodelay(true), service.set_nodelay(true));
    let (mut client_in, mut client_out) = client.into_split();
    let (mut service_in, mut service_out) = service.into_split();
    let ended = {
        let mut weather = weather.clone();
        async move { weather.wait_for(|now| now.cut != at_first.cut || now.refuses).await.map(|_| ()) }
    };
    let there = pump(&mut client_in, &mut service_out, weather.clone(), true);
    let back = pump(&mut service_in, &mut client_out, weather, false);
    tokio::select! {
        _ = ended => {
            // As a router that has forgotten them.
            let _ = client_in.reunite(client_out).map(reset);
        }
        _ = async { tokio::join!(there, back) } => {}
    }
}

fn reset(socket: TcpStream) {
    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

async fn pump(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    paced: bool,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let now = *weather.borrow();
        if now.hole && weather.wait_for(|now| !now.hole).await.is_err() {
            return;
        }
        let most = if now.rate.is_some() && paced { 1_024 } else { buffer.len() };
        let count = match from.read(&mut buffer[..most]).await {
            Ok(count) if count > 0 => count,
            _ => {
                let _ = to.shutdown().await;
                return;
            }
        };
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if let Some(rate) = now.rate.filter(|_| paced) {
            let span = Duration::from_secs_f64(count as f64 / rate as f64);
            tokio::time::sleep_until(Instant::now() + span).await;
        }
        if weather.borrow().hole && weather.wait_for(|now| !now.hole).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
