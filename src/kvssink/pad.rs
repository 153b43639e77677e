//! A track of the sink, and what its streaming thread does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_media::fragment::Pace;
use kvs_media::{TrackKind, TrackNumber};

use super::track::{Lane, Naming};
use crate::gate::Leave;

/// A track of the sink.
#[derive(Debug, Default)]
pub(crate) struct KvsSinkPad {
    /// The streaming thread's own: the stream lock of the pad is held by all who take it but those who look.
    lane: Mutex<Lane>,
    /// It flushes, or goes.
    pub(crate) leave: Leave,
    eos: AtomicBool,
    /// The number of its track in the run that it is part of; zero in none. For those who may not wait for the lane.
    track: AtomicU64,
    naming: Mutex<Naming>,
    /// The stream time that was pushed last, plus one; zero before any.
    position: AtomicU64,
}

#[glib::object_subclass]
impl ObjectSubclass for KvsSinkPad {
    const NAME: &'static str = "GstRsKvsSinkPad";
    type Type = super::KvsSinkPad;
    type ParentType = gst::Pad;
}

impl ObjectImpl for KvsSinkPad {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<[glib::ParamSpec; 2]> = LazyLock::new(|| {
            [
                glib::ParamSpecString::builder("track-name")
                    .nick("Track name")
                    .blurb("Name of the track, for people; while it is not set, that of the element, or audio, or data. Read when caps come")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("codec-id")
                    .nick("Codec id")
                    .blurb("Another Matroska codec id than that of the caps. Read when caps come")
                    .mutable_ready()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let text = value.get().ok().flatten();
        let mut naming = self.naming();
        match pspec.name() {
            "track-name" => naming.name = text,
            _ => naming.codec_id = text,
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let naming = self.naming();
        match pspec.name() {
            "track-name" => naming.name.to_value(),
            _ => naming.codec_id.to_value(),
        }
    }
}

impl GstObjectImpl for KvsSinkPad {}

impl PadImpl for KvsSinkPad {
    fn unlinked(&self, peer: &gst::Pad) {
        self.parent_unlinked(peer);
        let sink = self.obj().parent().and_downcast::<super::KvsSink>();
        if let Some(sink) = sink {
            sink.imp().unlinked(&self.obj());
        }
    }
}

impl KvsSinkPad {
    /// What its streaming thread works on.
    pub(crate) fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn naming(&self) -> MutexGuard<'_, Naming> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its own properties say of the header.
    pub(crate) fn own_naming(&self) -> Naming {
        self.naming().clone()
    }

    /// What kind of track it is, by its template.
    pub(crate) fn kind(&self) -> TrackKind {
        let template = self.obj().pad_template();
        match template.as_ref().map(gst::PadTemplate::name_template) {
            Some(super::imp::VIDEO_PADS) => TrackKind::Video,
            Some(super::imp::AUDIO_PADS) => TrackKind::Audio,
            _ => TrackKind::Metadata,
        }
    }

    /// How it takes part in the common order.
    pub(crate) fn pace(&self) -> Pace {
        match self.kind() {
            TrackKind::Video => Pace::Leading,
            TrackKind::Audio => Pace::Steady,
            TrackKind::Metadata | TrackKind::Other(_) => Pace::Sparse,
        }
    }

    /// Nothing more comes, or something does after all.
    pub(crate) fn set_eos(&self, eos: bool) {
        self.eos.store(eos, Ordering::Release);
    }

    /// Nothing more comes.
    pub(crate) fn is_eos(&self) -> bool {
        self.eos.load(Ordering::Acquire)
    }

    /// It is this track of a run, or of none.
    pub(crate) fn set_track(&self, track: Option<TrackNumber>) {
        self.track.store(track.map_or(0, |track| track.0), Ordering::Release);
    }

    /// The number of its track.
    pub(crate) fn track(&self) -> Option<TrackNumber> {
        Some(TrackNumber(self.track.load(Ordering::Acquire))).filter(|track| track.0 > 0)
    }

    /// The stream time that was pushed last.
    pub(crate) fn set_position(&self, position: Option<gst::ClockTime>) {
        let stored = position.map_or(0, |time| time.nseconds().saturating_add(1));
        self.position.store(stored, Ordering::Relaxed);
    }

    /// The stream time that was pushed last.
    pub(crate) fn position(&self) -> Option<gst::ClockTime> {
        let stored = self.position.load(Ordering::Relaxed);
        stored.checked_sub(1).map(gst::ClockTime::from_nseconds)
    }
}
