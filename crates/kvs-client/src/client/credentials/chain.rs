//! AWS's own chain: environment, files, web identity, container, instance.

use std::path::PathBuf;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError as ChainError;

use super::CredentialsError;
use crate::client::context::Context;
use crate::client::environment::Environment;
use crate::client::error::causes;
use crate::client::region::on_ec2;
use crate::client::settings::ClientSettings;

/// AWS's own chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    profile: Option<String>,
}

impl Chain {
    pub(super) fn of(settings: &ClientSettings) -> Self {
        Self { profile: settings.profile.clone().filter(|profile| !profile.is_empty()) }
    }

    /// Goes through a chain that is made anew: one that was used has read its files for good. A profile that is set
    /// is the only link: who names one does not mean what happens to be in the environment.
    pub(super) async fn fetch(&self, context: &Context) -> Result<Credentials, CredentialsError> {
        let region = context.region().await.map_err(|error| error.for_credentials())?;
        let config = context.provider_config().await.map_err(|error| error.for_credentials())?;
        let config = config.with_region(Some(region.clone()));
        if let Some(name) = &self.profile {
            let profile = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name);
            let fetched = profile.build().provide_credentials().await;
            return fetched.map_err(|error| sort(&error, || false));
        }
        let chain = DefaultCredentialsChain::builder().configure(config).region(region);
        let fetched = chain.build().await.provide_credentials().await;
        fetched.map_err(|error| sort(&error, || may_have_a_role(&context.environment)))
    }
}

/// What is wrong with the chain's links, and whether that can pass.
fn sort(error: &ChainError, may_have_a_role: impl FnOnce() -> bool) -> CredentialsError {
    let reason = reason(error);
    match error {
        // The metadata of an instance are there some time after it starts, and its role whenever somebody gives it one.
        ChainError::CredentialsNotLoaded(_) if may_have_a_role() => CredentialsError::Unavailable(reason),
        ChainError::CredentialsNotLoaded(_) | ChainError::InvalidConfiguration(_) => {
            CredentialsError::None(reason)
        }
        _ => CredentialsError::Unavailable(reason),
    }
}

/// The causes of a failure of AWS's library.
pub(super) fn reason(error: &ChainError) -> String {
    causes(error)
}

fn may_have_a_role(environment: &Environment) -> bool {
    !environment.says("AWS_EC2_METADATA_DISABLED") && on_ec2()
}

/// The files of AWS: a new version of one of them is a reason to look again.
pub(super) fn files(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.get("HOME").map(PathBuf::from);
    [("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")]
        .into_iter()
        .filter_map(|(variable, name)| match (environment.get(variable), &home) {
            (Some(path), Some(home)) if path.starts_with("~/") => Some(home.join(path.get(2..)?)),
            (Some(path), _) => Some(path.into()),
            (None, Some(home)) => Some(home.join(".aws").join(name)),
            (None, None) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_aws_are_where_the_environment_says() {
        let files_of = |variables: &[(&str, &str)]| files(&variables.iter().copied().collect());
        assert_eq!(files_of(&[]), Vec::<PathBuf>::new());
        let home = ("HOME", "/home/u");
        assert_eq!(
            files_of(&[home]),
            [PathBuf::from("/home/u/.aws/credentials"), PathBuf::from("/home/u/.aws/config")]
        );
        assert_eq!(
            files_of(&[home, ("AWS_SHARED_CREDENTIALS_FILE", "/c"), ("AWS_CONFIG_FILE", "~/d/e")]),
            [PathBuf::from("/c"), PathBuf::from("/home/u/d/e")]
        );
    }

    #[test]
    fn only_a_chain_without_any_link_and_one_that_is_wrong_are_final() {
        let none =
            |error: ChainError, on_ec2: bool| matches!(sort(&error, || on_ec2), CredentialsError::None(_));
        assert!(none(ChainError::not_loaded("x"), false));
        assert!(!none(ChainError::not_loaded("x"), true));
        assert!(none(ChainError::invalid_configuration("x"), true));
        assert!(!none(ChainError::provider_error("x"), false));
        assert!(!none(ChainError::unhandled("x"), false));
        assert!(!none(ChainError::provider_timed_out(std::time::Duration::from_secs(1)), false));
    }
}
