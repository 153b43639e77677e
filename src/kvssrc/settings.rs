//! How the source is set, and what follows from that.

use std::time::Duration;

use kvs_client::ClientSettings;
use kvs_client::download::Place;
use kvs_media::moment::{Moment, MomentError};
use kvs_media::time::Utc;
use kvs_wire::{
    ContinuationTokenError, FragmentNumberError, FragmentSelectorType, StartSelector, StreamName,
    StreamNameError,
};

use super::{GapPolicy, Selector, TimelineOf};
use crate::connection::{Connection, ConnectionError, Surroundings};

/// How the source is set. The names are those of the properties.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connection: Connection,
    pub(crate) stream_name: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) start_selector: Selector,
    pub(crate) start_timestamp: Option<String>,
    pub(crate) after_fragment: Option<String>,
    pub(crate) continuation_token: Option<String>,
    pub(crate) timeline: TimelineOf,
    pub(crate) gap_policy: GapPolicy,
    pub(crate) prefetch_bytes: u64,
    pub(crate) latency: u64,
    pub(crate) no_data_timeout: u64,
    /// Properties that the address has set, and nobody since.
    pub(crate) addressed: Vec<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connection: Connection::default(),
            stream_name: None,
            from: None,
            to: None,
            start_selector: Selector::Now,
            start_timestamp: None,
            after_fragment: None,
            continuation_token: None,
            timeline: TimelineOf::Producer,
            gap_policy: GapPolicy::Keep,
            prefetch_bytes: 16 << 20,
            latency: 200_000_000,
            no_data_timeout: 10_000_000_000,
            addressed: Vec::new(),
        }
    }
}

impl AsMut<Connection> for Settings {
    fn as_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Why the source cannot run as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// There is no stream.
    #[error("`stream-name` is not set")]
    NoStream,
    /// No stream can be called so.
    #[error("`stream-name`: {0}")]
    StreamName(#[from] StreamNameError),
    /// Not a time.
    #[error("`{property}`: {error}")]
    Time {
        /// Where.
        property: &'static str,
        /// What is wrong.
        error: MomentError,
    },
    /// Nothing is in it.
    #[error("`to` ({to}) is before `from` ({from})")]
    Backwards {
        /// Its beginning.
        from: Utc,
        /// Its end.
        to: Utc,
    },
    /// Two ways to say where it begins.
    #[error("`{0}` and `{1}` both say where to begin")]
    Both(&'static str, &'static str),
    /// A selector without what it needs.
    #[error("`start-selector={0}` needs `{1}`")]
    Missing(&'static str, &'static str),
    /// No number of a fragment.
    #[error("`after-fragment`: {0}")]
    AfterFragment(FragmentNumberError),
    /// No token.
    #[error("`continuation-token`: {0}")]
    Token(#[from] ContinuationTokenError),
    /// Nothing could be kept.
    #[error("`prefetch-bytes` must be at least 1")]
    NoPrefetch,
    /// How to connect.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// What a run of the source needs of its settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) client: ClientSettings,
    pub(crate) stream: StreamName,
    pub(crate) what: What,
    pub(crate) closes_gaps: bool,
    pub(crate) by_server: bool,
    pub(crate) prefetch: usize,
    pub(crate) latency: Duration,
    pub(crate) no_data_timeout: Option<Duration>,
}

/// What of the stream is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// As it comes, from a place on.
    Live(StartSelector),
    /// A range that can be sought in.
    Recorded(kvs_client::download::Range),
}

impl What {
    /// As the reader knows it.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Live(selector) => Place::Follow(selector.clone()),
            Self::Recorded(range) => Place::Range(*range),
        }
    }
}

impl Settings {
    /// What a run needs of these settings. Times that count from now count from `now`.
    ///
    /// # Errors
    /// When it cannot run so.
    pub(crate) fn plan(&self, around: Surroundings<'_>, now: Utc) -> Result<Plan, SettingsError> {
        let name =
            self.stream_name.as_deref().filter(|name| !name.is_empty()).ok_or(SettingsError::NoStream)?;
        let stream: StreamName = name.parse()?;
        if self.prefetch_bytes == 0 {
            return Err(SettingsError::NoPrefetch);
        }
        Ok(Plan {
            client: self.connection.client_settings(name, around)?,
            stream,
            what: self.what(now)?,
            closes_gaps: self.gap_policy == GapPolicy::Skip,
            by_server: self.timeline == TimelineOf::Server,
            prefetch: usize::try_from(self.prefetch_bytes).unwrap_or(usize::MAX),
            latency: Duration::from_nanos(self.latency),
            no_data_timeout: (self.no_data_timeout > 0).then(|| Duration::from_nanos(self.no_data_timeout)),
        })
    }

