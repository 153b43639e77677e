//! IAM policy documents, as far as this service has a meaning for them. What it has none for is refused, never
//! skipped: a condition that is not looked at would grant too much.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use super::pattern::{Pattern, PatternError};

/// The longest document, white space not counted (IAM's limit for a managed policy).
pub const MAX_POLICY_CHARACTERS: usize = 6_144;
/// The longest document with its white space.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;
/// As deep as a document without conditions can be.
const MAX_DEPTH: usize = 4;
const VERSION_WITH_VARIABLES: &str = "2012-10-17";
const VERSION_WITHOUT: &str = "2008-10-17";

/// A policy: what some calls may do, and may not.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Box<[Statement]>,
    /// As it was written.
    source: Box<RawValue>,
}

#[derive(Clone, Debug)]
struct Statement {
    sid: Option<Box<str>>,
    effect: Effect,
    /// In lower case: the case of an action has no meaning.
    actions: Choice,
    resources: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// What a statement names, or all but that.
#[derive(Clone, Debug)]
struct Choice {
    patterns: Box<[Pattern]>,
    inverted: bool,
}

/// What the policies of a caller say to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// A statement allows it, and none denies it.
    Allowed(Place<'a>),
    /// A statement denies it; what others say does not count.
    Denied(Place<'a>),
    /// No statement speaks of it, which is a denial.
    NotAllowed,
}

/// A statement among several policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which policy, counted from 0.
    pub policy: usize,
    /// Which of its statements, counted from 0.
    pub statement: usize,
    /// What the statement calls itself.
    pub sid: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {} statement {}", self.policy, self.statement)?;
        self.sid.map_or(Ok(()), |sid| write!(f, " ({sid})"))
    }
}

/// What is wrong in a policy document, and where: `Statement[1].Action[0]: ...`.
#[derive(Debug, Error)]
#[error("{place}: {fault}")]
pub struct PolicyError {
    /// The path of the element.
    pub place: String,
    /// What is wrong with it.
    pub fault: PolicyFault,
}

/// What can be wrong with an element of a policy document.
#[derive(Debug, Error)]
pub enum PolicyFault {
    /// More text than a policy may have.
    #[error("longer than {limit}")]
    TooLong {
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// Nested deeper than any policy is.
    #[error("nested deeper than a policy is")]
    TooDeep,
    /// Not JSON, or JSON of another shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A version other than the two that exist.
    #[error("the version is neither \"{VERSION_WITH_VARIABLES}\" nor \"{VERSION_WITHOUT}\"")]
    Version,
    /// A variable in a version that has none.
    #[error("policy variables need \"Version\": \"{VERSION_WITH_VARIABLES}\"")]
    VariableWithoutVersion,
    /// Something that would limit the statement, and that this service cannot check.
    #[error("conditions are not supported")]
    Condition,
    /// An element of policies on resources.
    #[error("a policy of a user has no principal")]
    Principal,
    /// None of two elements, or both.
    #[error("a statement has either {0} or {1}, and not both")]
    EitherOr(&'static str, &'static str),
    /// A list without entries.
    #[error("an empty list")]
    Empty,
    /// A name with other characters than letters and digits.
    #[error("a Sid consists of letters and digits")]
    Sid,
    /// A name that another statement has.
    #[error("another statement has the same Sid")]
    SidTwice,
    /// Not `service:operation`.
    #[error("an action is \"*\" or of the form \"kinesisvideo:PutMedia\"")]
    Action,
    /// Not an ARN.
    #[error("a resource is \"*\" or an ARN")]
    Resource,
    /// Wildcards or variables that cannot be.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentFields<'a> {
    #[serde(rename = "Version")]
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(borrow, rename = "Statement")]
    statement: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StatementFields<'a> {
    sid: Option<String>,
    effect: Effect,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    not_action: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    not_resource: Option<&'a RawValue>,
    #[serde(borrow)]
    condition: Option<&'a RawValue>,
    #[serde(borrow)]
    principal: Option<&'a RawValue>,
    #[serde(borrow)]
    not_principal: Option<&'a RawValue>,
}

