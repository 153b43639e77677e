//! Any requests of the control plane in a row: what is applied reads back, from memory and as it is stored, and lists
//! show every stream once.
//!
//! Input: lines, each the name of an operation, a space, and the body; in it `$1` to `$4` stand for the versions of the
//! streams `cam1` to `cam4`, and `@1` to `@4` for their ARNs.
#![no_main]

use kvs_media::time::Utc;
use kvs_service::control::{Account, Answer, Change, Refusal, Stream, Streams, Version};
use kvs_wire::{EpochSeconds, Operation, limits};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const MOST_STREAMS: usize = 6;
const MOST_CALLS: usize = 64;
/// With a fraction of a millisecond, as a clock has it.
const NOW: i64 = 1_795_145_031_123_456_789;

fn account() -> Account {
    Account { partition: "aws".into(), region: "us-west-2".into(), id: "111122223333".into() }
}

/// Whether a change of it gives a stream another version.
fn renews(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CreateStream
            | Operation::UpdateStream
            | Operation::UpdateDataRetention
            | Operation::UpdateStreamStorageConfiguration
            | Operation::UpdateImageGenerationConfiguration
            | Operation::UpdateNotificationConfiguration
    )
}

struct Control {
    streams: Streams,
    calls: u8,
}

impl Control {
    fn now(&self) -> Utc {
        // Twenty minutes from call to call: edge configurations come to all their states.
        Utc::from_nanos(NOW + i64::from(self.calls) * 1_200_000_000_001)
    }

    fn ask(&self, operation: Operation, body: &[u8]) -> Option<Result<Answer, Refusal>> {
        let version = Version::of([self.calls; 20]);
        self.streams.handle(operation, body, self.now(), version, "http://localhost:4580")
    }

    fn shown(&self, operation: Operation, body: &Value) -> Value {
        let answer = self.ask(operation, body.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(answer.change, None);
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn call(&mut self, operation: Operation, body: &[u8]) {
        self.calls += 1;
        let Some(done) = self.ask(operation, body) else { return };
        assert_eq!(self.ask(operation, body).as_ref(), Some(&done), "not a function of what it is given");
        let answer = match done {
            Ok(answer) => answer,
            Err(refusal) => {
                let mut body = Vec::new();
                refusal.exception.write_body(&refusal.message, &mut body);
                serde_json::from_slice::<Value>(&body).unwrap();
                return;
            }
        };
        serde_json::from_slice::<Value>(&answer.body).unwrap();
        let Some(change) = answer.change else { return };
        let before: Vec<Stream> = self.streams.iter().cloned().collect();
        self.streams.apply(change.clone());
        let arn = match &change {
            Change::Put(stream) => {
                self.stored(stream, before.iter().find(|other| other.name() == stream.name()), operation);
                &stream.arn
            }
            Change::Delete(arn) => {
                assert!(before.iter().any(|stream| stream.arn == *arn));
                assert_eq!(self.streams.get_by_arn(arn), None);
                arn
            }
        };
        let others = |stream: &&Stream| stream.name() != arn.name();
        assert!(
            before.iter().filter(others).eq(self.streams.iter().filter(others)),
            "another stream changed"
        );
        assert!(self.streams.iter().count() <= MOST_STREAMS);
    }

    fn stored(&self, stream: &Stream, before: Option<&Stream>, operation: Operation) {
        assert_eq!(self.streams.get_by_arn(&stream.arn), Some(stream));
        assert_eq!(self.streams.get(stream.name()), Some(stream));
        let text = serde_json::to_string(stream).unwrap();
        assert_eq!(serde_json::from_str::<Stream>(&text).unwrap(), *stream, "{text}");
        assert!(stream.retention_hours <= limits::RETENTION_HOURS);
        assert!(stream.tags.len() <= limits::TAGS_PER_STREAM && stream.version.len() == 20);
        match before {
            None => assert_eq!(operation, Operation::CreateStream),
            Some(before) => {
                assert_eq!((&before.arn, before.created), (&stream.arn, stream.created));
                assert_eq!(before.version != stream.version, renews(operation));
            }
        }
        let info = &self.shown(Operation::DescribeStream, &json!({ "StreamARN": stream.arn }))["StreamInfo"];
        assert_eq!(info["Version"], *stream.version);
        assert_eq!(info["DataRetentionInHours"], stream.retention_hours);
        assert_eq!(
            serde_json::from_value::<EpochSeconds>(info["CreationTime"].clone()).unwrap(),
            stream.created
        );
        let tags = &self.shown(Operation::ListTagsForStream, &json!({ "StreamARN": stream.arn }))["Tags"];
        assert_eq!(*tags, json!(stream.tags));
    }

    /// Page after page of a list, by the names of its streams.
    fn pages(&self, operation: Operation, ask: Value, list: &str, most: usize) -> Vec<String> {
        let (mut ask, mut names) = (ask, Vec::new());
        ask["MaxResults"] = most.into();
        loop {
            let page = self.shown(operation, &ask);
            let found = page[list].as_array().unwrap();
            assert!(found.len() <= most && (found.len() == most || page["NextToken"].is_null()));
            names.extend(found.iter().map(|stream| stream["StreamName"].as_str().unwrap().to_owned()));
            match page["NextToken"].as_str() {
                Some(token) if names.len() < MOST_STREAMS => ask["NextToken"] = token.into(),
                Some(token) => panic!("{token} leads round and round"),
                None => return names,
            }
        }
    }
}

fuzz_target!(|input: &str| {
    let mut control = Control { streams: Streams::new(account(), MOST_STREAMS, []), calls: 0 };
    for number in 1..=3 {
        let body = json!({ "StreamName": format!("cam{number}"), "DataRetentionInHours": number - 1 });
        control.call(Operation::CreateStream, body.to_string().as_bytes());
    }
    for line in input.lines().take(MOST_CALLS) {
        let Some((name, body)) = line.split_once(' ') else { continue };
        // A broken name is that of some other operation.
        let named = Operation::ALL.iter().find(|operation| operation.name() == name);
        let operation = named.unwrap_or(&Operation::ALL[name.len() % Operation::ALL.len()]);
        let mut body = body.to_owned();
        for number in 1..=4 {
            let stream = format!("cam{number}").parse().ok().and_then(|name| control.streams.get(&name));
            if let Some(stream) = stream {
                body = body.replace(&format!("${number}"), &stream.version);
                body = body.replace(&format!("@{number}"), &stream.arn.to_string());
            }
        }
        control.call(*operation, body.as_bytes());
    }
    let names: Vec<String> = control.streams.iter().map(|stream| stream.name().to_string()).collect();
    for most in [1, 2, names.len().max(1), MOST_STREAMS + 1] {
        assert_eq!(control.pages(Operation::ListStreams, json!({}), "StreamInfoList", most), names);
    }
    let hub = "arn:aws:iot:us-west-2:111122223333:thing/hub";
    let all = control.pages(
        Operation::ListEdgeAgentConfigurations,
        json!({ "HubDeviceArn": hub }),
        "EdgeConfigs",
        10,
    );
    let one = control.pages(
        Operation::ListEdgeAgentConfigurations,
        json!({ "HubDeviceArn": hub }),
        "EdgeConfigs",
        1,
    );
    assert_eq!(all, one);
    // As after a restart.
    let stored = control
        .streams
        .iter()
        .map(|stream| serde_json::from_str::<Stream>(&serde_json::to_string(stream).unwrap()).unwrap());
    assert!(Streams::new(account(), MOST_STREAMS, stored).iter().eq(control.streams.iter()));
});
