//! A Kinesis Video Streams service in one process.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod auth;
pub mod control;
pub mod faults;
pub mod files;
pub mod ingest;
pub mod keys;
pub mod metrics;
pub mod random;
pub mod rates;
pub mod readers;
pub mod store;
mod text;
pub mod tls;
