//! The AWS SDK for Rust as a client: the operations that the elements will call, and errors by their type.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Shared with tests that need more of them.
#![allow(dead_code)]

#[path = "../command/child.rs"]
mod child;
#[path = "../../../kvs-service/tests/service/client.rs"]
mod client;
#[path = "../../../kvs-service/tests/service/media.rs"]
mod media;

use aws_sdk_kinesisvideo::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesisvideo::types::ApiName;
use aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime;
use aws_sdk_kinesisvideoarchivedmedia::types::{FragmentSelector, FragmentSelectorType, TimestampRange};
use aws_sdk_kinesisvideomedia::types::{StartSelector, StartSelectorType};
use child::{Running, Scratch};
use client::{Client, Keys};
use media::{BASE, Body, chunks};

/// A service, and who may call it.
struct Service {
    _running: Running,
    url: String,
    raw: Client,
}

impl Service {
    fn start(folder: &Scratch) -> Self {
        let mut running = Running::serve(folder, &[] as &[&str]);
        let url = running.url();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { _running: running, url, raw: Client { address, keys: Keys::of_folder(&folder.data()) } }
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(&self.raw.keys.access_key, &self.raw.keys.secret, None, None, "test")
    }

    fn control(&self) -> aws_sdk_kinesisvideo::Client {
        let config = aws_sdk_kinesisvideo::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-west-2"))
            .credentials_provider(self.credentials())
            .endpoint_url(&self.url)
            .build();
        aws_sdk_kinesisvideo::Client::from_conf(config)
    }

    fn media(&self, endpoint: &str) -> aws_sdk_kinesisvideomedia::Client {
        let config = aws_sdk_kinesisvideomedia::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-west-2"))
            .credentials_provider(self.credentials())
            .endpoint_url(endpoint)
            .build();
        aws_sdk_kinesisvideomedia::Client::from_conf(config)
    }

    fn archive(&self, endpoint: &str) -> aws_sdk_kinesisvideoarchivedmedia::Client {
        let config = aws_sdk_kinesisvideoarchivedmedia::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-west-2"))
            .credentials_provider(self.credentials())
            .endpoint_url(endpoint)
            .build();
        aws_sdk_kinesisvideoarchivedmedia::Client::from_conf(config)
    }
}

async fn endpoint(control: &aws_sdk_kinesisvideo::Client, api: ApiName) -> String {
    let answer = control.get_data_endpoint().stream_name("cam").api_name(api).send().await.unwrap();
    answer.data_endpoint().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_described_and_changed_and_errors_have_their_types() {
    let folder = Scratch::new("sdk-control");
    let service = Service::start(&folder);
    let control = service.control();
    let missing = control.describe_stream().stream_name("cam").send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception(), "{missing:?}");
    let created = control.create_stream().stream_name("cam").data_retention_in_hours(24).tags("room", "hall");
    let arn = created.send().await.unwrap().stream_arn().unwrap().to_owned();
    let twice = control.create_stream().stream_name("cam").send().await.unwrap_err().into_service_error();
    assert!(twice.is_resource_in_use_exception(), "{twice:?}");
    let described = control.describe_stream().stream_arn(&arn).send().await.unwrap();
    let info = described.stream_info().unwrap();
    assert_eq!((info.stream_name(), info.data_retention_in_hours()), (Some("cam"), Some(24)));
    assert!(info.creation_time().is_some());
    let tags = control.list_tags_for_stream().stream_name("cam").send().await.unwrap();
    assert_eq!(tags.tags().unwrap()["room"], "hall");
    let stale = control.update_stream().stream_name("cam").current_version("old").media_type("video/h264");
    let stale = stale.send().await.unwrap_err().into_service_error();
    assert!(stale.is_version_mismatch_exception(), "{stale:?}");
    control.delete_stream().stream_arn(&arn).send().await.unwrap();
    assert!(control.list_streams().send().await.unwrap().stream_info_list().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_is_listed_and_read() {
    let folder = Scratch::new("sdk-media");
    let service = Service::start(&folder);
    let control = service.control();
    control.create_stream().stream_name("cam").data_retention_in_hours(24).send().await.unwrap();
    let mut put = service.raw.put("cam").await;
    let mut body = Body::new(1);
    let payloads: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![n; 10_000 + usize::from(n)]).collect();
    for (time, payload) in (BASE..).step_by(1_000).zip(&payloads) {
        put.send(&body.fragment(time, &[payload])).await;
    }
    put.finish().await;
    put.acks().await;

    let media = service.media(&endpoint(&control, ApiName::GetMedia).await);
    let earliest = StartSelector::builder().start_selector_type(StartSelectorType::Earliest).build().unwrap();
    let answer = media.get_media().stream_name("cam").start_selector(earliest).send().await.unwrap();
    let got = chunks(&answer.payload.collect().await.unwrap().into_bytes());
    assert!(got.iter().flat_map(media::Chunk::payloads).eq(payloads.iter().map(Vec::as_slice)));

    let archive = service.archive(&endpoint(&control, ApiName::ListFragments).await);
    let range = TimestampRange::builder()
        .start_timestamp(DateTime::from_millis(BASE + 1_000))
        .end_timestamp(DateTime::from_millis(BASE + 3_000))
        .build()
        .unwrap();
    let selector = FragmentSelector::builder()
        .fragment_selector_type(FragmentSelectorType::ProducerTimestamp)
        .timestamp_range(range)
        .build()
        .unwrap();
    let list = archive.list_fragments().stream_name("cam").fragment_selector(selector).max_results(2);
    let mut pages = list.into_paginator().send();
    let mut numbers = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        numbers.extend(page.fragments().iter().map(|row| row.fragment_number().unwrap().to_owned()));
    }
    assert_eq!(numbers, got[1..4].iter().map(media::Chunk::number).collect::<Vec<_>>());
    let list = archive.get_media_for_fragment_list().stream_name("cam");
    let answer = list.set_fragments(Some(numbers.clone())).send().await.unwrap();
    let again = chunks(&answer.payload.collect().await.unwrap().into_bytes());
    assert_eq!(again.iter().map(media::Chunk::number).collect::<Vec<_>>(), numbers);
}
