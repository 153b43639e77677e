//! What travels with frames: from the fetching half to the other in between them, and on each of them to whoever wants to
//! know which fragment it is of.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use kvs_client::download::{Fragment, FragmentEnd, Frame, Span};
use kvs_media::mkv::{SimpleTag, TagValue};

use super::timeline::apart;
use crate::message::{nanos, time};

/// The meta on every buffer: `number`, `server-time`, `producer-time` (ns since 1970, of the fragment), `offset` (of the
/// frame in it, ns), and `tags` and `more-tags`, where the fragment has any.
pub(crate) const META: &str = "KvsFragmentMeta";

/// Names of tags become names of fields, which GLib keeps for ever: of a stream that makes up new ones all the time no
/// more than this are, and the others are values.
const NAMES: usize = 1_000;

/// A place between two frames.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A fragment begins.
    Begin {
        /// It.
        fragment: Arc<Fragment>,
        /// Where it begins on the time line.
        position: i64,
        /// It does not follow what was before.
        discont: bool,
        /// The silence in front of it, and where that ends on the time line.
        silence: Option<(Span, i64)>,
    },
    /// It is whole.
    End {
        /// It.
        fragment: Arc<Fragment>,
        /// What is known now.
        end: Arc<FragmentEnd>,
        /// Where it begins on the time line.
        position: i64,
    },
    /// Times go on elsewhere, by so many nanoseconds.
    Moved(i64),
}

/// As a value of an event, between two elements that both are ours.
#[derive(Clone, Debug, glib::Boxed)]
#[boxed_type(name = "GstRsKvsSrcMark")]
struct Carried(Arc<Mark>, u64);

const EVENT: &str = "kvs-mark";

impl Mark {
    /// As an event that keeps its place in this stretch of what is read.
    pub(crate) fn event(self, stretch: u64) -> gst::Event {
        let structure = gst::Structure::builder(EVENT).field("mark", Carried(Arc::new(self), stretch));
        gst::event::CustomDownstream::new(structure.build())
    }

    /// Of an event, and of which stretch it is: one that waited for its buffer outlives a flush.
    pub(crate) fn of(structure: &gst::StructureRef) -> Option<(Arc<Self>, u64)> {
        (structure.name() == EVENT)
            .then(|| structure.get::<Carried>("mark").ok())
            .flatten()
            .map(|carried| (carried.0, carried.1))
    }
}

/// Registers the meta.
pub(crate) fn register() {
    if !gst::meta::CustomMeta::is_registered(META) {
        gst::meta::CustomMeta::register_simple(META);
    }
}

/// What is said of a fragment on each of its frames.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    fragment: Arc<Fragment>,
    number: String,
    tags: Tags,
    /// Whose time it is.
    unix: gst::Caps,
}

impl Stamp {
    /// That of a fragment.
    pub(crate) fn of(fragment: &Arc<Fragment>) -> Self {
        Self {
            number: fragment.number.to_string(),
            tags: Tags::of(&fragment.tags),
            unix: gst::Caps::new_empty_simple("timestamp/x-unix"),
            fragment: Arc::clone(fragment),
        }
    }

    /// Puts it onto a frame of it.
    pub(crate) fn put(&self, buffer: &mut gst::BufferRef, frame: &Frame) {
        let utc = gst::ClockTime::from_nseconds(time(frame.time));
        gst::ReferenceTimestampMeta::add(buffer, &self.unix, utc, gst::ClockTime::NONE);
        let Ok(mut meta) = gst::meta::CustomMeta::add(buffer, META) else { return };
        let structure = meta.mut_structure();
        structure.set("number", self.number.as_str());
        structure.set("server-time", time(self.fragment.server));
        structure.set("producer-time", time(self.fragment.producer));
        structure.set("offset", apart(frame.time, self.fragment.producer));
        self.tags.put(structure);
    }
}

/// `kvs-fragment`: number, server-time and producer-time (ns since 1970), last-time, position (of its beginning, ns), and
/// where there are any tags, more-tags, continuation-token and behind-now (ns).
pub(crate) fn message(fragment: &Fragment, end: &FragmentEnd, position: i64) -> gst::Structure {
    let mut structure = gst::Structure::builder("kvs-fragment")
        .field("number", end.number.to_string())
        .field("server-time", time(fragment.server))
        .field("producer-time", time(fragment.producer))
        .field("last-time", time(end.last))
        .field("position", u64::try_from(position).unwrap_or_default())
        .field_if_some("continuation-token", end.token.as_ref().map(|token| token.as_str().to_owned()))
        .field_if_some("behind-now", end.behind_now.map(nanos))
        .build();
    Tags::of(&end.tags).put(&mut structure);
    structure
}

