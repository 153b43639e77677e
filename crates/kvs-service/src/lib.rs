//! A Kinesis Video Streams service in one process.
//!
//! [`Service`] joins the rooms, and [`Service::run`] puts it on the network.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod auth;
mod clock;
mod config;
pub mod control;
pub mod faults;
pub mod files;
mod http;
pub mod ingest;
pub mod keys;
mod live;
pub mod metrics;
pub mod pictures;
mod playback;
pub mod random;
mod rates;
pub mod readers;
mod seats;
mod service;
pub mod store;
mod stream;
mod text;
pub mod tls;

pub use config::{Config, Limits};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use http::fuzzing;
pub use service::{IDENTITIES, OpenError, Opened, Service};