impl Policy {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let whole = |fault| PolicyError { place: "the policy".to_owned(), fault };
        check_size(text).map_err(whole)?;
        let fields: DocumentFields<'_> = serde_json::from_str(text).map_err(|error| whole(error.into()))?;
        let has_variables = match fields.version.as_deref() {
            Some(VERSION_WITH_VARIABLES) => true,
            None | Some(VERSION_WITHOUT) => false,
            Some(_) => return Err(PolicyError { place: "Version".to_owned(), fault: PolicyFault::Version }),
        };
        let mut statements = Vec::new();
        let mut sids = HashSet::new();
        for (place, entry) in entries(fields.statement, "Statement")? {
            let statement = Statement::parse(entry, &place, has_variables)?;
            if statement.sid.as_ref().is_some_and(|sid| !sids.insert(sid.clone())) {
                return Err(PolicyError { place: place + ".Sid", fault: PolicyFault::SidTwice });
            }
            statements.push(statement);
        }
        let source = RawValue::from_string(text.trim().to_owned()).map_err(|error| whole(error.into()))?;
        Ok(Self { statements: statements.into(), source })
    }

    /// The document as it was written.
    pub fn source(&self) -> &str {
        self.source.get()
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

/// What policies say to a call, by IAM's order: an explicit denial wins, and without a word for it a call is denied.
///
/// `action` is such as `kinesisvideo:PutMedia`; `resource` is an ARN, or `*` for a call that concerns none.
pub fn evaluate<'a>(
    policies: impl IntoIterator<Item = &'a Policy>,
    user: Option<&str>,
    action: &str,
    resource: &str,
) -> Decision<'a> {
    let action = action.to_ascii_lowercase();
    let mut decision = Decision::NotAllowed;
    for (policy, document) in policies.into_iter().enumerate() {
        for (index, statement) in document.statements.iter().enumerate() {
            if !statement.speaks_of(&action, resource, user) {
                continue;
            }
            let place = Place { policy, statement: index, sid: statement.sid.as_deref() };
            match (statement.effect, decision) {
                (Effect::Deny, _) => return Decision::Denied(place),
                (Effect::Allow, Decision::NotAllowed) => decision = Decision::Allowed(place),
                (Effect::Allow, _) => {}
            }
        }
    }
    decision
}

impl Choice {
    /// `None` when a variable in it has no value.
    fn includes(&self, text: &str, user: Option<&str>) -> Option<bool> {
        let mut named = false;
        for pattern in &self.patterns {
            named |= pattern.matches(text, user)?;
        }
        Some(named != self.inverted)
    }
}

impl Statement {
    /// Whether it concerns a call. What cannot be known never allows and always denies.
    fn speaks_of(&self, action: &str, resource: &str, user: Option<&str>) -> bool {
        let unknown = self.effect == Effect::Deny;
        self.actions.includes(action, user).unwrap_or(unknown)
            && self.resources.includes(resource, user).unwrap_or(unknown)
    }

    fn parse(entry: &RawValue, place: &str, has_variables: bool) -> Result<Self, PolicyError> {
        let at = |element: &str, fault| PolicyError { place: format!("{place}{element}"), fault };
        let fields: StatementFields<'_> =
            serde_json::from_str(entry.get()).map_err(|error| at("", error.into()))?;
        if fields.condition.is_some() {
            return Err(at(".Condition", PolicyFault::Condition));
        }
        if fields.principal.is_some() || fields.not_principal.is_some() {
            return Err(at("", PolicyFault::Principal));
        }
        if fields.sid.as_ref().is_some_and(|sid| !sid.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(at(".Sid", PolicyFault::Sid));
        }
        let actions = choice(fields.action, fields.not_action, ["Action", "NotAction"], place, action)?;
        let resources =
            choice(fields.resource, fields.not_resource, ["Resource", "NotResource"], place, |text| {
                resource(text, has_variables)
            })?;
        let sid = fields.sid.filter(|sid| !sid.is_empty()).map(String::into_boxed_str);
        Ok(Self { sid, effect: fields.effect, actions, resources })
    }
}

