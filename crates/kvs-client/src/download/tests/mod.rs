//! The machine in simulated time, with every fault.

mod faults;
mod service;
mod world;
