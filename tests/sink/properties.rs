//! Every property: its name, type, unit, default and access. Those of the incumbent are its own.

use gst::prelude::*;

/// What a fresh element has.
fn value(element: &gst::Element, name: &str) -> String {
    let value = element.property_value(name);
    if let Ok(structure) = value.get::<Option<gst::Structure>>() {
        return structure.map_or_else(|| "(none)".to_owned(), |structure| structure.to_string());
    }
    match value.get::<Option<String>>() {
        Ok(text) => text.unwrap_or_else(|| "(none)".to_owned()),
        Err(_) => value.serialize().map_or_else(|_| "(none)".to_owned(), |text| text.to_string()),
    }
}

#[rustfmt::skip]
const INCUMBENT: &[(&str, &str, &str)] = &[
    ("stream-name", "gchararray", "DEFAULT_STREAM"),
    ("user-agent", "gchararray", "AWS-SDK-KVS-CPP-CLIENT/3.6.0"),
    ("retention-period", "guint", "2"),
    ("streaming-type", "GstRsKvsSinkStreamingType", "realtime"),
    ("content-type", "gchararray", "(none)"),
    ("max-latency", "guint", "60"),
    ("fragment-duration", "guint", "2000"),
    ("timecode-scale", "guint", "1"),
    ("key-frame-fragmentation", "gboolean", "true"),
    ("frame-timecodes", "gboolean", "true"),
    ("absolute-fragment-times", "gboolean", "true"),
    ("fragment-acks", "gboolean", "true"),
    ("restart-on-error", "gboolean", "true"),
    ("recalculate-metrics", "gboolean", "true"),
    ("allow-create-stream", "gboolean", "true"),
    ("framerate", "guint", "25"),
    ("avg-bandwidth-bps", "guint", "4194304"),
    ("buffer-duration", "guint", "120"),
    ("replay-duration", "guint", "40"),
    ("connection-staleness", "guint", "60"),
    ("codec-id", "gchararray", "V_MPEG4/ISO/AVC"),
    ("track-name", "gchararray", "kinesis_video"),
    ("aws-region", "gchararray", "us-west-2"),
    ("rotation-period", "guint", "3600"),
    ("log-config", "gchararray", "../kvs_log_configuration"),
    ("storage-size", "guint", "128"),
    ("stop-stream-timeout", "guint", "120"),
    ("connection-timeout", "guint", "5"),
    ("completion-timeout", "guint", "10"),
    ("credential-path", "gchararray", ".kvs/credential"),
    ("iot-certificate", "GstStructure", "(none)"),
    ("stream-tags", "GstStructure", "(none)"),
    ("disable-buffer-clipping", "gboolean", "false"),
    ("use-original-pts", "gboolean", "false"),
    ("get-kvs-metrics", "gboolean", "false"),
];

#[rustfmt::skip]
const OWN: &[(&str, &str, &str)] = &[
    ("endpoint", "gchararray", "(none)"),
    ("profile", "gchararray", "(none)"),
    ("assume-role-arn", "gchararray", "(none)"),
    ("ca-file", "gchararray", "(none)"),
    ("use-fips", "gboolean", "false"),
    ("use-dual-stack", "gboolean", "false"),
    ("iot-endpoint", "gchararray", "(none)"),
    ("iot-certificate-path", "gchararray", "(none)"),
    ("iot-key-path", "gchararray", "(none)"),
    ("iot-ca-path", "gchararray", "(none)"),
    ("iot-role-alias", "gchararray", "(none)"),
    ("iot-thing-name", "gchararray", "(none)"),
    ("startup-timeout", "guint64", "0"),
    ("buffer-policy", "GstRsKvsSinkBufferPolicy", "auto"),
    ("timestamp-source", "GstRsKvsSinkTimestampSource", "auto"),
    ("start-time", "gchararray", "(none)"),
    ("drop-corrupted", "gboolean", "false"),
    ("send-force-keyunit", "gboolean", "true"),
];

/// Those with rules of their own.
const OTHERS: &[&str] = &["file-start-time", "stats", "access-key", "secret-key", "session-token"];

