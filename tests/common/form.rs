//! What the tests themselves make of a payload, a byte at a time and without the code under test.

/// `None` for what is no frame.
pub(crate) type Form = fn(&[u8]) -> Option<Vec<u8>>;

pub(crate) fn as_it_is(data: &[u8]) -> Option<Vec<u8>> {
    Some(data.to_vec())
}

/// Without the headers of Ogg, which an encoder may send ahead.
pub(crate) fn opus(data: &[u8]) -> Option<Vec<u8>> {
    (!data.starts_with(b"OpusHead") && !data.starts_with(b"OpusTags")).then(|| data.to_vec())
}

/// Annex B to lengths of four bytes.
pub(crate) fn with_lengths(data: &[u8]) -> Option<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut zeros = 0;
    for byte in data {
        match byte {
            1 if zeros >= 2 => {
                if let Some(unit) = units.last_mut() {
                    unit.truncate(unit.len() - zeros);
                }
                units.push(Vec::new());
                zeros = 0;
                continue;
            }
            0 => zeros += 1,
            _ => zeros = 0,
        }
        if let Some(unit) = units.last_mut() {
            unit.push(*byte);
        }
    }
    let with_length =
        |unit: Vec<u8>| [u32::try_from(unit.len()).unwrap().to_be_bytes().to_vec(), unit].concat();
    Some(units.into_iter().flat_map(with_length).collect())
}

pub(crate) fn without_delimiter(data: &[u8]) -> Option<Vec<u8>> {
    Some(data.strip_prefix(&[0x12, 0]).unwrap_or(data).to_vec())
}

pub(crate) fn without_adts(data: &[u8]) -> Option<Vec<u8>> {
    Some(data[7..].to_vec())
}
