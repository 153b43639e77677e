//! The control plane, as bodies of requests and responses.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use kvs_media::time::Utc;
use kvs_service::control::{Account, Change, Stream, Streams, Version};
use kvs_wire::{Exception, Operation};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_720_751_492_346;

struct Control {
    streams: Streams,
    calls: u8,
    changes: usize,
}

impl Control {
    fn new() -> Self {
        Self::with(100, [])
    }

    fn with(most: usize, stored: impl IntoIterator<Item = Stream>) -> Self {
        let account =
            Account { partition: "aws".into(), region: "us-west-2".into(), id: "111122223333".into() };
        Self { streams: Streams::new(account, most, stored), calls: 0, changes: 0 }
    }

    fn try_call(&mut self, operation: Operation, body: &[u8]) -> Result<Value, Exception> {
        self.calls += 1;
        // With a fraction of a millisecond, as a clock has it.
        let now = Utc::from_nanos((NOW + i64::from(self.calls)) * 1_000_000 + 456_789);
        let version = Version::of([self.calls; 20]);
        let done = self.streams.handle(operation, body, now, version, "http://127.0.0.1:4580").unwrap();
        let answer = done.map_err(|refusal| refusal.exception)?;
        if let Some(change) = answer.change {
            self.changes += 1;
            self.streams.apply(change);
        }
        Ok(serde_json::from_slice(&answer.body).unwrap())
    }