fn choice(
    these: Option<&RawValue>,
    all_but: Option<&RawValue>,
    [name, inverted_name]: [&'static str; 2],
    place: &str,
    read: impl Fn(&str) -> Result<Pattern, PolicyFault>,
) -> Result<Choice, PolicyError> {
    let (json, name, inverted) = match (these, all_but) {
        (Some(json), None) => (json, name, false),
        (None, Some(json)) => (json, inverted_name, true),
        _ => {
            let fault = PolicyFault::EitherOr(name, inverted_name);
            return Err(PolicyError { place: place.to_owned(), fault });
        }
    };
    let mut patterns = Vec::new();
    for (place, entry) in entries(json, &format!("{place}.{name}"))? {
        let text: Result<String, _> = serde_json::from_str(entry.get());
        let pattern = text.map_err(PolicyFault::from).and_then(|text| read(&text));
        patterns.push(pattern.map_err(|fault| PolicyError { place, fault })?);
    }
    Ok(Choice { patterns: patterns.into(), inverted })
}

/// The entries of a list, each with its place. Wherever a policy has a list, its only entry may stand alone.
fn entries<'a>(json: &'a RawValue, place: &str) -> Result<Vec<(String, &'a RawValue)>, PolicyError> {
    let fault = |fault| PolicyError { place: place.to_owned(), fault };
    if !json.get().starts_with('[') {
        return Ok(vec![(place.to_owned(), json)]);
    }
    let list: Vec<&RawValue> = serde_json::from_str(json.get()).map_err(|error| fault(error.into()))?;
    if list.is_empty() {
        return Err(fault(PolicyFault::Empty));
    }
    Ok(list.into_iter().enumerate().map(|(index, entry)| (format!("{place}[{index}]"), entry)).collect())
}

fn action(text: &str) -> Result<Pattern, PolicyFault> {
    let word = |word: &str, more: &[u8]| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let named = text.split_once(':').is_some_and(|(service, name)| word(service, b"-") && word(name, b"*?"));
    if text != "*" && !named {
        return Err(PolicyFault::Action);
    }
    Ok(Pattern::plain(&text.to_ascii_lowercase()))
}

fn resource(text: &str, has_variables: bool) -> Result<Pattern, PolicyFault> {
    if text != "*" && !text.starts_with("arn:") {
        return Err(PolicyFault::Resource);
    }
    let pattern = match (has_variables, text.contains("${")) {
        (true, _) => Pattern::with_variables(text)?,
        (false, true) => return Err(PolicyFault::VariableWithoutVersion),
        (false, false) => Pattern::plain(text),
    };
    // An ARN has six fields; IAM completes a shorter one with anything, so that `arn:aws:kinesisvideo` is all of it.
    // Its variables contain colons of their own.
    let fields = colons_outside_variables(text) + 1;
    let missing = if text == "*" { 0 } else { 6_usize.saturating_sub(fields) };
    Ok(if missing == 0 { pattern } else { pattern.followed_by(&":*".repeat(missing)) })
}

fn colons_outside_variables(text: &str) -> usize {
    let plain = text.split("${").enumerate().map(|(index, part)| match index {
        0 => part,
        _ => part.split_once('}').map_or("", |(_, behind)| behind),
    });
    plain.map(|part| part.matches(':').count()).sum()
}

