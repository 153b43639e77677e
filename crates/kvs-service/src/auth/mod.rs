//! Who asks, and whether they may.
//!
//! ```text
//! request --> Claim (sigv4) --> key or session token --> signature --> Principal --> policies --> Grant
//!                |                      |                    |                          |
//!             Refusal                Refusal              Refusal                     Denial
//! ```
//!
//! Nothing in here waits, reads a clock or knows HTTP: the head of a request comes in as a borrowed [`Request`],
//! the time and chance as arguments, and [`mod@file`] alone touches the disk. The signature is checked before the body is
//! read wherever that is possible, so that strangers cost no memory; where the body's hash is what was signed, the
//! caller reads it first, bounded, and nobody is named until it fits.
//!
//! ```
//! use kvs_service::auth::{Authentication, Authenticator, Identities, Refusal, Regions, Request, Resource};
//! use kvs_service::random::SystemRandom;
//! # use kvs_media::time::Utc;
//! # fn sha256_of_the_body() -> [u8; 32] { [0; 32] }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let now = Utc::from_millis(1_704_164_645_000).unwrap();
//! # let keyring = kvs_service::keys::Keyring::of("default", kvs_service::keys::Key::new([0; 32]));
//! let identities = Identities::new(&SystemRandom)?;
//! let sessions = keyring.derive("sessions")?;
//! let authenticator = Authenticator::new("111122223333", Regions::Any, &sessions, identities)?;
//!
//! let headers: [(&str, &[u8]); 1] = [("host", b"localhost:4580")];
//! let request = Request { method: "POST", path: "/describeStream", query: "", headers: &headers };
//! let principal = match authenticator.authenticate(request, now) {
//!     Ok(Authentication::Complete(principal)) => Ok(principal),
//!     Ok(Authentication::AwaitsBody(signatory)) => signatory.with_body(&sha256_of_the_body()),
//!     Err(refusal) => Err(refusal),
//! };
//! if let Ok(principal) = &principal {
//!     let resource = Resource { arn: "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1", shown: "cam1" };
//!     let grant = principal.authorize("kinesisvideo:DescribeStream", resource)?;
//! }
//! assert_eq!(principal.unwrap_err(), Refusal::Missing);
//! # Ok(())
//! # }
//! ```

mod authenticator;
mod canonical;
pub mod file;
mod identity;
mod pattern;
mod policy;
mod refusal;
mod request;
mod secret;
mod session;
mod sigv4;
mod timestamp;

pub use authenticator::{
    Authentication, Authenticator, Denial, Grant, Principal, Reason, Resource, Signatory,
};
pub use identity::{
    Identities, IdentityError, KeyPair, MAX_KEY_PAIRS, MAX_POLICIES, MAX_USERS, NamedPolicy, User,
};
pub use pattern::PatternError;
pub use policy::{
    Decision, MAX_POLICY_BYTES, MAX_POLICY_CHARACTERS, Place, Policy, PolicyError, PolicyFault, evaluate,
};
pub use refusal::{Refusal, Span};
pub use request::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Request};
pub use secret::Secret;
pub use session::{
    MAX_SESSION, MAX_SESSION_POLICY_BYTES, MIN_SESSION, Session, SessionCredentials, SessionError, Sessions,
};
pub use sigv4::{BodyCheck, Claim, Regions, Verified};
pub use timestamp::Timestamp;
