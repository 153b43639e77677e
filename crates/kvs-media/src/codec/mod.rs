//! Codecs: what a track carries, its private data both ways, and what its bitstream says.
//!
//! Everything here reads untrusted bytes: the answer is a value or a [`CodecError`] that names structure and field.
//!
//! A sink with an Annex B camera asks, for each access unit, what it is and whether the decoder's data changed, and
//! copies it once, converted on the way:
//!
//! ```
//! use kvs_media::codec::{Codec, Form, ParameterSets, nal};
//! # fn main() -> Result<(), kvs_media::codec::CodecError> {
//! # let access_unit: &[u8] = include_bytes!("../../tests/data/codec/h264-baseline.h264");
//! # let mut ring = Vec::new();
//! let mut sets = ParameterSets::of(Codec::H264).expect("H.264 has parameter sets");
//! let fed = sets.push(access_unit, Form::AnnexB)?;
//! if fed.changed {
//!     // A new header, and so a new session, with this private data.
//!     let private = sets.codec_private()?;
//! #   assert_eq!(private[0], 1);
//! }
//! assert!(fed.unit.random_access.is_some_and(|point| point.is_closed()));
//! ring.reserve(nal::length_prefixed_len(access_unit)?);
//! nal::write_length_prefixed(access_unit, &mut ring)?;
//! # Ok(()) }
//! ```

pub mod aac;
mod access_unit;
pub mod adts;
pub mod av1;
mod bits;
pub mod data;
mod describe;
mod error;
pub mod h264;
pub mod h265;
mod h265_sets;
mod id;
pub mod jpeg;
pub mod nal;
pub mod opus;
mod parameter_sets;
mod picture;
mod silence;
pub mod vp;
pub mod wave;

pub use access_unit::{AccessUnit, RandomAccess, random_access};
pub(crate) use describe::aac_config;
pub use describe::{Description, Sound, describe};
pub use error::CodecError;
pub use id::Codec;
pub use nal::{Form, LengthSize};
pub use parameter_sets::{Fed, ParameterSets};
pub use picture::{Chroma, FrameRate, Picture};
pub use silence::{Silence, silence};
pub use wave::PcmFormat;
