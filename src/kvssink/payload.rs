//! From the bytes of a buffer to the payload of a block, with one copy.

use bytes::{BufMut, Bytes, BytesMut};
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::vp::{self, FrameHead};
use kvs_media::codec::{
    AccessUnit, Codec, CodecError, Form, ParameterSets, RandomAccess, adts, av1, jpeg, nal, random_access,
};
use kvs_media::{AudioShape, Track, VideoShape};

use super::caps::{Format, Framing};

/// Where payloads are copied to. Small frames cost no allocation of their own: one serves many, and lives as long as any
/// of them.
#[derive(Debug, Default)]
pub(crate) struct Arena(BytesMut);

impl Arena {
    /// What one allocation holds. It is what `BytesMut` allocates again by itself, and uses again when all of it is free.
    const CHUNK: usize = 64 << 10;

    /// What is larger has an allocation of its own, of its size: at most this is left unused at the end of a chunk, and
    /// the buffer counts payloads only.
    const SMALL: usize = Self::CHUNK / 4;

    /// A payload of `len` bytes, as `fill` writes it.
    fn make(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), CodecError>,
    ) -> Result<Bytes, CodecError> {
        if len > Self::SMALL {
            let mut own = BytesMut::with_capacity(len);
            fill(&mut own)?;
            return Ok(own.freeze());
        }
        if self.0.capacity() == 0 {
            self.0 = BytesMut::with_capacity(Self::CHUNK);
        }
        self.0.reserve(len);
        let filled = fill(&mut self.0);
        if filled.is_err() {
            self.0.clear();
        }
        filled.map(|()| self.0.split().freeze())
    }

    /// A copy.
    pub(crate) fn copy(&mut self, data: &[u8]) -> Result<Bytes, CodecError> {
        self.make(data.len(), |out| {
            out.put_slice(data);
            Ok(())
        })
    }
}

/// What a buffer is to its track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// A fragment may begin with it.
    pub(crate) key: bool,
    /// Pictures that are shown before it may follow.
    pub(crate) leads: bool,
    /// The header of the track is now another.
    pub(crate) header: bool,
    /// It holds nothing that is shown or heard: what it says is in the header.
    pub(crate) empty: bool,
}

/// What upstream says of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// It needs another frame.
    pub(crate) delta: bool,
    /// It is decoded and shown in the same order as its neighbours, as far as its times tell.
    pub(crate) in_order: bool,
}

/// How the buffers of a pad become the payloads of a track.
#[derive(Debug)]
pub(crate) struct Conversion {
    format: Format,
    /// The form of NAL units, once it is known.
    form: Option<Form>,
    sets: Option<ParameterSets>,
    /// The header, once it is complete.
    header: Option<Track>,
    /// What the last ADTS header said.
    adts: Option<AudioSpecificConfig>,
    /// Upstream marks frames that need others: then it knows which do not.
    marks_deltas: bool,
    /// No buffer has come yet.
    first: bool,
}

impl Conversion {
    /// For buffers of this format. A conversion before it hands on what it knew of upstream.
    ///
    /// # Errors
    /// When the private data of the format cannot be read.
    pub(crate) fn new(format: Format, before: Option<Self>) -> Result<Self, CodecError> {
        let mut sets = ParameterSets::of(format.codec);
        let mut form = match format.framing {
            Framing::Nal(form) => form,
            _ => None,
        };
        let private = &format.track.codec_private;
        if let Some(sets) = &mut sets
            && !private.is_empty()
        {
            sets.push_private(private)?;
            if form != Some(Form::AnnexB) {
                form = Some(Form::LengthPrefixed(sets.length_size()));
            }
        }
        let header = format.complete.then(|| format.track.clone());
        // Parameter sets in band outlive caps that say nothing of them, such as of another bit rate.
        let known = before.filter(|before| before.format.codec == format.codec);
        let marks_deltas = known.as_ref().is_some_and(|known| known.marks_deltas);
        if let (Some(known), true) = (known, private.is_empty()) {
            sets = known.sets;
        }
        let mut conversion = Self { format, form, sets, header, adts: None, marks_deltas, first: true };
        conversion.complete_from_sets();
        Ok(conversion)
    }

    /// The header of the track, once all of it is known.
    pub(crate) const fn header(&self) -> Option<&Track> {
        self.header.as_ref()
    }

    /// What it converts.
    pub(crate) const fn format(&self) -> &Format {
        &self.format
    }

