//! Any text as every name, number and time of the wire: what reads prints back to the same.
#![no_main]

use kvs_media::time::Utc;
use kvs_wire::headers::{FragmentTimecodeType, wants_acks};
use kvs_wire::tags::{self, ChunkTag, ChunkTags};
use kvs_wire::{
    AckEvent, ApiName, ContinuationToken, EpochSeconds, ErrorId, Exception, FragmentNumber, Operation,
    StreamArn, StreamName, pattern,
};
use libfuzzer_sys::fuzz_target;

/// 512 bytes of a peer's text, each escaped, and our own words.
const MOST_TEXT: usize = 8 << 10;

const TAGS: [&str; 11] = [
    tags::FRAGMENT_NUMBER,
    tags::SERVER_TIMESTAMP,
    tags::SERVER_SIDE_TIMESTAMP,
    tags::PRODUCER_TIMESTAMP,
    tags::PRODUCER_SIDE_TIMESTAMP,
    tags::MILLIS_BEHIND_NOW,
    tags::CONTINUATION_TOKEN,
    tags::ERROR_CODE,
    tags::EXCEPTION_ERROR_CODE,
    tags::ERROR_ID,
    tags::EXCEPTION_MESSAGE,
];

/// What `parse` made of the text; when it did, it prints as the text.
fn read<T: std::str::FromStr<Err: std::fmt::Display> + ToString>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string(), text);
            Some(value)
        }
        Err(error) => {
            assert!(error.to_string().len() <= MOST_TEXT);
            None
        }
    }
}

fn time(text: &str) {
    let Ok(EpochSeconds(instant)) = text.parse() else { return };
    // A reader of floats agrees, as far as floats go.
    let float: f64 = text.parse().unwrap();
    let exact = instant.nanos() as f64 / 1e9;
    assert!((float - exact).abs() <= 2e-9 + exact.abs() * 1e-15, "{text}: {float} {exact}");
    let printed = EpochSeconds(instant).to_string();
    let EpochSeconds(again) = printed.parse().expect("a time that prints beyond the range");
    assert_eq!(again.millis(), Utc::from_nanos(again.nanos()).millis());
    assert!(again.nanos().abs_diff(instant.nanos()) < 1_000_000, "{text} {printed}");
    assert_eq!(EpochSeconds(again).to_string(), printed);
}

fn number(text: &str) {
    let half = text.floor_char_boundary(text.len() / 2);
    let pair = [&text[..half], &text[half..]].map(read::<FragmentNumber>);
    if let [Some(one), Some(two)] = &pair {
        assert_eq!(one.cmp(two), two.cmp(one).reverse());
        assert_eq!(one == two, one.cmp(two).is_eq());
        let values = [one, two].map(|number| number.as_str().parse::<u128>());
        if let [Ok(one_value), Ok(two_value)] = values
            && one_value != two_value
        {
            assert_eq!(one.cmp(two), one_value.cmp(&two_value));
        }
    }
    let Some(number) = read::<FragmentNumber>(text) else { return };
    assert_eq!(ContinuationToken::from(&number).as_str(), text);
    if let Some(parts) = number.parts() {
        let made = FragmentNumber::make(parts.sequence, parts.server_time, parts.tail).unwrap();
        assert_eq!(made.as_str(), text.trim_start_matches('0'));
    }
}

fn arn(text: &str) {
    let Some(arn) = read::<StreamArn>(text) else { return };
    assert_eq!(read::<StreamName>(arn.name().as_str()).as_ref(), Some(arn.name()));
    if let Some(created) = arn.created() {
        let made = StreamArn::new(arn.partition(), arn.region(), arn.account(), arn.name().clone(), created)
            .unwrap();
        assert_eq!(made.created(), Some(created));
        // The digits are kept as they were given, with leading zeros.
        let digits =
            |arn: &StreamArn| arn.to_string().rsplit('/').next().unwrap().trim_start_matches('0').to_owned();
        assert_eq!(digits(&made), digits(&arn));
    }
}

fn tags(text: &str) {
    let mut gathered = ChunkTags::default();
    for name in TAGS {
        assert!(tags::is_reserved(name) && tags::check_fragment_tag(name, text).is_err());
        match ChunkTag::read(name, text).expect("a tag of the service") {
            Ok(tag) => {
                assert!(tag.to_string().len() <= MOST_TEXT);
                let again = ChunkTag::read(tag.name(), &tag.to_string()).unwrap().unwrap();
                assert_eq!((again.name(), again.to_string()), (tag.name(), tag.to_string()));
                assert_eq!(gathered.read(name, text), Ok(true));
            }
            Err(error) => {
                assert!(error.to_string().len() <= MOST_TEXT);
                assert_eq!(gathered.read(name, text), Err(error));
            }
        }
    }
    assert!(gathered.is_failure());
    assert_eq!(gathered.error(), gathered.error_id.or_else(|| ErrorId::from_name(text)));
    let ours = ChunkTag::read(text, "1").is_some();
    assert!(!ours || tags::is_reserved(text));
    if tags::check_fragment_tag(text, text).is_ok() {
        assert!(!tags::is_reserved(text) && text.len() <= 128);
    }
}

fn words(text: &str) {
    read::<StreamName>(text);
    read::<ContinuationToken>(text);
    read::<ApiName>(text);
    read::<FragmentTimecodeType>(text);
    assert_eq!(wants_acks(Some(text)).is_ok(), matches!(text, "0" | "1"));
    assert!(Operation::from_path(text).is_none_or(|operation| operation.path() == text));
    assert!(AckEvent::from_name(text).is_none_or(|event| event.name() == text));
    if let Some(id) = ErrorId::from_name(text) {
        assert!(id.name().is_some_and(|name| name.starts_with(text)));
    }
    if let Some(exception) = Exception::from_error_type(text) {
        assert_eq!(Exception::from_name(exception.name()), Some(exception));
        assert_eq!(Exception::from_error_type(exception.error_type()), Some(exception));
    }
    // Each is made of the letters of the next.
    assert!(!pattern::is_media_type(text) || text.len() <= 128);
    assert!(!pattern::is_tag_key(text) || pattern::is_tag_value(text));
    if pattern::is_media_type(text) {
        assert!(text.split(',').all(|one| pattern::is_media_type(one) && pattern::is_tag_key(one)));
    }
}

fuzz_target!(|text: &str| {
    time(text);
    number(text);
    arn(text);
    tags(text);
    words(text);
});
