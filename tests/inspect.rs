//! The plugin as the tools of GStreamer see it: documented, linked with nothing foreign, silent, without leaks, and with
//! no secret in any log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use kvs_media::TrackKind;
use serde_json::json;

use common::child::{at, finish, gst_launch, plugin, plugin_folder, text, with_plugin};
use common::stored::frames_of;
use common::{Ground, H264, Line, live_pictures, pictures};

const PATIENCE: Duration = Duration::from_secs(50);

fn inspect(folder: &Path, arguments: &[&str]) -> String {
    let mut command = with_plugin("gst-inspect-1.0", folder);
    command.args(arguments);
    let output = finish(command, PATIENCE);
    assert!(output.status.success(), "{}", text(&output));
    assert!(output.stderr.is_empty(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_property_signal_and_pad_is_documented() {
    let folder = plugin_folder();
    let shown = inspect(folder.path(), &["kvssink"]);
    common::line::init();
    let sink = gst::ElementFactory::make("kvssink").build().unwrap();
    for property in sink.list_properties() {
        if property.owner_type() != sink.type_() {
            continue;
        }
        let name = property.name();
        let blurb = property.blurb().unwrap_or_default();
        assert!(blurb.len() > 10, "{name}: {blurb:?}");
        let mut pairs = shown.lines().filter_map(|line| line.split_once(": "));
        assert!(pairs.any(|(shown, said)| shown.trim() == name && said == blurb), "{name} is not shown");
        assert!(!property.nick().is_empty() && property.nick() != name, "{name} has no nick");
    }
    for signal in ["stream-error", "fragment-ack", "stream-client-metric", "add-metadata"] {
        assert!(shown.contains(&format!("\"{signal}\"")), "{signal}");
    }
    for pad in ["video_%u", "audio_%u", "meta_%u"] {
        assert!(shown.contains(&format!("SINK template: '{pad}'")), "{pad}");
    }
    assert!(shown.contains("track-name") && shown.contains("GstRsKvsSinkPad"));
    let whole = inspect(folder.path(), &["kvs"]);
    assert!(whole.contains("Apache 2.0"), "{whole}");
    let first = inspect(folder.path(), &["kvssink"]);
    assert_eq!(first.lines().count(), shown.lines().count());
}

#[test]
fn every_property_and_pad_of_the_source_is_documented() {
    let folder = plugin_folder();
    let shown = inspect(folder.path(), &["kvssrc"]);
    common::line::init();
    let source = gst::ElementFactory::make("kvssrc").build().unwrap();
    for property in source.list_properties() {
        if property.owner_type() != source.type_() {
            continue;
        }
        let (name, blurb) = (property.name(), property.blurb().unwrap_or_default());
        assert!(blurb.len() > 10, "{name}: {blurb:?}");
        let mut pairs = shown.lines().filter_map(|line| line.split_once(": "));
        assert!(pairs.any(|(shown, said)| shown.trim() == name && said == blurb), "{name} is not shown");
        assert!(!property.nick().is_empty() && property.nick() != name, "{name} has no nick");
    }
    for pad in ["video_%u", "audio_%u", "meta_%u"] {
        assert!(shown.contains(&format!("SRC template: '{pad}'")), "{pad}");
    }
    assert!(shown.contains("Supported URI protocols:") && shown.contains("kvs"), "{shown}");
}

#[test]
fn every_property_of_the_incumbent_is_there_with_its_type_and_default() {
    common::line::init();
    let sink = gst::ElementFactory::make("kvssink").build().unwrap();
    let text = |name: &str| sink.property::<Option<String>>(name);
    for (name, default) in [
        ("stream-name", Some("DEFAULT_STREAM")),
        ("user-agent", Some("AWS-SDK-KVS-CPP-CLIENT/3.6.0")),
        ("content-type", None),
        ("codec-id", Some("V_MPEG4/ISO/AVC")),
        ("track-name", Some("kinesis_video")),
        ("aws-region", Some("us-west-2")),
        ("log-config", Some("../kvs_log_configuration")),
        ("credential-path", Some(".kvs/credential")),
    ] {
        assert_eq!(text(name).as_deref(), default, "{name}");
    }
    for (name, default) in [
        ("retention-period", 2_u32),
        ("max-latency", 60),
        ("fragment-duration", 2_000),
        ("timecode-scale", 1),
        ("framerate", 25),
        ("avg-bandwidth-bps", 4_194_304),
        ("buffer-duration", 120),
        ("replay-duration", 40),
        ("connection-staleness", 60),
        ("rotation-period", 3_600),
        ("storage-size", 128),
        ("stop-stream-timeout", 120),
        ("connection-timeout", 5),
        ("completion-timeout", 10),
    ] {
        assert_eq!(sink.property::<u32>(name), default, "{name}");
    }
    for (name, default) in [
        ("key-frame-fragmentation", true),
        ("frame-timecodes", true),
        ("absolute-fragment-times", true),
        ("fragment-acks", true),
        ("restart-on-error", true),
        ("recalculate-metrics", true),
        ("allow-create-stream", true),
        ("disable-buffer-clipping", false),
        ("use-original-pts", false),
        ("get-kvs-metrics", false),
    ] {
        assert_eq!(sink.property::<bool>(name), default, "{name}");
    }
    assert!(sink.property::<u64>("file-start-time") > 1_700_000_000);
    let kind = sink.find_property("streaming-type").unwrap();
    let values = glib::EnumClass::with_type(kind.value_type()).unwrap();
    let nicks: Vec<_> = values.values().iter().map(|value| (value.value(), value.nick())).collect();
    assert_eq!(nicks, [(0, "realtime"), (1, "near-realtime"), (2, "offline")]);
    for name in ["iot-certificate", "stream-tags"] {
        assert_eq!(sink.find_property(name).unwrap().value_type(), gst::Structure::static_type(), "{name}");
    }
    for name in ["access-key", "secret-key", "session-token"] {
        let property = sink.find_property(name).unwrap();
        let flags = property.flags();
        assert!(flags.contains(glib::ParamFlags::WRITABLE) && !flags.contains(glib::ParamFlags::READABLE));
    }
}

#[test]
fn the_plugin_needs_nothing_but_gstreamer_glib_and_libc() {
    let output = Command::new("readelf").arg("-d").arg(plugin()).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let needed = found.lines().filter(|line| line.contains("(NEEDED)"));
    let needed: Vec<_> = needed.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    assert!(needed.contains(&"libgstreamer-1.0.so.0"), "{needed:?}");
    for library in needed {
        let allowed =
            ["libgst", "libglib-2.0.", "libgobject-2.0.", "libgio-2.0.", "libgmodule-2.0.", "libc.", "libm."];
        let allowed = [&allowed[..], &["libgcc_s.", "ld-linux"]].concat();
        assert!(allowed.iter().any(|prefix| library.starts_with(prefix)), "{library}");
    }
}

/// A recording by gst-launch-1.0, with the keys in the environment.
fn record(ground: &Ground, folder: &Path, options: &[&str], source: &str, more: &[(&str, &str)]) -> Output {
    let line = format!("{source} ! {H264} ! queue ! kvssink stream-name=tool");
    let mut command = gst_launch(folder, options, &line);
    at(&mut command, ground).envs(more.iter().copied());
    finish(command, PATIENCE)
}

#[test]
fn a_recording_leaks_nothing_and_makes_no_library_warn() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    let sound =
        "audiotestsrc num-buffers=100 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! mulawenc";
    for line in [
        format!("{} ! {H264} ! queue ! kvssink stream-name=leaks", pictures(25)),
        // Sound alone is what the incumbent cannot finalize.
        format!("{sound} ! kvssink stream-name=leaks"),
        format!("{} ! {H264} ! queue ! kvssink stream-name=leaks name=k {sound} ! queue ! k.", pictures(25)),
    ] {
        let mut command = gst_launch(folder.path(), &[], &line);
        at(&mut command, &ground)
            .env("GST_TRACERS", "leaks")
            .env("GST_DEBUG", "GST_TRACER:7")
            .env("GST_DEBUG_NO_COLOR", "1")
            .env("G_DEBUG", "fatal_warnings");
        let output = finish(command, PATIENCE);
        let said = text(&output);
        assert!(output.status.success(), "{line}: {said}");
        // The tracer says at its start how it is going to say it.
        assert!(said.contains("object-alive.class"), "the tracer is not there: {said}");
        let alive =
            said.lines().filter(|line| line.contains("object-alive,") && !line.contains("new format"));
        let alive: Vec<_> = alive.collect();
        assert!(alive.is_empty(), "{line}: {alive:#?}");
    }
}

#[test]
fn a_process_that_records_ends_well_every_time() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    for round in 0..8 {
        let output = record(&ground, folder.path(), &["-q"], &pictures(12), &[("G_DEBUG", "fatal_warnings")]);
        assert!(output.status.success(), "{round}: {:?} {}", output.status, text(&output));
    }
    assert_eq!(frames_of(&ground.stored("tool"), TrackKind::Video).len(), 8 * 12);
}

#[test]
fn nothing_is_written_to_the_terminal_not_even_during_an_outage() {
    let (mut ground, folder) = (Ground::new(), plugin_folder());
    let source = live_pictures().replace("is-live=true", "is-live=true num-buffers=60");
    let line = format!("{source} ! {H264} ! queue ! kvssink stream-name=quiet");
    let mut command = gst_launch(folder.path(), &["-q"], &line);
    let mut child = at(&mut command, &ground).spawn().unwrap();
    // It is recording when the service has something.
    ground.until_listed("quiet", 1);
    ground.path.cut();
    ground.until_listed("quiet", 2);
    let data = ground.stop();
    ground.start_again(data);
    let status = common::child::wait(&mut child, PATIENCE);
    let output = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", text(&output));
    assert_eq!(text(&output), "");
    let frames = frames_of(&ground.stored("quiet"), TrackKind::Video);
    assert!(frames.len() >= 60);
}

#[test]
fn no_log_of_any_level_has_a_secret_in_it() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    let log = folder.path().join("log");
    for fault in ["none", "PutMedia", "GetDataEndpoint"] {
        if fault != "none" {
            ground.fault(json!({ "what": { "refuse": { "operation": fault, "status": 403 } }, "times": 2 }));
        }
        let more = [
            ("GST_DEBUG", "*:9"),
            ("GST_DEBUG_NO_COLOR", "1"),
            ("GST_DEBUG_FILE", log.to_str().unwrap()),
            ("AWS_SESSION_TOKEN", ""),
        ];
        let output = record(&ground, folder.path(), &["-q"], &pictures(12), &more);
        assert!(output.status.success(), "{}", text(&output));
        let said = std::fs::read(&log).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("kvs-upload") && said.contains("kvssink"), "nothing was logged");
        for secret in [&ground.keys.secret[..], "AWS4-HMAC", "Signature=", "authorization:", "Authorization"]
        {
            let line = said.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{fault}: {}", line.unwrap().replace(&ground.keys.secret, "the secret"));
        }
    }
}

