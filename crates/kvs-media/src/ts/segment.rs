//! A segment: the frames of one fragment, in packets.

use crate::codec::aac::AudioSpecificConfig;
use crate::codec::h264::{self, AvcConfig};
use crate::codec::nal::{NalError, length_prefixed};
use crate::codec::{Codec, CodecError, LengthSize, aac_config, adts};
use crate::time::TimecodeScale;
use crate::timing::{Place, Run, Sample, Timed, Timescale, TooFarApart, TrackClock};
use crate::{Track, TrackNumber};

use super::packet::{Channel, Opening};
use super::tables::tables;

const PICTURES: u16 = 0x100;
const SOUND: u16 = 0x101;
/// `stream_type` and `stream_id` (2.4.4.9, 2.4.3.7).
const H264: (u8, u8) = (0x1b, 0xe0);
const AAC: (u8, u8) = (0x0f, 0xc0);

/// All times are so much later than on the time line, so that what is shown or clocked before zero has a place.
const ORIGIN: i64 = 10 * 90_000;
/// How much a packet is ahead of when it is decoded: what a receiver may have to hold.
const AHEAD: i64 = 63_000;
/// A PES packet gathers sound for this long, within what is allowed between two clocks (2.7.2), and so many bytes.
const GATHERED: i64 = 90 * 90;
const MOST_GATHERED: usize = 32 << 10;
/// `nal_unit_type` of an access unit delimiter, and one that allows slices of all kinds.
const DELIMITER: u8 = 9;
const ANY_SLICES: [u8; 6] = [0, 0, 0, 1, DELIMITER, 0xf0];
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why frames cannot be packaged as MPEG-TS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsError {
    /// There is no track.
    #[error("there is no track")]
    NoTracks,
    /// MPEG-TS has no form for the codec here, or there is another track of its kind.
    #[error("track {track} with the codec {codec_id:?} is not packaged as MPEG-TS")]
    Unsupported {
        /// The track.
        track: TrackNumber,
        /// Its codec id.
        codec_id: String,
    },
    /// Matroska itself has compressed or encrypted the payload.
    #[error("the content of track {0} is encoded")]
    Encoded(TrackNumber),
    /// The private data does not describe the track, or not so that MPEG-TS can say it.
    #[error("the codec private data of track {track}: {error}")]
    Private {
        /// The track.
        track: TrackNumber,
        /// What is wrong with it.
        error: CodecError,
    },
    /// A sample names a track that is not in the list.
    #[error("a sample of track {index} of {count}")]
    NoSuchTrack {
        /// The place in the list that it names.
        index: usize,
        /// How long the list is.
        count: usize,
    },
    /// Times cannot be written.
    #[error(transparent)]
    TooFarApart(#[from] TooFarApart),
    /// A frame that was not announced.
    #[error("there are {0} frames and no more")]
    NoSuchFrame(usize),
    /// A frame that cannot be what its codec says.
    #[error("frame {frame} of the fragment: {error}")]
    Frame {
        /// Which frame of the segment, from 0 on.
        frame: usize,
        /// What is wrong with it.
        error: CodecError,
    },
}

/// The tracks of segments.
#[derive(Clone, Debug)]
pub struct Program {
    streams: Vec<Stream>,
    tables: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Stream {
    form: Form,
    clock: TrackClock,
    /// It carries the decoder's clock.
    clocks: bool,
}

#[derive(Clone, Debug)]
enum Form {
    /// How lengths are written, and the parameter sets in Annex B.
    Pictures(LengthSize, Vec<u8>),
    Sound(AudioSpecificConfig),
}

impl Form {
    const fn pid(&self) -> u16 {
        if matches!(self, Self::Pictures(..)) { PICTURES } else { SOUND }
    }

    const fn stream_type(&self) -> u8 {
        if matches!(self, Self::Pictures(..)) { H264.0 } else { AAC.0 }
    }
}

impl Program {
    /// A track of H.264, one of AAC, or one of each, of a document whose ticks are of this scale.
    ///
    /// # Errors
    /// When there is another track, or private data that is missing or cannot be said.
    pub fn new(tracks: &[&Track], scale: TimecodeScale) -> Result<Self, TsError> {
        let mut streams: Vec<Stream> = Vec::with_capacity(tracks.len());
        for track in tracks {
            let stream = Stream::new(track, scale)?;
            if streams.iter().any(|other| other.form.pid() == stream.form.pid()) {
                return Err(unsupported(track));
            }
            streams.push(stream);
        }
        // Pictures have the lower number, and carry the clock.
        let clock = streams.iter().map(|stream| stream.form.pid()).min().ok_or(TsError::NoTracks)?;
        for stream in &mut streams {
            stream.clocks = stream.form.pid() == clock;
        }
        let listed: Vec<_> =
            streams.iter().map(|stream| (stream.form.pid(), stream.form.stream_type())).collect();
        Ok(Self { tables: tables(&listed, clock), streams })
    }

    /// The segment of a fragment, of which the samples are as they are stored, each with its track's place in the list.
    ///
    /// # Errors
    /// When a sample has no track, or samples are hours apart.
    pub fn segment(
        &self,
        place: Place,
        samples: impl IntoIterator<Item = (usize, Sample)>,
    ) -> Result<Segment<'_>, TsError> {
        let samples: Vec<(usize, Sample)> = samples.into_iter().collect();
        let count = self.streams.len();
        if let Some(&(index, _)) = samples.iter().find(|(index, _)| *index >= count) {
            return Err(TsError::NoSuchTrack { index, count });
        }
        let lanes = self.streams.iter().enumerate().map(|(index, stream)| {
            let of_track = |(of, sample): &(usize, Sample)| (*of == index).then_some(*sample);
            let run = Run::with_lead(&stream.clock, place, samples.iter().filter_map(of_track))?;
            Ok(Lane {
                stream,
                run,
                next: 0,
                channel: Channel::new(stream.form.pid()),
                gathered: Gathered::default(),
            })
        });
        Ok(Segment {
            lanes: lanes.collect::<Result<_, TooFarApart>>()?,
            order: samples.into_iter().map(|(index, _)| index).collect(),
            next: 0,
            tables: Some(&self.tables),
        })
    }
}

fn unsupported(track: &Track) -> TsError {
    TsError::Unsupported { track: track.number, codec_id: track.codec_id.clone() }
}

impl Stream {
    fn new(track: &Track, scale: TimecodeScale) -> Result<Self, TsError> {
        if track.encoded {
            return Err(TsError::Encoded(track.number));
        }
        let private = |error| TsError::Private { track: track.number, error };
        let form = match Codec::of(track) {
            Some(Codec::H264) if track.codec_id == Codec::H264.codec_id() => {
                if track.codec_private.is_empty() {
                    return Err(private(CodecError::MissingPrivate));
                }
                let config = AvcConfig::parse(&track.codec_private).map_err(private)?;
                if config.pps.is_empty() {
                    return Err(private(CodecError::Broken { part: "avcC", rule: "needs a PPS" }));
                }
                let extensions = config.high.iter().flat_map(|high| &high.sps_extensions);
                let sets = config.sps.iter().chain(extensions).chain(&config.pps);
                let sets = sets.flat_map(|unit| START_CODE.iter().chain(unit)).copied().collect();
                Form::Pictures(config.length_size, sets)
            }
            Some(Codec::Aac) => {
                let config = aac_config(track).map_err(private)?;
                adts::header(&config, 0).map_err(private)?;
                Form::Sound(config)
            }
            _ => return Err(unsupported(track)),
        };
        let clock = TrackClock::of(track, scale).map_err(private)?.at(Timescale::MPEG);
        Ok(Self { form, clock, clocks: false })
    }
}

/// A segment that is being written.
#[derive(Debug)]
pub struct Segment<'a> {
    lanes: Vec<Lane<'a>>,
    /// The track of each frame.
    order: Vec<usize>,
    next: usize,
    /// What stands at the beginning, until it has been written.
    tables: Option<&'a [u8]>,
}

