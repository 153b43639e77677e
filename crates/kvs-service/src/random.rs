//! Where chance comes from. What needs it is handed a [`Random`], so that a test can foresee it.

use std::fmt;

use thiserror::Error;

/// A source of unpredictable bytes: the system's, or a test's.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills the bytes with ones that nobody can guess.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
}

/// The source gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system's random source failed")]
pub struct RandomError;

/// The random source of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError)
    }
}
