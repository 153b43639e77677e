//! `kvs fragments`: what is stored of a stream, and what is missing in between.

use std::io::Write as _;
use std::time::Duration;

use aws_sdk_kinesisvideo::Client;
use aws_sdk_kinesisvideoarchivedmedia::types::{
    Fragment, FragmentSelector, FragmentSelectorType, TimestampRange,
};
use kvs_media::moment::Moment;
use kvs_media::time::Utc;
use kvs_wire::FragmentNumber;
use serde_json::{Value, json};

use crate::amount::show_bytes;
use crate::aws::{self, Archive, archive, spinner};
use crate::failure::{Failure, While as _};
use crate::moment::{self, date_time, now, utc};
use crate::table::Table;

/// From the last frame of a fragment to the first of the next there is always some time; more than this is a gap.
const PAUSE: Duration = Duration::from_secs(1);
/// As many as a page may have.
const PAGE: i64 = 1_000;

/// What is stored of a stream, oldest first, and the gaps in it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvs fragments cam1                                   all that there is
  kvs fragments cam1 --from -10min                     the last ten minutes
  kvs fragments cam1 --from 2026-11-20T08:00:00Z --to 2026-11-20T09:00:00Z --json

A gap is more than a second of producer time between two fragments.")]
pub(crate) struct Fragments {
    /// The stream
    stream: String,
    /// From this time on: RFC 3339, seconds since 1970, or how long ago (-10min)
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_hyphen_values = true)]
    to: Option<Moment>,
    /// The times are those of the service's clock, not of the producer's
    #[arg(long)]
    server_time: bool,
    /// Only so many, the newest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The fragments that are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) since: Utc,
    pub(crate) until: Utc,
    pub(crate) by_server: bool,
}

/// Clocks differ: what is recorded now may be of a little later.
pub(crate) fn ahead(now: Utc) -> Utc {
    now.checked_add(Duration::from_secs(86_400)).unwrap_or(now)
}

/// A fragment of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) number: FragmentNumber,
    pub(crate) producer_time: Utc,
    pub(crate) server_time: Utc,
    /// From its first frame to its last.
    pub(crate) length: Duration,
    pub(crate) bytes: u64,
}

/// Producer time of which nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    from: Utc,
    to: Utc,
}

impl Fragments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let now = now();
        let window = Window {
            since: self.from.map_or(Utc::EPOCH, |from| from.utc(now)),
            until: self.to.map_or_else(|| ahead(now), |to| to.utc(now)),
            by_server: self.server_time,
        };
        let bar = spinner("fragments");
        let rows = aws::block_on(async {
            let config = aws::config().await?;
            let archive = archive(&config, &Client::new(&config), &self.stream).await?;
            list(&archive, &self.stream, window, |count| bar.set_position(count)).await
        });
        bar.finish_and_clear();
        let mut rows = rows?;
        rows.sort_by(|a, b| a.number.cmp(&b.number));
        if let Some(limit) = self.limit {
            rows.drain(..rows.len().saturating_sub(limit));
        }
        let (gaps, mut out) = (gaps(&rows), std::io::stdout().lock());
        if self.json {
            return Ok(writeln!(out, "{}", as_json(&rows, &gaps))?);
        }
        let mut table = Table::new(["NUMBER", "PRODUCER TIME", "SERVER TIME", "LENGTH", "SIZE"]);
        for row in &rows {
            table.row([
                row.number.to_string(),
                row.producer_time.to_string(),
                row.server_time.to_string(),
                seconds(row.length),
                show_bytes(row.bytes),
            ]);
        }
        if !rows.is_empty() {
            out.write_all(table.to_string().as_bytes())?;
        }
        Ok(writeln!(out, "{}", summary(&rows, &gaps))?)
    }
}

