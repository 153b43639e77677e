//! In which region, and where its control plane is.

use aws_config::imds;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;

use super::environment::Environment;
use super::settings::ClientSettings;

/// Where AWS's own element streams that is told nothing.
const LAST: &str = "us-west-2";
/// In this order.
const VARIABLES: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The settings name one region, and the environment another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionConflict {
    /// What counts.
    pub set: String,
    /// The variable that says otherwise.
    pub variable: &'static str,
    /// What it says.
    pub value: String,
}

/// The region that settings or environment name, in this order.
pub(crate) fn named(settings: &ClientSettings, environment: &Environment) -> Option<String> {
    let set = settings.region.as_deref().filter(|region| !region.is_empty());
    Some(set.or_else(|| Some(environment.first(VARIABLES)?.1))?.to_owned())
}

/// Whether the environment names another region than the settings. AWS's own element lets the environment win.
pub(crate) fn conflict(settings: &ClientSettings, environment: &Environment) -> Option<RegionConflict> {
    let set = settings.region.clone().filter(|region| !region.is_empty())?;
    let (variable, value) =
        VARIABLES.iter().filter_map(|name| environment.first(&[name])).find(|(_, value)| *value != set)?;
    Some(RegionConflict { set, variable, value: value.to_owned() })
}

/// The region of the profile, else of the instance; `None` when an instance of EC2 could not be asked just now.
/// Reads files, and asks the instance when there is no other way.
pub(crate) async fn found(profile: Option<&str>, config: &ProviderConfig) -> Option<String> {
    let mut files = ProfileFileRegionProvider::builder().configure(config);
    if let Some(profile) = profile {
        files = files.profile_name(profile);
    }
    if let Some(region) = files.build().region().await {
        return Some(region.to_string());
    }
    let instance = imds::Client::builder().configure(config).max_attempts(1).build();
    let instance =
        imds::region::ImdsRegionProvider::builder().configure(config).imds_client(instance).build();
    match instance.region().await {
        Some(region) => Some(region.to_string()),
        None if on_ec2() => None,
        None => {
            tracing::info!(region = LAST, "nobody names a region");
            Some(LAST.to_owned())
        }
    }
}

/// Whether this machine is an instance of EC2: its metadata are there then, if not at once.
pub(crate) fn on_ec2() -> bool {
    // The file of the older, and of the newer kind of instances.
    let says = |path: &str, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|vendor| vendor.to_ascii_lowercase().starts_with(text))
    };
    says("/sys/class/dmi/id/sys_vendor", "amazon ec2") || says("/sys/hypervisor/uuid", "ec2")
}

/// The URL of the control plane that settings or environment name, and which of them. Without one it is for the SDK
/// to know.
pub(crate) fn endpoint<'a>(
    settings: &'a ClientSettings,
    environment: &'a Environment,
) -> Option<(&'static str, &'a str)> {
    if let Some(endpoint) = settings.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
        return Some(("endpoint", endpoint));
    }
    let aws = ["AWS_ENDPOINT_URL_KINESIS_VIDEO", "AWS_ENDPOINT_URL"];
    let aws = if environment.says("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") { &aws[..0] } else { &aws[..] };
    environment.first(aws).or_else(|| environment.first(&["CONTROL_PLANE_URI"]))
}

/// Where only endpoints that keep FIPS 140 are there (kvs-api 2.3).
pub(crate) fn fips_only(region: &str) -> bool {
    ["us-gov-", "us-iso-", "us-isob-"].iter().any(|prefix| region.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(region: Option<&str>, endpoint: Option<&str>) -> ClientSettings {
        let text = |text: Option<&str>| text.map(str::to_owned);
        ClientSettings { region: text(region), endpoint: text(endpoint), ..ClientSettings::default() }
    }

    #[test]
    fn the_region_is_the_property_then_the_environment_in_the_sdk_s_order() {
        type Row = (Option<&'static str>, &'static [(&'static str, &'static str)], Option<&'static str>);
        let rows: [Row; 6] = [
            (
                Some("eu-west-1"),
                &[("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "x")],
                Some("eu-west-1"),
            ),
            (None, &[("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "x")], Some("us-east-1")),
            (None, &[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "cn-north-1")], Some("cn-north-1")),
            (None, &[("AWS_DEFAULT_REGION", "us-gov-west-1")], Some("us-gov-west-1")),
            (Some(""), &[("AWS_REGION", "us-iso-east-1")], Some("us-iso-east-1")),
            (None, &[], None),
        ];
        for (property, variables, region) in rows {
            let environment = variables.iter().copied().collect();
            assert_eq!(named(&set(property, None), &environment).as_deref(), region, "{variables:?}");
        }
    }

    #[test]
    fn a_region_that_the_environment_contradicts_is_told() {
        let environment: Environment =
            [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "us-east-1")].into_iter().collect();
        let other = conflict(&set(Some("eu-west-1"), None), &environment).unwrap();
        assert_eq!((other.variable, &*other.value), ("AWS_DEFAULT_REGION", "us-east-1"));
        assert_eq!(conflict(&set(Some("ap-south-1"), None), &environment).unwrap().variable, "AWS_REGION");
        assert_eq!(conflict(&set(None, None), &environment), None);
        assert_eq!(conflict(&set(Some("eu-west-1"), None), &Environment::default()), None);
    }

    #[test]
    fn the_control_plane_is_the_property_then_the_sdk_s_variables_then_the_incumbent_s() {
        let all = [
            ("AWS_ENDPOINT_URL_KINESIS_VIDEO", "http://a"),
            ("AWS_ENDPOINT_URL", "http://b"),
            ("CONTROL_PLANE_URI", "http://c"),
        ];
        for (from, expected) in [(0, "http://a"), (1, "http://b"), (2, "http://c")] {
            let environment = all[from..].iter().copied().collect();
            assert_eq!(endpoint(&set(None, None), &environment).unwrap().1, expected);
            assert_eq!(endpoint(&set(None, Some("http://p")), &environment).unwrap().1, "http://p");
        }
        let ignored =
            all.into_iter().chain([("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]).collect::<Environment>();
        assert_eq!(endpoint(&set(None, None), &ignored), Some(("CONTROL_PLANE_URI", "http://c")));
        assert_eq!(endpoint(&set(None, None), &Environment::default()), None);
    }

    #[test]
    fn only_the_government_s_regions_are_fips_only() {
        let regions = ["us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "us-west-2", "cn-north-1"];
        assert_eq!(regions.map(fips_only), [true, true, true, false, false]);
    }
}