/// One track of a segment.
#[derive(Debug)]
struct Lane<'a> {
    stream: &'a Stream,
    run: Run,
    next: usize,
    channel: Channel,
    gathered: Gathered,
}

/// Sound that waits to be a PES packet.
#[derive(Debug, Default)]
struct Gathered {
    frames: Vec<u8>,
    /// When the first is decoded, and when the last ends.
    span: (i64, i64),
}

impl Segment<'_> {
    /// Appends to `out` what the next frame brings, in whole packets. Sound may come out with a later one.
    ///
    /// # Errors
    /// When there is no next frame, or it is not what its codec says; then nothing was written of it.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TsError> {
        let frame = self.next;
        let missing = TsError::NoSuchFrame(self.order.len());
        let lane =
            self.order.get(frame).and_then(|index| self.lanes.get_mut(*index)).ok_or(missing.clone())?;
        let timed = lane.run.samples().get(lane.next).copied().ok_or(missing)?;
        out.extend_from_slice(self.tables.take().unwrap_or_default());
        lane.next = lane.next.saturating_add(1);
        self.next = frame.saturating_add(1);
        lane.write(timed, payload, out).map_err(|error| TsError::Frame { frame, error })
    }

    /// Appends to `out` what waits.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tables.take().unwrap_or_default());
        for lane in &mut self.lanes {
            lane.flush(true, out);
        }
    }
}

