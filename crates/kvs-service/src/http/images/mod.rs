//! GetImages: pictures of a stream at instants that are as far apart as was asked.
//!
//! An answer is made as it goes out, run of frames by run of frames, so that it takes no more memory than one of them.

mod asked;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use kvs_media::playback::Reason;
use kvs_media::time::{Monotonic, Utc};
use kvs_wire::picture::Request;
use kvs_wire::{EpochSeconds, Exception, FragmentSelectorType, Operation, limits};
use serde::Serialize;

pub(super) use asked::{Page, asked};

use self::asked::Form;
use super::archive::{blocking, is_listed, kept, store_refusal};
use super::body::{Body, Broken, Source};
use super::call::{Target, charge};
use super::connection::Connection;
use super::route::{Refused, typed};
use crate::faults::ConnectionFaults;
use crate::pictures::{At, Footage, Run, Shot, Unready};
use crate::service::Service;
use crate::store::{Between, Fragment, FragmentRow, StoreError};
use crate::stream::ActiveStream;
use crate::text::{STANDARD, encode};

/// Pictures that a worker is asked for at once: what is in memory of an answer.
const TOGETHER: usize = 16;
const NO_MEDIA: &str = "NO_MEDIA";
const MEDIA_ERROR: &str = "MEDIA_ERROR";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    error: Option<&'static str>,
    image_content: Option<Content>,
    time_stamp: EpochSeconds,
}

/// A picture as text, which several instants may show.
#[derive(Clone)]
struct Content(Arc<str>);

impl Serialize for Content {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Answers GetImages.
pub(crate) async fn answer(
    service: &Arc<Service>,
    connection: Connection,
    target: &Target,
    body: &Bytes,
) -> Result<Response<Body>, Refused> {
    let (page, most, form) = asked(body)?;
    let stream = kept(service, target, Operation::GetImages)?;
    let started = service.clock.monotonic();
    stream.metrics.images_requests.one();
    let allowed = &service.config.limits;
    let images = u32::try_from(most).unwrap_or(u32::MAX);
    let metadata = images.saturating_add(limits::IMAGES_METADATA_POINTS);
    // The points are those of the archive, whichever call takes them (kvs-api 10.3).
    charge(service, Operation::ListFragments, Some(&stream), allowed.fragment_metadata_points, metadata)?;
    charge(
        service,
        Operation::GetMediaForFragmentList,
        Some(&stream),
        allowed.fragment_media_points,
        images,
    )?;
    stream.metrics.metadata_points.add(u64::from(metadata));
    stream.metrics.media_points.add(u64::from(images));
    let last = (0..most).map_while(|place| page.instant(place)).last().unwrap_or(page.start);
    let between = match page.selector {
        FragmentSelectorType::ProducerTimestamp => Between::ProducerTimes(page.start, last),
        FragmentSelectorType::ServerTimestamp => Between::ServerTimes(page.start, last),
    };
    let id = stream.id;
    let rows = blocking(service, move |store| store.list(id, between, None, usize::MAX)).await;
    let rows = rows.map_err(|error| store_refusal(&stream, &error))?;
    let (delay, now) = (service.faults.list_delay(stream.name()), service.now().utc);
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter(|row| is_listed(row, delay, now))
        .map(|row| match page.selector {
            FragmentSelectorType::ProducerTimestamp => (row.producer_time, row),
            FragmentSelectorType::ServerTimestamp => (row.number.server_time().unwrap_or(Utc::EPOCH), row),
        })
        .collect();
    // Of two that begin together the newer one counts (kvs-api 6.4).
    rows.sort_by_key(|(start, row)| (*start, row.number));
    let mut images = Images {
        page,
        most,
        form,
        rows,
        open: [None, None],
        place: 0,
        ready: VecDeque::new(),
        sent: 0,
        ended: false,
        faults: service.faults.list_media(stream.name()),
        read: 0,
        started,
        stream: Arc::clone(&stream),
        service: Arc::clone(service),
        _connection: connection,
    };
    if !images.rows.is_empty() {
        // The rules of playback are those of the first fragment (kvs-api 6.2).
        match images.open(0).await {
            Ok(opened) => opened.footage.as_ref().map(drop).map_err(|reasons| unplayable(reasons))?,
            // It is none of its pictures, and those of others may be there.
            Err(error) => tracing::warn!(stream = %stream.name(), %error, "a fragment cannot be read"),
        }
        let ready = service.pictures.prepare(service.clock.monotonic()).await;
        ready.map_err(|unready| {
            tracing::error!(why = %unready, "no pictures can be made");
            Refused::new(Exception::ServiceUnavailable, format!("No pictures can be made here: {unready}."))
        })?;
    }
    Ok(typed(kvs_wire::headers::JSON, Body::of(images)))
}

fn unplayable(reasons: &[Reason]) -> Refused {
    let exception = match reasons.first() {
        Some(Reason::MissingPrivate { .. }) => Exception::MissingCodecPrivateData,
        Some(Reason::InvalidPrivate { .. }) => Exception::InvalidCodecPrivateData,
        _ => Exception::UnsupportedStreamMediaType,
    };
    Refused::new(exception, said(reasons))
}

fn said(reasons: &[Reason]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    reasons.join(" ")
}

/// An answer to GetImages.
struct Images {
    page: Page,
    most: usize,
    form: Form,
    /// The fragments of the range by their beginning, on the clock that was asked for.
    rows: Vec<(Utc, FragmentRow)>,
    /// Those that were last looked into.
    open: [Option<Arc<Opened>>; 2],
    /// The next instant of the page.
    place: usize,
    sent: u64,
    ended: bool,
    faults: ConnectionFaults,
    /// Bytes of media that were read.
    /// Images from the place on that are made.
    ready: VecDeque<Image>,
    read: u64,
    started: Monotonic,
    stream: Arc<ActiveStream>,
    service: Arc<Service>,
    _connection: Connection,
}

/// A fragment that is looked into.
struct Opened {
    /// Its place in the rows.
    row: usize,
    fragment: Arc<Fragment>,
    footage: Result<Footage, Vec<Reason>>,
}

/// What there is of an instant.
enum Found {
    /// A picture of this fragment.
    Shot(Arc<Opened>, Shot),
    /// Nothing.
    NoMedia,
    /// Something that does not become a picture.
    Broken(String),
}

/// Instants that the same run of frames shows.
struct Group {
    /// Each with its picture, by its place in `wanted`.
    shots: Vec<(Utc, usize)>,
    run: Run,
    /// The times of the pictures.
    wanted: Vec<i64>,
}

/// Why no picture of a group is made.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unready(#[from] Unready),
}

