//! Sizes and spans as people write them: `20GB`, `45min`.

use std::time::Duration;

use kvs_media::moment;

/// Bytes from `1000`, `12.5MB` or `20GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const FORM: &str = "a size is a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 12.5MB";
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u128 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(FORM.into()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let read = |digits: &str| digits.parse::<u64>().map(u128::from).map_err(|_| FORM.to_owned());
    // More decimals than nine say nothing of a byte.
    let decimals = fraction.len().min(9);
    let part = read(fraction.get(..decimals).unwrap_or_default())? * unit
        / 10_u128.pow(u32::try_from(decimals).unwrap_or(9));
    u64::try_from(read(whole)? * unit + part).map_err(|_| "more bytes than there are".into())
}

/// A span from `30s`, `45min`, `24h` or `1day 12h`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    moment::span(text).map_err(|error| error.to_string())
}

/// Bytes for a person: `12.5 MB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (1_000_000_000_000_000, "PB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", bytes / size, bytes % size / (size / 10)),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("1000", 1_000),
            ("20GB", 20_000_000_000),
            ("20 GiB", 20 << 30),
            ("12.5MB", 12_500_000),
            ("0.5kib", 512),
            ("1.0000000000001TB", 1_000_000_000_000),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "GB",
            "1.2.3",
            "-1",
            "1e9",
            "20G",
            ".5MB",
            "5.MB",
            "1 000",
            "99999999TB",
            "99999999999999999999",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(span("45min"), Ok(Duration::from_secs(45 * 60)));
        assert_eq!(span("1h 30s"), Ok(Duration::from_secs(3_630)));
        assert!(span("45").is_err() && span("").is_err() && span("-3s").is_err());
    }

    #[test]
    fn bytes_are_shown_short() {
        for (number, expected) in [
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (12_560_000, "12.5 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(show_bytes(number), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_size_or_refused(text in "[0-9.]{0,25} ?[kKmMgGtTiIbB]{0,4}|.{0,20}") {
            let _ = bytes(&text);
            let _ = span(&text);
        }

        #[test]
        fn a_number_of_bytes_is_itself(number: u64) {
            prop_assert_eq!(bytes(&number.to_string()), Ok(number));
        }
    }
}