/// All pages of a list, in no order.
pub(crate) async fn list(
    archive: &Archive,
    stream: &str,
    window: Window,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Row>, Failure> {
    let range = TimestampRange::builder()
        .start_timestamp(date_time(window.since))
        .end_timestamp(date_time(window.until))
        .build()?;
    let by = match window.by_server {
        true => FragmentSelectorType::ServerTimestamp,
        false => FragmentSelectorType::ProducerTimestamp,
    };
    let selector = FragmentSelector::builder().fragment_selector_type(by).timestamp_range(range).build()?;
    let call =
        archive.client.list_fragments().stream_name(stream).fragment_selector(selector).max_results(PAGE);
    let (mut rows, mut token) = (Vec::new(), None);
    loop {
        let call = call.clone().set_next_token(token);
        let page = archive.place.patiently(|| call.clone().send()).await?;
        for fragment in page.fragments.unwrap_or_default() {
            rows.push(Row::of(fragment)?);
        }
        progress(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(rows);
        }
    }
}

impl Row {
    fn of(fragment: Fragment) -> Result<Self, Failure> {
        let number = fragment.fragment_number.unwrap_or_default();
        Ok(Self {
            number: number.parse().doing(format_args!("the service lists fragment {number:?}"))?,
            producer_time: fragment.producer_timestamp.map(utc).unwrap_or_default(),
            server_time: fragment.server_timestamp.map(utc).unwrap_or_default(),
            length: Duration::from_millis(
                u64::try_from(fragment.fragment_length_in_milliseconds).unwrap_or(0),
            ),
            bytes: u64::try_from(fragment.fragment_size_in_bytes).unwrap_or(0),
        })
    }

    /// With the names of ListFragments.
    pub(crate) fn json(&self) -> Value {
        json!({
            "FragmentNumber": self.number.to_string(),
            "ProducerTimestamp": self.producer_time.to_string(),
            "ServerTimestamp": self.server_time.to_string(),
            "FragmentLengthInMilliseconds": u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            "FragmentSizeInBytes": self.bytes,
        })
    }

    fn end(&self) -> Utc {
        self.producer_time.checked_add(self.length).unwrap_or(self.producer_time)
    }
}

/// What no fragment covers between the first and the last. Sessions may overlap, so fragments may too.
fn gaps(rows: &[Row]) -> Vec<Gap> {
    let mut spans: Vec<_> = rows.iter().map(|row| (row.producer_time, row.end())).collect();
    spans.sort_unstable();
    let mut gaps = Vec::new();
    let mut covered: Option<Utc> = None;
    for (start, end) in spans {
        if let Some(from) = covered.filter(|from| start.since(*from).is_some_and(|pause| pause > PAUSE)) {
            gaps.push(Gap { from, to: start });
        }
        covered = covered.max(Some(end));
    }
    gaps
}

fn missing(gaps: &[Gap]) -> Duration {
    gaps.iter().filter_map(|gap| gap.to.since(gap.from)).sum()
}

fn seconds(span: Duration) -> String {
    format!("{}.{:03} s", span.as_secs(), span.subsec_millis())
}

fn summary(rows: &[Row], gaps: &[Gap]) -> String {
    let first = rows.iter().map(|row| row.producer_time).min();
    let last = rows.iter().map(Row::end).max();
    let (Some(first), Some(last)) = (first, last) else { return "0 fragments".into() };
    let bytes = rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.bytes));
    let mut text = match rows.len() {
        1 => format!("1 fragment, {}, {first} to {last}, ", show_bytes(bytes)),
        count => format!("{count} fragments, {}, {first} to {last}, ", show_bytes(bytes)),
    };
    match gaps {
        [] => text += "no gap",
        [gap] => text = format!("{text}1 gap: {} from {} to {}", seconds(missing(gaps)), gap.from, gap.to),
        gaps => {
            let all: Vec<_> = gaps.iter().map(|gap| format!("{} to {}", gap.from, gap.to)).collect();
            text =
                format!("{text}{} gaps, {} in all: {}", gaps.len(), seconds(missing(gaps)), all.join(", "));
        }
    }
    text
}

fn as_json(rows: &[Row], gaps: &[Gap]) -> Value {
    let gaps: Vec<_> =
        gaps.iter().map(|gap| json!({ "From": gap.from.to_string(), "To": gap.to.to_string() })).collect();
    json!({
        "Fragments": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "Count": rows.len(),
        "Bytes": rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.bytes)),
        "Gaps": gaps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, start: i64, millis: u64) -> Row {
        Row {
            number: number.to_string().parse().unwrap(),
            producer_time: Utc::from_millis(start).unwrap(),
            server_time: Utc::from_millis(start + 50).unwrap(),
            length: Duration::from_millis(millis),
            bytes: 1_000,
        }
    }

    fn found(rows: &[Row]) -> Vec<(i64, i64)> {
        gaps(rows).into_iter().map(|gap| (gap.from.millis(), gap.to.millis())).collect()
    }

    #[test]
    fn more_than_a_second_of_nothing_is_a_gap() {
        assert_eq!(found(&[]), []);
        assert_eq!(found(&[row(1, 0, 1_960), row(2, 2_000, 1_960), row(3, 4_960, 0)]), []);
        assert_eq!(found(&[row(1, 0, 2_000), row(2, 3_001, 2_000)]), [(2_000, 3_001)]);
    }

    #[test]
    fn what_another_session_covers_is_no_gap() {
        let rows = [row(1, 0, 2_000), row(2, 20_000, 2_000), row(3, 1_000, 18_500)];
        assert_eq!(found(&rows), []);
        let within = [row(1, 0, 10_000), row(2, 1_000, 1_000), row(3, 10_500, 100)];
        assert_eq!(found(&within), []);
    }

    #[test]
    fn the_summary_says_what_is_missing() {
        assert_eq!(summary(&[], &[]), "0 fragments");
        let one = [row(1, 0, 2_000)];
        assert_eq!(
            summary(&one, &gaps(&one)),
            "1 fragment, 1.0 kB, 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:02.000Z, no gap"
        );
        let two = [row(1, 0, 2_000), row(2, 5_000, 1_000)];
        assert_eq!(
            summary(&two, &gaps(&two)),
            "2 fragments, 2.0 kB, 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:06.000Z, \
             1 gap: 3.000 s from 1970-01-01T00:00:02.000Z to 1970-01-01T00:00:05.000Z"
        );
        let json = as_json(&two, &gaps(&two));
        assert_eq!((&json["Count"], &json["Bytes"]), (&2.into(), &2_000.into()));
        assert_eq!(json["Gaps"][0]["From"], "1970-01-01T00:00:02.000Z");
        assert_eq!(json["Fragments"][1]["FragmentLengthInMilliseconds"], 1_000);
    }
}
