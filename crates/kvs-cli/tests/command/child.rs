//! The binary as a child: its lines as they come, and its end.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kvs_media::time::Utc;
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(40);

/// A folder of one test alone, gone when it ends.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary, with nothing of the tester's own environment that it looks at.
pub(crate) fn kvs(folder: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvs"));
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "KVS_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // No file of the tester is read, and nobody is asked for credentials over the network.
    command.env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true").env("SHELL", "/bin/sh");
    command.current_dir(folder.path()).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run<A: AsRef<OsStr>>(folder: &Scratch, arguments: &[A]) -> Output {
    kvs(folder).args(arguments).output().unwrap()
}

/// What went to standard error of a run that failed with this code.
pub(crate) fn refusal(output: &Output, code: i32) -> String {
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    errors
}

/// What went to standard output of a run that went well.
pub(crate) fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The system's time.
pub(crate) fn now() -> Utc {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Utc::from_nanos(i64::try_from(now.as_nanos()).unwrap())
}

/// A child that runs until it is told otherwise, or until the test ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::hearing(command, read)
    }

    /// Its standard error is a pipe that nobody reads.
    pub(crate) fn start_unread(command: &mut Command) -> Self {
        Self::hearing(command, |errors, _| drop(errors))
    }

    fn hearing(command: &mut Command, errors: impl FnOnce(ChildStderr, Sender<String>)) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        errors(child.stderr.take().unwrap(), sender.clone());
        read(child.stdout.take().unwrap(), sender);
        Self { child, lines, seen: Vec::new() }
    }

    /// A service on the folder of a test, on a free port. It is ready.
    pub(crate) fn serve<A: AsRef<OsStr>>(folder: &Scratch, arguments: &[A]) -> Self {
        let mut command = kvs(folder);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.data()).args(arguments);
        let mut service = Self::start(&mut command);
        service.line("eval ");
        service
    }

    /// The first line that has this in it, of those that came and those that come.
    pub(crate) fn line(&mut self, part: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(part)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(why) => panic!("no line with {part:?} ({why}), but {:#?}", self.seen),
            }
        }
    }

    /// Everything that was said so far, and is there to be read.
    pub(crate) fn said(&self) -> String {
        self.seen.join("\n")
    }

    pub(crate) fn url(&mut self) -> String {
        self.line("  URL ").trim().strip_prefix("URL").unwrap().trim().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: both pipes close, and then it is gone or about to be.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.seen),
            }
        }
        (self.child.wait().unwrap(), self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
}
