//! A refused fragment, changed so that it may be taken the next time.

use kvs_media::fragment::Filler;
use kvs_media::time::Timecode;
use kvs_media::{TrackKind, TrackNumber};
use kvs_wire::Reaction;

use super::buffer::{Buffer, End, Entry, Fragment, FragmentId};

/// Changes a refused fragment so that it may be taken the next time.
pub(crate) fn amend(id: FragmentId, reaction: Reaction, buffer: &mut Buffer) {
    let Some(fragment) = buffer.get_mut(id) else { return };
    match reaction {
        Reaction::ResendWithoutTags => fragment.tags.clear(),
        Reaction::ResendWithoutSilentTrack => {
            let silent = fragment.header.tracks.iter().map(|track| track.number);
            let speaks = |number| {
                let mut frames = fragment.entries.iter().filter(|entry| entry.block.track == number);
                frames.any(|entry| !entry.is_filler())
            };
            let silent: Vec<_> = silent.filter(|number| !speaks(*number)).collect();
            // A document without tracks would be refused for that.
            if silent.len() < fragment.header.tracks.len() {
                fragment.without = silent;
            }
        }
        Reaction::ResendSplit => {
            let pieces = split(fragment);
            buffer.replace(id, pieces);
        }
        Reaction::ResendWithRepairedTimes => {
            let before = buffer.before(id).and_then(latest);
            if let (Some(fragment), Some(before)) = (buffer.get_mut(id), before) {
                move_behind(fragment, before);
            }
        }
        Reaction::Resend | Reaction::ResendAfterHelp | Reaction::Stop => {}
    }
}

/// Divides a fragment that is too long or too large: at the key frame that is next to its middle, else in the middle.
/// One of less than two frames comes back as it is.
fn split(fragment: &Fragment) -> Vec<Fragment> {
    let Some(at) = middle(fragment) else { return vec![fragment.clone()] };
    let (left, right) = fragment.entries.split_at(at);
    let mut first = piece(fragment, left, None);
    first.tags.clone_from(&fragment.tags);
    first.end = Some(End::Followed);
    fill(&mut first);
    let mut second = piece(fragment, right, latest(&first));
    second.end = fragment.end;
    if second.end.is_some() {
        fill(&mut second);
    }
    vec![first, second]
}

/// The latest time in a fragment.
fn latest(fragment: &Fragment) -> Option<Timecode> {
    fragment.entries.iter().map(|entry| entry.block.timecode).max()
}

/// Moves a fragment to behind a time, when it is not there.
fn move_behind(fragment: &mut Fragment, before: Timecode) {
    let Some(earliest) = fragment.entries.iter().map(|entry| entry.block.timecode).min() else { return };
    let by = before.ticks().saturating_add(1).saturating_sub(earliest.ticks().min(fragment.timecode.ticks()));
    if by <= 0 {
        return;
    }
    let moved = |timecode: Timecode| Timecode::from_ticks(timecode.ticks().saturating_add(by));
    fragment.timecode = moved(fragment.timecode);
    for entry in &mut fragment.entries {
        entry.block.timecode = moved(entry.block.timecode);
    }
}

/// Where to divide: behind the first frame, before the last.
fn middle(fragment: &Fragment) -> Option<usize> {
    let total: usize = fragment.entries.iter().map(|entry| entry.payload.len()).sum();
    let driver = driver(fragment);
    let (mut passed, mut half, mut best) = (0, None, None::<(usize, usize)>);
    for (index, entry) in fragment.entries.iter().enumerate() {
        if index > 0 {
            if passed * 2 >= total {
                half.get_or_insert(index);
            }
            let distance = (passed * 2).abs_diff(total);
            let cuts = entry.block.key && driver == Some(entry.block.track) && !entry.is_filler();
            if cuts && best.is_none_or(|(_, least)| distance < least) {
                best = Some((index, distance));
            }
        }
        passed += entry.payload.len();
    }
    best.map(|(index, _)| index).or(half)
}

/// The track whose key frames begin fragments.
fn driver(fragment: &Fragment) -> Option<TrackNumber> {
    let tracks = &fragment.header.tracks;
    let of = |kind| tracks.iter().find(|track| track.kind == kind).map(|track| track.number);
    of(TrackKind::Video).or_else(|| of(TrackKind::Audio)).or_else(|| tracks.first().map(|track| track.number))
}

/// A part of a fragment, all of whose times are behind those of the part before.
fn piece(whole: &Fragment, entries: &[Entry], behind: Option<Timecode>) -> Fragment {
    let floor = behind.map_or(i64::MIN, |behind| behind.ticks().saturating_add(1));
    let later = |timecode: Timecode| Timecode::from_ticks(timecode.ticks().max(floor));
    let first = entries.first().map_or(whole.timecode, |entry| entry.block.timecode);
    let start = if behind.is_none() { whole.timecode } else { later(first) };
    let scale = whole.header.info.scale;
    let at = |timecode| scale.instant(timecode).unwrap_or(whole.from);
    let mut piece = Fragment::new(whole.header.clone(), start, Vec::new(), at(start), whole.arrived);
    piece.without.clone_from(&whole.without);
    piece.sent_before = whole.sent_before;
    for entry in entries {
        let mut entry = entry.clone();
        entry.block.timecode = later(entry.block.timecode);
        let time = at(entry.block.timecode);
        piece.push(entry, time);
    }
    piece
}

/// Puts in what keeps the fragment whole where a track has no frame in it.
fn fill(piece: &mut Fragment) {
    let at = latest(piece).unwrap_or(piece.timecode);
    for track in &piece.header.clone().tracks {
        if piece.entries.iter().any(|entry| entry.block.track == track.number) {
            continue;
        }
        let filler = Filler::of(track);
        let time = piece.to;
        piece.push(Entry { block: filler.block(at), payload: filler.payload().clone() }, time);
    }
}
