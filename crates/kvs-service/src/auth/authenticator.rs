//! From a request to the one who sent it, and on to what they may do.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::Exception;
use thiserror::Error;

use super::identity::{Identities, TEMPORARY_PREFIX, User};
use super::policy::{Decision, Place, Policy, evaluate};
use super::refusal::Refusal;
use super::request::Request;
use super::secret::Secret;
use super::session::{Session, SessionCredentials, SessionError, Sessions};
use super::sigv4::{BodyCheck, Claim, Regions, Verified};
use crate::keys::Key;
use crate::random::Random;

/// Knows who may call, and decides about each request. Shared by all connections.
pub struct Authenticator {
    account: Box<str>,
    regions: Regions,
    sessions: Sessions,
    /// Replaced as a whole: a request is decided by the identities of one moment.
    identities: RwLock<Arc<Identities>>,
}

/// What is known of a request before its body is read.
pub enum Authentication {
    /// Who sent it.
    Complete(Principal),
    /// Who sent it, if the body is the one that was signed.
    AwaitsBody(Signatory),
}

/// Somebody who signed a request whose body is still to be checked. Says nothing of who it is until then.
pub struct Signatory {
    principal: Principal,
    check: BodyCheck,
}

/// Somebody who proved to be who they say.
#[derive(Clone, Debug)]
pub struct Principal {
    user: Arc<User>,
    session: Option<Session>,
    arn: Box<str>,
    access_key: Box<str>,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// What policies name: an ARN, or `*` for a call that concerns nothing in particular.
    pub arn: &'a str,
    /// What a refusal names: what the caller sent.
    pub shown: &'a str,
}

/// A call that is allowed, and by what; for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant<'a> {
    /// The root user may do everything.
    Root,
    /// A statement of the user's policies allows it.
    Statement(Place<'a>),
}

/// A call that is not allowed. Its text is the message on the wire (kvs-api 0.4).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("User: {arn} is not authorized to perform: {action} on resource: {resource}")]
pub struct Denial {
    /// Who called.
    pub arn: Box<str>,
    /// What for.
    pub action: Box<str>,
    /// On what.
    pub resource: Box<str>,
    /// Why; for logs.
    pub reason: Reason,
}

/// Why a call is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A statement denies it.
    Denied(Box<str>),
    /// No statement of the user allows it.
    NotAllowed,
    /// The policy of the session denies it, or does not allow it.
    Session,
}

impl Authenticator {
    /// For an account, the regions it answers for, and the key for sessions, which is derived from the master key
    /// ([`Keyring::derive`](crate::keys::Keyring::derive)).
    pub fn new(
        account: &str,
        regions: Regions,
        sessions: &Key,
        identities: Identities,
    ) -> Result<Self, SessionError> {
        let identities = RwLock::new(Arc::new(identities));
        Ok(Self { account: account.into(), regions, sessions: Sessions::new(sessions)?, identities })
    }

    /// Who may call at this moment.
    pub fn identities(&self) -> Arc<Identities> {
        // Nothing panics while it holds the lock, and the value is whole in any case.
        self.identities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes who may call. Requests from now on are decided by it.
    pub fn replace(&self, identities: Identities) {
        *self.identities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identities);
    }

    /// Says who sent a request, from its head alone where that is enough.
    pub fn authenticate(&self, request: Request<'_>, now: Utc) -> Result<Authentication, Refusal> {
        let claim = Claim::read(request, &self.regions, now)?;
        let (principal, secret) = self.principal(&claim, now)?;
        Ok(match claim.verify(&secret)? {
            Verified::Complete => Authentication::Complete(principal),
            Verified::AwaitsBody(check) => Authentication::AwaitsBody(Signatory { principal, check }),
        })
    }

    /// Temporary credentials of a user, who is `root` or has a name.
    pub fn issue(
        &self,
        user: &User,
        lifetime: Duration,
        policy: Option<&str>,
        now: Utc,
        random: &dyn Random,
    ) -> Result<SessionCredentials, SessionError> {
        self.sessions.issue(user, lifetime, policy, now, random)
    }