#[test]
fn every_property_has_its_name_type_and_default_and_says_what_it_does() {
    super::init();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    for (name, kind, default) in INCUMBENT.iter().chain(OWN) {
        let spec = element.find_property(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(spec.value_type().name(), *kind, "{name}");
        assert_eq!(value(&element, name), *default, "{name}");
        assert!(spec.flags().contains(glib::ParamFlags::READWRITE), "{name}");
    }
    let own: Vec<_> = element
        .list_properties()
        .iter()
        .filter(|spec| spec.owner_type() == element.type_())
        .map(|spec| {
            assert!(spec.blurb().is_some_and(|blurb| blurb.len() > 10), "{}", spec.name());
            assert_ne!(spec.nick(), spec.name());
            spec.name().to_owned()
        })
        .collect();
    let listed: Vec<_> =
        INCUMBENT.iter().chain(OWN).map(|(name, ..)| *name).chain(OTHERS.iter().copied()).collect();
    assert!(own.iter().all(|name| listed.contains(&name.as_str())), "{own:?}");
    assert_eq!(own.len(), listed.len());
}

#[test]
fn defaults_that_are_described_are_those_of_a_fresh_element() {
    super::init();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    // A structure that is not there has no text.
    for (name, ..) in INCUMBENT.iter().chain(OWN).filter(|(_, kind, _)| *kind != "GstStructure") {
        let described = element.find_property(name).unwrap().default_value().clone();
        let fresh = element.property_value(name);
        let text = |value: &glib::Value| format!("{value:?}");
        assert_eq!(text(&described), text(&fresh), "{name}");
    }
}

#[test]
fn what_is_set_is_what_is_read() {
    super::init();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    for (name, kind, default) in INCUMBENT.iter().chain(OWN) {
        let other = match (*kind, *default) {
            ("gboolean", "true") => "false",
            ("gboolean", _) => "true",
            ("guint" | "guint64", _) => "17",
            ("GstStructure", _) => "s, a=(string)b;",
            ("GstRsKvsSinkStreamingType", _) => "offline",
            ("GstRsKvsSinkBufferPolicy", _) => "drop-oldest",
            ("GstRsKvsSinkTimestampSource", _) => "pipeline-clock",
            _ => "some-text",
        };
        element.set_property_from_str(name, other);
        assert_eq!(value(&element, name), other, "{name}");
    }
    for (number, nick) in [(0, "realtime"), (1, "near-realtime"), (2, "offline")] {
        element.set_property_from_str("streaming-type", &number.to_string());
        assert_eq!(value(&element, "streaming-type"), nick);
    }
    let flags = |name| element.find_property(name).unwrap().flags();
    assert!(flags("stop-stream-timeout").contains(gst::PARAM_FLAG_MUTABLE_PLAYING));
    assert!(flags("stream-name").contains(gst::PARAM_FLAG_MUTABLE_READY));
    element.set_property("file-start-time", 5_u64);
    assert_eq!(element.property::<u64>("file-start-time"), 5);
}

#[test]
fn a_recording_begins_when_the_element_is_made_if_nobody_says_otherwise() {
    super::init();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    assert!((before..=now()).contains(&element.property::<u64>("file-start-time")));
}

#[test]
fn secrets_can_be_written_and_not_read() {
    super::init();
    let element = gst::ElementFactory::make("kvssink").build().unwrap();
    let sentinels =
        [("access-key", "access_key"), ("secret-key", "secret_key"), ("session-token", "session_token")];
    for (name, sentinel) in sentinels {
        let spec = element.find_property(name).unwrap();
        assert!(spec.flags().contains(glib::ParamFlags::WRITABLE), "{name}");
        assert!(!spec.flags().contains(glib::ParamFlags::READABLE), "{name}");
        assert_eq!(spec.default_value().get::<&str>().unwrap(), sentinel);
        element.set_property(name, "hush");
    }
    let pipeline = gst::Pipeline::new();
    pipeline.add(&element).unwrap();
    assert!(!pipeline.debug_to_dot_data(gst::DebugGraphDetails::all()).contains("hush"));
    assert!(!format!("{:?}", element.property::<gst::Structure>("stats")).contains("hush"));
}

#[test]
fn settings_that_cannot_be_fail_the_start_and_say_why() {
    super::init();
    for (name, value, said) in [
        ("stream-name", "not a name", "`stream-name`"),
        ("storage-size", "0", "`storage-size`"),
        ("start-time", "noon", "`start-time`"),
        ("secret-key", "hush", "`secret-key` is set, and `access-key` is not"),
        ("iot-endpoint", "e", "`iot-certificate-path`"),
    ] {
        let element = gst::ElementFactory::make("kvssink").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_property_from_str(name, value);
        assert!(element.set_state(gst::State::Ready).is_err(), "{name}");
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { panic!() };
        assert!(error.error().matches(gst::ResourceError::Settings), "{name}");
        assert!(error.error().to_string().contains(said), "{:?}", error.error());
        assert!(!format!("{:?} {:?}", error.error(), error.debug()).contains("hush"));
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none(), "{name}: twice");
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn the_element_is_what_its_factory_says() {
    super::init();
    let factory = gst::ElementFactory::find("kvssink").unwrap();
    assert_eq!(factory.rank(), gst::Rank::NONE);
    assert_eq!(factory.metadata("klass"), Some("Sink/Network/Video/Audio"));
    assert_eq!(factory.element_type().name(), "GstRsKvsSink");
    let mut names: Vec<_> =
        factory.static_pad_templates().iter().map(|pad| pad.name_template().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["audio_%u", "meta_%u", "video_%u"]);
    let element = factory.create().build().unwrap();
    assert!(element.element_flags().contains(gst::ElementFlags::SINK));
}

#[test]
fn a_region_that_differs_from_the_environments_is_said_once() {
    // In a process of its own for each, since the environment belongs to all.
    let Ok(variable) = std::env::var("KVS_TEST_REGION_BY") else {
        let name = "properties::a_region_that_differs_from_the_environments_is_said_once";
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            let own = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env_remove("AWS_REGION")
                .env("KVS_TEST_REGION_BY", variable)
                .env(variable, "eu-west-9")
                .output()
                .unwrap();
            assert!(own.status.success(), "{variable}: {}", String::from_utf8_lossy(&own.stdout));
        }
        return;
    };
    super::init();
    let element = gst::ElementFactory::make("kvssink").property("aws-region", "eu-west-1").build().unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    element.set_state(gst::State::Paused).unwrap();
    let message = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = message.view() else { panic!() };
    let said = format!("aws-region=eu-west-1 is used, and not {variable}=eu-west-9");
    assert_eq!(warning.error().to_string(), said);
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    element.set_state(gst::State::Null).unwrap();
}
