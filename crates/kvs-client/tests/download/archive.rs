//! What is recorded is read.

use std::sync::Arc;
use std::time::Duration;

use kvs_client::Client;
use kvs_client::clock;
use kvs_client::download::{Begin, Bounds, FailureKind, Item, Next, Place, Range, Settings, Snap};
use kvs_media::time::Utc;
use kvs_wire::FragmentSelectorType;
use serde_json::json;

use super::reader::{Reader, settings};
use super::recording::Recording;

fn range(from: Utc, to: Utc) -> Range {
    Range { to: Some(to), ..Range::since(from) }
}

fn bounds(reader: &Reader) -> Bounds {
    let Some(Item::Range(bounds)) = reader.items.first() else { panic!("{:?}", reader.items.first()) };
    bounds.clone()
}

fn of(recording: &Recording, range: Range) -> (Arc<Client>, Settings) {
    (recording.client(), settings(Place::Range(range)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_read_in_order_and_ends() {
    let recording = Recording::of(30).await;
    let (client, settings) = of(&recording, range(recording.at(4_500), recording.at(20_500)));
    let mut reader = Reader::start(&client, settings);
    reader.read_to_the_end().await;
    assert!(matches!(reader.end, Some(Next::End)), "{:?}", reader.end);
    // Whole fragments: the one that covers the beginning, and the one that begins before the end.
    reader.assert_all(40, 210);
    let bounds = bounds(&reader);
    assert_eq!((bounds.first, bounds.end), (recording.at(4_500), recording.at(20_500)));
    assert_eq!(reader.count(|item| matches!(item, Item::Done(_))), 17);
    assert_eq!(reader.count(|item| matches!(item, Item::Tip)), 0);
    for item in &reader.items {
        if let Item::Frame(frame) = item {
            let number = u64::from_be_bytes(frame.payload[..8].try_into().unwrap());
            let off = frame.time.nanos() - recording.at(number * 100).nanos();
            assert_eq!(off, 0, "{number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_in_no_order_change_nothing() {
    let recording = Recording::of(60).await;
    recording.fault(json!({ "what": "shuffle_lists" }));
    let (client, settings) = of(&recording, range(recording.begun, recording.at(100_000)));
    let mut reader = Reader::start(&client, settings);
    reader.read_to_the_end().await;
    reader.assert_all(0, 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_taker_holds_everything_within_a_bound() {
    let recording = Recording::of(60).await;
    let (client, settings) = of(&recording, range(recording.begun, recording.at(100_000)));
    let mut reader = Reader::start(&client, Settings { prefetch: 100_000, ..settings });
    reader.slow = Duration::from_millis(10);
    let mut most = 0;
    while reader.end.is_none() {
        let seen = reader.items.len();
        reader.until("more", |reader| reader.items.len() > seen || reader.end.is_some()).await;
        most = most.max(reader.stats().bytes_held);
    }
    reader.assert_all(0, 600);
    assert!(most > 50_000 && most < 100_000 + (1 << 20), "{most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_begins_at_the_key_frame_that_is_meant() {
    let recording = Recording::of(20).await;
    for (snap, at, first) in [
        (Snap::Accurate, 5_300, 50),
        (Snap::Before, 5_900, 50),
        (Snap::After, 5_300, 60),
        (Snap::After, 5_000, 50),
        (Snap::Nearest, 5_400, 50),
        (Snap::Nearest, 5_600, 60),
        (Snap::Accurate, 0, 0),
        (Snap::Accurate, 19_900, 190),
    ] {
        let begin = Some(Begin { at: recording.at(at), snap });
        let (client, settings) =
            of(&recording, Range { begin, ..range(recording.begun, recording.at(100_000)) });
        let mut reader = Reader::start(&client, settings);
        reader.read_to_the_end().await;
        reader.assert_all(first, 200);
        assert_eq!(
            (bounds(&reader).first, bounds(&reader).end),
            (recording.begun, recording.at(19_900)),
            "{snap:?} {at}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_knows_its_gaps() {
    let mut recording = Recording::of(10).await;
    recording.pause(3_600_000);
    recording.record(10).await;
    let (client, settings) =
        of(&recording, Range { spans: true, ..range(recording.begun, recording.at(10_000_000)) });
    let mut reader = Reader::start(&client, settings);
    reader.read_to_the_end().await;
    reader.assert_all(0, 200);
    let spans: Vec<_> = bounds(&reader).spans.iter().map(|span| (span.from, span.to)).collect();
    let again = recording.at(3_610_000);
    assert_eq!(spans, [(recording.begun, recording.at(9_900)), (again, recording.at(3_619_900))]);
    let gaps: Vec<_> = reader
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Fragment(fragment) => fragment.gap,
            _ => None,
        })
        .collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].from.millis(), gaps[0].to.millis()), (recording.at(9_900).millis(), again.millis()));
    assert_eq!(reader.stats().gaps, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_s_clock_counts_when_it_is_told_to() {
    let before = clock::utc();
    let recording = Recording::of(10).await;
    let timeline = FragmentSelectorType::ServerTimestamp;
    let (client, settings) = of(&recording, Range { timeline, ..range(before, clock::utc()) });
    let mut reader = Reader::start(&client, settings);
    reader.frames(100).await;
    reader.assert_all(0, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_the_range_is_one_clear_failure() {
    let recording = Recording::of(1).await;
    let (client, settings) = of(&recording, range(recording.at(50_000), recording.at(60_000)));
    let mut reader = Reader::start(&client, settings);
    reader.read_to_the_end().await;
    let Some(Next::Failed(failure)) = &reader.end else { panic!("{:?}", reader.end) };
    assert_eq!(failure.kind, FailureKind::Empty);
    assert!(reader.items.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_that_is_damaged_costs_itself_alone() {
    let recording = Recording::of(10).await;
    recording.damage(0.45);
    let (client, settings) = of(&recording, range(recording.begun, recording.at(100_000)));
    let mut reader = Reader::start(&client, settings);
    reader.read_to_the_end().await;
    assert!(matches!(reader.end, Some(Next::End)), "{:?}", reader.end);
    let lost: Vec<_> = reader
        .items
        .iter()
        .filter_map(|item| if let Item::Lost(lost) = item { Some(lost.clone()) } else { None })
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?} {:#?}", reader.told.all());
    let numbers = reader.numbers();
    let missing: Vec<u64> = (0..100).filter(|number| !numbers.contains(number)).collect();
    assert!(numbers.is_sorted() && missing.len() <= 10, "{missing:?}");
    assert_eq!(lost[0].at.unwrap().millis(), recording.at(missing[0] / 10 * 1_000).millis());
}
