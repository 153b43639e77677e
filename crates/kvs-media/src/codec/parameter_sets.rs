//! The parameter sets of a stream: where they are now, and when they changed.

use std::borrow::Cow;

use bytes::Bytes;

use super::av1::{self, Av1Config};
use super::h264::{self, AvcConfig};
use super::h265::{self, HevcConfig};
use super::nal::trim_trailing_zeros;
use super::{AccessUnit, Codec, CodecError, Form, LengthSize, Picture};

/// All sets of a stream together. Encoders need a few hundred bytes; private data of the service ends at 1 MiB.
const MOST_BYTES: usize = 256 * 1024;

/// The parameter sets of an H.264, H.265 or AV1 stream, gathered from private data and from access units.
///
/// A set is known by its kind and id, so that the order in which sets arrive does not matter, and only other bytes are
/// a change. Sets that are repeated in band cost a comparison and no allocation. An access unit with a set that cannot be
/// read is refused, and what was known before stays.
#[derive(Clone, Debug)]
pub struct ParameterSets {
    codec: Codec,
    /// Sorted by kind, then by id.
    sets: Vec<Set>,
    /// Private data that still says exactly what `sets` holds.
    private: Option<Bytes>,
    length_size: LengthSize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    kind: u8,
    id: u8,
    unit: Bytes,
}

/// What an access unit was, and whether it brought other parameter sets than those known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// What the access unit is.
    pub unit: AccessUnit,
    /// A set came that was not known, or whose bytes were other: the private data is now another.
    pub changed: bool,
}

impl ParameterSets {
    /// None yet; `None` when the codec has no such thing.
    pub fn of(codec: Codec) -> Option<Self> {
        matches!(codec, Codec::H264 | Codec::H265 | Codec::Av1).then_some(Self {
            codec,
            sets: Vec::new(),
            private: None,
            length_size: LengthSize::Four,
        })
    }

    /// Takes in an access unit (AV1: a temporal unit, whatever the form), up to its first slice.
    ///
    /// # Errors
    /// When it cannot be divided into units, or a set in it cannot be read; then nothing has changed.
    pub fn push(&mut self, data: &[u8], form: Form) -> Result<Fed, CodecError> {
        let mut sets = Cow::Borrowed(self.sets.as_slice());
        let mut found = AccessUnit::default();
        match self.codec {
            Codec::Av1 => {
                found = av1::inspect(data)?;
                if found.has_parameter_sets {
                    put_av1(&mut sets, data)?;
                }
            }
            Codec::H265 => {
                for unit in form.units(data) {
                    let unit = unit?;
                    put_h265_unit(&mut sets, unit)?;
                    if found.look_at_h265(unit) {
                        break;
                    }
                }
            }
            _ => {
                for unit in form.units(data) {
                    let unit = unit?;
                    put_h264_unit(&mut sets, unit)?;
                    if found.look_at_h264(unit) {
                        break;
                    }
                }
            }
        }
        // A set that comes twice may have been another in between.
        let new = match sets {
            Cow::Owned(new) if new != self.sets => Some(new),
            _ => None,
        };
        let changed = new.is_some();
        if let Some(new) = new {
            (self.sets, self.private) = (new, None);
        }
        Ok(Fed { unit: found, changed })
    }

    /// Takes in private data, which replaces all that was known; true when its sets are other than those.
    ///
    /// # Errors
    /// When it cannot be read; then nothing is replaced.
    pub fn push_private(&mut self, private: &Bytes) -> Result<bool, CodecError> {
        let mut sets = Cow::Owned(Vec::new());
        let mut length_size = LengthSize::Four;
        match self.codec {
            Codec::Av1 => put_av1(&mut sets, &Av1Config::parse(private)?.obus)?,
            Codec::H265 => {
                let config = HevcConfig::parse(private)?;
                length_size = config.length_size;
                for unit in config.arrays.iter().flat_map(|array| &array.units) {
                    put_h265_unit(&mut sets, unit)?;
                }
            }
            _ => {
                let config = AvcConfig::parse(private)?;
                length_size = config.length_size;
                for unit in config.sps.iter().chain(&config.pps) {
                    put_h264_unit(&mut sets, unit)?;
                }
            }
        }
        let changed = *sets != self.sets;
        self.sets = sets.into_owned();
        self.length_size = length_size;
        // Samples are written with 4-byte lengths, and the private data must say so.
        self.private = (length_size == LengthSize::Four).then(|| private.clone());
        Ok(changed)
    }

    /// There is a set of each kind that a decoder needs.
    pub fn is_complete(&self) -> bool {
        let kinds: &[u8] = match self.codec {
            Codec::Av1 => &[av1::SEQUENCE_HEADER],
            Codec::H265 => &[h265::VPS, h265::SPS, h265::PPS],
            _ => &[h264::SPS, h264::PPS],
        };
        kinds.iter().all(|kind| self.sets.iter().any(|set| set.kind == *kind))
    }

    /// How lengths in samples are written, by the last private data.
    pub const fn length_size(&self) -> LengthSize {
        self.length_size
    }

