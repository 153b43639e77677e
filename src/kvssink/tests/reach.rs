//! What is set reaches where it acts.

use std::time::Duration;

use gst::prelude::*;
use kvs_client::ClientSettings;
use kvs_client::client::CredentialsFrom;
use kvs_client::upload::Settings;
use kvs_wire::FragmentTimecodeType;

use super::upload_of;

/// What an element with this property set makes of it.
fn reached(name: &str, value: &str) -> (Settings, ClientSettings) {
    super::init();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    element.set_property_from_str(name, value);
    element.set_state(gst::State::Paused).unwrap();
    let sink = element.downcast_ref().unwrap();
    let reached = upload_of(sink)
        .with(|inner| (inner.settings.clone().unwrap(), inner.client.as_ref().unwrap().settings().clone()));
    element.set_state(gst::State::Null).unwrap();
    reached
}

/// Something that a property changes.
type Acts = fn(&Settings, &ClientSettings) -> bool;

#[rustfmt::skip]
const ROWS: &[(&str, &str, Acts)] = &[
    ("stream-name", "yard", |upload, _| upload.stream.as_str() == "yard"),
    ("allow-create-stream", "false", |upload, _| !upload.setup.create),
    ("retention-period", "7", |upload, _| upload.setup.retention_hours == 7),
    ("stream-tags", "t,a=b,n=5", |upload, _| upload.setup.tags == [("a".into(), "b".into()), ("n".into(), "5".into())]),
    ("fragment-duration", "700", |upload, _| upload.rules.target == Duration::from_millis(700)),
    ("key-frame-fragmentation", "false", |upload, _| !upload.rules.at_key_frames),
    ("timecode-scale", "10", |upload, _| upload.rules.scale.nanos() == 10_000_000 && upload.info.scale == upload.rules.scale),
    ("timecode-scale", "0", |upload, _| upload.rules.scale.nanos() == 1_000_000),
    ("absolute-fragment-times", "false", |upload, _| upload.timecodes == FragmentTimecodeType::Relative),
    ("fragment-acks", "false", |upload, _| !upload.acks),
    ("storage-size", "3", |upload, _| upload.capacity.bytes == 3 << 20),
    ("buffer-duration", "9", |upload, _| upload.capacity.span == Duration::from_secs(9)),
    ("buffer-duration", "0", |upload, _| upload.capacity.span == Duration::from_secs(20)),
    ("connection-staleness", "11", |upload, _| upload.staleness == Duration::from_secs(11)),
    ("startup-timeout", "5000000000", |upload, _| upload.startup_timeout == Some(Duration::from_secs(5))),
    ("aws-region", "eu-central-1", |_, client| client.region.as_deref() == Some("eu-central-1")),
    ("endpoint", "http://127.0.0.1:1", |_, client| client.endpoint.as_deref() == Some("http://127.0.0.1:1")),
    ("profile", "p", |_, client| client.profile.as_deref() == Some("p")),
    ("assume-role-arn", "arn:aws:iam::1:role/r", |_, client| client.assume_role.as_deref() == Some("arn:aws:iam::1:role/r")),
    ("use-fips", "true", |_, client| client.use_fips),
    ("use-dual-stack", "true", |_, client| client.use_dual_stack),
    ("user-agent", "mine/1", |_, client| client.user_agent.as_deref() == Some("mine/1")),
    ("connection-timeout", "4", |_, client| client.connect_timeout == Duration::from_secs(4)),
    ("completion-timeout", "40", |_, client| client.call_timeout == Duration::from_secs(40)),
    ("completion-timeout", "1", |_, client| client.call_timeout == Duration::from_secs(10)),
    ("credential-path", "/keys", |_, client| matches!(&client.credentials, CredentialsFrom::File(path) if path == "/keys")),
];

#[test]
fn what_is_set_reaches_where_it_acts() {
    let (fresh, client) = reached("max-latency", "60");
    for (name, value, acts) in ROWS {
        let (upload, reached_client) = reached(name, value);
        assert!(acts(&upload, &reached_client), "{name}={value}: {upload:?} {reached_client:?}");
        // What shows that must not be so anyway.
        if !matches!((*name, *value), ("timecode-scale", "0") | ("completion-timeout", "1")) {
            assert!(!acts(&fresh, &client), "{name}={value}");
        }
    }
}

#[test]
fn where_nobody_can_be_reached_or_trusted_the_sink_does_not_get_ready_and_names_the_property() {
    let folder = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["kvs".to_owned()]).unwrap().cert.pem();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (trusted, empty) = (path("ca.pem", &pem), path("empty.pem", ""));
    let missing = folder.path().join("missing.pem").to_str().unwrap().to_owned();
    let (_, client) = reached("ca-file", &trusted);
    assert_eq!(client.ca_file.as_deref(), Some(trusted.as_ref()));
    for (name, value) in [("endpoint", "kvs.example"), ("ca-file", &missing), ("ca-file", &empty)] {
        let element = gst::ElementFactory::make("kvssink").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_property_from_str(name, value);
        assert!(element.set_state(gst::State::Ready).is_err(), "{name}={value}");
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { panic!() };
        assert!(error.error().matches(gst::ResourceError::Settings));
        let text = error.error().to_string();
        assert!(text.starts_with(&format!("`{name}`: ")), "{text}");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    }
}

#[test]
fn defaults_that_stand_for_nothing_are_nothing() {
    let (_, client) = reached("access-key", "access_key");
    assert_eq!((client.region, client.user_agent, client.endpoint), (None, None, None));
}
