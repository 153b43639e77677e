//! The operations on streams and their media.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an operation is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// On the regional host.
    Control,
    /// On the host that GetDataEndpoint names for it.
    Data(ApiName),
}

macro_rules! operations {
    ($($operation:ident $path:literal $plane:expr,)*) => {
        /// An operation of the service. All are `POST` to a path of their own, whose case matters.
        ///
        /// Those on streams, their media, their tags and their edge agents; channels and signaling are not among them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is documented by the service under this very name")]
        pub enum Operation { $($operation,)* }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$operation,)*];

            /// The name, as in an IAM action behind `kinesisvideo:`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$operation => stringify!($operation),)* }
            }

            /// The path.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$operation => $path,)* }
            }

            /// The operation of this path.
            pub fn from_path(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$operation),)* _ => None }
            }

            /// Where it is served.
            pub const fn plane(self) -> Plane {
                match self { $(Self::$operation => $plane,)* }
            }
        }
    };
}

operations! {
    CreateStream "/createStream" Plane::Control,
    DescribeStream "/describeStream" Plane::Control,
    ListStreams "/listStreams" Plane::Control,
    UpdateStream "/updateStream" Plane::Control,
    DeleteStream "/deleteStream" Plane::Control,
    UpdateDataRetention "/updateDataRetention" Plane::Control,
    UpdateStreamStorageConfiguration "/updateStreamStorageConfiguration" Plane::Control,
    DescribeStreamStorageConfiguration "/describeStreamStorageConfiguration" Plane::Control,
    TagStream "/tagStream" Plane::Control,
    UntagStream "/untagStream" Plane::Control,
    ListTagsForStream "/listTagsForStream" Plane::Control,
    // The three generic ones begin with a capital.
    TagResource "/TagResource" Plane::Control,
    UntagResource "/UntagResource" Plane::Control,
    ListTagsForResource "/ListTagsForResource" Plane::Control,
    GetDataEndpoint "/getDataEndpoint" Plane::Control,
    DescribeImageGenerationConfiguration "/describeImageGenerationConfiguration" Plane::Control,
    UpdateImageGenerationConfiguration "/updateImageGenerationConfiguration" Plane::Control,
    DescribeNotificationConfiguration "/describeNotificationConfiguration" Plane::Control,
    UpdateNotificationConfiguration "/updateNotificationConfiguration" Plane::Control,
    DescribeMappedResourceConfiguration "/describeMappedResourceConfiguration" Plane::Control,
    StartEdgeConfigurationUpdate "/startEdgeConfigurationUpdate" Plane::Control,
    DescribeEdgeConfiguration "/describeEdgeConfiguration" Plane::Control,
    DeleteEdgeConfiguration "/deleteEdgeConfiguration" Plane::Control,
    ListEdgeAgentConfigurations "/listEdgeAgentConfigurations" Plane::Control,
    PutMedia "/putMedia" Plane::Data(ApiName::PutMedia),
    GetMedia "/getMedia" Plane::Data(ApiName::GetMedia),
    ListFragments "/listFragments" Plane::Data(ApiName::ListFragments),
    GetMediaForFragmentList "/getMediaForFragmentList" Plane::Data(ApiName::GetMediaForFragmentList),
    GetHLSStreamingSessionURL "/getHLSStreamingSessionURL" Plane::Data(ApiName::GetHlsStreamingSessionUrl),
    GetDASHStreamingSessionURL "/getDASHStreamingSessionURL" Plane::Data(ApiName::GetDashStreamingSessionUrl),
    GetClip "/getClip" Plane::Data(ApiName::GetClip),
    GetImages "/getImages" Plane::Data(ApiName::GetImages),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What GetDataEndpoint is asked for (`APIName`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApiName {
    /// `PUT_MEDIA`.
    PutMedia,
    /// `GET_MEDIA`.
    GetMedia,
    /// `LIST_FRAGMENTS`.
    ListFragments,
    /// `GET_MEDIA_FOR_FRAGMENT_LIST`.
    GetMediaForFragmentList,
    /// `GET_HLS_STREAMING_SESSION_URL`.
    GetHlsStreamingSessionUrl,
    /// `GET_DASH_STREAMING_SESSION_URL`.
    GetDashStreamingSessionUrl,
    /// `GET_CLIP`.
    GetClip,
    /// `GET_IMAGES`.
    GetImages,
}

/// Not a name of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no such APIName")]
pub struct UnknownApiName;

impl ApiName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PutMedia,
        Self::GetMedia,
        Self::ListFragments,
        Self::GetMediaForFragmentList,
        Self::GetHlsStreamingSessionUrl,
        Self::GetDashStreamingSessionUrl,
        Self::GetClip,
        Self::GetImages,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutMedia => "PUT_MEDIA",
            Self::GetMedia => "GET_MEDIA",
            Self::ListFragments => "LIST_FRAGMENTS",
            Self::GetMediaForFragmentList => "GET_MEDIA_FOR_FRAGMENT_LIST",
            Self::GetHlsStreamingSessionUrl => "GET_HLS_STREAMING_SESSION_URL",
            Self::GetDashStreamingSessionUrl => "GET_DASH_STREAMING_SESSION_URL",
            Self::GetClip => "GET_CLIP",
            Self::GetImages => "GET_IMAGES",
        }
    }
}

impl FromStr for ApiName {
    type Err = UnknownApiName;

    fn from_str(text: &str) -> Result<Self, UnknownApiName> {
        Self::ALL.into_iter().find(|api| api.name() == text).ok_or(UnknownApiName)
    }
}

impl fmt::Display for ApiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_operation_in_its_own_case_only() {
        for operation in Operation::ALL.iter().copied() {
            assert_eq!(Operation::from_path(operation.path()), Some(operation));
            assert!(operation.path()[1..].eq_ignore_ascii_case(operation.name()), "{operation}");
        }
        for path in ["/GetHLSStreamingSessionURL", "/putmedia", "putMedia", "/putMedia/", "", "/tagResource"]
        {
            assert_eq!(Operation::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn every_api_name_is_that_of_one_data_operation() {
        for api in ApiName::ALL {
            let operations = Operation::ALL.iter().filter(|operation| operation.plane() == Plane::Data(api));
            let names: Vec<String> =
                operations.map(|operation| operation.name().to_ascii_uppercase()).collect();
            assert_eq!(names, [api.name().replace('_', "")]);
        }
    }

    #[test]
    fn an_api_name_reads_and_prints() {
        for api in ApiName::ALL {
            assert_eq!(api.name().parse(), Ok(api));
            let json = format!("\"{api}\"");
            assert_eq!(serde_json::to_string(&api).unwrap(), json);
            assert_eq!(serde_json::from_str::<ApiName>(&json).unwrap(), api);
        }
        assert_eq!("put_media".parse::<ApiName>(), Err(UnknownApiName));
    }
}
