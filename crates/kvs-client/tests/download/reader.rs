//! A reader of a stream, as a streaming thread drives it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvs_client::Client;
use kvs_client::download::{Download, Item, Listener, Next, Place, Report, Settings, Stats};
use tokio::runtime::Handle;

use super::scene::{PATIENCE, STREAM};

/// What a download has told.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<Report>>);

impl Listener for Told {
    fn tell(&self, report: Report) {
        self.0.lock().unwrap().push(report);
    }
}

impl Told {
    pub(crate) fn all(&self) -> Vec<Report> {
        self.0.lock().unwrap().clone()
    }
}

/// A download, and what it has given.
pub(crate) struct Reader {
    pub(crate) download: Arc<Download>,
    pub(crate) told: Arc<Told>,
    pub(crate) items: Vec<Item>,
    /// How it ended.
    pub(crate) end: Option<Next>,
    /// A pause after each frame.
    pub(crate) slow: Duration,
}

/// Numbers in a row, as the first and the last of them.
fn runs(numbers: &[u64]) -> Vec<(u64, u64)> {
    let runs = numbers.chunk_by(|one, other| one + 1 == *other);
    runs.map(|run| (run[0], run[run.len() - 1])).collect()
}

/// The settings of a download that is not the subject.
pub(crate) fn settings(place: Place) -> Settings {
    Settings { settle: Duration::from_millis(1_500), ..Settings::new(STREAM.parse().unwrap(), place) }
}

impl Reader {
    pub(crate) fn start(client: &Arc<Client>, settings: Settings) -> Self {
        let (download, told) = (Arc::new(Download::new(settings)), Arc::new(Told::default()));
        download.start(Arc::clone(client), &Handle::current(), Arc::<Told>::clone(&told));
        Self { download, told, items: Vec::new(), end: None, slow: Duration::ZERO }
    }

    /// Takes until something is true of what was taken, or the end has come.
    pub(crate) async fn until(&mut self, what: &str, look: impl Fn(&Self) -> bool + Send) {
        let deadline = Instant::now() + PATIENCE;
        while self.end.is_none() && !look(self) {
            let download = Arc::clone(&self.download);
            let taken = tokio::task::spawn_blocking(move || {
                let mut taken = vec![download.next(Duration::from_millis(200))];
                while matches!(taken.last(), Some(Next::Item(_))) && taken.len() < 32 {
                    taken.push(download.next(Duration::ZERO));
                }
                taken
            });
            for next in taken.await.unwrap() {
                match next {
                    Next::Item(item) => self.items.push(item),
                    Next::Nothing => {}
                    end => self.end = Some(end),
                }
            }
            if !self.slow.is_zero() {
                tokio::time::sleep(self.slow).await;
            }
            assert!(
                Instant::now() < deadline,
                "never came: {what}; {:?}; {:#?}; {:#?}",
                runs(&self.numbers()),
                self.stats(),
                self.told.all()
            );
        }
    }

    /// Takes until so many frames have come.
    pub(crate) async fn frames(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap();
        self.until("the frames", |reader| reader.numbers().len() >= count).await;
    }

    /// Takes until the end.
    pub(crate) async fn read_to_the_end(&mut self) {
        self.until("the end", |reader| reader.end.is_some()).await;
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |item: &Item| match item {
            Item::Frame(frame) => Some(u64::from_be_bytes(frame.payload[..8].try_into().unwrap())),
            _ => None,
        };
        self.items.iter().filter_map(number).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.download.stats()
    }

    /// Every number from one to another, once and in order, and every fragment whole.
    pub(crate) fn assert_all(&self, from: u64, to: u64) {
        let numbers = self.numbers();
        assert!(
            numbers.iter().copied().eq(from..to),
            "{from}..{to} {:?} {:#?} {:#?}",
            runs(&numbers),
            self.stats(),
            self.told.all()
        );
    }

    pub(crate) fn count(&self, what: impl Fn(&Item) -> bool) -> usize {
        self.items.iter().filter(|item| what(item)).count()
    }
}
