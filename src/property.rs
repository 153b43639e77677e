//! Properties as a table: what users read, and where a value goes, in one row.

use glib::prelude::*;
use kvs_client::client::Secret;

/// A property of an element whose settings are an `S`.
pub(crate) struct Row<S> {
    /// Its name.
    pub(crate) name: &'static str,
    /// What lists show.
    nick: &'static str,
    /// What it does, in which unit.
    blurb: &'static str,
    /// It acts at once, also while the element runs.
    live: bool,
    field: Field<S>,
}

/// Where the value of a property is. The default is that of a fresh `S`.
pub(crate) enum Field<S> {
    /// Text, and what is shown while it is not set.
    Text(fn(&mut S) -> &mut Option<String>, Option<&'static str>),
    /// Text where one value stands for none.
    Sentinel(fn(&mut S) -> &mut Option<String>, &'static str),
    /// What nobody may read, and a value that stands for none.
    Secret(fn(&mut S) -> &mut Option<Secret>, Option<&'static str>),
    /// On or off.
    Flag(fn(&mut S) -> &mut bool),
    /// A number.
    Number(fn(&mut S) -> &mut u32),
    /// A long number.
    Long(fn(&mut S) -> &mut u64),
    /// Something with fields.
    Structure(fn(&mut S) -> &mut Option<gst::Structure>),
    /// One of several.
    Choice(Choice<S>),
    /// A structure that is no setting, and only read.
    Reading,
}

/// One of several values of an enumeration.
pub(crate) struct Choice<S> {
    /// Describes it.
    pub(crate) spec: fn(Described) -> glib::ParamSpec,
    /// Reads it.
    pub(crate) get: fn(&mut S) -> glib::Value,
    /// Writes it.
    pub(crate) set: fn(&mut S, &glib::Value),
}

/// What every description of a property says.
#[derive(Clone, Copy)]
pub(crate) struct Described {
    name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    flags: glib::ParamFlags,
}

/// The text of a field of a structure. Those who write one on a command line write 7 and mean "7".
pub(crate) fn text(value: &glib::Value) -> Option<String> {
    let text = value.transform::<String>().ok()?.get::<Option<String>>().ok().flatten();
    text.filter(|text| !text.is_empty())
}

/// The [`Choice`] of a field that is an enumeration.
macro_rules! choice {
    ($field:ident: $kind:ty) => {
        $crate::property::Field::Choice($crate::property::Choice {
            spec: |described| described.choice(<$kind>::default()),
            get: |settings: &mut Settings| settings.$field.to_value(),
            set: |settings, value| {
                // The type system of GObject has checked it.
                if let Ok(value) = value.get() {
                    settings.$field = value;
                }
            },
        })
    };
}
pub(crate) use choice;

impl Described {
    /// That of an enumeration.
    pub(crate) fn choice<E>(self, default: E) -> glib::ParamSpec
    where
        E: StaticType + glib::translate::FromGlib<i32> + glib::translate::IntoGlib<GlibType = i32>,
    {
        glib::ParamSpecEnum::builder_with_default(self.name, default)
            .nick(self.nick)
            .blurb(self.blurb)
            .flags(self.flags)
            .build()
    }
}

impl<S: Default> Row<S> {
    /// A property that is read when the element starts.
    pub(crate) const fn new(
        name: &'static str,
        nick: &'static str,
        blurb: &'static str,
        field: Field<S>,
    ) -> Self {
        Self { name, nick, blurb, live: false, field }
    }

    /// It acts at once, also while the element runs.
    pub(crate) const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Whether a value that is set now acts before the next start.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// How GObject describes it.
    pub(crate) fn spec(&self) -> glib::ParamSpec {
        let access = match self.field {
            Field::Secret(..) => glib::ParamFlags::WRITABLE,
            Field::Reading => glib::ParamFlags::READABLE,
            _ => glib::ParamFlags::READWRITE,
        };
        let when = match self.field {
            Field::Reading => glib::ParamFlags::empty(),
            _ if self.live => gst::PARAM_FLAG_MUTABLE_PLAYING,
            _ => gst::PARAM_FLAG_MUTABLE_READY,
        };
        let flags = access | when;
        let (name, nick, blurb) = (self.name, self.nick, self.blurb);
        let mut fresh = S::default();
        let text = |default| {
            glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .default_value(default)
                .build()
        };
        match &self.field {
            Field::Text(at, shown) => {
                let own = at(&mut fresh).clone();
                text(own.as_deref().or(*shown))
            }
            Field::Sentinel(_, sentinel) => text(Some(*sentinel)),
            Field::Secret(_, sentinel) => text(*sentinel),
            Field::Flag(at) => glib::ParamSpecBoolean::builder(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .default_value(*at(&mut fresh))
                .build(),
            Field::Number(at) => glib::ParamSpecUInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .default_value(*at(&mut fresh))
                .build(),
            Field::Long(at) => glib::ParamSpecUInt64::builder(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .default_value(*at(&mut fresh))
                .build(),
            Field::Structure(_) | Field::Reading => glib::ParamSpecBoxed::builder::<gst::Structure>(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .build(),
            Field::Choice(choice) => (choice.spec)(Described { name, nick, blurb, flags }),
        }
    }

    /// The value now; `None` of what is not in the settings, and of what nobody may read.
    pub(crate) fn get(&self, settings: &mut S) -> Option<glib::Value> {
        Some(match &self.field {
            Field::Text(at, shown) => at(settings).as_deref().or(*shown).to_value(),
            Field::Sentinel(at, sentinel) => at(settings).as_deref().unwrap_or(sentinel).to_value(),
            Field::Flag(at) => at(settings).to_value(),
            Field::Number(at) => at(settings).to_value(),
            Field::Long(at) => at(settings).to_value(),
            Field::Structure(at) => at(settings).to_value(),
            Field::Choice(choice) => (choice.get)(settings),
            Field::Secret(..) | Field::Reading => return None,
        })
    }

    /// Puts a value where it belongs. GObject has checked its type.
    pub(crate) fn set(&self, settings: &mut S, value: &glib::Value) {
        let text = || value.get::<Option<String>>().ok().flatten();
        match &self.field {
            Field::Text(at, _) => *at(settings) = text(),
            Field::Sentinel(at, sentinel) => *at(settings) = text().filter(|text| text != sentinel),
            Field::Secret(at, sentinel) => {
                let set = text().filter(|text| Some(text.as_str()) != *sentinel);
                *at(settings) = set.map(Secret::from);
            }
            Field::Flag(at) => *at(settings) = value.get().unwrap_or_default(),
            Field::Number(at) => *at(settings) = value.get().unwrap_or_default(),
            Field::Long(at) => *at(settings) = value.get().unwrap_or_default(),
            Field::Structure(at) => *at(settings) = value.get().unwrap_or_default(),
            Field::Choice(choice) => (choice.set)(settings, value),
            Field::Reading => {}
        }
    }

    /// As if nobody had set it.
    pub(crate) fn reset(&self, settings: &mut S) {
        let mut fresh = S::default();
        match &self.field {
            Field::Text(at, _) | Field::Sentinel(at, _) => *at(settings) = at(&mut fresh).take(),
            Field::Secret(at, _) => *at(settings) = at(&mut fresh).take(),
            Field::Flag(at) => *at(settings) = *at(&mut fresh),
            Field::Number(at) => *at(settings) = *at(&mut fresh),
            Field::Long(at) => *at(settings) = *at(&mut fresh),
            Field::Structure(at) => *at(settings) = at(&mut fresh).take(),
            Field::Choice(choice) => (choice.set)(settings, &(choice.get)(&mut fresh)),
            Field::Reading => {}
        }
    }
}