    /// What of the stream is read. Times that count from now count from `now`.
    ///
    /// # Errors
    /// When nothing can be.
    pub(crate) fn what(&self, now: Utc) -> Result<What, SettingsError> {
        let time = |property, text: &Option<String>| match text.as_deref().filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => match text.parse::<Moment>() {
                Ok(moment) => Ok(Some(moment.utc(now))),
                Err(error) => Err(SettingsError::Time { property, error }),
            },
        };
        let (from, to) = (time("from", &self.from)?, time("to", &self.to)?);
        if from.is_none() && to.is_none() {
            let at = time("start-timestamp", &self.start_timestamp)?;
            return self.selector(at).map(What::Live);
        }
        let other = [
            ("start-timestamp", is_set(&self.start_timestamp)),
            ("after-fragment", is_set(&self.after_fragment)),
            ("continuation-token", is_set(&self.continuation_token)),
            ("start-selector", self.start_selector != Selector::Now),
        ];
        if let Some((other, _)) = other.into_iter().find(|(_, set)| *set) {
            return Err(SettingsError::Both(if from.is_some() { "from" } else { "to" }, other));
        }
        let from = from.unwrap_or(Utc::EPOCH);
        if let Some(to) = to.filter(|to| *to < from) {
            return Err(SettingsError::Backwards { from, to });
        }
        Ok(What::Recorded(kvs_client::download::Range {
            timeline: match self.timeline {
                TimelineOf::Producer => FragmentSelectorType::ProducerTimestamp,
                TimelineOf::Server => FragmentSelectorType::ServerTimestamp,
            },
            from,
            to,
            begin: None,
            spans: self.gap_policy == GapPolicy::Skip,
        }))
    }

    fn selector(&self, at: Option<Utc>) -> Result<StartSelector, SettingsError> {
        let after = self.after_fragment.as_deref().filter(|text| !text.is_empty());
        let token = self.continuation_token.as_deref().filter(|text| !text.is_empty());
        let given = [
            ("after-fragment", after.is_some(), Selector::FragmentNumber),
            ("continuation-token", token.is_some(), Selector::ContinuationToken),
        ];
        // What resumes says it all.
        let mut selector = self.start_selector;
        for (property, set, means) in given {
            match selector {
                _ if !set => {}
                Selector::Now => selector = means,
                own if own == means => {}
                own => return Err(SettingsError::Both(own.property(), property)),
            }
        }
        let needs_time = matches!(selector, Selector::ServerTimestamp | Selector::ProducerTimestamp);
        if at.is_some() && !needs_time {
            return Err(SettingsError::Missing("server-timestamp", "start-timestamp"));
        }
        let missing = |property| SettingsError::Missing(selector.nick(), property);
        Ok(match selector {
            Selector::Now => StartSelector::Now,
            Selector::Earliest => StartSelector::Earliest,
            Selector::FragmentNumber => {
                let number = after.ok_or_else(|| missing("after-fragment"))?;
                StartSelector::AfterFragment(number.parse().map_err(SettingsError::AfterFragment)?)
            }
            Selector::ServerTimestamp => {
                StartSelector::ServerTime(at.ok_or_else(|| missing("start-timestamp"))?)
            }
            Selector::ProducerTimestamp => {
                StartSelector::ProducerTime(at.ok_or_else(|| missing("start-timestamp"))?)
            }
            Selector::ContinuationToken => {
                StartSelector::Continuation(token.ok_or_else(|| missing("continuation-token"))?.parse()?)
            }
        })
    }
}

fn is_set(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
}

