//! The task that reads.

use std::sync::Arc;

use super::queue::{End, Queue};
use super::{Listener, Settings};
use crate::Client;

/// Reads until it is told to end.
pub(super) async fn run(
    queue: Arc<Queue>,
    settings: Settings,
    client: Arc<Client>,
    listener: Arc<dyn Listener>,
) {
    let _ = (settings, client, listener);
    queue.push(&mut Vec::new(), queue.stats());
    std::future::poll_fn(|cx| queue.poll_room(cx)).await;
    queue.end(End::Range);
}
