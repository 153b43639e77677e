//! The service's numbers: quotas page and service models, as of 2026. The service may grant more for some of them.

use std::time::Duration;

/// Characters of a stream's or channel's name (model `StreamName`).
pub const STREAM_NAME_CHARACTERS: usize = 256;
/// Characters of an ARN (model `ResourceARN`).
pub const ARN_CHARACTERS: usize = 1024;
/// Characters of a media type (model `MediaType`).
pub const MEDIA_TYPE_CHARACTERS: usize = 128;
/// Characters of the key of a stream's tag (model `TagKey`).
pub const TAG_KEY_CHARACTERS: usize = 128;
/// Characters of the value of a stream's tag (model `TagValue`).
pub const TAG_VALUE_CHARACTERS: usize = 256;
/// Tags of a stream (model `ResourceTags`).
pub const TAGS_PER_STREAM: usize = 50;
/// Characters of a continuation token (model `ContinuationToken`).
pub const CONTINUATION_TOKEN_CHARACTERS: usize = 128;
/// Hours of retention: ten years (UpdateDataRetention page).
pub const RETENTION_HOURS: u32 = 87_600;
/// Most results of a ListStreams page, and as many as it gives unless asked (model).
pub const LIST_STREAMS_RESULTS: usize = 10_000;
/// Most results of a ListFragments page (model).
pub const LIST_FRAGMENTS_RESULTS: usize = 1_000;
/// Results of a ListFragments page unless asked (model).
pub const LIST_FRAGMENTS_DEFAULT_RESULTS: usize = 100;
/// Fragments of a GetMediaForFragmentList call (model).
pub const FRAGMENT_LIST_LENGTH: usize = 1_000;

/// Bytes of a fragment (quotas page: 50 MB). Beyond it: 4001.
pub const FRAGMENT_BYTES: u64 = 50_000_000;
/// Length of a fragment (quotas page; older pages say 10 s). Beyond it: 4002.
pub const FRAGMENT_DURATION: Duration = Duration::from_secs(20);
/// Shortest fragment (quotas page). Shorter ones are commonly taken.
pub const FRAGMENT_MIN_DURATION: Duration = Duration::from_secs(1);
/// Length of a fragment that every edition of the documentation allows.
pub const FRAGMENT_SAFE_DURATION: Duration = Duration::from_secs(10);
/// Fragments of a stream in a second, in either direction (quotas page).
pub const FRAGMENTS_PER_SECOND: u32 = 5;
/// Tracks of a session (quotas page). Beyond it: 4005.
pub const TRACKS: usize = 3;
/// Tags of a fragment (quotas page). Beyond it: 4009.
pub const FRAGMENT_TAGS: usize = 10;
/// Bytes of the name of a fragment's tag (quotas page).
pub const FRAGMENT_TAG_NAME_BYTES: usize = 128;
/// Bytes of the value of a fragment's tag (quotas page).
pub const FRAGMENT_TAG_VALUE_BYTES: usize = 256;

/// Bytes a second into a stream (quotas page: 12.5 MB/s).
pub const PUT_MEDIA_BYTES_PER_SECOND: u64 = 12_500_000;
/// PutMedia calls of a stream in a second (quotas page).
pub const PUT_MEDIA_CALLS_PER_SECOND: u32 = 5;
/// PutMedia sessions of a stream (quotas page: one). A producer that rotates overlaps two for seconds, and the
/// service bears it.
pub const PUT_MEDIA_SESSIONS: usize = 1;
/// Age of a PutMedia session (observed at 2698 to 2700 s). Beyond it: 4003.
pub const PUT_MEDIA_SESSION_DURATION: Duration = Duration::from_secs(45 * 60);
/// Age of a session at which the producer SDKs rotate it, and up to which they keep a data endpoint.
pub const PUT_MEDIA_ROTATION: Duration = Duration::from_secs(40 * 60);
/// Silence after which the service ends a PutMedia session; idle acks come until then (PutMedia page).
pub const PUT_MEDIA_IDLE: Duration = Duration::from_secs(30);

/// Bytes a second out of a stream by GetMedia or GetMediaForFragmentList (quotas page: 25 MB/s).
pub const GET_MEDIA_BYTES_PER_SECOND: u64 = 25_000_000;
/// GetMedia calls of a stream in a second (quotas page).
pub const GET_MEDIA_CALLS_PER_SECOND: u32 = 5;
/// GetMedia connections of a stream (quotas page).
pub const GET_MEDIA_CONNECTIONS: usize = 3;
/// GetMediaForFragmentList connections of a stream (quotas page).
pub const FRAGMENT_LIST_CONNECTIONS: usize = 5;
/// Time without a fragment after which a GetMedia body ends (GetMedia page, and measured).
pub const GET_MEDIA_IDLE: Duration = Duration::from_secs(3);
/// Age at which a GetMedia body ends (observed: 40 to 45 minutes).
pub const GET_MEDIA_DURATION: Duration = Duration::from_secs(45 * 60);