fn check_size(text: &str) -> Result<(), PolicyFault> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyFault::TooLong { limit: "64 KiB with its white space" });
    }
    if text.chars().filter(|letter| !letter.is_ascii_whitespace()).count() > MAX_POLICY_CHARACTERS {
        return Err(PolicyFault::TooLong { limit: "6144 characters without white space" });
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        // Two more, so that a condition is refused as what it is.
        if depth > MAX_DEPTH + 2 {
            return Err(PolicyFault::TooDeep);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAM1: &str = "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1588143003893";

    fn one(statement: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#)
    }

    fn says(policy: &str, action: &str, resource: &str) -> &'static str {
        let policy = Policy::parse(policy).unwrap();
        match evaluate([&policy], Some("eve"), action, resource) {
            Decision::Allowed(_) => "allowed",
            Decision::Denied(_) => "denied",
            Decision::NotAllowed => "not allowed",
        }
    }

    #[test]
    fn statements_grant_what_they_name() {
        let rows: &[(&str, &str, &str, &str)] = &[
            (r#""Action":"*","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "allowed"),
            (r#""Action":"*","Resource":"*""#, "kinesisvideo:ListStreams", "*", "allowed"),
            (r#""Action":"kinesisvideo:*","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "allowed"),
            (r#""Action":"KinesisVideo:putmedia","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "allowed"),
            (r#""Action":"kinesisvideo:Put?edia","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "allowed"),
            (r#""Action":"kinesisvideo:Put","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "not allowed"),
            (
                r#""Action":"kinesisvideo:Describe*","Resource":"*""#,
                "kinesisvideo:PutMedia",
                CAM1,
                "not allowed",
            ),
            (r#""Action":"s3:*","Resource":"*""#, "kinesisvideo:PutMedia", CAM1, "not allowed"),
            (
                r#""Action":["kinesisvideo:GetMedia","kinesisvideo:PutMedia"],"Resource":"*""#,
                "kinesisvideo:PutMedia",
                CAM1,
                "allowed",
            ),
            (
                r#""NotAction":"kinesisvideo:Delete*","Resource":"*""#,
                "kinesisvideo:PutMedia",
                CAM1,
                "allowed",
            ),
            (
                r#""NotAction":"kinesisvideo:Delete*","Resource":"*""#,
                "kinesisvideo:DeleteStream",
                CAM1,
                "not allowed",
            ),
            (r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/cam*/*""#, "a:b", CAM1, "allowed"),
            (
                r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/Cam1/*""#,
                "a:b",
                CAM1,
                "not allowed",
            ),
            (
                r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/cam2/*""#,
                "a:b",
                CAM1,
                "not allowed",
            ),
            (
                r#""Action":"*","Resource":"arn:aws:kinesisvideo:eu-west-1:*:stream/cam1/*""#,
                "a:b",
                CAM1,
                "not allowed",
            ),
            (r#""Action":"*","Resource":"arn:aws:kinesisvideo""#, "a:b", CAM1, "allowed"),
            (r#""Action":"*","Resource":"arn:aws:kinesisvideo:us-west-2""#, "a:b", CAM1, "allowed"),
            (r#""Action":"*","Resource":"arn:aws:s3""#, "a:b", CAM1, "not allowed"),
            (r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/*""#, "a:b", "*", "not allowed"),
            (
                r#""Action":"*","NotResource":"arn:aws:kinesisvideo:*:*:stream/cam1/*""#,
                "a:b",
                CAM1,
                "not allowed",
            ),
            (
                r#""Action":"*","NotResource":["arn:aws:kinesisvideo:*:*:stream/cam2/*"]"#,
                "a:b",
                CAM1,
                "allowed",
            ),
            (
                r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/${aws:username}*""#,
                "a:b",
                "arn:aws:kinesisvideo:r:1:stream/eve/1",
                "allowed",
            ),
            (
                r#""Action":"*","Resource":"arn:aws:kinesisvideo:*:*:stream/${aws:username}*""#,
                "a:b",
                CAM1,
                "not allowed",
            ),
        ];
        for (body, action, resource, expected) in rows {
            let policy = one(&format!(r#"{{"Effect":"Allow",{body}}}"#));
            assert_eq!(says(&policy, action, resource), *expected, "{body} {action} {resource}");
            let policy = one(&format!(r#"[{{"Effect":"Deny",{body}}}]"#));
            let denied = if *expected == "allowed" { "denied" } else { "not allowed" };
            assert_eq!(says(&policy, action, resource), denied, "{body} {action} {resource}");
        }
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let allow =
            Policy::parse(&one(r#"{"Sid":"All","Effect":"Allow","Action":"*","Resource":"*"}"#)).unwrap();
        let deny = Policy::parse(&one(r#"[{"Effect":"Allow","Action":"a:b","Resource":"*"},
                {"Sid":"No1","Effect":"Deny","Action":"kinesisvideo:Delete*","Resource":"*"}]"#))
        .unwrap();
        let no = Place { policy: 1, statement: 1, sid: Some("No1") };
        assert_eq!(evaluate([&allow, &deny], None, "kinesisvideo:DeleteStream", CAM1), Decision::Denied(no));
        let no = Place { policy: 0, ..no };
        assert_eq!(evaluate([&deny, &allow], None, "kinesisvideo:deleteStream", CAM1), Decision::Denied(no));
        assert_eq!(no.to_string(), "policy 0 statement 1 (No1)");
        let yes = Place { policy: 1, statement: 0, sid: Some("All") };
        assert_eq!(evaluate([&deny, &allow], None, "kinesisvideo:PutMedia", CAM1), Decision::Allowed(yes));
        assert_eq!(evaluate([], None, "kinesisvideo:PutMedia", CAM1), Decision::NotAllowed);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let statement =
            |body: &str| one(&format!(r#"[{{"Effect":"Allow","Action":"a:b","Resource":"*"}},{{{body}}}]"#));
        for (policy, message) in [
            (
                statement(
                    r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}"#,
                ),
                "Statement[1].Condition: conditions are not supported",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{}"#),
                "Statement[1].Condition: conditions are not supported",
            ),
            (
                statement(r#""Effect":"Allow","Action":["a:b","c"],"Resource":"*""#),
                "Statement[1].Action[1]: an action is \"*\" or of the form \"kinesisvideo:PutMedia\"",
            ),
            (
                statement(r#""Effect":"Allow","Action":"kinesis*:Put","Resource":"*""#),
                "Statement[1].Action: an action is \"*\" or of the form \"kinesisvideo:PutMedia\"",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*","NotResource":["cam1"]"#),
                "Statement[1].NotResource[0]: a resource is \"*\" or an ARN",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*","Resource":"arn:${aws:x}""#),
                "Statement[1].Resource: the policy variable ${aws:x} is not supported; ${aws:username} is",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*","NotAction":"*","Resource":"*""#),
                "Statement[1]: a statement has either Action or NotAction, and not both",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*""#),
                "Statement[1]: a statement has either Resource or NotResource, and not both",
            ),
            (
                statement(r#""Effect":"Allow","Action":[],"Resource":"*""#),
                "Statement[1].Action: an empty list",
            ),
            (
                statement(r#""Effect":"Allow","Action":"*","Resource":"*","Principal":"*""#),
                "Statement[1]: a policy of a user has no principal",
            ),
            (
                statement(r#""Sid":"a b","Effect":"Allow","Action":"*","Resource":"*""#),
                "Statement[1].Sid: a Sid consists of letters and digits",
            ),
            (
                one(
                    r#"[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}]"#,
                ),
                "Statement[1].Sid: another statement has the same Sid",
            ),
            (one("[]"), "Statement: an empty list"),
            (
                r#"{"Version":"2012-10-18","Statement":[]}"#.to_owned(),
                "Version: the version is neither \"2012-10-17\" nor \"2008-10-17\"",
            ),
            (
                r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:${aws:username}"}}"#
                    .to_owned(),
                "Statement.Resource: policy variables need \"Version\": \"2012-10-17\"",
            ),
            ("[".repeat(100), "the policy: nested deeper than a policy is"),
            (
                one(&format!("{:7000}", "1")) + &"1".repeat(6200),
                "the policy: longer than 6144 characters without white space",
            ),
            (" ".repeat(70_000), "the policy: longer than 64 KiB with its white space"),
        ] {
            assert_eq!(Policy::parse(&policy).unwrap_err().to_string(), message, "{policy:.300}");
        }
        for (policy, part) in [
            (
                statement(r#""Effect":"allow","Action":"*","Resource":"*""#),
                "Statement[1]: unknown variant `allow`",
            ),
            (
                statement(r#""Effect":"Allow","Efect":"Deny","Action":"*","Resource":"*""#),
                "Statement[1]: unknown field `Efect`",
            ),
            (
                statement(r#""Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*""#),
                "Statement[1]: duplicate field `Effect`",
            ),
            (statement(r#""Action":"*","Resource":"*""#), "Statement[1]: missing field `Effect`"),
            (
                statement(r#""Effect":"Allow","Action":7,"Resource":"*""#),
                "Statement[1].Action: invalid type: integer",
            ),
            (one("7"), "Statement: invalid type: integer"),
            ("{}".to_owned(), "the policy: missing field `Statement`"),
            (String::new(), "the policy: EOF"),
            (
                one(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#) + "x",
                "the policy: trailing characters",
            ),
        ] {
            let message = Policy::parse(&policy).unwrap_err().to_string();
            assert!(message.starts_with(part), "{message}");
        }
    }

    #[test]
    fn a_variable_without_a_value_allows_nothing_and_denies_everything() {
        for name in ["Resource", "NotResource"] {
            for (effect, expected) in [("Allow", "NotAllowed"), ("Deny", "Denied")] {
                let text = one(&format!(
                    r#"{{"Effect":"{effect}","Action":"a:b","{name}":["arn:x:${{aws:username}}","arn:y"]}}"#
                ));
                let policy = Policy::parse(&text).unwrap();
                let decision = format!("{:?}", evaluate([&policy], None, "a:b", CAM1));
                assert!(decision.starts_with(expected), "{name} {effect}: {decision}");
                assert_eq!(evaluate([&policy], None, "a:c", CAM1), Decision::NotAllowed);
            }
        }
    }

    #[test]
    fn a_policy_is_written_as_it_was_read() {
        let text = one(" {\"Effect\" :\n\"Allow\", \"Action\":\"*\",\"Resource\":\"*\"} ");
        let policy = Policy::parse(&format!("  {text}\n")).unwrap();
        assert_eq!(policy.source(), text);
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_text_is_a_policy_or_refused(text in "([\\[\\]{}:,\"*$a]|\"(Statement|Action|Effect|Allow|Resource|Version|2012-10-17|arn:\\$\\{|Condition)\"|.){0,60}") {
            let _ = Policy::parse(&text);
            let _ = Policy::parse(&one(&text));
            let _ = Policy::parse(&one(&format!(r#"{{"Effect":"Allow","Action":"*","Resource":{text}}}"#)));
        }

        #[test]
        fn nothing_is_allowed_that_is_not_named(action in "[a-zA-Z]{1,9}", name in "[a-z0-9]{1,9}") {
            let policy = one(r#"{"Effect":"Allow","Action":"kinesisvideo:PutMedia","Resource":"arn:aws:kinesisvideo:*:*:stream/cam1/*"}"#);
            let resource = format!("arn:aws:kinesisvideo:us-west-2:111122223333:stream/{name}/1");
            let expected = action.eq_ignore_ascii_case("putmedia") && name == "cam1";
            prop_assert_eq!(says(&policy, &format!("kinesisvideo:{action}"), &resource) == "allowed", expected);
        }
    }
}
