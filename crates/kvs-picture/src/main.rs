//! `kvs-picture`: decodes pictures for the service, which runs it as a worker and talks to it over a pipe
//! ([`kvs_wire::picture`]). What crashes it or hangs in it costs a picture, and never the service.
//!
//! It reads stdin, writes stdout, and opens nothing but GStreamer's plugins.

mod decoder;
mod encoder;
mod line;
mod reference;
mod worker;

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use kvs_wire::picture::{self, HELLO, REQUEST_BYTES};
use rustix::process::{Resource, Rlimit, setrlimit};

use worker::Worker;

/// As much memory as there is for any picture: a header of a few bytes can ask for more than a machine has.
const MEMORY: u64 = 4 << 30;

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(
            io::stderr(),
            "kvs-picture {version} makes pictures for kvs serve, which runs it; it takes no arguments"
        );
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "kvs-picture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    // What a library prints must not be taken for an answer.
    let mut answers = File::from(rustix::io::dup(rustix::stdio::stdout())?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(MEMORY))?;
    setrlimit(Resource::Core, limit(0))?;
    gst::init()?;
    answers.write_all(&picture::prefix(HELLO.len(), HELLO.len())?)?;
    answers.write_all(HELLO)?;
    let (sender, requests) = mpsc::sync_channel(0);
    // Who asked is gone when stdin ends, and so is this then, whatever a decoder is at.
    thread::spawn(move || {
        let ended = read(&sender);
        if let Err(error) = &ended {
            let _ = writeln!(io::stderr(), "kvs-picture: {error}");
        }
        std::process::exit(i32::from(ended.is_err()));
    });
    let mut worker = Worker::default();
    for request in requests {
        worker.answer(request, &mut answers)?;
    }
    Ok(())
}

/// Reads requests until there are no more.
fn read(requests: &mpsc::SyncSender<Vec<u8>>) -> io::Result<()> {
    let mut input = io::stdin().lock();
    loop {
        let mut prefix = [0; 4];
        match input.read(&mut prefix[..1])? {
            0 => return Ok(()),
            _ => input.read_exact(&mut prefix[1..])?,
        }
        let length = picture::length(prefix, REQUEST_BYTES).map_err(io::Error::other)?;
        // As much as comes, and not as much as is announced.
        let mut request = Vec::new();
        let announced = u64::try_from(length).unwrap_or(u64::MAX);
        input.by_ref().take(announced).read_to_end(&mut request)?;
        if request.len() < length || requests.send(request).is_err() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
