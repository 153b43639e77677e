//! Any text as policies and identities: what is read is written the same, and an explicit denial wins wherever it
//! stands.
//!
//! Input: the file of identities; or, separated by NULs, an action, a resource, a user's name, and policies.
#![no_main]

use kvs_service::auth::{Decision, Identities, Policy, evaluate};
use libfuzzer_sys::fuzz_target;

const ALL: [&str; 2] = ["Allow", "Deny"];

fn every(effect: &str) -> Policy {
    Policy::parse(&format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"*","Resource":"*"}}}}"#)).unwrap()
}

/// Denied, allowed or neither.
fn verdict(decision: Decision<'_>) -> Option<bool> {
    match decision {
        Decision::Denied(_) => Some(false),
        Decision::Allowed(_) => Some(true),
        Decision::NotAllowed => None,
    }
}

fn identities(json: &[u8]) {
    let read = match Identities::parse(json) {
        Ok(read) => read,
        Err(error) => return assert!(error.to_string().len() < 4 << 10),
    };
    let written = read.to_json().unwrap();
    let again = Identities::parse(&written).unwrap();
    assert_eq!(*again.to_json().unwrap(), *written);
    assert_eq!(again.users().len(), read.users().len());
    for user in read.users().iter().chain([read.root()]) {
        for pair in user.keys() {
            let (owner, secret) = again.key(&pair.access_key_id).unwrap();
            assert_eq!((owner.name(), secret.reveal()), (user.name(), pair.secret_access_key.reveal()));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    identities(input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.split('\0');
    let mut next = || parts.next().unwrap_or_default();
    let (action, resource, user) = (next(), next(), next());
    let user = (!user.is_empty()).then_some(user);
    let mut policies = Vec::new();
    for text in parts.take(8) {
        match Policy::parse(text) {
            Ok(policy) => {
                assert_eq!(policy.source(), text.trim());
                let again = Policy::parse(policy.source()).unwrap();
                assert_eq!(
                    verdict(evaluate([&again], user, action, resource)),
                    verdict(evaluate([&policy], user, action, resource))
                );
                policies.push(policy);
            }
            Err(error) => assert!(error.to_string().len() < 4 << 10),
        }
    }
    let alone: Vec<_> =
        policies.iter().map(|policy| verdict(evaluate([policy], user, action, resource))).collect();
    let expected =
        if alone.contains(&Some(false)) { Some(false) } else { alone.contains(&Some(true)).then_some(true) };
    assert_eq!(verdict(evaluate(&policies, user, action, resource)), expected);
    assert_eq!(verdict(evaluate(policies.iter().rev(), user, action, resource)), expected);
    // Case has no meaning in an action.
    assert_eq!(verdict(evaluate(&policies, user, &action.to_ascii_uppercase(), resource)), expected);
    let [allow, deny] = ALL.map(every);
    for place in 0..=policies.len() {
        let with = |extra| {
            let (before, behind) = policies.split_at(place);
            verdict(evaluate(before.iter().chain([extra]).chain(behind), user, action, resource))
        };
        assert_eq!(with(&deny), Some(false));
        assert_eq!(with(&allow), Some(expected.unwrap_or(true)));
    }
    // Without a name, what a variable would be can only deny.
    if expected != Some(true) {
        assert_ne!(verdict(evaluate(&policies, None, action, resource)), Some(true));
    }
});
