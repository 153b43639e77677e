//! What a call of GetImages asks for, and the instants that it is about.

use std::collections::BTreeMap;

use kvs_media::time::Utc;
use kvs_wire::picture::Format;
use kvs_wire::{EpochSeconds, FragmentSelectorType, limits};
use serde::Deserialize;

use crate::http::route::Refused;
use crate::text::{STANDARD, decode, encode};

const MILLI: i64 = 1_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ask {
    image_selector_type: FragmentSelectorType,
    start_timestamp: EpochSeconds,
    end_timestamp: EpochSeconds,
    sampling_interval: Option<i64>,
    format: AskedFormat,
    format_config: Option<BTreeMap<String, String>>,
    width_pixels: Option<i64>,
    height_pixels: Option<i64>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum AskedFormat {
    Jpeg,
    Png,
}

/// How pictures are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    pub(super) format: Format,
    pub(super) width: Option<u16>,
    pub(super) height: Option<u16>,
}

/// The instants of a call, and where in them a page begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Page {
    pub(super) selector: FragmentSelectorType,
    pub(super) start: Utc,
    end: Utc,
    interval_ms: u32,
    /// The first of the page, counted from 0.
    next: u32,
}

/// What a request asks for: the page, how many instants of it, and how.
pub(crate) fn asked(body: &[u8]) -> Result<(Page, usize, Form), Refused> {
    let ask: Ask = serde_json::from_slice(body).map_err(Refused::argument)?;
    let within = |asked: Option<i64>, most: usize, what: &str| {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        match asked {
            Some(asked) if !(1..=most).contains(&asked) => {
                Err(Refused::argument(format!("{what} must be from 1 to {most}.")))
            }
            asked => Ok(asked),
        }
    };
    let pixels = |asked, most: u16, what| {
        Ok::<_, Refused>(within(asked, most.into(), what)?.and_then(|asked| u16::try_from(asked).ok()))
    };
    let (width, height) = (
        pixels(ask.width_pixels, limits::IMAGE_WIDTH, "WidthPixels")?,
        pixels(ask.height_pixels, limits::IMAGE_HEIGHT, "HeightPixels")?,
    );
    let most = within(ask.max_results, limits::IMAGES_RESULTS, "MaxResults")?
        .map_or(limits::IMAGES_DEFAULT_RESULTS, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut quality = limits::IMAGE_JPEG_QUALITY;
    for (key, value) in ask.format_config.iter().flatten() {
        let said = value.parse().ok().filter(|said| key == "JPEGQuality" && (1..=100).contains(said));
        quality =
            said.ok_or_else(|| Refused::argument("FormatConfig may hold JPEGQuality, from 1 to 100."))?;
    }
    let format = match ask.format {
        AskedFormat::Jpeg => Format::Jpeg(quality),
        AskedFormat::Png => Format::Png,
    };
    let page = match &ask.next_token {
        Some(token) => Page::of_token(token)
            .ok_or_else(|| Refused::argument("NextToken is not one that this operation gave."))?,
        None => {
            let (EpochSeconds(start), EpochSeconds(end)) = (ask.start_timestamp, ask.end_timestamp);
            let interval_ms = match ask.sampling_interval {
                None => limits::IMAGES_DEFAULT_INTERVAL.as_millis().try_into().ok(),
                Some(asked) => u32::try_from(asked).ok(),
            };
            let interval_ms = interval_ms.ok_or_else(short_interval)?;
            Page::new(ask.image_selector_type, start, end, interval_ms)?
        }
    };
    Ok((page, most, Form { format, width, height }))
}

fn short_interval() -> Refused {
    let least = limits::IMAGES_INTERVAL.as_millis();
    Refused::argument(format!("SamplingInterval must be at least {least} milliseconds."))
}

impl Page {
    /// The first page.
    fn new(selector: FragmentSelectorType, start: Utc, end: Utc, interval_ms: u32) -> Result<Self, Refused> {
        if end.since(start).is_none_or(|range| range > limits::IMAGES_RANGE) {
            let most = limits::IMAGES_RANGE.as_secs();
            let rule = "EndTimestamp must not be before StartTimestamp, nor further behind it than";
            return Err(Refused::argument(format!("{rule} {most} seconds.")));
        }
        if u128::from(interval_ms) < limits::IMAGES_INTERVAL.as_millis() {
            return Err(short_interval());
        }
        Ok(Self { selector, start, end, interval_ms, next: 0 })
    }

    /// An instant, counted from that of the page. None behind the last one.
    pub(super) fn instant(&self, place: usize) -> Option<Utc> {
        let at = i64::from(self.next).checked_add(i64::try_from(place).ok()?)?;
        let since = at.checked_mul(i64::from(self.interval_ms).checked_mul(MILLI)?)?;
        let instant = Utc::from_nanos(self.start.nanos().checked_add(since)?);
        (instant <= self.end).then_some(instant)
    }

    /// The page that begins so many instants later. None when there are no more.
    pub(super) fn later(&self, by: usize) -> Option<Self> {
        self.instant(by)?;
        Some(Self { next: self.next.checked_add(u32::try_from(by).ok()?)?, ..*self })
    }

    pub(crate) fn token(&self) -> String {
        let mut bytes = vec![u8::from(self.selector == FragmentSelectorType::ProducerTimestamp)];
        bytes.extend_from_slice(&self.start.nanos().to_be_bytes());
        bytes.extend_from_slice(&self.end.nanos().to_be_bytes());
        bytes.extend_from_slice(&self.interval_ms.to_be_bytes());
        bytes.extend_from_slice(&self.next.to_be_bytes());
        encode(&bytes, STANDARD)
    }

    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let bytes =
            Some(token).filter(|token| token.len() <= 64).and_then(|token| decode(token, STANDARD))?;
        let (kind, rest) = bytes.split_first()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (interval, rest) = rest.split_first_chunk()?;
        let next = u32::from_be_bytes(rest.try_into().ok()?);
        let selector = match kind {
            0 => FragmentSelectorType::ServerTimestamp,
            1 => FragmentSelectorType::ProducerTimestamp,
            _ => return None,
        };
        let time = |bytes: &[u8; 8]| Utc::from_nanos(i64::from_be_bytes(*bytes));
        let page = Self::new(selector, time(start), time(end), u32::from_be_bytes(*interval)).ok()?;
        let page = Self { next, ..page };
        page.instant(0).map(|_| page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(start_ms: i64, span_ms: i64, interval_ms: u32) -> Page {
        let time = |millis| Utc::from_millis(millis).unwrap();
        let selector = FragmentSelectorType::ProducerTimestamp;
        Page::new(selector, time(start_ms), time(start_ms + span_ms), interval_ms).unwrap()
    }

    #[test]
    fn instants_go_up_to_the_end() {
        let millis =
            |page: Page| -> Vec<i64> { (0..9).map_while(|at| page.instant(at)).map(Utc::millis).collect() };
        assert_eq!(millis(page(1_000, 600, 200)), [1_000, 1_200, 1_400, 1_600]);
        assert_eq!(millis(page(1_000, 599, 200)), [1_000, 1_200, 1_400]);
        // A range that is shorter than the interval has its start (kvs-api 6.7).
        assert_eq!(millis(page(1_000, 100, 200)), [1_000]);
        assert_eq!(millis(page(1_000, 0, 200)), [1_000]);
        let later = page(1_000, 600, 200).later(3).unwrap();
        assert_eq!(millis(later), [1_600]);
        assert_eq!(later.later(1), None);
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place(
            start in 0_i64..1 << 42, span in 0_i64..=300_000, interval in 200_u32..20_000, place in 0_usize..2_000,
        ) {
            if let Some(page) = page(start, span, interval).later(place) {
                prop_assert_eq!(Page::of_token(&page.token()), Some(page));
            }
        }

        #[test]
        fn any_text_is_a_token_or_refused(token: String, bytes: Vec<u8>) {
            let _ = (Page::of_token(&token), Page::of_token(&encode(&bytes, STANDARD)));
        }
    }
}
