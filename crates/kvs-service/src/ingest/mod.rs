//! What comes in: the bytes of a PutMedia call, made into fragments and acks.

mod refusal;
mod session;

pub use session::{Beginning, Fragment, Indexed, Limits, Moment, Opening, Output, Session, Timecodes};
