//! A call by the SDK: bounded, signed by who is known now, and made again once when that was the fault.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;

use aws_config::SdkConfig;
use aws_sdk_kinesisvideo::config::http::HttpResponse;
use aws_sdk_kinesisvideo::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_kinesisvideo::config::{Builder, ConfigBag, Credentials, Intercept, RuntimeComponents};
use aws_sdk_kinesisvideo::error::{BoxError, SdkError};
use hyper::header::{DATE, USER_AGENT};
use kvs_wire::{Operation, Recovery, ServiceError, headers};

use super::context::ContextError;
use super::error::{CallError, SettingsError, causes};
use super::url::ServiceUrl;
use super::{Client, region};

/// The SDK's client, and where it calls, for people.
#[derive(Clone, Debug)]
pub(super) struct ControlPlane {
    sdk: aws_sdk_kinesisvideo::Client,
    place: String,
}

impl Client {
    /// Makes a call. After a refusal of who signed it, it is made once more, if that is by then somebody else, or at
    /// another time: the caller's back-off is for what no second attempt mends.
    pub(super) async fn call<T, E, F>(
        &self,
        operation: Operation,
        call: impl Fn(&aws_sdk_kinesisvideo::Client, Builder) -> F,
    ) -> Result<T, CallError>
    where
        E: Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let control = self.control(operation).await?;
        let signed_by = |credentials: Credentials| Builder::new().credentials_provider(credentials);
        self.signed(operation, &control.place, |credentials| call(&control.sdk, signed_by(credentials))).await
    }

    /// The same, for any of the SDK's clients.
    pub(super) async fn signed<T, E, F>(
        &self,
        operation: Operation,
        place: &str,
        call: impl Fn(Credentials) -> F,
    ) -> Result<T, CallError>
    where
        E: Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let read = |error| read_error(operation, place, error);
        let (first, offset) = (self.credentials(false).await?, self.context.clock.offset());
        let error = match call(first.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => read(error),
        };
        if error.recovery() != Recovery::NewCredentials {
            return Err(error);
        }
        // The refusal has said by its date whether that was it.
        let clock_set = self.context.clock.offset() != offset;
        let second = self.credentials(!clock_set).await?;
        if !clock_set && second == first {
            return Err(error);
        }
        call(second).await.map_err(read)
    }

    /// What the SDK's clients are made from for the endpoints that the service names. Those come with each call, and so
    /// do credentials.
    pub(super) async fn data_config(&self, operation: Operation) -> Result<SdkConfig, CallError> {
        let config = self.context.sdk_config().await.map_err(|error| of_context(operation, error))?;
        // The endpoint that the service names is the one that counts, whatever was set for others.
        Ok(config.into_builder().use_fips(false).use_dual_stack(false).build())
    }

    /// What every client of the SDK does besides: takes the time of every answer.
    pub(super) fn clocked(&self) -> Dated {
        let clock = self.context.clock.clone();
        Dated(Box::new(move |date| {
            clock.learn(date);
        }))
    }

    /// And says who calls.
    pub(super) fn user_agent(&self) -> UserAgent {
        UserAgent(self.context.settings.user_agent.clone())
    }

    async fn control(&self, operation: Operation) -> Result<&ControlPlane, CallError> {
        let make = async || {
            let config = self.context.sdk_config().await.map_err(|error| of_context(operation, error))?;
            let region = config.region().map(ToString::to_string).unwrap_or_default();
            let mut builder =
                Builder::from(&config).interceptor(self.clocked()).interceptor(self.user_agent());
            let mut place = config.endpoint_url().map(str::to_owned);
            if let Some((what, url)) = region::endpoint(&self.context.settings, &self.context.environment) {
                let url = ServiceUrl::parse(what, url)?.to_string();
                builder = builder.endpoint_url(&url);
                place = Some(url);
            }
            match place {
                // Nobody knows whether it does, and the SDK takes it for no answer of the network's.
                Some(_) if config.use_fips() == Some(true) => {
                    let reason = "an endpoint that is named cannot be asked to keep FIPS 140 too";
                    return Err(SettingsError::text("endpoint", reason).into());
                }
                // The same; but whoever names one means that one.
                Some(_) => builder = builder.use_dual_stack(false),
                None if region::fips_only(&region) => builder = builder.use_fips(true),
                None => {}
            }
            let place = place.unwrap_or_else(|| format!("AWS in {region}"));
            Ok(ControlPlane { sdk: aws_sdk_kinesisvideo::Client::from_conf(builder.build()), place })
        };
        self.control.get_or_try_init(make).await
    }
}

/// What a failure of the SDK means.
fn read_error<E>(operation: Operation, place: &str, error: SdkError<E, HttpResponse>) -> CallError
where
    E: Error + 'static,
{
    match &error {
        SdkError::ServiceError(answered) => read_refusal(operation, answered.raw()),
        SdkError::ResponseError(answered) => read_refusal(operation, answered.raw()),
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => {
            let place = place.to_owned();
            CallError::Network { operation, doing: "calling", place, cause: causes(&error) }
        }
        // What the settings say makes no request: a region that is none, say.
        _ => SettingsError::text("a call", causes(&error)).into(),
    }
}

fn read_refusal(operation: Operation, raw: &HttpResponse) -> CallError {
    let header = |name| raw.headers().get(name);
    let body = raw.body().bytes().unwrap_or_default();
    match ServiceError::read(raw.status().as_u16(), header(headers::ERROR_TYPE), body) {
        Some(error) => {
            let request_id = header(headers::REQUEST_ID).map(str::to_owned);
            CallError::Refused { operation, error, request_id }
        }
        None => CallError::Answer { operation, missing: "form that is known" },
    }
}

/// Why a call is not even begun.
pub(super) fn of_context(operation: Operation, error: ContextError) -> CallError {
    match error {
        ContextError::Settings(error) => error.into(),
        ContextError::Region => CallError::Network {
            operation,
            doing: "asking",
            place: "the instance".to_owned(),
            cause: error.to_string(),
        },
    }
}

/// Takes the `Date` of every answer.
pub(super) struct Dated(pub(super) Box<dyn Fn(&str) + Send + Sync>);

impl Debug for Dated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dated")
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get(DATE.as_str()) {
            (self.0)(date);
        }
        Ok(())
    }
}

/// Puts a name before the SDK's own, where there is one. It is not signed.
#[derive(Debug)]
pub(super) struct UserAgent(Option<String>);

impl Intercept for UserAgent {
    fn name(&self) -> &'static str {
        "UserAgent"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(name) = &self.0 else { return Ok(()) };
        let headers = context.request_mut().headers_mut();
        let own = headers.get(USER_AGENT.as_str()).unwrap_or_default().to_owned();
        headers.try_insert(USER_AGENT.as_str(), format!("{name} {own}"))?;
        Ok(())
    }
}
