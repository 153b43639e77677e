//! The times of stored frames on the clock of a container.
//!
//! Matroska tells when a frame is shown, in ticks of its document; MP4 and MPEG-TS also say when it is decoded. The rule
//! here needs nothing but one track of one fragment: of its frames in decoding order, the i-th is due at the i-th smallest
//! of their presentation times, and is decoded a lead earlier, so that each is decoded no later than it is shown. Nothing
//! is ever shown later for it. There are two ways of taking the lead:
//!
//! - [`Run::within`]: the least that the fragment needs, and nothing before the first frame is shown. A fragment begins
//!   and ends with what is shown of it, as players of segments of MP4 reckon; its first pictures are decoded at once.
//! - [`Run::with_lead`]: the same in all fragments, so that decoding times never bunch, as a clock of MPEG wants. It is
//!   how many pictures the encoder reorders, times how long one lasts, by the parameter sets. Where these say nothing, or
//!   too little, it is what the fragment needs, in steps that are coarse enough to be the same in the next.
//!
//! # Sound
//!
//! Frames of sound last a whole number of samples, and a tick of a millisecond cuts that off: 21, 21, 22 ms. A player
//! that believes it clicks. So the times of such a track lie on the grid of its frames as long as they are no more than
//! a tick away from it, counted from the first frame of the fragment, whose time stays as it is.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::codec::wave::WaveFormat;
use crate::codec::{Codec, CodecError, Picture, aac_config, describe};
use crate::time::TimecodeScale;
use crate::{Track, TrackKind};

/// What is known of a stored frame without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Ticks after the fragment's own time; negative for what is shown before it.
    pub time: i32,
    /// Bytes.
    pub size: u32,
    /// Decoding can begin here.
    pub key: bool,
}

/// Where a fragment lies on the time line of what is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The fragment's own time, from which its samples count.
    pub start: Duration,
    /// How long their ticks are.
    pub scale: TimecodeScale,
    /// Where what follows begins: the smallest presentation time of the next fragment ([`first_shown`]). The last frame
    /// lasts until then. `None` where nothing follows or there is a gap: it lasts as long as others do.
    pub next: Option<Duration>,
}

/// When the first of the samples is shown, whichever comes first; nothing is before the beginning of the time line.
pub fn first_shown(start: Duration, scale: TimecodeScale, samples: impl Iterator<Item = Sample>) -> Duration {
    let ticks = samples.map(|sample| sample.time).min().unwrap_or_default();
    let span = Duration::from_nanos(scale.nanos()).saturating_mul(ticks.unsigned_abs());
    if ticks < 0 { start.saturating_sub(span) } else { start.saturating_add(span) }
}

/// Times that no container can hold beside one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frames are {units} units of 1/{timescale} s apart, which is more than a container can say")]
pub struct TooFarApart {
    /// How far.
    pub units: u64,
    /// Units a second.
    pub timescale: u32,
}

/// How many units a container counts a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timescale(NonZeroU32);

/// With finer units a 32-bit duration would end within the hour.
const FINEST: u64 = 1_000_000;
/// No time is beyond this, so that none overflows by what is added to it.
const LATEST: i64 = i64::MAX / 4;
const NANOS: u64 = 1_000_000_000;

impl Timescale {
    /// 90 kHz, the clock of MPEG: a multiple of a millisecond, and of a frame at every usual rate.
    pub const MPEG: Self = Self(NonZeroU32::new(90_000).unwrap());

    /// The one for pictures: [`Self::MPEG`] where a tick is a whole number of its units, as at 1 ms; else the ticks
    /// themselves; else, for ticks that would leave too little range, microseconds.
    pub fn of_pictures(scale: TimecodeScale) -> Self {
        match tick_rate(scale) {
            rate if 90_000_u64.is_multiple_of(rate) => Self::MPEG,
            rate => Self::new(rate.min(FINEST)).unwrap_or(Self::MPEG),
        }
    }