impl Source for Images {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::from(if self.place == 0 { &b"{\"Images\":["[..] } else { b"" });
        while let Some(image) = self.image().await {
            if self.service.is_stopping() {
                // A cut tells that this was not all.
                return Some(Err(Broken));
            }
            if self.place > 0 {
                piece.push(b',');
            }
            if let Err(error) = serde_json::to_writer(&mut piece, &image) {
                tracing::error!(%error, "a picture cannot be written");
                return Some(Err(Broken));
            }
            self.place += 1;
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            // What is empty is many to a piece.
            if length > SMALL {
                self.sent = self.sent.saturating_add(length);
                return Some(Ok(piece.into()));
            }
        }
        let token = self.page.later(self.place).map(|page| page.token());
        piece.extend_from_slice(b"],\"NextToken\":");
        match token {
            Some(token) => piece.extend_from_slice(format!("\"{token}\"}}").as_bytes()),
            None => piece.extend_from_slice(b"null}"),
        }
        self.ended = true;
        let metrics = &self.stream.metrics;
        metrics.images_success.one();
        metrics.images_latency.record(self.service.clock.monotonic().saturating_since(self.started));
        Some(Ok(piece.into()))
    }
}

/// Bytes from which on a piece is sent.
const SMALL: u64 = 16 << 10;

impl Images {
    /// The next instant of the page, if there is one and the answer is not too long for it.
    fn instant(&self) -> Option<Utc> {
        let goes_on = self.place < self.most && self.sent < limits::IMAGES_BYTES;
        goes_on.then(|| self.page.instant(self.place)).flatten()
    }

    /// The next image of the page.
    async fn image(&mut self) -> Option<Image> {
        let instant = self.instant()?;
        if self.ready.is_empty() {
            self.ready = self.images(instant).await.into();
        }
        self.ready.pop_front()
    }

    /// The images of an instant and of those that follow and need the same frames.
    async fn images(&mut self, instant: Utc) -> Vec<Image> {
        let found = match self.find(instant).await {
            Ok(Found::Shot(opened, shot)) => match self.group(&opened, instant, shot) {
                Some(group) => {
                    let made = self.made(&opened, &group).await;
                    made.map(|made| (group, made)).map_err(|lost| self.lost(instant, &lost))
                }
                None => Err(self.broken(instant, &"no key frame is before it, or too many frames are")),
            },
            Ok(Found::NoMedia) => Err(NO_MEDIA),
            Ok(Found::Broken(why)) => Err(self.broken(instant, &why)),
            Err(error) => Err(self.lost(instant, &error)),
        };
        let (group, contents) = match found {
            Ok(found) => found,
            Err(error) => {
                let time_stamp = EpochSeconds(instant);
                return vec![Image { error: Some(error), image_content: None, time_stamp }];
            }
        };
        let images = group.shots.into_iter().map(|(instant, picture)| {
            let image_content = contents.get(picture).cloned().flatten();
            let error = image_content.is_none().then_some(MEDIA_ERROR);
            Image { error, image_content, time_stamp: EpochSeconds(instant) }
        });
        images.collect()
    }