impl Lane<'_> {
    fn write(&mut self, timed: Timed, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let last = self.next >= self.run.samples().len();
        match &self.stream.form {
            Form::Pictures(size, sets) => {
                let sets = if timed.key { &sets[..] } else { &[] };
                self.picture(timed, payload, *size, sets, last, out)
            }
            Form::Sound(config) => {
                let header = adts::header(config, payload.len())?;
                let lasts = i64::from(timed.duration);
                let Gathered { frames, span: (from, until) } = &self.gathered;
                let whole = frames.len().saturating_add(payload.len()) > MOST_GATHERED
                    || timed.decode.saturating_sub(*from).saturating_add(lasts) > GATHERED;
                // Only the first frame of a PES packet has a time; those behind it follow without a gap.
                if whole || timed.decode != *until {
                    self.flush(false, out);
                }
                if self.gathered.frames.is_empty() {
                    self.gathered.span.0 = timed.decode;
                }
                self.gathered.frames.extend_from_slice(&header);
                self.gathered.frames.extend_from_slice(payload);
                let nominal = Timescale::MPEG.units(config.frame_duration());
                // A frame that lasts longer than its samples is the last before a gap.
                let ends = timed.decode.saturating_add(lasts);
                self.gathered.span.1 = if lasts.abs_diff(nominal) <= 90 { ends } else { i64::MIN };
                if last {
                    self.flush(true, out);
                }
                Ok(())
            }
        }
    }

    fn picture(
        &mut self,
        timed: Timed,
        payload: &[u8],
        size: LengthSize,
        sets: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let mut len = ANY_SLICES.len().saturating_add(sets.len());
        let mut units = 0_usize;
        for unit in length_prefixed(payload, size) {
            let unit = unit?;
            units = units.saturating_add(1);
            if h264::unit_type(unit) != DELIMITER {
                len = len.saturating_add(START_CODE.len()).saturating_add(unit.len());
            }
        }
        if units == 0 {
            return Err(NalError::Empty { len: payload.len() }.into());
        }
        let (header, header_len) = pes_header(H264.1, timed.shown(), Some(timed.decode), 0);
        let header = header.get(..header_len).unwrap_or_default();
        let pcr = self.stream.clocks.then(|| clock(timed.decode.saturating_sub(AHEAD)));
        let opening = Opening { pcr, random_access: timed.key, last };
        let mut pes = self.channel.begin(header_len.saturating_add(len), opening, out);
        pes.put(header);
        pes.put(&ANY_SLICES);
        pes.put(sets);
        for unit in length_prefixed(payload, size).flatten() {
            if h264::unit_type(unit) != DELIMITER {
                pes.put(&START_CODE);
                pes.put(unit);
            }
        }
        Ok(())
    }

    /// Sound that has been gathered, as a PES packet.
    fn flush(&mut self, last: bool, out: &mut Vec<u8>) {
        let Gathered { frames, span: (from, _) } = &mut self.gathered;
        if frames.is_empty() {
            return;
        }
        let (header, header_len) = pes_header(AAC.1, *from, None, frames.len());
        let header = header.get(..header_len).unwrap_or_default();
        let pcr = self.stream.clocks.then(|| clock(from.saturating_sub(AHEAD)));
        let opening = Opening { pcr, random_access: true, last };
        let mut pes = self.channel.begin(header_len.saturating_add(frames.len()), opening, out);
        pes.put(header);
        pes.put(frames);
        frames.clear();
    }
}

/// A time as MPEG's 33 bits, which wrap.
fn clock(units: i64) -> u64 {
    units.saturating_add(ORIGIN).cast_unsigned() & ((1 << 33) - 1)
}

/// The head of a PES packet (2.4.3.6), and its length: with a decoding time where that is another, and a length of the
/// whole unless it is 0.
fn pes_header(stream: u8, shown: i64, decoded: Option<i64>, payload: usize) -> ([u8; 19], usize) {
    let decoded = decoded.filter(|decoded| *decoded != shown);
    let times: u8 = if decoded.is_some() { 10 } else { 5 };
    let len = 9 + usize::from(times);
    let after = if payload == 0 { 0 } else { payload.saturating_add(3).saturating_add(usize::from(times)) };
    let [high, low] = u16::try_from(after).unwrap_or_default().to_be_bytes();
    let mark = if decoded.is_some() { 3 } else { 2 };
    let [a, b, c, d, e] = timestamp(mark, shown);
    let [f, g, h, i, j] = decoded.map_or([0; 5], |decoded| timestamp(1, decoded));
    // The payload begins with an access unit.
    ([0, 0, 1, stream, high, low, 0x84, mark << 6, times, a, b, c, d, e, f, g, h, i, j], len)
}

/// 33 bits among markers.
fn timestamp(mark: u8, units: i64) -> [u8; 5] {
    let value = clock(units);
    let bits = |shift: u32, mask: u64| u8::try_from(value >> shift & mask).unwrap_or_default();
    [
        mark << 4 | bits(30, 7) << 1 | 1,
        bits(22, 0xff),
        bits(15, 0x7f) << 1 | 1,
        bits(7, 0xff),
        bits(0, 0x7f) << 1 | 1,
    ]
}