    /// The one for sound: the least multiple of its rate of which a tick is a whole number, so that both its samples and
    /// the times of fragments are exact (48,000; 441,000 for 44.1 kHz); the rate itself where that would be too fine.
    pub fn of_sound(rate: NonZeroU32, scale: TimecodeScale) -> Self {
        let (rate, ticks) = (u64::from(rate.get()), tick_rate(scale));
        let common = ticks.checked_div(gcd(rate, ticks)).and_then(|factor| rate.checked_mul(factor));
        let exact = common.filter(|common| *common <= FINEST);
        Self::new(exact.unwrap_or(rate)).unwrap_or(Self::MPEG)
    }

    fn new(units: u64) -> Option<Self> {
        NonZeroU32::new(u32::try_from(units).ok()?).map(Self)
    }

    /// Units a second.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The unit nearest to a time.
    pub fn units(self, at: Duration) -> i64 {
        let units = u64::from(self.get());
        let part = u64::from(at.subsec_nanos()).saturating_mul(units).saturating_add(NANOS / 2) / NANOS;
        let whole = at.as_secs().saturating_mul(units).saturating_add(part);
        i64::try_from(whole).unwrap_or(LATEST).min(LATEST)
    }

    /// How long so many units last.
    pub fn span(self, units: u64) -> Duration {
        let (each, per_second) = (u64::from(self.get()), units.checked_div(u64::from(self.get())));
        let seconds = per_second.unwrap_or_default();
        let rest = units.saturating_sub(seconds.saturating_mul(each));
        // Less than a second's units, of which there are less than 2^32.
        let nanos = rest.saturating_mul(NANOS).checked_div(each).unwrap_or_default();
        Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
    }
}

/// The least number that counts the ticks of a second, or of several, as a whole.
fn tick_rate(scale: TimecodeScale) -> u64 {
    NANOS.checked_div(gcd(NANOS, scale.nanos())).unwrap_or(NANOS)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or_default());
    }
    a
}

/// Ticks of a document as units of a container.
#[derive(Clone, Copy, Debug)]
enum Ticks {
    /// A tick is so many units.
    Whole(i64),
    /// A tick is so many billionths of a unit.
    Billionths(i128),
}

impl Ticks {
    fn new(scale: TimecodeScale, timescale: Timescale) -> Self {
        let billionths = u128::from(scale.nanos()) * u128::from(timescale.get());
        let whole = u128::from(NANOS);
        match i32::try_from(billionths / whole) {
            Ok(units) if billionths.is_multiple_of(whole) => Self::Whole(i64::from(units)),
            // Less than 2^96.
            _ => Self::Billionths(i128::try_from(billionths).unwrap_or(i128::MAX >> 32)),
        }
    }

    /// The unit nearest to a tick.
    #[inline]
    fn units(self, ticks: i32) -> i64 {
        match self {
            // Both are of 32 bits.
            Self::Whole(units) => i64::from(ticks).saturating_mul(units),
            Self::Billionths(each) => Self::nearest(ticks, each),
        }
    }

    #[cold]
    fn nearest(ticks: i32, each: i128) -> i64 {
        let nanos = i128::from(NANOS);
        let units = (i128::from(ticks).saturating_mul(each) + nanos / 2).div_euclid(nanos);
        i64::try_from(units).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

/// What tells how many samples of sound a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameLength {
    /// Every frame holds as many.
    Samples(u32),
    /// A sample of all channels has so many bytes.
    Bytes(NonZeroU32),
}

/// The grid on which the frames of a track of sound lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    rate: NonZeroU32,
    length: FrameLength,
}

impl Grid {
    fn samples(self, size: u32) -> u64 {
        u64::from(match self.length {
            FrameLength::Samples(samples) => samples,
            FrameLength::Bytes(each) => size / each,
        })
    }

    fn units(self, samples: u64, timescale: Timescale) -> i64 {
        // What is beyond the range is no time of a frame, and is not snapped to.
        let units = samples.saturating_mul(u64::from(timescale.get())) / u64::from(self.rate.get());
        i64::try_from(units).unwrap_or(LATEST).min(LATEST)
    }
}