#[test]
fn a_picture_of_the_pipeline_shows_no_secret() {
    let ground = Ground::new();
    let line =
        Line::new(&format!("{} ! {H264} ! {} session-token=hush-hush", pictures(5), ground.sink("dot")));
    let dot = line.pipeline.debug_to_dot_data(gst::DebugGraphDetails::all());
    assert!(dot.contains("stream-name"));
    for secret in [&ground.keys.secret[..], "hush-hush", &ground.keys.access_key] {
        assert!(!dot.contains(secret));
    }
}

#[test]
fn the_environment_of_the_incumbent_is_heard() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    let keys = &ground.keys;
    let file = folder.path().join("credential");
    std::fs::write(&file, format!("CREDENTIALS {} {}\n", keys.access_key, keys.secret)).unwrap();
    let (url, path) = (ground.path.url(), format!("credential-path={}", file.display()));
    let own = [("AWS_ACCESS_KEY_ID", &keys.access_key[..]), ("AWS_SECRET_ACCESS_KEY", &keys.secret[..])];
    for (stream, setting, environment) in [("variables", "", &own[..]), ("file", path.as_str(), &[][..])] {
        let line = format!("{} ! {H264} ! kvssink stream-name={stream} {setting}", pictures(12));
        let mut command = gst_launch(folder.path(), &["-q"], &line);
        command
            .env("CONTROL_PLANE_URI", &url)
            .env("AWS_DEFAULT_REGION", "us-west-2")
            .envs(environment.iter().copied());
        command.env("HOME", folder.path());
        let output = finish(command, PATIENCE);
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(frames_of(&ground.stored(stream), TrackKind::Video).len(), 12);
    }
}

#[test]
fn without_any_credentials_a_recording_fails_at_once() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    let line = format!("{} ! {H264} ! kvssink stream-name=nobody aws-region=us-west-2", live_pictures());
    let mut command = gst_launch(folder.path(), &["-q"], &line);
    command.env("AWS_ENDPOINT_URL", ground.path.url()).env("HOME", folder.path());
    let output = finish(command, Duration::from_secs(15));
    let said = text(&output);
    assert!(!output.status.success() && said.contains("nobody: ") && said.contains("credentials"), "{said}");
}