    /// The instants from this one on, as far as the same frames show them.
    fn group(&self, opened: &Opened, instant: Utc, shot: Shot) -> Option<Group> {
        let footage = opened.footage.as_ref().ok()?;
        let (start, _) = self.rows.get(opened.row).copied()?;
        let end = self.rows.get(opened.row.checked_add(1)?).map(|(start, _)| *start);
        let entry = footage.entry(shot)?;
        let (mut shots, mut pictures) = (vec![(instant, 0)], vec![shot]);
        for place in self.place.saturating_add(1)..self.most {
            let instant = self.page.instant(place).filter(|instant| end.is_none_or(|end| *instant < end));
            let Some(instant) = instant else { break };
            let At::Shot(shot) = footage.at(start, instant) else { break };
            if pictures.last() != Some(&shot) {
                if pictures.len() == TOGETHER || footage.entry(shot) != Some(entry) {
                    break;
                }
                pictures.push(shot);
            }
            shots.push((instant, pictures.len() - 1));
        }
        let run = footage.run(entry, pictures.iter().copied())?;
        let wanted = pictures.iter().map(|shot| footage.time(*shot)).collect::<Option<_>>()?;
        Some(Group { shots, run, wanted })
    }

    /// The pictures of a group, as far as there are any.
    async fn made(&mut self, opened: &Opened, group: &Group) -> Result<Vec<Option<Content>>, NotMade> {
        let Ok(footage) = &opened.footage else { return Ok(Vec::new()) };
        let service = Arc::clone(&self.service);
        // Before the media is read: what waits takes no memory.
        let mut seat = service.pictures.enter().await?;
        let (fragment, range) = (Arc::clone(&opened.fragment), group.run.bytes.clone());
        let media = blocking(&service, move |store| {
            let length = range.end.saturating_sub(range.start);
            let mut media = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            store.payload(&fragment, range, &mut media)?;
            Ok(media)
        });
        let media = Bytes::from(media.await?);
        let length = u64::try_from(media.len()).unwrap_or(u64::MAX);
        let media = self.faults.spoil(media, self.read);
        self.read = self.read.saturating_add(length);
        let request = Request {
            codec: &footage.codec,
            private: &footage.private,
            format: self.form.format,
            width: self.form.width,
            height: self.form.height,
            wanted: group.wanted.clone(),
            frames: group.run.frames.clone(),
            media: &media,
        };
        let made = seat.make(request, || service.clock.monotonic()).await;
        let contents = made.into_iter().zip(&group.shots);
        let contents = contents.map(|(made, (instant, _))| match made {
            Ok(picture) => Some(self.content(&picture)),
            Err(why) => {
                self.broken(*instant, &why);
                None
            }
        });
        Ok(contents.collect())
    }

    fn lost(&self, instant: Utc, why: &NotMade) -> &'static str {
        match why {
            NotMade::Store(StoreError::Gone { .. }) => NO_MEDIA,
            why => self.broken(instant, why),
        }
    }

    fn broken(&self, instant: Utc, why: &dyn std::fmt::Display) -> &'static str {
        let (stream, instant) = (self.stream.name(), EpochSeconds(instant));
        tracing::warn!(%stream, %instant, %why, "no picture");
        MEDIA_ERROR
    }

    fn content(&self, picture: &[u8]) -> Content {
        self.stream.metrics.images_bytes.add(u64::try_from(picture.len()).unwrap_or(u64::MAX));
        let mut content = encode(picture, STANDARD);
        while !content.len().is_multiple_of(4) {
            content.push('=');
        }
        Content(content.into())
    }

    /// What an instant shows.
    async fn find(&mut self, instant: Utc) -> Result<Found, NotMade> {
        let mut row = self.rows.partition_point(|(start, _)| *start <= instant);
        // A fragment may begin with another track than pictures; then it is the one before that is still to be seen.
        for _ in 0..2 {
            let Some(before) = row.checked_sub(1) else { break };
            row = before;
            let Some((start, _)) = self.rows.get(row).copied() else { break };
            let opened = self.open(row).await?;
            let at = match &opened.footage {
                Ok(footage) => footage.at(start, instant),
                Err(reasons) => return Ok(Found::Broken(said(reasons))),
            };
            match at {
                At::Shot(shot) => return Ok(Found::Shot(opened, shot)),
                At::Behind => break,
                At::Before => {}
            }
        }
        Ok(Found::NoMedia)
    }

    /// Looks into a fragment.
    async fn open(&mut self, row: usize) -> Result<Arc<Opened>, StoreError> {
        if let Some(opened) = self.open.iter().flatten().find(|opened| opened.row == row) {
            return Ok(Arc::clone(opened));
        }
        let Some((_, fragment)) = self.rows.get(row).copied() else {
            return Err(StoreError::NoStream(self.stream.id));
        };
        let opened = blocking(&self.service, move |store| {
            let fragment = Arc::new(store.fragment(&fragment)?);
            let footage = Footage::of(&fragment);
            Ok(Arc::new(Opened { row, fragment, footage }))
        });
        let opened = opened.await?;
        let [newest, before] = &mut self.open;
        *before = newest.replace(Arc::clone(&opened));
        Ok(opened)
    }
}
