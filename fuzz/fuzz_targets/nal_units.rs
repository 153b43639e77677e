//! Any bytes as an access unit of either form: lengths agree with what is written, and conversions keep the units.
#![no_main]

use kvs_media::codec::nal::{self, NalError};
use kvs_media::codec::{Form, LengthSize, h264, h265};
use libfuzzer_sys::fuzz_target;

const SIZES: [LengthSize; 4] = [LengthSize::One, LengthSize::Two, LengthSize::Three, LengthSize::Four];

type Units<'a> = Result<Vec<&'a [u8]>, NalError>;

fn units(data: &[u8], form: Form) -> Units<'_> {
    let mut units = form.units(data);
    let found = units.by_ref().collect();
    assert_eq!(units.next(), None, "units go on after the end or an error");
    found
}

/// Writes into room of exactly the length that was promised, and into one byte less.
fn converted(
    promised: Result<usize, NalError>,
    write: impl Fn(&mut &mut [u8]) -> Result<(), NalError>,
) -> Result<Vec<u8>, NalError> {
    let mut out = vec![0; promised?];
    let mut room = out.as_mut_slice();
    write(&mut room).unwrap();
    assert!(room.is_empty(), "the length is not exact");
    let mut scarce = vec![0; out.len() - 1];
    assert!(matches!(write(&mut scarce.as_mut_slice()), Err(NalError::NoRoom { .. })));
    Ok(out)
}

/// Whether units can stand in Annex B as they are: emulation prevention leaves no start code in them and no zero behind.
fn fit_annex_b(units: &[&[u8]]) -> bool {
    units.iter().all(|unit| unit.last() != Some(&0) && !unit.windows(3).any(|window| window == [0, 0, 1]))
}

fn inspect_alike(one: (&[u8], Form), two: (&[u8], Form)) {
    assert_eq!(h264::inspect(one.0, one.1), h264::inspect(two.0, two.1));
    assert_eq!(h265::inspect(one.0, one.1), h265::inspect(two.0, two.1));
}

/// The conversion fails as the units do, or because there is none.
fn agrees(converted: &Result<Vec<u8>, NalError>, units: &Units<'_>, data: &[u8]) {
    match units {
        Ok(units) if units.is_empty() => assert_eq!(*converted, Err(NalError::Empty { len: data.len() })),
        Ok(_) => assert!(converted.is_ok()),
        Err(error) => assert_eq!(converted.as_ref(), Err(error)),
    }
}

fn annex_b(data: &[u8]) {
    let found = units(data, Form::AnnexB);
    let prefixed = converted(nal::length_prefixed_len(data), |room| nal::write_length_prefixed(data, room));
    agrees(&prefixed, &found, data);
    let Ok(found) = found else { return };
    assert!(fit_annex_b(&found) && found.iter().all(|unit| !unit.is_empty()));
    let Ok(prefixed) = prefixed else { return };
    let form = Form::LengthPrefixed(LengthSize::Four);
    assert_eq!(units(&prefixed, form).as_ref(), Ok(&found));
    inspect_alike((data, Form::AnnexB), (&prefixed, form));
    let size = LengthSize::Four;
    let back = converted(nal::annex_b_len(&prefixed, size), |room| nal::write_annex_b(&prefixed, size, room));
    assert_eq!(units(&back.unwrap(), Form::AnnexB).as_ref(), Ok(&found));
}

fn length_prefixed(data: &[u8], size: LengthSize) {
    let form = Form::LengthPrefixed(size);
    let found = units(data, form);
    let wide = converted(nal::widened_len(data, size), |room| nal::write_widened(data, size, room));
    let annex_b = converted(nal::annex_b_len(data, size), |room| nal::write_annex_b(data, size, room));
    agrees(&wide, &found, data);
    agrees(&annex_b, &found, data);
    let (Ok(found), Ok(wide), Ok(annex_b)) = (found, wide, annex_b) else { return };
    assert!(found.iter().all(|unit| !unit.is_empty()));
    assert_eq!(units(&wide, Form::LengthPrefixed(LengthSize::Four)).as_ref(), Ok(&found));
    inspect_alike((data, form), (&wide, Form::LengthPrefixed(LengthSize::Four)));
    if fit_annex_b(&found) {
        assert_eq!(units(&annex_b, Form::AnnexB).as_ref(), Ok(&found));
        inspect_alike((data, form), (&annex_b, Form::AnnexB));
    }
}

fuzz_target!(|data: &[u8]| {
    annex_b(data);
    for size in SIZES {
        length_prefixed(data, size);
    }
});
