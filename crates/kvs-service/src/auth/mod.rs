//! Who asks, and whether they may.

mod authenticator;
mod canonical;
mod encoding;
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
pub use secret::{Random, RandomError, Secret, SystemRandom};
pub use session::{
    MAX_SESSION, MAX_SESSION_POLICY_BYTES, MIN_SESSION, Session, SessionCredentials, SessionError, Sessions,
};
pub use sigv4::{BodyCheck, Claim, Regions, Verified};
pub use timestamp::Timestamp;
