//! A process of its own for what is measured, which says its figures itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::common::service::Server;

/// What this program is started as.
pub(crate) const ROLE: &str = "KVS_BENCH_ROLE";

/// The clock that all processes of the machine share.
pub(crate) fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// A child that runs.
pub(crate) struct Player {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    /// `role`: whose part it plays.
    pub(crate) fn start(server: &Server, role: &str, arguments: &[&str]) -> Self {
        let runner = std::env::var("KVS_BENCH_RUNNER").unwrap_or_default();
        let program = std::env::current_exe().unwrap();
        let mut words = runner.split_whitespace();
        let mut command = match words.next() {
            Some(word) => {
                let mut command = Command::new(word);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        let (id, secret) = &server.keys;
        command
            .args(arguments)
            .envs([(ROLE, role), ("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// The next figures that it says under a name.
    pub(crate) fn said<const N: usize>(&mut self, name: &str) -> [f64; N] {
        self.said_all(name).try_into().unwrap_or_else(|all| panic!("{name} {all:?}"))
    }

    pub(crate) fn said_all(&mut self, name: &str) -> Vec<f64> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(name), "the child says {line:?}");
        words.map(|word| word.parse().unwrap()).collect()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // A runner has something to write at its end.
        if std::env::var_os("KVS_BENCH_RUNNER").is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

pub(crate) fn say(name: &str, figures: &[f64]) {
    let figures: Vec<String> = figures.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{name} {}", figures.join(" ")).unwrap();
}

/// CPU of this process in milliseconds, of threads that have ended too.
pub(crate) fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

/// Bytes of memory: now, and at most so far.
pub(crate) fn memory() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    })
}

pub(crate) fn threads() -> f64 {
    std::fs::read_dir("/proc/self/task").unwrap().count() as f64
}

/// Milliseconds of CPU that a child takes until it ends, which it does well.
pub(crate) fn cpu_of(mut child: Child) -> f64 {
    // Who has ended and was not waited for can still be asked what it took.
    let pid = rustix::process::Pid::from_child(&child);
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
    let spent = std::fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    spent.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}
