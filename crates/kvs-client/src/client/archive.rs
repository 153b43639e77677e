//! What is recorded: which fragments there are, and the media of those that are named.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_kinesisvideoarchivedmedia::config::{Builder, Credentials};
use aws_sdk_kinesisvideoarchivedmedia::operation::RequestId as _;
use aws_sdk_kinesisvideoarchivedmedia::primitives::DateTime;
use aws_sdk_kinesisvideoarchivedmedia::types::{
    Fragment, FragmentSelector as SdkSelector, FragmentSelectorType as Kind, TimestampRange as SdkRange,
};
use kvs_media::time::Utc;
use kvs_wire::limits::LIST_FRAGMENTS_RESULTS;
use kvs_wire::{FragmentNumber, FragmentSelector, FragmentSelectorType, Operation, StreamName};

use super::Client;
use super::call::Dated;
use super::error::{CallError, SettingsError, causes};
use super::get_media::{Media, OpenMedia, date_time};
use super::service_clock::read_date;
use super::url::ServiceUrl;

/// The SDK's client; endpoints and credentials come with each call.
#[derive(Debug)]
pub(super) struct ArchivePlane(aws_sdk_kinesisvideoarchivedmedia::Client);

/// A fragment that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFragment {
    /// Its number.
    pub number: FragmentNumber,
    /// When its producer says that it begins.
    pub producer: Utc,
    /// When its first byte came to the service.
    pub server: Utc,
    /// From its first frame to its last, without the duration of that.
    pub length: Duration,
    /// Its size.
    pub bytes: u64,
}

/// A part of a list, in no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentPage {
    /// What is in it.
    pub fragments: Vec<ListedFragment>,
    /// What gets the next part; `None` in the last.
    pub next_token: Option<String>,
    /// When the service has answered, by its clock.
    pub answered: Utc,
}

impl Client {
    /// ListFragments: the part that `token` names, and the first without one. Of a thousand at the most.
    ///
    /// # Errors
    /// When the service does not say.
    pub async fn list_fragments(
        &self,
        endpoint: &ServiceUrl,
        stream: &StreamName,
        selector: &FragmentSelector,
        token: Option<&str>,
    ) -> Result<FragmentPage, CallError> {
        let operation = Operation::ListFragments;
        let plane = self.archive_plane(operation).await?;
        let (selector, url) = (sdk_selector(selector)?, endpoint.to_string());
        let most = i64::try_from(LIST_FRAGMENTS_RESULTS).unwrap_or(i64::MAX);
        let answered = Arc::new(OnceLock::new());
        let take = || {
            let answered = Arc::clone(&answered);
            Dated(Box::new(move |date| {
                if let Some(date) = read_date(date) {
                    let _ = answered.set(date);
                }
            }))
        };
        let call = |credentials: Credentials| {
            let to = Builder::new().endpoint_url(&url).credentials_provider(credentials);
            let call = plane.0.list_fragments().stream_name(stream.as_str()).max_results(most);
            let call = call.fragment_selector(selector.clone()).set_next_token(token.map(str::to_owned));
            call.customize().config_override(to).interceptor(take()).send()
        };
        let answer = self.signed(operation, &url, call).await?;
        let fragments = answer.fragments.unwrap_or_default();
        let fragments = fragments.iter().map(listed).collect::<Option<_>>();
        let fragments = fragments
            .ok_or(CallError::Answer { operation, missing: "fragment with a number and its times" })?;
        let answered = answered.get().copied().unwrap_or_else(|| self.now());
        Ok(FragmentPage { fragments, next_token: answer.next_token, answered })
    }

    /// GetMediaForFragmentList: waits until the service begins to answer.
    ///
    /// # Errors
    /// When the service is not reached, does not answer in time, or refuses.
    pub async fn get_media_for_fragments(
        &self,
        endpoint: &ServiceUrl,
        stream: &StreamName,
        fragments: &[FragmentNumber],
    ) -> Result<OpenMedia, CallError> {
        let operation = Operation::GetMediaForFragmentList;
        let plane = self.archive_plane(operation).await?;
        let url = endpoint.to_string();
        let numbers: Vec<String> = fragments.iter().map(ToString::to_string).collect();
        let call = |credentials: Credentials| {
            let to = Builder::new().endpoint_url(&url).credentials_provider(credentials);
            let call = plane.0.get_media_for_fragment_list().stream_name(stream.as_str());
            let call = call.set_fragments(Some(numbers.clone()));
            call.customize().config_override(to).send()
        };
        let answer = self.signed(operation, &url, call).await?;
        let request_id = answer.request_id().map(str::to_owned);
        Ok(OpenMedia { media: Media::of(answer.payload), request_id })
    }

    async fn archive_plane(&self, operation: Operation) -> Result<&ArchivePlane, CallError> {
        let make = async || {
            let config = self.data_config(operation).await?;
            let builder = Builder::from(&config).interceptor(self.clocked()).interceptor(self.user_agent());
            Ok(ArchivePlane(aws_sdk_kinesisvideoarchivedmedia::Client::from_conf(builder.build())))
        };
        self.archive.get_or_try_init(make).await
    }
}

fn sdk_selector(selector: &FragmentSelector) -> Result<SdkSelector, CallError> {
    let range = SdkRange::builder()
        .start_timestamp(date_time(selector.range.start())?)
        .end_timestamp(date_time(selector.range.end())?)
        .build()
        .map_err(|error| SettingsError::text("the range", causes(&error)))?;
    let kind = match selector.selector_type {
        FragmentSelectorType::ProducerTimestamp => Kind::ProducerTimestamp,
        FragmentSelectorType::ServerTimestamp => Kind::ServerTimestamp,
    };
    let built = SdkSelector::builder().fragment_selector_type(kind).timestamp_range(range).build();
    built.map_err(|error| SettingsError::text("the range", causes(&error)).into())
}

/// A row; `None` when it names no fragment, or no time of it.
fn listed(row: &Fragment) -> Option<ListedFragment> {
    Some(ListedFragment {
        number: row.fragment_number.as_deref()?.parse().ok()?,
        producer: millis(row.producer_timestamp?)?,
        server: millis(row.server_timestamp?)?,
        // What is negative is none that the service gives.
        length: Duration::from_millis(u64::try_from(row.fragment_length_in_milliseconds).unwrap_or(0)),
        bytes: u64::try_from(row.fragment_size_in_bytes).unwrap_or(0),
    })
}

/// Times come in milliseconds, by way of a floating point number: the nearest one is meant.
fn millis(time: DateTime) -> Option<Utc> {
    let millis = time.as_nanos().checked_add(500_000)?.div_euclid(1_000_000);
    Utc::from_millis(i64::try_from(millis).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_was_a_fraction_of_a_float_is_the_nearest_millisecond() {
        for millis_since in [0_i64, 1, 999, 1_795_145_031_916, 1_643_353_235_931, -1] {
            let time = DateTime::from_secs_f64(millis_since as f64 / 1_000.0);
            assert_eq!(millis(time), Utc::from_millis(millis_since), "{millis_since}");
        }
    }
}
