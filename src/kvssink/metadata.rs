//! Events that become tags of a fragment.
//!
//! | event or structure | becomes |
//! |---|---|
//! | `kvs-add-metadata` {name, value: string, persist: gboolean} | that tag |
//! | `kvs-image-generation` {prefix: string, may be missing} | what makes the service keep images of the fragment |
//! | `kvs-notification` {} | what makes the service notify of the fragment |
//!
//! Further fields of the last two, which must be text, travel with them.

use kvs_client::upload::{FragmentTag, TagError};
use kvs_wire::tags::{IMAGE_GENERATION, IMAGE_PREFIX, NOTIFICATION};

/// What an event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// A tag.
    Tag(FragmentTag),
    /// Names and values that belong together, and on which the service acts.
    Event(Vec<(String, String)>),
}

/// Why an event becomes no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    /// A field is missing, or of another type.
    #[error("{event}: {field} must be a {kind}")]
    Field {
        /// The event.
        event: &'static str,
        /// The field.
        field: String,
        /// What it must be.
        kind: &'static str,
    },
    /// Nothing runs that could take it.
    #[error("the element is not streaming")]
    NotStreaming,
    /// The service would refuse it.
    #[error(transparent)]
    Refused(#[from] TagError),
}

const ADD_METADATA: &str = "kvs-add-metadata";
const IMAGE: &str = "kvs-image-generation";
const NOTIFY: &str = "kvs-notification";

/// What an event asks for; `None` when it is another.
pub(crate) fn metadata(structure: &gst::StructureRef) -> Option<Result<Metadata, MetadataError>> {
    match structure.name().as_str() {
        ADD_METADATA => Some(added(structure)),
        IMAGE => Some(event(structure, IMAGE, IMAGE_GENERATION)),
        NOTIFY => Some(event(structure, NOTIFY, NOTIFICATION)),
        _ => None,
    }
}

fn added(structure: &gst::StructureRef) -> Result<Metadata, MetadataError> {
    let error =
        |field: &str, kind| MetadataError::Field { event: ADD_METADATA, field: field.to_owned(), kind };
    Ok(Metadata::Tag(FragmentTag {
        name: structure.get("name").map_err(|_| error("name", "string"))?,
        value: structure.get("value").map_err(|_| error("value", "string"))?,
        persist: structure.get("persist").map_err(|_| error("persist", "gboolean"))?,
    }))
}

fn event(structure: &gst::StructureRef, event: &'static str, name: &str) -> Result<Metadata, MetadataError> {
    let mut pairs = vec![(name.to_owned(), String::new())];
    for (field, value) in structure.iter() {
        let error = || MetadataError::Field { event, field: field.to_string(), kind: "string" };
        let value = value.get::<String>().map_err(|_| error())?;
        let name = if event == IMAGE && field == "prefix" { IMAGE_PREFIX } else { field.as_str() };
        pairs.push((name.to_owned(), value));
    }
    Ok(Metadata::Event(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Result<Metadata, MetadataError>> {
        gst::init().unwrap();
        metadata(&text.parse::<gst::Structure>().unwrap())
    }

    #[test]
    fn events_become_tags() {
        let tag = FragmentTag { name: "a".to_owned(), value: "b".to_owned(), persist: true };
        assert_eq!(of("kvs-add-metadata, name=a, value=b, persist=true"), Some(Ok(Metadata::Tag(tag))));
        let event = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Some(Ok(Metadata::Event(pairs.collect())))
        };
        let image = ("AWS_KINESISVIDEO_IMAGE_GENERATION", "");
        assert_eq!(of("kvs-image-generation"), event(&[image]));
        let prefix = ("AWS_KINESISVIDEO_IMAGE_PREFIX", "p/");
        assert_eq!(
            of("kvs-image-generation, prefix=p/, door=left"),
            event(&[image, prefix, ("door", "left")])
        );
        assert_eq!(of("kvs-notification"), event(&[("AWS_KINESISVIDEO_NOTIFICATION", "")]));
        assert_eq!(of("GstForceKeyUnit"), None);
    }

    #[test]
    fn an_event_with_a_wrong_field_is_refused_by_name() {
        let said = |text| of(text).unwrap().unwrap_err().to_string();
        assert_eq!(said("kvs-add-metadata, name=a, value=b"), "kvs-add-metadata: persist must be a gboolean");
        assert_eq!(
            said("kvs-add-metadata, name=(int)3, value=b, persist=true"),
            "kvs-add-metadata: name must be a string"
        );
        assert_eq!(
            said("kvs-image-generation, prefix=(int)3"),
            "kvs-image-generation: prefix must be a string"
        );
    }
}