    /// The private data of what is known now, for samples with 4-byte lengths: the given one as it was, while no access
    /// unit has changed it, else a new one.
    ///
    /// # Errors
    /// [`CodecError::MissingPrivate`] while a set of some kind is missing.
    pub fn codec_private(&self) -> Result<Bytes, CodecError> {
        if !self.is_complete() {
            return Err(CodecError::MissingPrivate);
        }
        if let Some(private) = &self.private {
            return Ok(private.clone());
        }
        match self.codec {
            Codec::Av1 => {
                let header = self.sets.first().ok_or(CodecError::MissingPrivate)?;
                Ok(Av1Config::from_sequence_header(&header.unit)?.write())
            }
            Codec::H265 => {
                let (vps, sps, pps) = (self.units(h265::VPS), self.units(h265::SPS), self.units(h265::PPS));
                HevcConfig::from_parameter_sets(vps, sps, pps)?.write()
            }
            _ => AvcConfig::from_parameter_sets(self.units(h264::SPS), self.units(h264::PPS))?.write(),
        }
    }

    /// What the sequence header with the lowest id says of the pictures.
    ///
    /// # Errors
    /// [`CodecError::MissingPrivate`] while there is none.
    pub fn picture(&self) -> Result<Picture, CodecError> {
        let first = |kind| self.sets.iter().find(|set| set.kind == kind).map(|set| &set.unit);
        match self.codec {
            Codec::Av1 => {
                let header = first(av1::SEQUENCE_HEADER).ok_or(CodecError::MissingPrivate)?;
                av1::parse_sequence_header(header).map(|header| header.picture)
            }
            Codec::H265 => {
                let picture = h265::parse_sps(first(h265::SPS).ok_or(CodecError::MissingPrivate)?)?.picture;
                let frame_rate = picture.frame_rate.or_else(|| h265::vps_frame_rate(first(h265::VPS)?));
                Ok(Picture { frame_rate, ..picture })
            }
            _ => h264::parse_sps(first(h264::SPS).ok_or(CodecError::MissingPrivate)?),
        }
    }

    fn units(&self, kind: u8) -> Vec<Bytes> {
        self.sets.iter().filter(|set| set.kind == kind).map(|set| set.unit.clone()).collect()
    }
}

fn put_h264_unit(sets: &mut Cow<'_, [Set]>, unit: &[u8]) -> Result<(), CodecError> {
    // The padding of a set is no part of it: the same set comes without in Annex B.
    let unit = trim_trailing_zeros(unit);
    match h264::unit_type(unit) {
        h264::SPS => put(sets, h264::SPS, h264::sps_id(unit)?, unit, |unit| h264::parse_sps(unit).map(drop)),
        h264::PPS => put(sets, h264::PPS, h264::pps_id(unit)?, unit, |_| Ok(())),
        _ => Ok(()),
    }
}

fn put_h265_unit(sets: &mut Cow<'_, [Set]>, unit: &[u8]) -> Result<(), CodecError> {
    let unit = trim_trailing_zeros(unit);
    let kind = h265::unit_type(unit);
    if h265::layer(unit) != 0 {
        return Ok(());
    }
    match kind {
        h265::VPS => put(sets, kind, h265::vps_id(unit)?, unit, |_| Ok(())),
        h265::SPS => put(sets, kind, h265::sps_id(unit)?, unit, |unit| h265::parse_sps(unit).map(drop)),
        h265::PPS => put(sets, kind, h265::pps_id(unit)?, unit, |_| Ok(())),
        _ => Ok(()),
    }
}

fn put_av1(sets: &mut Cow<'_, [Set]>, data: &[u8]) -> Result<(), CodecError> {
    for unit in av1::obus(data) {
        let unit = unit?;
        match unit.unit_type {
            av1::SEQUENCE_HEADER => {
                let check = |payload: &[u8]| av1::parse_sequence_header(payload).map(drop);
                put(sets, av1::SEQUENCE_HEADER, 0, unit.payload, check)?;
            }
            av1::FRAME_HEADER | av1::FRAME => break,
            _ => {}
        }
    }
    Ok(())
}

/// Adds or replaces a set; the sets are copied when it is another than the known one, and not before.
fn put(
    sets: &mut Cow<'_, [Set]>,
    kind: u8,
    id: u8,
    unit: &[u8],
    check: impl FnOnce(&[u8]) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let place = sets.binary_search_by_key(&(kind, id), |set| (set.kind, set.id));
    let known = place.ok().and_then(|at| sets.get(at));
    if known.is_some_and(|set| set.unit == unit) {
        return Ok(());
    }
    check(unit)?;
    let replaced = known.map_or(0, |set| set.unit.len());
    let total = sets.iter().map(|set| set.unit.len()).sum::<usize>().saturating_add(unit.len());
    if total.saturating_sub(replaced) > MOST_BYTES || unit.len() > usize::from(u16::MAX) {
        return Err(CodecError::value("parameter set", "length", unit.len() as u64));
    }
    let set = Set { kind, id, unit: Bytes::copy_from_slice(unit) };
    let sets = sets.to_mut();
    match place {
        Ok(at) => sets.get_mut(at).into_iter().for_each(|known| *known = set.clone()),
        Err(at) => sets.insert(at, set),
    }
    Ok(())
}
