//! The clients of the process.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::endpoints::DataEndpoints;
use super::{Client, ClientSettings, Environment};

/// By their settings. A client that nobody has any more is forgotten when the next one is made.
static CLIENTS: LazyLock<Mutex<HashMap<ClientSettings, Weak<Client>>>> = LazyLock::new(Mutex::default);

/// What the clients have found out about endpoints, by a fingerprint of what they were made from: it outlives them, so
/// that a sink that is started again asks nobody, and holds no secret.
static ENDPOINTS: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Known {
    hasher: RandomState,
    endpoints: HashMap<u64, Arc<DataEndpoints>>,
}

/// The one with these settings.
pub(super) fn client(settings: ClientSettings) -> Arc<Client> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&settings).and_then(Weak::upgrade) {
        return client;
    }
    clients.retain(|_, client| client.strong_count() > 0);
    let environment = Environment::of_process();
    let endpoints = endpoints(&settings, &environment);
    let client = Client::with(settings.clone(), environment, endpoints);
    clients.insert(settings, Arc::downgrade(&client));
    client
}

fn endpoints(settings: &ClientSettings, environment: &Environment) -> Arc<DataEndpoints> {
    let mut known = ENDPOINTS.lock().unwrap_or_else(PoisonError::into_inner);
    let fingerprint = known.hasher.hash_one((settings, environment));
    Arc::clone(known.endpoints.entry(fingerprint).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_endpoints_outlives_the_client_and_is_not_another_s() {
        let of = |region: &str| ClientSettings { region: Some(region.into()), ..ClientSettings::default() };
        let first = client(of("here"));
        let known = Arc::clone(&first.endpoints);
        drop(first);
        assert!(Arc::ptr_eq(&known, &client(of("here")).endpoints));
        assert!(!Arc::ptr_eq(&known, &client(of("there")).endpoints));
    }
}
