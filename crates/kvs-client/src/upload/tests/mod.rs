//! The upload against a service that is simulated, in time that is too: hours in milliseconds.

mod faults;
mod policies;
mod rotation;
mod steady;
mod world;