/// Where the frames of a track of sound have come to on their grid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stride {
    /// Where the grid begins, and the samples since.
    from: Option<(i64, u64)>,
    /// The time of the last frame as it was told.
    told: i64,
}

impl Stride {
    /// The time of the next frame, which is told to be at `told`.
    fn step(&mut self, grid: Grid, timescale: Timescale, tolerance: u64, told: i64, size: u32) -> i64 {
        let expected = self.from.map(|(from, samples)| from.saturating_add(grid.units(samples, timescale)));
        // The frames of a lace are all told to be at the time of their block.
        let near = |at: &i64| told == self.told || told.abs_diff(*at) <= tolerance;
        let (at, (from, samples)) = match (expected.filter(near), self.from) {
            (Some(at), Some(from)) => (at, from),
            _ => (told, (told, 0)),
        };
        self.from = Some((from, samples.saturating_add(grid.samples(size))));
        self.told = told;
        at
    }
}

/// The clock of a track within a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackClock {
    timescale: Timescale,
    grid: Option<Grid>,
    /// Frames may be shown in another order than they are decoded in.
    reorders: bool,
    /// How long a frame lasts where no other tells.
    nominal: Duration,
    /// How much earlier than the rule says frames are decoded; zero where the parameter sets do not tell.
    lead: Duration,
}

/// How long a picture lasts where nothing tells.
const TYPICAL: Duration = Duration::from_millis(40);
/// The steps of a lead that only the frames tell: more than one frame usually lasts.
const LEAD_STEP: Duration = Duration::from_millis(100);
/// Sound at a higher rate is none.
const FASTEST: u32 = 1 << 24;

impl TrackClock {
    /// The clock of a track whose document has ticks of this scale.
    ///
    /// # Errors
    /// When the track cannot be described, or its sound has a rate that cannot be.
    pub fn of(track: &Track, scale: TimecodeScale) -> Result<Self, CodecError> {
        let described = describe(track)?;
        let grid = match described.codec {
            Codec::Aac => {
                let config = aac_config(track)?;
                Some((config.rate, FrameLength::Samples(config.frame_samples())))
            }
            Codec::Alaw | Codec::Mulaw => {
                let format = WaveFormat::parse(&track.codec_private)?;
                let channels = NonZeroU32::new(u32::from(format.channels));
                channels.map(|channels| (format.rate, FrameLength::Bytes(channels)))
            }
            _ => None,
        };
        let grid = match grid {
            Some((rate, length)) => {
                let bounded = NonZeroU32::new(rate).filter(|rate| rate.get() <= FASTEST);
                let rate = bounded.ok_or(CodecError::value("sound", "rate", rate))?;
                Some(Grid { rate, length })
            }
            None => None,
        };
        let timescale = match grid {
            Some(grid) => Timescale::of_sound(grid.rate, scale),
            None => Timescale::of_pictures(scale),
        };
        let rate = described.frame_rate.map(|rate| 1.0 / rate.as_f64());
        let told = rate.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let nominal = track.frame_duration.or(told).filter(|span| !span.is_zero()).unwrap_or(TYPICAL);
        let reorders = described.codec.kind() == TrackKind::Video;
        let lead = match lead_depth(described.codec, described.picture.as_ref()) {
            0 => Duration::ZERO,
            // Times are cut off to a tick, and the tick may lie between two of them.
            depth => nominal.saturating_mul(depth).saturating_add(Duration::from_nanos(scale.nanos())),
        };
        Ok(Self { timescale, grid, reorders, nominal, lead })
    }

    /// The same frames on another clock.
    pub const fn at(self, timescale: Timescale) -> Self {
        Self { timescale, ..self }
    }

    /// Its units.
    pub const fn timescale(&self) -> Timescale {
        self.timescale
    }

    /// How long a frame lasts where no other tells.
    pub const fn nominal(&self) -> Duration {
        self.nominal
    }
}

/// Over how many pictures the parameter sets say that the encoder reorders.
fn lead_depth(codec: Codec, picture: Option<&Picture>) -> u32 {
    let told = picture.and_then(|picture| picture.reorder_depth).unwrap_or_default();
    match codec {
        // Where H.264 does not tell it is what fits into the decoder, which is more than this; encoders that reorder tell.
        Codec::H264 if told > 3 => 0,
        _ => told.min(8),
    }
}

