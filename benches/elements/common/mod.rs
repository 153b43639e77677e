//! What the benches of the elements share.

pub(crate) mod child;
pub(crate) mod film;
pub(crate) mod film_to_sink;
#[path = "../../../crates/kvs-service/benches/machine/mod.rs"]
pub(crate) mod machine;
pub(crate) mod service;
pub(crate) mod table;

use std::path::{Path, PathBuf};

/// How a bench was started.
pub(crate) struct Bench {
    /// Of this time.
    pub(crate) folder: PathBuf,
    /// Kept for the next.
    pub(crate) films: PathBuf,
    /// A look, and no figures to quote.
    pub(crate) quick: bool,
    /// The rows that are wanted; none: all.
    rows: Vec<String>,
}

impl Bench {
    /// Runs `all` in this process, or the part of it that this process was started for: the service on core 1, and on
    /// core 0 what is measured.
    pub(crate) fn run() {
        machine::descriptors();
        match std::env::var(child::ROLE).as_deref() {
            Ok("serve") => {
                machine::pin(1);
                return service::serve();
            }
            Ok(role) => {
                machine::pin(0);
                gst::init().unwrap();
                gstkvs::plugin_register_static().unwrap();
                let arguments: Vec<String> = std::env::args().skip(1).collect();
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                return if role == "sink" { crate::sink::play(&words) } else { crate::source::play(&words) };
            }
            _ => machine::pin(1),
        }
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder =
            std::env::var_os("KVS_BENCH_FOLDER").map_or_else(|| kept.join("elements"), PathBuf::from);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let wanted = arguments.iter().skip_while(|argument| *argument != "--rows").nth(1);
        let rows = wanted.into_iter().flat_map(|list| list.split(',')).map(str::to_ascii_uppercase).collect();
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let bench = Self { folder, films: kept.join("films"), quick, rows };
        table::head();
        bench.calibrate();
        crate::sink::rows::all(&bench);
        crate::source::rows::all(&bench);
        bench.calibrate();
        let _ = std::fs::remove_dir_all(&bench.folder);
    }

    /// Whether one of these rows is wanted.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        self.rows.is_empty() || names.iter().any(|name| self.rows.iter().any(|wanted| wanted == name))
    }

    /// `quick` of something, or `thorough`.
    pub(crate) const fn amount(&self, quick: u64, thorough: u64) -> u64 {
        if self.quick { quick } else { thorough }
    }

    pub(crate) fn server(&self, name: &str, advertise: Option<&str>) -> service::Server {
        service::Server::start(&self.folder.join(name), advertise)
    }

    fn calibrate(&self) {
        let seals = format!("{} ms/MB", machine::middle(&mut machine::seals()));
        table::calibration("AES-256-GCM, 64 KiB", &seals);
        table::calibration("fdatasync of 256 KiB", &machine::percentiles(&mut machine::syncs(&self.folder)));
    }
}