/// `kvs-gap`: from and to (ns since 1970), duration (ns), and position, where it ends.
pub(crate) fn gap(silence: Span, position: i64) -> gst::Structure {
    gst::Structure::builder("kvs-gap")
        .field("from", time(silence.from))
        .field("to", time(silence.to))
        .field("duration", u64::try_from(apart(silence.to, silence.from)).unwrap_or_default())
        .field("position", u64::try_from(position).unwrap_or_default())
        .build()
}

/// The tags of a fragment, as fields.
#[derive(Clone, Debug, Default)]
struct Tags {
    /// By name; of several with one name the last.
    named: Option<gst::Structure>,
    /// Name and value of each whose name can be no field any more.
    more: Vec<gst::Structure>,
}

impl Tags {
    fn of(tags: &[SimpleTag]) -> Self {
        static KNOWN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
        if tags.is_empty() {
            return Self::default();
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashSet::new);
        let (mut structure, mut more) = (gst::Structure::new_empty("tags"), Vec::new());
        for tag in tags {
            // A name of C ends at its first zero.
            let name = tag.name.replace('\0', "");
            if name.is_empty() {
                continue;
            }
            let value = match &tag.value {
                TagValue::Text(text) => text.replace('\0', "").to_send_value(),
                TagValue::Binary(bytes) => gst::Buffer::from_slice(bytes.clone()).to_send_value(),
            };
            if !known.contains(&name) {
                if known.len() >= NAMES {
                    let mut tag = gst::Structure::new_empty("tag");
                    tag.set("name", name);
                    tag.set_value("value", value);
                    more.push(tag);
                    continue;
                }
                known.insert(name.clone());
            }
            structure.set_value(name.as_str(), value);
        }
        Self { named: Some(structure).filter(|structure| structure.n_fields() > 0), more }
    }

    /// As `tags`, a structure, and `more-tags`, an array of structures with name and value; neither where there are none.
    fn put(&self, structure: &mut gst::StructureRef) {
        structure.set_if_some("tags", self.named.as_ref());
        if !self.more.is_empty() {
            structure.set("more-tags", gst::Array::new(self.more.iter().cloned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_fields_and_no_stream_fills_the_memory_with_names() {
        gst::init().unwrap();
        let of = |name: &str, value: &str| SimpleTag::text(name, value);
        let put = |tags: &[SimpleTag]| {
            let mut structure = gst::Structure::new_empty("fragment");
            Tags::of(tags).put(&mut structure);
            structure
        };
        let named = |tags: &[SimpleTag]| put(tags).get::<gst::Structure>("tags").unwrap();
        let made = named(&[of("plate", "ZH 1234"), of("door", "left"), of("plate", "BE 7"), of("", "none")]);
        assert_eq!((made.get("plate"), made.get("door"), made.n_fields()), (Ok("BE 7"), Ok("left"), 2));
        assert_eq!(put(&[]).n_fields() + put(&[of("", "none")]).n_fields(), 0);
        for number in 0..3_000 {
            put(&[of(&format!("made up {number}"), "")]);
        }
        // What can be no field any more is there all the same.
        let bytes = SimpleTag { value: TagValue::Binary(vec![1, 2].into()), ..of("a picture", "") };
        let made = put(&[of("another", "1"), bytes, of("plate", "a\0b")]);
        assert_eq!(made.get::<gst::Structure>("tags").unwrap().get("plate"), Ok("ab"), "it was known before");
        let more: gst::Array = made.get("more-tags").unwrap();
        let pairs: Vec<_> = more.iter().map(|tag| tag.get::<gst::Structure>().unwrap()).collect();
        assert_eq!(pairs.len(), 2);
        assert_eq!((pairs[0].get("name"), pairs[0].get("value")), (Ok("another"), Ok("1")));
        assert_eq!(pairs[1].get("name"), Ok("a picture"));
        assert_eq!(pairs[1].get::<gst::Buffer>("value").unwrap().size(), 2);
        assert!(put(&[of("another", "1")]).get::<gst::Structure>("tags").is_err());
    }
}
