//! From the frames of several tracks to fragments that the service takes.
//!
//! The [`Interleaver`] makes one order of several tracks, the [`Cutter`] decides where fragments and sessions begin
//! and end, and what has to be mended on the way. Both are functions of what goes in and of the time that is given
//! to them; neither holds a payload that it does not have to.

mod cutter;
mod filler;
mod interleaver;
mod repair;

pub use cutter::{Arrival, Cutter, Rules, RulesError, Step, TrackRule};
pub use filler::{Filler, is_filler};
pub use interleaver::{ASTRAY, Interleaver, LONGEST_HOLD, Pace, Released, Timing};
pub use repair::{Counts, CutCause, Discard, Repair};
