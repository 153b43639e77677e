//! How the service is set up.

use std::path::PathBuf;
use std::time::Duration;

use kvs_wire::limits as aws;

use crate::control::Account;
use crate::ingest;
use crate::keys::Keyring;
use crate::pictures;
use crate::store::Settings;

/// All that is decided before the service starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Whose streams they are, and in which Region: what ARNs say.
    pub account: Account,
    /// The URL that data endpoints are given as; without one, the host that a request names with the listener's port.
    pub advertise: Option<String>,
    /// The master keys; without them, those of the data folder, which are made when there are none.
    pub keyring: Option<Keyring>,
    /// What clients may do.
    pub limits: Limits,
    /// As many bytes as all recordings may take on the disk; then the oldest go.
    pub max_bytes: Option<u64>,
    /// Whoever asks for `/metrics` from another machine has to name it (`Authorization: Bearer`).
    pub metrics_token: Option<String>,
    /// Tests may command faults.
    pub allow_faults: bool,
    /// How fragments are kept.
    pub store: Settings,
    /// How pictures are made.
    pub pictures: pictures::Settings,
}

impl Config {
    /// The defaults, with a data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            account: Account::default(),
            advertise: None,
            keyring: None,
            limits: Limits::default(),
            max_bytes: None,
            metrics_token: None,
            allow_faults: false,
            store: Settings::default(),
            pictures: pictures::Settings::default(),
        }
    }
}

/// What clients may do. The defaults are those of AWS (kvs-api 10), and where it says none, what a well-behaved client
/// never meets.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams of the account.
    pub streams: usize,
    /// Calls a second of an operation of the control plane, on a stream.
    pub control_calls_per_stream: u32,
    /// Calls a second of an operation of the control plane, on all streams.
    pub control_calls: u32,
    /// The same for those that clients poll: DescribeStream and GetDataEndpoint.
    pub describe_calls: u32,
    /// A PutMedia session.
    pub session: ingest::Limits,
    /// PutMedia sessions of a stream at a time: a producer that changes its connection has two for a moment.
    pub put_media_sessions: usize,
    /// A session whose producer has begun another one ends after such a silence.
    pub replaced_idle: Duration,
    /// Calls of PutMedia a second on a stream.
    pub put_media_calls: u32,
    /// Bytes a second of a PutMedia session.
    pub put_media_bytes: u64,
    /// Fragments a second of a PutMedia session. AWS documents five, and not what becomes of more; this is what a
    /// recording that is sent afterwards may have.
    pub put_media_fragments: u32,
    /// Readers of a stream at a time.
    pub get_media_readers: usize,
    /// Calls of GetMedia a second on a stream.
    pub get_media_calls: u32,
    /// Bytes a second of a GetMedia or GetMediaForFragmentList answer.
    pub get_media_bytes: u64,
    /// Without anything new for so long, a GetMedia answer ends.
    pub get_media_idle: Duration,
    /// The age at which a GetMedia answer ends.
    pub get_media_duration: Duration,
    /// GetMediaForFragmentList calls of a stream at a time.
    pub fragment_list_readers: usize,
    /// Rows of ListFragments that may be asked for in a second, on a stream.
    pub fragment_metadata_points: u32,
    /// Fragments that may be asked for by their numbers in a second, on a stream.
    pub fragment_media_points: u32,
    /// Playback sessions that may be begun in a second, on a stream.
    pub playback_calls: u32,
    /// Playlists, and other lists of each kind, that may be read in a second, of a session.
    pub playback_lists: u32,
    /// Segments that may be read in a second, of a session.
    pub playback_media: u32,
    /// Fragments of a clip.
    pub clip_fragments: usize,
    /// Bytes of a clip's media.
    pub clip_bytes: u64,
    /// A stream that keeps nothing has its last media in memory for so long.
    pub unretained: Duration,
    /// And so many bytes of it.
    pub unretained_bytes: u64,
    /// Bytes that all such streams have together.
    pub unretained_total_bytes: u64,
    /// Connections at a time; who comes then waits.
    pub connections: usize,
    /// Connections of one address at a time; those beyond are closed. Nobody takes all seats.
    pub connections_per_address: usize,
    /// For the head of a request, and for the next request of a connection.
    pub head_timeout: Duration,
    /// For the body of a request that is not media.
    pub body_timeout: Duration,
    /// Bytes of such a body.
    pub body_bytes: usize,
    /// A peer that takes nothing for so long is gone.
    pub stall_timeout: Duration,
    /// For open fragments to be finished when the service stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: aws::STREAMS,
            control_calls_per_stream: aws::CONTROL_CALLS_PER_STREAM_PER_SECOND,
            control_calls: aws::CONTROL_CALLS_PER_SECOND,
            describe_calls: aws::DESCRIBE_CALLS_PER_SECOND,
            session: ingest::Limits::default(),
            put_media_sessions: 2,
            replaced_idle: Duration::from_secs(5),
            put_media_calls: aws::PUT_MEDIA_CALLS_PER_SECOND,
            put_media_bytes: aws::PUT_MEDIA_BYTES_PER_SECOND,
            put_media_fragments: 100,
            get_media_readers: aws::GET_MEDIA_CONNECTIONS,
            get_media_calls: aws::GET_MEDIA_CALLS_PER_SECOND,
            get_media_bytes: aws::GET_MEDIA_BYTES_PER_SECOND,
            get_media_idle: aws::GET_MEDIA_IDLE,
            get_media_duration: aws::GET_MEDIA_DURATION,
            fragment_list_readers: aws::FRAGMENT_LIST_CONNECTIONS,
            fragment_metadata_points: aws::FRAGMENT_METADATA_POINTS_PER_SECOND,
            fragment_media_points: aws::FRAGMENT_MEDIA_POINTS_PER_SECOND,
            playback_calls: aws::PLAYBACK_CALLS_PER_SECOND,
            playback_lists: aws::PLAYBACK_LISTS_PER_SECOND,
            playback_media: aws::PLAYBACK_SEGMENTS_PER_SECOND,
            clip_fragments: aws::CLIP_FRAGMENTS,
            clip_bytes: aws::CLIP_BYTES,
            unretained: aws::UNRETAINED_DURATION,
            unretained_bytes: aws::UNRETAINED_BYTES,
            unretained_total_bytes: 1_000_000_000,
            connections: 20_000,
            connections_per_address: 10_000,
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            // A thousand fragment numbers.
            body_bytes: 256 << 10,
            stall_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
        }
    }
}
