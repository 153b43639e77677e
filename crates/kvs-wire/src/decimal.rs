//! Decimal numbers read from their text, exactly: no float in between.

use thiserror::Error;

/// Exponents beyond this say nothing more: whatever the digits, the number is nothing or out of range.
const EXPONENT_CAP: i64 = 1_000_000_000_000;

/// Why a text is not a number of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DecimalError {
    #[error("not a decimal number")]
    Malformed,
    #[error("beyond the range of 64 bits")]
    OutOfRange,
}

/// A decimal number in steps of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// Whole steps, rounded down.
    pub(crate) steps: i64,
    /// Nothing was rounded.
    pub(crate) exact: bool,
}

/// Reads `[-]digits[.digits][e[+-]digits]` in steps of `10^-decimals`.
///
/// Takes what JSON allows and leading zeros (headers and tags are not JSON). Linear in the length of the text.
pub(crate) fn scaled(text: &str, decimals: i64) -> Result<Scaled, DecimalError> {
    let (negative, unsigned) = signed(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
        Some(_) => return Err(DecimalError::Malformed),
        None => (mantissa, ""),
    };
    if !is_digits(whole) {
        return Err(DecimalError::Malformed);
    }
    // The power of ten of the digit at hand, counted in steps.
    let mut place =
        i64::try_from(whole.len()).map_err(|_| DecimalError::OutOfRange)? - 1 + exponent + decimals;
    let mut steps = 0_u64;
    let mut exact = true;
    for digit in whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0') {
        if place >= 0 {
            steps = steps
                .checked_mul(10)
                .and_then(|steps| steps.checked_add(u64::from(digit)))
                .ok_or(DecimalError::OutOfRange)?;
        } else {
            exact &= digit == 0;
        }
        place -= 1;
    }
    if place >= 0 && steps != 0 {
        steps = u32::try_from(place + 1)
            .ok()
            .and_then(|zeros| 10_u64.checked_pow(zeros))
            .and_then(|factor| steps.checked_mul(factor))
            .ok_or(DecimalError::OutOfRange)?;
    }
    let steps = if negative { -i128::from(steps) - i128::from(!exact) } else { i128::from(steps) };
    let steps = i64::try_from(steps).map_err(|_| DecimalError::OutOfRange)?;
    Ok(Scaled { steps, exact })
}

/// Reads a whole number, in any of the forms of [`scaled`]: `12`, `12.0` and `1.2E1` are the same.
pub(crate) fn whole(text: &str) -> Result<i64, DecimalError> {
    match scaled(text, 0)? {
        Scaled { steps, exact: true } => Ok(steps),
        Scaled { exact: false, .. } => Err(DecimalError::Malformed),
    }
}

fn signed(text: &str) -> (bool, &str) {
    text.strip_prefix('-').map_or((false, text), |unsigned| (true, unsigned))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_exponent(text: &str) -> Result<i64, DecimalError> {
    let (negative, digits) = signed(text.strip_prefix('+').unwrap_or(text));
    // Both signs at once are no number.
    if !is_digits(digits) || (negative && text.starts_with('+')) {
        return Err(DecimalError::Malformed);
    }
    let size =
        digits.bytes().fold(0, |size: i64, byte| (size * 10 + i64::from(byte - b'0')).min(EXPONENT_CAP));
    Ok(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> Result<i64, DecimalError> {
        scaled(text, 9).map(|scaled| scaled.steps)
    }

    #[test]
    fn every_form_of_a_number_reads_the_same() {
        for text in [
            "1720751492.346",
            "1.720751492346E9",
            "1720751492346e-3",
            "001720751492.3460000",
            "1720751492346000000000E-12",
        ] {
            assert_eq!(nanos(text), Ok(1_720_751_492_346_000_000), "{text}");
        }
        assert_eq!(nanos("0"), Ok(0));
        assert_eq!(nanos("-0.0"), Ok(0));
        assert_eq!(nanos("0e999999999999999999999"), Ok(0));
        assert_eq!(nanos("1E+1"), Ok(10_000_000_000));
    }

    #[test]
    fn what_is_finer_than_a_step_is_rounded_down() {
        assert_eq!(scaled("1.0000000019", 9), Ok(Scaled { steps: 1_000_000_001, exact: false }));
        assert_eq!(scaled("-1.0000000001", 9), Ok(Scaled { steps: -1_000_000_001, exact: false }));
        assert_eq!(scaled("-1e-99999999999999", 9), Ok(Scaled { steps: -1, exact: false }));
        assert_eq!(scaled("1.00000000000", 9), Ok(Scaled { steps: 1_000_000_000, exact: true }));
    }

    #[test]
    fn the_ends_of_the_range_read_and_nothing_beyond() {
        assert_eq!(whole("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(whole("-9223372036854775808"), Ok(i64::MIN));
        for text in [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744071867076041",
            "1e19",
            "1e999999999999999",
        ] {
            assert_eq!(whole(text), Err(DecimalError::OutOfRange), "{text}");
        }
        assert_eq!(nanos("9223372036.854775807"), Ok(i64::MAX));
        assert_eq!(nanos("9223372036.854775808"), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "+1", ".5", "5.", "1.e2", "1e", "1e+", "1e+-1", "1e-+1", "--1", "1.2.3", "1e2e3", " 1",
            "1 ", "0x10", "NaN", "Infinity", "١", "1,5",
        ] {
            assert_eq!(scaled(text, 9), Err(DecimalError::Malformed), "{text:?}");
        }
        assert_eq!(whole("12.5"), Err(DecimalError::Malformed));
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(nanos_in: i64, shift in -40_i64..40) {
            // digits * 10^(shift) with the exponent taking it back.
            let digits = nanos_in.unsigned_abs().to_string();
            let sign = if nanos_in < 0 { "-" } else { "" };
            let text = if shift >= 0 {
                format!("{sign}{digits}{}e{}", "0".repeat(usize::try_from(shift).unwrap()), -shift - 9)
            } else {
                let zeros = "0".repeat(usize::try_from(-shift).unwrap());
                let padded = format!("{zeros}{digits}");
                let (whole, fraction) = padded.split_at(padded.len() - usize::try_from(-shift).unwrap());
                format!("{sign}{whole}.{fraction}E{:+}", -shift - 9)
            };
            prop_assert_eq!(nanos(&text), Ok(nanos_in), "{}", text);
        }

        #[test]
        fn any_text_reads_or_is_refused(text in ".{0,40}", decimals in 0_i64..10) {
            let _ = scaled(&text, decimals);
        }

        #[test]
        fn any_text_of_the_right_letters_reads_or_is_refused(text in "[-+0-9.eE]{0,40}") {
            let _ = scaled(&text, 9);
        }
    }
}