impl Selector {
    const fn nick(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Earliest => "earliest",
            Self::FragmentNumber => "fragment-number",
            Self::ServerTimestamp => "server-timestamp",
            Self::ProducerTimestamp => "producer-timestamp",
            Self::ContinuationToken => "continuation-token",
        }
    }

    /// The property that says what it needs; of those that need nothing, itself.
    const fn property(self) -> &'static str {
        match self {
            Self::Now | Self::Earliest => "start-selector",
            Self::FragmentNumber => "after-fragment",
            Self::ServerTimestamp | Self::ProducerTimestamp => "start-timestamp",
            Self::ContinuationToken => "continuation-token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Utc {
        Utc::from_millis(1_795_145_031_916).unwrap()
    }

    fn plan(change: impl FnOnce(&mut Settings)) -> Result<Plan, SettingsError> {
        let mut settings = Settings { stream_name: Some("door".to_owned()), ..Settings::default() };
        change(&mut settings);
        settings.plan(Surroundings::default(), now())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_time_makes_it_a_range_and_nothing_makes_it_live() {
        assert_eq!(plan(|_| {}).unwrap().what, What::Live(StartSelector::Now));
        let range = |change: fn(&mut Settings)| match plan(change).unwrap().what {
            What::Recorded(range) => {
                (range.from.millis(), range.to.map(Utc::millis), range.timeline, range.spans)
            }
            What::Live(selector) => panic!("{selector:?}"),
        };
        let producer = FragmentSelectorType::ProducerTimestamp;
        assert_eq!(range(|s| s.from = text("-10min")), (1_795_144_431_916, None, producer, false));
        assert_eq!(
            range(|s| (s.from, s.to) = (text("1795144000"), text("now"))),
            (1_795_144_000_000, Some(1_795_145_031_916), producer, false)
        );
        assert_eq!(range(|s| s.to = text("-1s")), (0, Some(1_795_145_030_916), producer, false));
        let server = |s: &mut Settings| {
            (s.from, s.timeline, s.gap_policy) = (text("0"), TimelineOf::Server, GapPolicy::Skip);
        };
        assert_eq!(range(server), (0, None, FragmentSelectorType::ServerTimestamp, true));
    }

    #[test]
    fn all_six_selectors_can_be_set() {
        let live = |change: &dyn Fn(&mut Settings)| match plan(change).unwrap().what {
            What::Live(selector) => selector,
            What::Recorded(range) => panic!("{range:?}"),
        };
        let number = "91343852333182006801812051225829315333083406205";
        assert_eq!(live(&|s| s.start_selector = Selector::Earliest), StartSelector::Earliest);
        assert_eq!(
            live(&|s| s.after_fragment = text(number)),
            StartSelector::AfterFragment(number.parse().unwrap())
        );
        assert_eq!(
            live(&|s| s.continuation_token = text("a-b")),
            StartSelector::Continuation("a-b".parse().unwrap())
        );
        let at =
            |selector| move |s: &mut Settings| (s.start_selector, s.start_timestamp) = (selector, text("7"));
        let time = Utc::from_millis(7_000).unwrap();
        assert_eq!(live(&at(Selector::ServerTimestamp)), StartSelector::ServerTime(time));
        assert_eq!(live(&at(Selector::ProducerTimestamp)), StartSelector::ProducerTime(time));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_property() {
        let said = |change: fn(&mut Settings)| plan(change).unwrap_err().to_string();
        assert_eq!(said(|s| s.stream_name = None), "`stream-name` is not set");
        assert!(said(|s| s.stream_name = text("no spaces")).starts_with("`stream-name`: "));
        assert!(said(|s| s.from = text("soon")).starts_with("`from`: a time is such as "));
        assert!(said(|s| s.to = text("2026-11-20T03:23:51")).starts_with("`to`: "));
        assert_eq!(
            said(|s| (s.from, s.to) = (text("now"), text("0"))),
            "`to` (1970-01-01T00:00:00.000Z) is before `from` (2026-11-20T03:23:51.916Z)"
        );
        assert_eq!(
            said(|s| (s.from, s.after_fragment) = (text("0"), text("1"))),
            "`from` and `after-fragment` both say where to begin"
        );
        assert_eq!(
            said(|s| (s.continuation_token, s.after_fragment) = (text("a"), text("1"))),
            "`after-fragment` and `continuation-token` both say where to begin"
        );
        assert_eq!(
            said(|s| s.start_selector = Selector::ServerTimestamp),
            "`start-selector=server-timestamp` needs `start-timestamp`"
        );
        assert!(said(|s| s.after_fragment = text("x")).starts_with("`after-fragment`: "));
        assert!(said(|s| s.continuation_token = text("a b")).starts_with("`continuation-token`: "));
        assert_eq!(said(|s| s.prefetch_bytes = 0), "`prefetch-bytes` must be at least 1");
    }
}