    /// Looks into a buffer as far as it must.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub(crate) fn look(&mut self, data: &[u8], said: Said) -> Result<Unit, CodecError> {
        self.marks_deltas |= said.delta;
        // Who marks none may not know; but a stream has to begin somewhere.
        let trusted = self.marks_deltas || self.first;
        self.first = false;
        let by_flag = trusted && !said.delta;
        match self.format.framing {
            Framing::Nal(_) | Framing::Obu => self.look_at_units(data, by_flag, said),
            Framing::Adts => self.look_at_adts(data),
            Framing::Plain => Ok(self.look_at_plain(data, by_flag)),
        }
    }

    fn look_at_units(&mut self, data: &[u8], by_flag: bool, said: Said) -> Result<Unit, CodecError> {
        let form =
            *self.form.get_or_insert_with(|| if nal::annex_b(data).is_ok() { Form::AnnexB } else { FOUR });
        let Some(sets) = &mut self.sets else { return Ok(Unit { key: by_flag, ..Unit::default() }) };
        let (unit, changed) = match sets.push(data, form) {
            Ok(fed) => (fed.unit, fed.changed),
            // A set that cannot be read: those before it stay, and the frame may be as good as any.
            Err(_) => {
                let random_access = random_access(self.format.codec, data, form)?;
                (AccessUnit { random_access, has_picture: true, ..AccessUnit::default() }, false)
            }
        };
        let header = changed && self.complete_from_sets();
        let key = unit.random_access.is_some() || by_flag;
        // H.264 has pictures of one kind only before which others may be shown without a word: those that are no IDR.
        let open = self.format.codec == Codec::H264
            && unit.random_access != Some(RandomAccess::Idr)
            && !said.in_order;
        Ok(Unit {
            key: key && unit.has_picture,
            leads: unit.leads || (key && open),
            header,
            empty: !unit.has_picture && unit.has_parameter_sets,
        })
    }

    fn look_at_adts(&mut self, data: &[u8]) -> Result<Unit, CodecError> {
        let config = adts::Header::parse(data)?.config()?;
        let header = self.adts != Some(config);
        if header {
            let mut track = self.format.track.clone();
            track.codec_private = config.write()?;
            let (rate, channels) = (f64::from(config.rate), u32::from(config.channels));
            track.audio = Some(AudioShape { rate, channels, bit_depth: None });
            self.format.lasts = config.frame_duration();
            (self.header, self.adts) = (Some(track), Some(config));
        }
        Ok(Unit { key: true, header, ..Unit::default() })
    }

    fn look_at_plain(&mut self, data: &[u8], by_flag: bool) -> Unit {
        let head = match self.format.codec {
            Codec::Vp8 => vp::vp8(data),
            Codec::Vp9 => vp::vp9(data),
            Codec::Mjpeg if self.header.is_none() => {
                let size = jpeg::parse(data).ok().map(|picture| (picture.width, picture.height));
                return Unit { key: true, header: self.complete_with(size), ..Unit::default() };
            }
            // Encoders send the headers of Ogg ahead, which caps have told.
            Codec::Opus => {
                let empty = data.starts_with(b"OpusHead") || data.starts_with(b"OpusTags");
                return Unit { key: true, empty, ..Unit::default() };
            }
            _ => return Unit { key: true, ..Unit::default() },
        };
        match head {
            Ok(FrameHead::Key(key)) => {
                let header = self.header.is_none() && self.complete_with(Some((key.width, key.height)));
                Unit { key: true, header, ..Unit::default() }
            }
            Ok(FrameHead::Inter) => Unit::default(),
            // Not for us to say: what cannot be read is sent as it came.
            Err(_) => Unit { key: by_flag, ..Unit::default() },
        }
    }

    /// The header from the parameter sets; true when it is another than before.
    fn complete_from_sets(&mut self) -> bool {
        let Some(sets) = &self.sets else { return false };
        let Ok(private) = sets.codec_private() else { return false };
        let mut track = self.format.track.clone();
        track.codec_private = private;
        if let Ok(picture) = sets.picture() {
            track.video = Some(VideoShape { width: picture.width, height: picture.height });
        }
        let other = self.header.as_ref() != Some(&track);
        self.header = Some(track);
        other
    }

    fn complete_with(&mut self, size: Option<(u32, u32)>) -> bool {
        let Some((width, height)) = size else { return false };
        let mut track = self.format.track.clone();
        track.video = Some(VideoShape { width, height });
        self.header = Some(track);
        true
    }

    /// The payload of a buffer that is one frame: of all but ADTS.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub(crate) fn payload(&self, data: &[u8], arena: &mut Arena) -> Result<Bytes, CodecError> {
        match (self.format.framing, self.form) {
            (Framing::Nal(_), Some(Form::AnnexB)) => {
                let len = nal::length_prefixed_len(data)?;
                arena.make(len, |out| Ok(nal::write_length_prefixed(data, out)?))
            }
            (Framing::Nal(_), Some(Form::LengthPrefixed(size))) if Form::LengthPrefixed(size) != FOUR => {
                let len = nal::widened_len(data, size)?;
                arena.make(len, |out| Ok(nal::write_widened(data, size, out)?))
            }
            (Framing::Obu, _) => arena.copy(av1::without_temporal_delimiter(data)?),
            _ => arena.copy(data),
        }
    }
}

/// What the service wants, and Matroska's usual form.
const FOUR: Form = Form::LengthPrefixed(kvs_media::codec::LengthSize::Four);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_take_little_more_memory_than_they_have_bytes() {
        for len in [1_000, Arena::SMALL, Arena::SMALL + 1, 33 << 10, Arena::CHUNK, 100 << 10] {
            let (mut arena, data) = (Arena::default(), vec![7; len]);
            let payloads: Vec<_> = (0..100).map(|_| arena.copy(&data).unwrap()).collect();
            assert!(payloads.iter().all(|payload| *payload == data));
            drop(arena);
            // What does not begin where the one before ends is in another allocation.
            let apart = |pair: &[Bytes]| pair[0].as_ptr_range().end != pair[1].as_ptr();
            let allocations = 1 + payloads.windows(2).filter(|pair| apart(pair)).count();
            if len > Arena::SMALL {
                let takes = |payload: Bytes| payload.try_into_mut().unwrap().capacity();
                assert!(payloads.into_iter().map(takes).all(|capacity| capacity == len), "{len}");
            } else {
                assert!(
                    allocations * Arena::CHUNK <= 100 * len * 4 / 3 + Arena::CHUNK,
                    "{len}: {allocations}"
                );
            }
        }
    }
}
