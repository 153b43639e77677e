//! Players and tools as they are, by the address of a stream.

use std::process::Output;
use std::time::Duration;

use gst::prelude::*;

use super::START;
use super::common::child::{at, finish, gst_launch, plugin_folder, text, with_plugin};
use super::common::{Ground, H264, Line, PATIENCE, pictures};

/// Two seconds of pictures and sound.
fn recorded() -> Ground {
    let ground = Ground::new();
    let sound = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";
    ground.record(
        "door",
        &format!("{} ! {H264} ! queue ! k.video_0 {sound} ! queue ! k.audio_0", pictures(20)),
        START,
    );
    ground
}

const ADDRESS: &str = "kvs://door?from=2026-11-20T03:00:00Z&to=2026-11-20T04:00:00Z";

fn run(ground: &Ground, program: &str, arguments: &[&str]) -> Output {
    let folder = plugin_folder();
    let mut command = with_plugin(program, folder.path());
    command.args(arguments).env("HOME", folder.path());
    at(&mut command, ground);
    finish(command, PATIENCE)
}

#[test]
fn gst_play_plays_an_address_to_its_end() {
    let ground = recorded();
    let sinks = ["--no-interactive", "--videosink=fakesink sync=true", "--audiosink=fakesink sync=true"];
    let arguments: Vec<_> = sinks.into_iter().chain([ADDRESS]).collect();
    let output = run(&ground, "gst-play-1.0", &arguments);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Reached end of play list"), "{said}");
    assert!(!said.to_lowercase().contains("error") && !said.contains("WARN"), "{said}");
}

#[test]
fn gst_discoverer_finds_out_what_is_in_an_address() {
    let ground = recorded();
    let output = run(&ground, "gst-discoverer-1.0", &["-v", ADDRESS]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for expected in ["Seekable: yes", "H.264", "MPEG-4 AAC", "Width: 160", "Sample rate: 48000"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(said.contains("Duration: 0:00:01.9") || said.contains("Duration: 0:00:02.0"), "{said}");
}

#[test]
fn every_way_to_play_an_address_finds_the_element() {
    let ground = recorded();
    let keys = &ground.keys;
    for element in ["uridecodebin", "uridecodebin3"] {
        let folder = plugin_folder();
        let line = format!("{element} name=d uri={ADDRESS} ! fakesink d. ! fakesink");
        let mut command = gst_launch(folder.path(), &["-q"], &line);
        at(&mut command, &ground).env("HOME", folder.path());
        let output = finish(command, PATIENCE);
        assert!(output.status.success(), "{element}: {}", text(&output));
    }
    // And of a program, which sets the keys of the source when there is one.
    let line = Line::new(&format!("playbin name=k uri={ADDRESS} video-sink=fakesink audio-sink=fakesink"));
    let (id, secret, url) = (keys.access_key.clone(), keys.secret.clone(), ground.path.url());
    line.sink.connect("source-setup", false, move |values| {
        let source = values[1].get::<gst::Element>().unwrap();
        assert_eq!(source.factory().unwrap().name(), "kvssrc");
        source.set_property("access-key", &id);
        source.set_property("secret-key", &secret);
        source.set_property("endpoint", &url);
        source.set_property("aws-region", "us-west-2");
        None
    });
    line.play();
    line.wait("the end", |line| {
        assert!(line.errors().is_empty(), "{:?}", line.errors());
        line.has(gst::MessageType::Eos).then_some(())
    });
}

#[test]
fn a_file_is_made_of_a_range() {
    let ground = recorded();
    let folder = plugin_folder();
    let file = folder.path().join("door.mp4");
    let line = format!(
        "kvssrc name=s stream-name=door from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z \
         s.video_0 ! queue ! h264parse ! mp4mux name=m ! filesink location={} s.audio_0 ! queue ! aacparse ! m.",
        file.display()
    );
    let mut command = gst_launch(folder.path(), &["-q"], &line);
    at(&mut command, &ground).env("HOME", folder.path());
    let output = finish(command, Duration::from_secs(20));
    assert!(output.status.success() && text(&output).is_empty(), "{}", text(&output));
    let made = run(
        &ground,
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_packets",
            "-show_entries",
            "stream=codec_name,nb_read_packets",
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(text(&made), "h264,20\naac,93\n");
}

#[test]
fn an_address_says_what_is_set_and_refuses_what_cannot_be() {
    super::common::line::init();
    let source = gst::ElementFactory::make("kvssrc").build().unwrap();
    let handler = source.dynamic_cast_ref::<gst::URIHandler>().unwrap();
    assert_eq!(handler.protocols(), ["kvs"]);
    let address =
        "kvs://door?region=eu-west-1&endpoint=http://127.0.0.1:4580&from=-10min&gap-policy=skip&latency=5";
    handler.set_uri(address).unwrap();
    assert_eq!(source.property::<String>("from"), "-10min");
    assert_eq!(source.property::<u64>("latency"), 5);
    let shown = handler.uri().unwrap();
    handler.set_uri(&shown).unwrap();
    assert_eq!(handler.uri().unwrap(), shown);
    for part in ["from=-10min", "gap-policy=skip", "latency=5", "region=eu-west-1"] {
        assert!(shown.contains(part), "{shown}");
    }
    for bad in [
        "kvs://me:hush@door",
        "kvs://door?secret-key=hush",
        "kvs://door?from=soon",
        "kvs://door?gap-policy=odd",
        "kvs://",
    ] {
        let error = handler.set_uri(bad).unwrap_err();
        assert!(error.matches(gst::URIError::BadUri) && !error.message().contains("hush"), "{bad}: {error}");
    }
    // What was set stays.
    assert_eq!(handler.uri().unwrap(), shown);
    // Of another address is what it says itself, and of the connection what others have set.
    source.set_property("profile", "yard");
    source.set_property("aws-region", "eu-north-1");
    handler.set_uri("kvs://door?latency=5&completion-timeout=7").unwrap();
    assert_eq!(source.property::<Option<String>>("endpoint"), None);
    assert_eq!(source.property::<u32>("completion-timeout"), 7);
    handler.set_uri(address).unwrap();
    assert_eq!(source.property::<String>("aws-region"), "eu-west-1");
    assert_ne!(source.property::<u32>("completion-timeout"), 7);
    handler.set_uri("kvs://yard").unwrap();
    assert_eq!(handler.uri().unwrap(), "kvs://yard?profile=yard");
    handler.set_uri(&shown).unwrap();
    source.set_property("from", "0");
    source.set_state(gst::State::Paused).unwrap();
    assert!(handler.set_uri("kvs://yard").unwrap_err().matches(gst::URIError::BadState));
    source.set_state(gst::State::Null).unwrap();
    handler.set_uri("kvs://yard").unwrap();
    assert_eq!(source.property::<Option<String>>("from"), None);
}
