//! Connections come in, and go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connection;
use super::wire::Socket;
use crate::service::Service;

/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(5);
/// rustls asks for 4 KiB at a time; the kernel is asked for what is there: a record of full size, and what is behind it.
const AHEAD: usize = 20 << 10;
/// For the acks of what was open when the service had to stop.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// For what a system is out of, such as descriptors, to be given back.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);

impl Service {
    /// Serves whoever connects, until `stop`; then finishes what is open, as far as the time for it goes, and closes
    /// the store.
    pub async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let place = connection::Place { local: listener.local_addr()?, secure: tls.is_some() };
        let tls = tls.map(TlsAcceptor::from);
        let seats = self.config.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let seats = Arc::new(Semaphore::new(seats));
        let guests = Guests::default();
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let sweeper = tokio::spawn(sweep(Arc::clone(&self)));
        let mut stop = std::pin::pin!(stop);
        loop {
            let (accepted, seat) = tokio::select! {
                biased;
                () = &mut stop => break,
                // The set holds none that have ended.
                Some(_) = connections.join_next() => continue,
                accepted = async {
                    let seat = Arc::clone(&seats).acquire_owned().await;
                    (listener.accept().await, seat)
                } => accepted,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(OUT_OF_SOCKETS).await;
                    continue;
                }
            };
            let Some(guest) = guests.enter(peer.ip(), self.config.limits.connections_per_address) else {
                tracing::debug!(%peer, "closed: the address has as many connections as it may");
                continue;
            };
            let (service, tls, closed) = (Arc::clone(&self), tls.clone(), closed.clone());
            connections.spawn(async move {
                let (_seat, _guest) = (seat, guest);
                // A frame goes when it is written.
                let _ = tcp.set_nodelay(true);
                let limit = service.config.limits.head_timeout;
                let socket = match tls {
                    None => Socket::Plain(tcp),
                    Some(tls) => {
                        let mut closes = closed.clone();
                        let shaken = tokio::select! {
                            shaken = tokio::time::timeout(limit, tls.accept(BufReader::with_capacity(AHEAD, tcp))) => shaken,
                            _ = closes.wait_for(|closing| *closing) => return,
                        };
                        match shaken {
                            Ok(Ok(tls)) => Socket::Tls(Box::new(tls)),
                            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
                            Err(_) => return tracing::debug!(%peer, "no TLS in time"),
                        }
                    }
                };
                connection::serve(service, place, peer, socket, closed).await;
            });
        }
        sweeper.abort();
        self.stop();
        closing.send_replace(true);
        // Whoever is refused now knows that all sessions are told.
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        let patience = self.config.limits.stop_timeout.saturating_add(LAST_ACKS);
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections are cut off");
            connections.shutdown().await;
        }
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.close()).await.map_err(io::Error::other)
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of an address, until it is dropped.
struct Guest {
    guests: Guests,
    address: IpAddr,
}

impl Guests {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Guest> {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = guests.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest { guests: self.clone(), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = guests.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

async fn sweep(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let service = Arc::clone(&service);
        let swept = tokio::task::spawn_blocking(move || service.sweep()).await;
        match swept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what has expired cannot be removed now"),
            Err(error) => tracing::error!(%error, "the sweep failed"),
        }
    }
}