/// A sample and when it is decoded, in units of its track's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When it is decoded.
    pub decode: i64,
    /// How much later it is shown than decoded; negative only for what is shown before the time line begins. 0 for sound.
    pub offset: i32,
    /// Until the next is decoded.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Decoding can begin here.
    pub key: bool,
}

impl Timed {
    /// When it is shown.
    pub fn shown(&self) -> i64 {
        self.decode.saturating_add(i64::from(self.offset))
    }
}

/// What decoding times lie within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How much earlier than it is due a sample is decoded.
    pub(crate) lead: i64,
    /// Nothing is decoded before this.
    pub(crate) floor: i64,
    /// What would be decoded at the floor is spread over so many units, one each.
    pub(crate) spread: i64,
    /// The last sample lasts until this.
    pub(crate) end: i64,
}

/// The samples of one track in one fragment, in decoding order, on the track's clock.
///
/// No decoding time is negative, and none is before the one of the sample before it. What would be decoded before the
/// beginning of the time line is decoded there.
#[derive(Clone, Debug, Default)]
pub struct Run {
    samples: Vec<Timed>,
    /// Presentation times in their own order.
    order: Vec<i64>,
    first_decoded: i64,
    end: i64,
    bytes: u64,
}

impl Run {
    /// Lays the samples of a track, in decoding order, on its clock: each is decoded when its rank is due, less the lead.
    ///
    /// # Errors
    /// When two samples are further apart than 32 bits can tell: hours.
    pub fn with_lead(
        clock: &TrackClock,
        place: Place,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<Self, TooFarApart> {
        let mut run = Self::default();
        run.show(clock, place, &mut Stride::default(), samples);
        let lead = run.lead(clock);
        let bounds = Bounds { lead, floor: 0, spread: 0, end: run.end.saturating_sub(lead) };
        run.decode(clock, bounds)?;
        Ok(run)
    }

    /// Lays the samples of a track, in decoding order, on its clock: nothing is decoded before the first is shown, and
    /// the last lasts until the end.
    ///
    /// # Errors
    /// When two samples are further apart than 32 bits can tell: hours.
    pub fn within(
        clock: &TrackClock,
        place: Place,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<Self, TooFarApart> {
        let mut run = Self::default();
        run.show(clock, place, &mut Stride::default(), samples);
        let (floor, end) = (run.start().max(0), run.end);
        let bounds = Bounds { lead: run.needed(clock), floor, spread: run.spread(), end };
        run.decode(clock, bounds)?;
        Ok(run)
    }

    /// When samples are shown, in memory that is there already; sound goes on from `stride`.
    pub(crate) fn show(
        &mut self,
        clock: &TrackClock,
        place: Place,
        stride: &mut Stride,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        let timescale = clock.timescale;
        let ticks = Ticks::new(place.scale, timescale);
        // Both the first time and this one are cut off to a tick, and rounded to a unit.
        let tolerance = ticks.units(1).unsigned_abs().saturating_add(1);
        let base = timescale.units(place.start);
        self.samples.clear();
        self.order.clear();
        self.bytes = 0;
        let samples = samples.into_iter();
        // Of a filter only the most is known; what is beyond this grows.
        let expected = samples.size_hint().1.unwrap_or_default().min(1 << 12);
        self.samples.reserve(expected);
        self.order.reserve(expected);
        for Sample { time, size, key } in samples {
            let told = base.saturating_add(ticks.units(time)).clamp(-LATEST, LATEST);
            let shown = match clock.grid {
                Some(grid) => stride.step(grid, timescale, tolerance, told, size),
                None => told,
            };
            self.bytes = self.bytes.saturating_add(u64::from(size));
            self.order.push(shown);
            self.samples.push(Timed { decode: shown, offset: 0, duration: 0, size, key });
        }
        if !self.order.is_sorted() {
            self.order.sort_unstable();
        }
        self.first_decoded = base;
        self.end = self.end_of_last(clock, place).unwrap_or(base);
    }

    /// The least lead with which every sample is decoded no later than it is shown. Before [`Self::decode`].
    fn needed(&self, clock: &TrackClock) -> i64 {
        if !clock.reorders {
            return 0;
        }
        let late = |(due, sample): (&i64, &Timed)| due.saturating_sub(sample.decode);
        self.order.iter().zip(&self.samples).map(late).max().unwrap_or_default()
    }

    /// The lead that is the same in all fragments. Before [`Self::decode`].
    fn lead(&self, clock: &TrackClock) -> i64 {
        if !clock.reorders || self.samples.is_empty() {
            return 0;
        }
        let (told, needed) = (clock.timescale.units(clock.lead), self.needed(clock));
        if needed <= told {
            return told;
        }
        let step = clock.timescale.units(LEAD_STEP).max(1);
        needed.unsigned_abs().next_multiple_of(step.unsigned_abs()).try_into().unwrap_or(LATEST)
    }

    /// How many units behind the first frame others can be decoded that are due with it or before, one after another:
    /// until the second is shown. None where the first to be decoded is not the first to be shown. Before
    /// [`Self::decode`].
    fn spread(&self) -> i64 {
        match (&self.order[..], self.samples.first()) {
            ([first, second, ..], Some(sample)) if sample.decode == *first => second.saturating_sub(*first),
            _ => 0,
        }
    }

    /// When samples are decoded that [`Self::show`] has laid.
    pub(crate) fn decode(&mut self, clock: &TrackClock, bounds: Bounds) -> Result<(), TooFarApart> {
        let Bounds { lead, floor, spread, end } = bounds;
        let timescale = clock.timescale.get();
        let apart = |units: i64| TooFarApart { units: units.unsigned_abs(), timescale };
        let behind = |rank: i64| floor.saturating_add(spread.min(rank));
        let mut due =
            (0_i64..).zip(&self.order).map(|(rank, due)| due.saturating_sub(lead).max(behind(rank)));
        let mut decode = due.next().unwrap_or(end).max(floor);
        self.first_decoded = decode;
        for sample in &mut self.samples {
            let next = due.next().unwrap_or(end).max(decode);
            let (shown, lasts) = (sample.decode, next.saturating_sub(decode));
            sample.decode = decode;
            sample.duration = u32::try_from(lasts).map_err(|_| apart(lasts))?;
            if clock.reorders {
                let offset = shown.saturating_sub(decode);
                sample.offset = i32::try_from(offset).map_err(|_| apart(offset))?;
            }
            decode = next;
        }
        Ok(())
    }

    fn end_of_last(&self, clock: &TrackClock, place: Place) -> Option<i64> {
        let (last, sample) = (*self.order.last()?, self.samples.last()?);
        if let Some(next) = place.next {
            return Some(clock.timescale.units(next).max(last));
        }
        let lasts = match clock.grid {
            Some(grid) => grid.units(grid.samples(sample.size), clock.timescale),
            None => self.median().unwrap_or_else(|| clock.timescale.units(clock.nominal)),
        };
        Some(last.saturating_add(lasts))
    }

    /// How long the frames but the last typically last.
    fn median(&self) -> Option<i64> {
        let pairs = self.order.iter().zip(self.order.iter().skip(1));
        let mut spans: Vec<i64> = pairs.map(|(at, next)| next.saturating_sub(*at)).collect();
        let middle = spans.len() / 2;
        (middle < spans.len()).then(|| *spans.select_nth_unstable(middle).1).filter(|span| *span > 0)
    }

    /// The samples, in decoding order.
    pub fn samples(&self) -> &[Timed] {
        &self.samples
    }

    /// When the first is decoded.
    pub const fn first_decoded(&self) -> i64 {
        self.first_decoded
    }

    /// When the first is shown, whichever that is.
    pub fn start(&self) -> i64 {
        self.order.first().copied().unwrap_or(self.end)
    }

    /// When the last that is shown ends.
    pub const fn end(&self) -> i64 {
        self.end
    }

    /// The bytes of all samples.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}
