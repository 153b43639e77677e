//! Any bytes as every JSON body of the wire: what reads prints back to the same, and a refusal says what it is.
#![no_main]

use kvs_wire::{
    ApiName, ContinuationToken, EpochSeconds, Exception, FragmentNumber, FragmentSelector, Recovery,
    ServiceError, StartSelector, StreamArn, StreamName, TimestampRange,
};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// 512 bytes of a peer's text, as it is, in each of two places, and our own words.
const MOST_TEXT: usize = 2 << 10;

/// Times are printed in milliseconds: what was printed and read is printed the same again.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) -> Option<T> {
    let read = serde_json::from_slice::<T>(json).ok();
    assert_eq!(serde_json::from_reader::<_, T>(json).ok(), read);
    let read = read?;
    let printed = serde_json::to_string(&read).unwrap();
    let again = serde_json::from_str::<T>(&printed).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), printed);
    if let Ok(given) = serde_json::from_slice(json) {
        assert!(says(&given, &serde_json::from_str(&printed).unwrap()), "{given} became {printed}");
    }
    Some(read)
}

/// Whether all that was printed stands in what was given: texts alike, times to the millisecond.
fn says(given: &Value, printed: &Value) -> bool {
    match (given, printed) {
        (Value::Object(_), Value::Object(fields)) => {
            fields.iter().all(|(name, printed)| given.get(name).is_some_and(|given| says(given, printed)))
        }
        // A structure reads from a list of its fields as well.
        (Value::Array(_), Value::Object(_)) => true,
        (given, Value::Number(printed)) => {
            let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
            let (given, printed) = (text.parse::<f64>().unwrap(), printed.as_f64().unwrap());
            (given - printed).abs() <= 0.001 + given.abs() * 1e-15
        }
        (given, printed) => given == printed,
    }
}

fn exactly<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(json: &[u8]) {
    if let Some(read) = round_trip::<T>(json) {
        let printed = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<T>(&printed).unwrap(), read);
    }
}

fn refusal(body: &[u8]) {
    let header = std::str::from_utf8(body).unwrap_or_default();
    for status in [200, 400, 403, 404, 503] {
        for error_type in [None, Some(header)] {
            let Some(error) = ServiceError::read(status, error_type, body) else {
                assert_eq!(status, 200);
                continue;
            };
            assert_eq!(error.status, status);
            assert!(error.to_string().len() <= MOST_TEXT);
            assert_eq!(error.exception, Exception::from_name(&error.name));
            if error.exception.is_none() && status == 404 {
                assert!(matches!(error.recovery(), Recovery::NoStream | Recovery::NewEndpoint));
            }
        }
    }
}

/// What the service writes, the client reads.
fn written(message: &str) {
    let exception = Exception::ALL[message.len() % Exception::ALL.len()];
    let mut body = Vec::new();
    exception.write_body(message, &mut body);
    let error = ServiceError::read(exception.status(), Some(exception.error_type()), &body).unwrap();
    assert_eq!(error.exception, Some(exception));
    // The body of an unknown operation has no place for a message.
    if exception != Exception::UnknownOperation && message.len() <= 512 {
        assert_eq!(error.message, message);
    }
}

fuzz_target!(|json: &[u8]| {
    round_trip::<StartSelector>(json);
    round_trip::<FragmentSelector>(json);
    round_trip::<EpochSeconds>(json);
    if let Some(range) = round_trip::<TimestampRange>(json) {
        assert!(range.contains(range.start()) && range.contains(range.end()));
    }
    exactly::<FragmentNumber>(json);
    exactly::<ContinuationToken>(json);
    exactly::<StreamName>(json);
    exactly::<StreamArn>(json);
    exactly::<ApiName>(json);
    refusal(json);
    if let Ok(text) = std::str::from_utf8(json) {
        written(text);
    }
});