/// Calls of a control operation on one stream in a second (quotas page).
pub const CONTROL_CALLS_PER_STREAM_PER_SECOND: u32 = 5;
/// DescribeStream and GetDataEndpoint calls of an account in a second (quotas page).
pub const DESCRIBE_CALLS_PER_SECOND: u32 = 300;
/// Calls of any other control operation of an account in a second (quotas page).
pub const CONTROL_CALLS_PER_SECOND: u32 = 50;
/// Streams of an account (quotas page).
pub const STREAMS: usize = 10_000;
/// Points of a stream in a second for lists and playlists (quotas page).
pub const FRAGMENT_METADATA_POINTS_PER_SECOND: u32 = 10_000;
/// Points of a stream in a second for media of the archive (quotas page).
pub const FRAGMENT_MEDIA_POINTS_PER_SECOND: u32 = 500;
/// How far a signature's time may be from the service's (observed; the guide's general text says 15 minutes).
pub const SIGNATURE_SKEW: Duration = Duration::from_secs(5 * 60);

/// Media that a stream without retention holds for live readers, by age (CreateStream page).
pub const UNRETAINED_DURATION: Duration = Duration::from_secs(5 * 60);
/// Media that a stream without retention holds for live readers, by size (CreateStream page: 200 MB).
pub const UNRETAINED_BYTES: u64 = 200_000_000;

/// The life of a playback session, when nothing else is asked for (kvs-api 6.4).
pub const PLAYBACK_EXPIRES: Duration = Duration::from_secs(300);
/// The longest that may be asked for; the default is the shortest.
pub const PLAYBACK_MAX_EXPIRES: Duration = Duration::from_secs(43_200);
/// Fragments that a playlist or a manifest names at the most.
pub const PLAYBACK_FRAGMENTS: u16 = 5_000;
/// Fragments of a live one, when nothing else is asked for.
pub const PLAYBACK_LIVE_FRAGMENTS: u16 = 5;
/// Fragments of one of the archive, when nothing else is asked for.
pub const PLAYBACK_ON_DEMAND_FRAGMENTS: u16 = 1_000;
/// A range that is played is no longer.
pub const PLAYBACK_RANGE: Duration = Duration::from_secs(24 * 60 * 60);
/// A stream without a fragment for so long is not live.
pub const PLAYBACK_LIVE: Duration = Duration::from_secs(30);
/// Changes of codec private data that an HLS session tolerates.
pub const PLAYBACK_PRIVATE_DATA_CHANGES: usize = 500;
/// Sessions of a stream that may be begun in a second (quotas page).
pub const PLAYBACK_CALLS_PER_SECOND: u32 = 25;
/// Playlists, manifests and initialization segments of a session in a second, of each kind.
pub const PLAYBACK_LISTS_PER_SECOND: u32 = 5;
/// Segments of a session in a second.
pub const PLAYBACK_SEGMENTS_PER_SECOND: u32 = 20;
/// Bytes of a clip.
pub const CLIP_BYTES: u64 = 100_000_000;
/// Fragments of a clip.
pub const CLIP_FRAGMENTS: usize = 200;
/// The longest range of GetImages (GetImages page).
pub const IMAGES_RANGE: Duration = Duration::from_secs(300);
/// The least interval of GetImages (GetImages page).
pub const IMAGES_INTERVAL: Duration = Duration::from_millis(200);
/// The interval of GetImages unless asked; the page says none, and older ones 3 to 20 s.
pub const IMAGES_DEFAULT_INTERVAL: Duration = Duration::from_secs(3);
/// Most images of a GetImages page (model).
pub const IMAGES_RESULTS: usize = 100;
/// Images of a GetImages page unless asked (GetImages page).
pub const IMAGES_DEFAULT_RESULTS: usize = 25;
/// Bytes of a GetImages answer (quotas page: 100 MB).
pub const IMAGES_BYTES: u64 = 100_000_000;
/// Points for lists that a GetImages call takes beside one for each image (quotas page).
pub const IMAGES_METADATA_POINTS: u32 = 400;
/// Most pixels across an image (model).
pub const IMAGE_WIDTH: u16 = 3_840;
/// Most pixels down an image (model).
pub const IMAGE_HEIGHT: u16 = 2_160;
/// The quality of a JPEG unless asked (GetImages page).
pub const IMAGE_JPEG_QUALITY: u8 = 80;