    /// What a container of this user authorizes itself with, to be given temporary credentials.
    pub fn container_token(&self, user: &User) -> Secret {
        self.sessions.container_token(user.id())
    }

    /// The user whose container token this is.
    pub fn user_of_container(&self, token: &str) -> Option<Arc<User>> {
        self.identities().user_of_id(self.sessions.container_user(token)?).cloned()
    }

    /// Whose key it is, by what the claim says, and the secret that has to prove it.
    fn principal(&self, claim: &Claim<'_>, now: Utc) -> Result<(Principal, Secret), Refusal> {
        let identities = self.identities();
        let key = claim.access_key();
        let (user, session, secret) = match (key.starts_with(TEMPORARY_PREFIX), claim.token()) {
            (true, Some(token)) => {
                let session = self.sessions.open(token, key, now)?;
                let user = identities.user_of_id(&session.user).ok_or(Refusal::UnknownKey)?;
                (user, Some(session), self.sessions.secret(key))
            }
            (false, None) => {
                let (user, secret) = identities.key(key).ok_or(Refusal::UnknownKey)?;
                (user, None, secret.clone())
            }
            // A lasting key has no token, and a temporary one is nothing without.
            (true, None) | (false, Some(_)) => return Err(Refusal::UnknownKey),
        };
        let account = &self.account;
        let arn = match user.is_root() {
            true => format!("arn:aws:iam::{account}:root"),
            false => format!("arn:aws:iam::{account}:user/{}", user.name()),
        };
        Ok((Principal { user: user.clone(), session, arn: arn.into(), access_key: key.into() }, secret))
    }
}

impl Signatory {
    /// Who sent the request, now that the SHA-256 of its whole body is known.
    pub fn with_body(self, sha256: &[u8; 32]) -> Result<Principal, Refusal> {
        self.check.finish(sha256)?;
        Ok(self.principal)
    }
}

impl Principal {
    /// The user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// What the user is called in messages and logs.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The id of the key that signed, for logs.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// When the credentials end; never, for a lasting key. A session that outlives it must end with it.
    pub fn expires(&self) -> Option<Utc> {
        self.session.as_ref().map(|session| session.expires)
    }

    /// Whether they may do something: `action` is such as `kinesisvideo:PutMedia`. Denied unless allowed.
    pub fn authorize(&self, action: &str, resource: Resource<'_>) -> Result<Grant<'_>, Denial> {
        let denial = |reason| Denial {
            arn: self.arn.clone(),
            action: action.into(),
            resource: resource.shown.into(),
            reason,
        };
        let name = (!self.user.is_root()).then(|| self.user.name());
        let session = self.session.as_ref().and_then(|session| session.policy.as_ref());
        if session.is_some_and(|policy| !allows(policy, name, action, resource.arn)) {
            return Err(denial(Reason::Session));
        }
        if self.user.is_root() {
            return Ok(Grant::Root);
        }
        let policies = self.user.policies().iter().map(|policy| &policy.document);
        match evaluate(policies, name, action, resource.arn) {
            Decision::Allowed(place) => Ok(Grant::Statement(place)),
            Decision::Denied(place) => Err(denial(Reason::Denied(place.to_string().into()))),
            Decision::NotAllowed => Err(denial(Reason::NotAllowed)),
        }
    }
}

fn allows(policy: &Policy, user: Option<&str>, action: &str, resource: &str) -> bool {
    matches!(evaluate([policy], user, action, resource), Decision::Allowed(_))
}

impl Denial {
    /// What it is called on the wire; with it come the status and the form of the body.
    pub const fn exception(&self) -> Exception {
        Exception::AccessDenied
    }

    /// Writes the body of the response.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        self.exception().write_body(&self.to_string(), out);
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(place) => write!(f, "{place} denies it"),
            Self::NotAllowed => f.write_str("no policy of the user allows it"),
            Self::Session => f.write_str("the policy of the session does not allow it"),
        }
    }
}
