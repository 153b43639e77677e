//! Where frames go: the upload, or in the tests of this package something that shows what came.

#[cfg(not(test))]
pub(crate) use kvs_client::upload::Upload;
#[cfg(test)]
pub(crate) use recorded::Upload;

/// What takes the upload's place in the tests of the element alone: it keeps what it is given.
#[cfg(test)]
pub(crate) mod recorded {
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use kvs_client::Client;
    use kvs_client::upload::{
        Failure, FragmentTag, Frame, Listener, PushError, Remainder, Report, Settings, Stats, TagError,
        WhenFull,
    };
    use kvs_media::fragment::{Pace, RulesError};
    use kvs_media::time::RunningTime;
    use kvs_media::{Track, TrackNumber};
    use kvs_wire::tags::check_fragment_tag;
    use tokio::runtime::Handle;

    /// Something that was done to it.
    #[derive(Clone, Debug)]
    pub(crate) enum Done {
        Added(TrackNumber, Pace),
        Header(Track),
        Pushed(TrackNumber, Frame),
        Advanced(TrackNumber, RunningTime),
        Ended,
        Removed(TrackNumber),
        Tagged(Option<TrackNumber>, FragmentTag),
        TaggedEvent(Option<TrackNumber>, Vec<(String, String)>),
        Flushed,
        Finished,
        Stopped(Duration, Duration),
    }

    #[derive(Default)]
    pub(crate) struct Inner {
        pub(crate) done: Vec<Done>,
        pub(crate) full: bool,
        pub(crate) failed: bool,
        pub(crate) failure: Option<Failure>,
        /// A stop waits.
        pub(crate) waits: bool,
        pub(crate) waiting: usize,
        pub(crate) wish: Option<TrackNumber>,
        pub(crate) listener: Option<Arc<dyn Listener>>,
        pub(crate) settings: Option<Settings>,
        pub(crate) when_full: Option<WhenFull>,
        pub(crate) client: Option<Arc<Client>>,
        tracks: u64,
    }

    /// Takes everything; clones are the same one.
    #[derive(Clone, Default)]
    pub(crate) struct Upload {
        inner: Arc<(Mutex<Inner>, Condvar)>,
    }

    impl std::fmt::Debug for Upload {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Upload")
        }
    }

    impl Upload {
        pub(crate) fn new(settings: Settings) -> Result<Self, RulesError> {
            let upload = Self::default();
            upload.with(|inner| inner.settings = Some(settings));
            Ok(upload)
        }

        /// Looks at it, or changes it.
        pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
            let looked = look(&mut self.inner.0.lock().unwrap());
            self.inner.1.notify_all();
            looked
        }

        /// Waits until something holds.
        pub(crate) fn until(&self, holds: impl Fn(&Inner) -> bool) {
            let inner = self.inner.0.lock().unwrap();
            let (_inner, timeout) = self
                .inner
                .1
                .wait_timeout_while(inner, Duration::from_secs(10), |inner| !holds(inner))
                .unwrap();
            assert!(!timeout.timed_out(), "it does not come to that");
        }

        /// As the task would.
        pub(crate) fn tell(&self, report: Report) {
            let listener = self.with(|inner| inner.listener.clone()).unwrap();
            listener.tell(report);
        }

        pub(crate) fn frames(&self) -> Vec<(TrackNumber, Frame)> {
            let pushed = |done: &Done| match done {
                Done::Pushed(track, frame) => Some((*track, frame.clone())),
                _ => None,
            };
            self.with(|inner| inner.done.iter().filter_map(pushed).collect())
        }

        pub(crate) fn headers(&self) -> Vec<Track> {
            let header = |done: &Done| match done {
                Done::Header(track) => Some(track.clone()),
                _ => None,
            };
            self.with(|inner| inner.done.iter().filter_map(header).collect())
        }

        fn note(&self, done: Done) {
            self.with(|inner| inner.done.push(done));
        }

        pub(crate) fn start(&self, client: Arc<Client>, _: &Handle, listener: Arc<dyn Listener>) {
            self.with(|inner| (inner.client, inner.listener) = (Some(client), Some(listener)));
        }

        pub(crate) fn add_track(&self, pace: Pace) -> Result<TrackNumber, RulesError> {
            let number = self.with(|inner| {
                inner.tracks += 1;
                TrackNumber(inner.tracks)
            });
            self.note(Done::Added(number, pace));
            Ok(number)
        }

        pub(crate) fn set_header(&self, _: TrackNumber, header: Track) {
            self.note(Done::Header(header));
        }

        pub(crate) fn push(&self, track: TrackNumber, frame: Frame) -> Result<(), PushError> {
            self.with(|inner| {
                if inner.failed {
                    return Err(PushError::Ended);
                }
                if inner.full {
                    return Err(PushError::Full(frame));
                }
                inner.done.push(Done::Pushed(track, frame));
                Ok(())
            })
        }

        pub(crate) fn wait_for_room(&self, _: TrackNumber, _: &Frame, cancelled: &dyn Fn() -> bool) -> bool {
            let mut inner = self.inner.0.lock().unwrap();
            // Who sees it waiting sees it wait.
            inner.waiting += 1;
            self.inner.1.notify_all();
            while inner.full && !inner.failed && !cancelled() {
                inner = self.inner.1.wait(inner).unwrap();
            }
            inner.waiting -= 1;
            !inner.full
        }

        pub(crate) fn wake(&self) {
            self.with(|_| {});
        }

        pub(crate) fn advance(&self, track: TrackNumber, to: RunningTime) {
            self.note(Done::Advanced(track, to));
        }

        pub(crate) fn end_track(&self, _: TrackNumber) {
            self.note(Done::Ended);
        }

        pub(crate) fn remove_track(&self, track: TrackNumber) {
            self.note(Done::Removed(track));
        }

        pub(crate) fn tag(&self, track: Option<TrackNumber>, tag: &FragmentTag) -> Result<(), TagError> {
            check_fragment_tag(&tag.name, &tag.value)?;
            self.note(Done::Tagged(track, tag.clone()));
            Ok(())
        }

        pub(crate) fn tag_event(
            &self,
            track: Option<TrackNumber>,
            pairs: &[(String, String)],
        ) -> Result<(), TagError> {
            self.note(Done::TaggedEvent(track, pairs.to_vec()));
            Ok(())
        }

        pub(crate) fn set_when_full(&self, when_full: WhenFull) {
            self.with(|inner| inner.when_full = Some(when_full));
        }

        pub(crate) fn flush(&self, _: TrackNumber) {
            self.note(Done::Flushed);
        }

        pub(crate) fn finish(&self) {
            self.note(Done::Finished);
        }

        pub(crate) fn takes_key_frame_wish(&self, track: TrackNumber) -> bool {
            self.with(|inner| inner.wish.take_if(|wish| *wish == track).is_some())
        }

        pub(crate) fn failure(&self) -> Option<Failure> {
            self.with(|inner| inner.failure.clone())
        }

        pub(crate) fn stats(&self) -> Stats {
            let frames_in = self.frames().len() as u64;
            let connected = self.with(|inner| inner.listener.is_some());
            Stats { frames_in, connected, ..Stats::default() }
        }

        pub(crate) fn stop(&self, timeout: Duration, patience: Duration) -> Remainder {
            self.note(Done::Stopped(timeout, patience));
            self.until(|inner| !inner.waits);
            Remainder::default()
        }
    }
}
