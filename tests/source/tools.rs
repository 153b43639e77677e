//! What tools say of it: leaks, warnings, secrets.

use super::START;
use super::common::child::{at, finish, gst_launch, plugin_folder, text};
use super::common::{Ground, H264, Line, PATIENCE, pictures};

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
const SOUND: &str = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";

#[test]
fn a_source_leaks_nothing_and_makes_no_library_warn() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(20)), START);
    ground.record(
        "both",
        &format!("{} ! {H264} ! queue ! k.video_0 {SOUND} ! queue ! k.audio_0", pictures(20)),
        START,
    );
    for line in [
        format!("kvssrc stream-name=door {RANGE} ! fakesink"),
        format!("kvssrc stream-name=door {RANGE} ! decodebin ! fakesink"),
        format!(
            "kvssrc name=s stream-name=both {RANGE} s.video_0 ! queue ! fakesink s.audio_0 ! queue ! fakesink"
        ),
        "uridecodebin3 uri=kvs://door?from=0&to=now ! fakesink".to_owned(),
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
        assert!(said.contains("object-alive.class"), "the tracer is not there: {said}");
        let alive: Vec<_> = said
            .lines()
            .filter(|line| line.contains("object-alive,") && !line.contains("new format"))
            .collect();
        assert!(alive.is_empty(), "{line}: {alive:#?}");
    }
}

#[test]
fn no_log_of_any_level_has_a_secret_in_it() {
    let (ground, folder) = (Ground::new(), plugin_folder());
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(20)), START);
    let log = folder.path().join("log");
    let line = format!("kvssrc stream-name=door {RANGE} ! fakesink");
    let mut command = gst_launch(folder.path(), &["-q"], &line);
    at(&mut command, &ground)
        .env("GST_DEBUG", "*:9")
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("GST_DEBUG_FILE", log.to_str().unwrap());
    let output = finish(command, PATIENCE);
    assert!(output.status.success() && text(&output).is_empty(), "{}", text(&output));
    let said = std::fs::read(&log).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("kvs-fetch") && said.contains("kvssrc"), "nothing was logged");
    for secret in [&ground.keys.secret[..], "AWS4-HMAC", "Signature=", "authorization:", "Authorization"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{}", line.unwrap().replace(&ground.keys.secret, "the secret"));
    }
}

#[test]
fn a_picture_of_the_pipeline_shows_no_secret() {
    let ground = Ground::new();
    let line = Line::new(&format!("{} session-token=hush-hush ! fakesink", ground.source("dot")));
    use gst::prelude::*;
    let dot = line.pipeline.debug_to_dot_data(gst::DebugGraphDetails::all());
    assert!(dot.contains("stream-name"));
    for secret in [&ground.keys.secret[..], "hush-hush", &ground.keys.access_key] {
        assert!(!dot.contains(secret));
    }
}