    fn call(&mut self, operation: Operation, body: Value) -> Value {
        self.try_call(operation, body.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{body}: {error:?}"))
    }

    fn refused(&mut self, operation: Operation, body: Value) -> Exception {
        let changes = self.changes;
        let error = self.try_call(operation, body.to_string().as_bytes()).err();
        assert_eq!(self.changes, changes, "{body} changed something");
        error.unwrap_or_else(|| panic!("{body} was taken"))
    }

    fn create(&mut self, name: &str) -> String {
        let body = json!({ "StreamName": name, "DataRetentionInHours": 24, "MediaType": "video/h264" });
        self.call(Operation::CreateStream, body)["StreamARN"].as_str().unwrap().to_owned()
    }

    fn info(&mut self, name: &str) -> Value {
        self.call(Operation::DescribeStream, json!({ "StreamName": name }))["StreamInfo"].clone()
    }

    fn version(&mut self, name: &str) -> String {
        self.info(name)["Version"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_stream_is_described_as_the_service_prints_it() {
    let mut control = Control::new();
    let arn = control.create("cam1");
    assert_eq!(arn, "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1720751492347");
    let now = Utc::from_millis(NOW).unwrap();
    for which in [
        json!({ "StreamName": "cam1" }),
        json!({ "StreamARN": arn }),
        json!({ "StreamName": "cam1", "StreamARN": arn }),
    ] {
        let done = control.streams.handle(
            Operation::DescribeStream,
            which.to_string().as_bytes(),
            now,
            Version::of([0; 20]),
            "",
        );
        let answer = done.unwrap().unwrap();
        // Keys in the order of the alphabet, absent ones as null.
        assert_eq!(
            String::from_utf8(answer.body).unwrap(),
            format!(
                concat!(
                    r#"{{"StreamInfo":{{"CreationTime":1720751492.347,"DataRetentionInHours":24,"#,
                    r#""DeviceName":null,"IngestionConfiguration":null,"#,
                    r#""KmsKeyId":"arn:aws:kms:us-west-2:111122223333:alias/aws/kinesisvideo","#,
                    r#""MediaType":"video/h264","Status":"ACTIVE","StreamARN":"{}","#,
                    r#""StreamName":"cam1","Version":"11111111111111111111"}}}}"#
                ),
                arn
            )
        );
        assert_eq!(answer.change, None);
    }
}

#[test]
fn a_name_is_taken_once_and_free_again_with_another_arn() {
    let mut control = Control::new();
    let first = control.create("cam1");
    assert_eq!(
        control.refused(Operation::CreateStream, json!({ "StreamName": "cam1" })),
        Exception::ResourceInUse
    );
    control.call(Operation::DeleteStream, json!({ "StreamARN": first }));
    assert_eq!(
        control.refused(Operation::DescribeStream, json!({ "StreamName": "cam1" })),
        Exception::ResourceNotFound
    );
    let second = control.create("cam1");
    assert_ne!(first, second);
    assert_eq!(
        control.refused(Operation::DescribeStream, json!({ "StreamARN": first })),
        Exception::ResourceNotFound
    );
    assert_eq!(
        control.refused(Operation::DeleteStream, json!({ "StreamARN": first })),
        Exception::ResourceNotFound
    );
    let wrong = json!({ "StreamARN": second, "CurrentVersion": "x" });
    assert_eq!(control.refused(Operation::DeleteStream, wrong), Exception::VersionMismatch);
    let version = control.version("cam1");
    control.call(Operation::DeleteStream, json!({ "StreamARN": second, "CurrentVersion": version }));
}

#[test]
fn what_a_request_gets_wrong_is_refused_by_name() {
    use Operation as Op;
    let mut control = Control::new();
    control.create("cam1");
    let many: serde_json::Map<String, Value> =
        (0..51).map(|index| (format!("k{index}"), json!("v"))).collect();
    let invalid = [
        (Op::CreateStream, json!({})),
        (Op::CreateStream, json!({ "StreamName": "a b" })),
        (Op::CreateStream, json!({ "StreamName": "n".repeat(257) })),
        (Op::CreateStream, json!({ "StreamName": "n", "DataRetentionInHours": -1 })),
        (Op::CreateStream, json!({ "StreamName": "n", "DataRetentionInHours": 87_601 })),
        (Op::CreateStream, json!({ "StreamName": "n", "DataRetentionInHours": "1" })),
        (Op::CreateStream, json!({ "StreamName": "n", "MediaType": "video" })),
        (Op::CreateStream, json!({ "StreamName": "n", "DeviceName": "d".repeat(129) })),
        (Op::CreateStream, json!({ "StreamName": "n", "KmsKeyId": "" })),
        (Op::CreateStream, json!({ "StreamName": "n", "Tags": { "": "v" } })),
        (
            Op::CreateStream,
            json!({ "StreamName": "n", "StreamStorageConfiguration": { "DefaultStorageTier": "COLD" } }),
        ),
        (Op::DescribeStream, json!({})),
        (Op::DescribeStream, json!({ "StreamARN": "cam1" })),
        (
            Op::DescribeStream,
            json!({ "StreamName": "cam2", "StreamARN": "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1720751492347" }),
        ),
        (Op::ListStreams, json!({ "MaxResults": 0 })),
        (Op::ListStreams, json!({ "MaxResults": 10_001 })),
        (Op::ListStreams, json!({ "NextToken": "zz" })),
        (Op::ListStreams, json!({ "StreamNameCondition": { "ComparisonOperator": "BEGINS_WITH" } })),
        (Op::UpdateStream, json!({ "StreamName": "cam1" })),
        (
            Op::UpdateDataRetention,
            json!({ "StreamName": "cam1", "CurrentVersion": "11111111111111111111", "Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 0 }),
        ),
        (
            Op::UpdateDataRetention,
            json!({ "StreamName": "cam1", "CurrentVersion": "11111111111111111111", "Operation": "DECREASE_DATA_RETENTION", "DataRetentionChangeInHours": 25 }),
        ),
        (
            Op::UpdateDataRetention,
            json!({ "StreamName": "cam1", "CurrentVersion": "11111111111111111111", "Operation": "DOUBLE", "DataRetentionChangeInHours": 1 }),
        ),
        (Op::TagStream, json!({ "StreamName": "cam1", "Tags": {} })),
        (Op::UntagStream, json!({ "StreamName": "cam1", "TagKeyList": [] })),
        (Op::GetDataEndpoint, json!({ "StreamName": "cam1" })),
        (Op::GetDataEndpoint, json!({ "StreamName": "cam1", "APIName": "get_media" })),
    ];
    for (operation, body) in invalid {
        assert_eq!(
            control.refused(operation, body.clone()),
            Exception::InvalidArgument,
            "{operation} {body}"
        );
    }
    let tags = json!({ "StreamName": "n", "Tags": many });
    assert_eq!(control.refused(Op::CreateStream, tags), Exception::TagsPerResourceExceededLimit);
    for operation in [Op::UpdateStream, Op::UpdateDataRetention, Op::UpdateStreamStorageConfiguration] {
        let body = json!({
            "StreamName": "cam1", "CurrentVersion": "old", "Operation": "INCREASE_DATA_RETENTION",
            "DataRetentionChangeInHours": 1, "StreamStorageConfiguration": { "DefaultStorageTier": "WARM" },
        });
        assert_eq!(control.refused(operation, body), Exception::VersionMismatch, "{operation}");
    }
    for operation in Op::ALL.iter().copied().filter(|operation| operation.path().starts_with("/describe")) {
        assert_eq!(control.refused(operation, json!({ "StreamName": "none" })), Exception::ResourceNotFound);
    }
    let mut full = Control::with(1, []);
    full.create("one");
    assert_eq!(
        full.refused(Op::CreateStream, json!({ "StreamName": "two" })),
        Exception::AccountStreamLimitExceeded
    );
}

#[test]
fn every_change_has_a_new_version_and_tags_do_not() {
    let mut control = Control::new();
    control.create("cam1");
    let mut seen = vec![control.version("cam1")];
    let changes = [
        (Operation::UpdateStream, json!({ "DeviceName": "d" })),
        (
            Operation::UpdateDataRetention,
            json!({ "Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 6 }),
        ),
        (
            Operation::UpdateStreamStorageConfiguration,
            json!({ "StreamStorageConfiguration": { "DefaultStorageTier": "WARM" } }),
        ),
    ];
    for (operation, mut body) in changes {
        body["StreamName"] = json!("cam1");
        body["CurrentVersion"] = json!(seen.last().unwrap());
        assert_eq!(control.call(operation, body), json!({}));
        let version = control.version("cam1");
        assert!(version.len() == 20 && !seen.contains(&version), "{operation}");
        seen.push(version);
    }
    let info = control.info("cam1");
    // What an update does not name stays.
    assert_eq!((&info["DeviceName"], &info["MediaType"]), (&json!("d"), &json!("video/h264")));
    assert_eq!(info["DataRetentionInHours"], 30);
    let storage =
        control.call(Operation::DescribeStreamStorageConfiguration, json!({ "StreamName": "cam1" }));
    assert_eq!(storage["StreamStorageConfiguration"]["DefaultStorageTier"], "WARM");
    control.call(Operation::TagStream, json!({ "StreamName": "cam1", "Tags": { "a": "1" } }));
    assert_eq!(control.version("cam1"), *seen.last().unwrap());
}

#[test]
fn tags_are_added_overwritten_taken_away_and_counted() {
    let mut control = Control::new();
    control.create("cam1");
    let first: serde_json::Map<String, Value> =
        (0..50).map(|index| (format!("k{index}"), json!("v"))).collect();
    control.call(Operation::TagStream, json!({ "StreamName": "cam1", "Tags": first }));
    control.call(Operation::TagStream, json!({ "StreamName": "cam1", "Tags": { "k1": "other" } }));
    let one_more = json!({ "StreamName": "cam1", "Tags": { "new": "" } });
    assert_eq!(
        control.refused(Operation::TagStream, one_more.clone()),
        Exception::TagsPerResourceExceededLimit
    );
    control.call(Operation::UntagStream, json!({ "StreamName": "cam1", "TagKeyList": ["k2", "unknown"] }));
    control.call(Operation::TagStream, one_more);
    let listed = control.call(Operation::ListTagsForStream, json!({ "StreamName": "cam1" }));
    let tags = listed["Tags"].as_object().unwrap();
    assert_eq!(
        (tags.len(), &tags["k1"], tags.get("k2"), &listed["NextToken"]),
        (50, &json!("other"), None, &Value::Null)
    );
}

#[test]
fn pages_of_a_list_hold_every_stream_once() {
    let mut control = Control::new();
    for index in 0..25 {
        control.create(&format!("{}{index}", ["cam-", "door."][index % 2]));
    }
    for (prefix, wanted) in [(None, 25), (Some("door."), 12), (Some("none"), 0)] {
        let (mut found, mut token) = (Vec::new(), Value::Null);
        loop {
            let condition = prefix
                .map(|prefix| json!({ "ComparisonOperator": "BEGINS_WITH", "ComparisonValue": prefix }));
            let body = json!({ "MaxResults": 5, "NextToken": token, "StreamNameCondition": condition });
            let page = control.call(Operation::ListStreams, body);
            let streams = page["StreamInfoList"].as_array().unwrap();
            assert!(streams.len() <= 5);
            found.extend(streams.iter().map(|info| info["StreamName"].as_str().unwrap().to_owned()));
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
            assert!(token.as_str().unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert!(found.is_sorted() && found.iter().all(|name| name.starts_with(prefix.unwrap_or(""))));
        assert_eq!(found.len(), wanted);
    }
    // Without a body, as some clients ask.
    assert_eq!(
        control.try_call(Operation::ListStreams, b"").unwrap()["StreamInfoList"].as_array().unwrap().len(),
        25
    );
}

#[test]
fn images_and_notifications_are_kept_as_they_were_given() {
    let mut control = Control::new();
    control.create("cam1");
    control.call(Operation::CreateStream, json!({ "StreamName": "unkept" }));
    let images = json!({
        "DestinationConfig": { "DestinationRegion": "us-west-2", "Uri": "s3://bucket/prefix" },
        "Format": "JPEG", "FormatConfig": { "JPEGQuality": "80" }, "HeightPixels": null,
        "ImageSelectorType": "PRODUCER_TIMESTAMP", "SamplingInterval": 200, "Status": "ENABLED", "WidthPixels": 640,
    });
    let notification = json!({ "DestinationConfig": { "Uri": "arn:aws:sns:us-west-2:111122223333:t" }, "Status": "DISABLED" });
    let both = [
        (
            "ImageGenerationConfiguration",
            Operation::UpdateImageGenerationConfiguration,
            Operation::DescribeImageGenerationConfiguration,
            images.clone(),
        ),
        (
            "NotificationConfiguration",
            Operation::UpdateNotificationConfiguration,
            Operation::DescribeNotificationConfiguration,
            notification.clone(),
        ),
    ];
    for (key, update, describe, configuration) in both {
        let cam = json!({ "StreamName": "cam1" });
        assert_eq!(control.call(describe, cam.clone())[key], Value::Null);
        let before = control.version("cam1");
        control.call(update, json!({ "StreamName": "cam1", key: configuration }));
        assert_eq!(control.call(describe, cam.clone())[key], configuration);
        assert_ne!(control.version("cam1"), before);
        let unkept = json!({ "StreamName": "unkept", key: configuration });
        assert_eq!(control.refused(update, unkept), Exception::NoDataRetention);
        control.call(update, cam.clone());
        assert_eq!(control.call(describe, cam)[key], Value::Null);
    }
    let wrong = [
        ("SamplingInterval", json!(199)),
        ("WidthPixels", json!(3_841)),
        ("HeightPixels", json!(0)),
        ("FormatConfig", json!({ "JPEGQuality": "101" })),
        ("FormatConfig", json!({ "Quality": "1" })),
        ("Format", json!("GIF")),
        ("DestinationConfig", json!({ "DestinationRegion": "west", "Uri": "s3://bucket" })),
        ("DestinationConfig", json!({ "DestinationRegion": "us-west-2", "Uri": "bucket" })),
    ];
    for (key, value) in wrong {
        let mut images = images.clone();
        images[key] = value.clone();
        let body = json!({ "StreamName": "cam1", "ImageGenerationConfiguration": images });
        assert_eq!(
            control.refused(Operation::UpdateImageGenerationConfiguration, body),
            Exception::InvalidArgument,
            "{key} {value}"
        );
    }
    let mut fifo = notification;
    fifo["DestinationConfig"]["Uri"] = json!("arn:aws:sns:us-west-2:111122223333:t.fifo");
    let body = json!({ "StreamName": "cam1", "NotificationConfiguration": fifo });
    assert_eq!(control.refused(Operation::UpdateNotificationConfiguration, body), Exception::InvalidArgument);
}

fn edge() -> Value {
    json!({
        "DeletionConfig": { "DeleteAfterUpload": true, "EdgeRetentionInHours": 720, "LocalSizeConfig": { "MaxLocalMediaSizeInMB": 64, "StrategyOnFullSize": "DENY_NEW_MEDIA" } },
        "HubDeviceArn": "arn:aws:iot:us-west-2:111122223333:thing/hub-1",
        "RecorderConfig": {
            "MediaSourceConfig": { "MediaUriSecretArn": "arn:aws:secretsmanager:us-west-2:111122223333:secret:cam-1", "MediaUriType": "RTSP_URI" },
            "ScheduleConfig": { "DurationInSeconds": 60, "ScheduleExpression": "0 0 * ? * * *" },
        },
        "UploaderConfig": null,
    })
}

#[test]
fn an_edge_configuration_is_kept_and_fails_when_no_agent_takes_it_up() {
    use Operation as Op;
    let mut control = Control::new();
    control.create("cam1");
    let cam = json!({ "StreamName": "cam1" });
    for operation in [Op::DescribeEdgeConfiguration, Op::DeleteEdgeConfiguration] {
        assert_eq!(control.refused(operation, cam.clone()), Exception::StreamEdgeConfigurationNotFound);
    }
    let start = json!({ "StreamName": "cam1", "EdgeConfig": edge() });
    let started = control.call(Op::StartEdgeConfigurationUpdate, start.clone());
    assert_eq!((&started["SyncStatus"], &started["EdgeConfig"]), (&json!("SYNCING"), &edge()));
    let described = control.call(Op::DescribeEdgeConfiguration, cam.clone());
    assert_eq!(described["EdgeConfig"], edge());
    assert_eq!(control.refused(Op::StartEdgeConfigurationUpdate, start.clone()), Exception::ResourceInUse);
    let hub = json!({ "HubDeviceArn": edge()["HubDeviceArn"], "MaxResults": 1 });
    let listed = control.call(Op::ListEdgeAgentConfigurations, hub);
    assert_eq!(
        (&listed["EdgeConfigs"][0]["StreamName"], &listed["NextToken"]),
        (&json!("cam1"), &Value::Null)
    );
    let other = json!({ "HubDeviceArn": "arn:aws:iot:us-west-2:111122223333:thing/hub-2" });
    assert_eq!(control.call(Op::ListEdgeAgentConfigurations, other)["EdgeConfigs"], json!([]));
    // A quarter of an hour later.
    let later = Utc::from_millis(NOW + 16 * 60_000).unwrap();
    let body = cam.to_string();
    let done = control.streams.handle(
        Op::DescribeEdgeConfiguration,
        body.as_bytes(),
        later,
        Version::of([0; 20]),
        "",
    );
    let described: Value = serde_json::from_slice(&done.unwrap().unwrap().body).unwrap();
    assert_eq!(described["SyncStatus"], "SYNC_FAILED");
    assert!(described["FailedStatusDetails"].is_string());
    let done = control.streams.handle(
        Op::StartEdgeConfigurationUpdate,
        start.to_string().as_bytes(),
        later,
        Version::of([0; 20]),
        "",
    );
    assert!(done.unwrap().is_ok());
    control.call(Op::DeleteEdgeConfiguration, cam.clone());
    assert_eq!(
        control.refused(Op::DescribeEdgeConfiguration, cam),
        Exception::StreamEdgeConfigurationNotFound
    );
}

#[test]
fn an_edge_configuration_that_no_agent_could_follow_is_refused() {
    let mut control = Control::new();
    control.create("cam1");
    control.call(Operation::CreateStream, json!({ "StreamName": "unkept" }));
    let unkept = json!({ "StreamName": "unkept", "EdgeConfig": edge() });
    assert_eq!(control.refused(Operation::StartEdgeConfigurationUpdate, unkept), Exception::NoDataRetention);
    let wrong = [
        ("/HubDeviceArn", json!("arn:aws:iot:us-west-2:111122223333:hub/1")),
        ("/HubDeviceArn", json!("arn:aws:iot:us-west-2:me:thing/1")),
        ("/RecorderConfig/MediaSourceConfig/MediaUriSecretArn", json!("rtsp://camera")),
        ("/RecorderConfig/MediaSourceConfig/MediaUriType", json!("HTTP_URI")),
        ("/RecorderConfig/ScheduleConfig/DurationInSeconds", json!(59)),
        ("/RecorderConfig/ScheduleConfig/ScheduleExpression", json!("* * * * *")),
        (
            "/UploaderConfig",
            json!({ "ScheduleConfig": { "DurationInSeconds": 3_601, "ScheduleExpression": "0 0 * ? * * *" } }),
        ),
        ("/DeletionConfig/EdgeRetentionInHours", json!(721)),
        ("/DeletionConfig/LocalSizeConfig/MaxLocalMediaSizeInMB", json!(63)),
        ("/DeletionConfig/LocalSizeConfig/StrategyOnFullSize", json!("STOP")),
    ];
    for (place, value) in wrong {
        let mut config = edge();
        *config.pointer_mut(place).unwrap() = value.clone();
        let body = json!({ "StreamName": "cam1", "EdgeConfig": config });
        assert_eq!(
            control.refused(Operation::StartEdgeConfigurationUpdate, body),
            Exception::InvalidArgument,
            "{place} {value}"
        );
    }
    let mapped =
        control.call(Operation::DescribeMappedResourceConfiguration, json!({ "StreamName": "cam1" }));
    assert_eq!(mapped["MappedResourceConfigurationList"], json!([]));
}

#[test]
fn every_api_has_the_endpoint_of_the_one_listener() {
    let mut control = Control::new();
    let arn = control.create("cam1");
    for api in kvs_wire::ApiName::ALL {
        let body = json!({ "StreamARN": arn, "APIName": api });
        assert_eq!(control.call(Operation::GetDataEndpoint, body)["DataEndpoint"], "http://127.0.0.1:4580");
    }
}

#[test]
fn what_is_stored_is_what_was_there() {
    let mut control = Control::new();
    control.create("cam1");
    control.call(Operation::TagStream, json!({ "StreamName": "cam1", "Tags": { "a": "1" } }));
    let stored: Vec<Stream> = control
        .streams
        .iter()
        .map(|stream| serde_json::from_slice(&serde_json::to_vec(stream).unwrap()).unwrap())
        .collect();
    assert!(stored.iter().eq(control.streams.iter()));
    let mut again = Control::with(100, stored);
    assert_eq!(again.info("cam1"), control.info("cam1"));
    let arn = again.info("cam1")["StreamARN"].as_str().unwrap().parse().unwrap();
    assert_eq!(again.streams.get_by_arn(&arn).unwrap().tags["a"], "1");
    // A change that could not be stored is not there.
    let body = json!({ "StreamName": "cam2" }).to_string();
    let now = Utc::from_millis(NOW).unwrap();
    let done = again.streams.handle(Operation::CreateStream, body.as_bytes(), now, Version::of([1; 20]), "");
    assert!(matches!(done, Some(Ok(answer)) if matches!(answer.change, Some(Change::Put(_)))));
    assert_eq!(
        again.refused(Operation::DescribeStream, json!({ "StreamName": "cam2" })),
        Exception::ResourceNotFound
    );
}

#[test]
fn an_hour_of_retention_is_an_hour_of_server_time() {
    let mut control = Control::new();
    control.create("cam1");
    control.call(Operation::CreateStream, json!({ "StreamName": "unkept" }));
    let now = Utc::from_millis(NOW).unwrap();
    let since = |name: &str| control.streams.get(&name.parse().unwrap()).unwrap().kept_since(now);
    assert_eq!(since("cam1"), Utc::from_millis(NOW - 24 * 3_600_000));
    assert_eq!(since("unkept"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,100}") {
        let mut control = Control::new();
        control.create("cam1");
        for operation in Operation::ALL.iter().copied().filter(|operation| operation.plane() == kvs_wire::Plane::Control) {
            let now = Utc::from_millis(NOW).unwrap();
            for body in [&body[..], text.as_bytes()] {
                let _ = control.streams.handle(operation, body, now, Version::of([0; 20]), "");
            }
        }
    }
}
