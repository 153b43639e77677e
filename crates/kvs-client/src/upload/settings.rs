//! How a stream is sent.

use std::time::Duration;

use kvs_media::fragment::Rules;
use kvs_media::mkv::Info;
use kvs_wire::{FragmentTimecodeType, StreamName};

/// How a stream is sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stream.
    pub stream: StreamName,
    /// What is done about the stream itself.
    pub setup: StreamSetup,
    /// What fragments are cut by.
    pub rules: Rules,
    /// What the document says of itself.
    pub info: Info,
    /// A track that says nothing for so long is not waited for.
    pub max_silence: Duration,
    /// How much waits to be acknowledged.
    pub capacity: Capacity,
    /// What happens beyond that.
    pub when_full: WhenFull,
    /// Ask for acks. Without them a frame that is sent is done with.
    pub acks: bool,
    /// What the timecodes on the wire count from.
    pub timecodes: FragmentTimecodeType,
    /// No ack for so long, where one is due: the connection is given up.
    pub staleness: Duration,
    /// Not connected for so long after the start: that is a failure. `None`: it never is.
    pub startup_timeout: Option<Duration>,
}

impl Settings {
    /// What a sink is set to that nobody has changed.
    pub fn new(stream: StreamName) -> Self {
        Self {
            stream,
            setup: StreamSetup::default(),
            rules: Rules::default(),
            info: Info::default(),
            max_silence: Duration::from_secs(3),
            capacity: Capacity::default(),
            when_full: WhenFull::Block,
            acks: true,
            timecodes: FragmentTimecodeType::Absolute,
            staleness: Duration::from_secs(60),
            startup_timeout: None,
        }
    }
}

impl Settings {
    /// What fragments are cut by, such that several fit into what may be held: one that grows, and what is on the wire.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            largest: self.rules.largest.min(self.capacity.bytes / 3).max(1),
            longest: self.rules.longest.min((self.capacity.span / 2).max(Duration::from_secs(1))),
            ..self.rules
        }
    }
}

/// How much waits to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of memory.
    pub bytes: u64,
    /// Media time, from the oldest frame to the newest.
    pub span: Duration,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { bytes: 128 << 20, span: Duration::from_secs(120) }
    }
}

/// What happens when no more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Who pushes waits.
    Block,
    /// The oldest whole fragments go, except what is partly on the wire.
    DropOldest,
    /// It is a failure.
    Fail,
}

/// What is done about the stream itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSetup {
    /// Make it when it is not there.
    pub create: bool,
    /// How long a new one keeps what it is given, in hours.
    pub retention_hours: u32,
    /// Tags that it gets.
    pub tags: Vec<(String, String)>,
}

impl Default for StreamSetup {
    fn default() -> Self {
        Self { create: true, retention_hours: 2, tags: Vec::new() }
    }
}
