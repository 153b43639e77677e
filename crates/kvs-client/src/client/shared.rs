//! The clients of the process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::{Client, ClientSettings, Environment};

/// By their settings. A client that nobody has any more is forgotten when the next one is made.
static CLIENTS: LazyLock<Mutex<HashMap<ClientSettings, Weak<Client>>>> = LazyLock::new(Mutex::default);

/// The one with these settings.
pub(super) fn client(settings: ClientSettings) -> Arc<Client> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&settings).and_then(Weak::upgrade) {
        return client;
    }
    clients.retain(|_, client| client.strong_count() > 0);
    let client = Client::new(settings.clone(), Environment::of_process());
    clients.insert(settings, Arc::downgrade(&client));
    client
}
