//! Who asks, and whether they may.

mod canonical;
#[allow(dead_code, reason = "keys and tokens are written in it")]
mod encoding;
mod pattern;
mod policy;
mod refusal;
mod request;
#[allow(dead_code, reason = "identities make keys with it")]
mod secret;
mod sigv4;
mod timestamp;

pub use pattern::PatternError;
pub use policy::{
    Decision, MAX_POLICY_BYTES, MAX_POLICY_CHARACTERS, Place, Policy, PolicyError, PolicyFault, evaluate,
};
pub use refusal::{Refusal, Span};
pub use request::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Request};
pub use secret::{Random, RandomError, Secret, SystemRandom};
pub use sigv4::{BodyCheck, Claim, Regions, Verified};
pub use timestamp::Timestamp;
