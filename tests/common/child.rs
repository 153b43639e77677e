//! Programs that are run beside the test: the tools of GStreamer, ffprobe, Python.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Ground;

/// A folder in which GStreamer finds the plugin as it was just built, and the registry that it makes of it.
pub(crate) fn plugin_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(plugin(), folder.path().join("libgstkvs.so")).unwrap();
    folder
}

/// The plugin that was built with this test: Cargo makes every kind of the library that the test is linked with.
pub(crate) fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let plugin = test.with_file_name("libgstkvs.so");
    assert!(plugin.is_file(), "{} is not there", plugin.display());
    plugin
}

/// A command that finds the plugin, and of the environment nothing of AWS's.
pub(crate) fn with_plugin(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("GST_") || text.starts_with("G_") {
            command.env_remove(&name);
        }
    }
    command
        .env("GST_PLUGIN_PATH", folder)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// gst-launch-1.0 with these arguments, as words of a shell would be.
pub(crate) fn gst_launch(folder: &Path, options: &[&str], description: &str) -> Command {
    let mut command = with_plugin("gst-launch-1.0", folder);
    command.args(options).args(description.split_whitespace().map(|word| word.replace('"', "")));
    command
}

/// Runs to the end, which has to come in time.
pub(crate) fn finish(mut command: Command, patience: Duration) -> Output {
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let id = child.id();
    let (says, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || says.send(child.wait_with_output()));
    said.recv_timeout(patience).map_or_else(
        |_| {
            kill(id, "KILL");
            let output = said.recv().unwrap().unwrap();
            panic!("{command:?} does not end: {}", text(&output));
        },
        Result::unwrap,
    )
}

/// Sends a signal to a child of ours.
pub(crate) fn kill(id: u32, signal: &str) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status();
}

/// Waits for the end of a child.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            panic!("a child does not end");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Both of its outputs.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Tells a child where the service is, and as whom to call it.
pub(crate) fn at<'a>(command: &'a mut Command, ground: &Ground) -> &'a mut Command {
    command
        .env("AWS_ENDPOINT_URL", ground.path.url())
        .env("AWS_REGION", "us-west-2")
        .env("AWS_ACCESS_KEY_ID", &ground.keys.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &ground.keys.secret)
}
