//! Session tokens, without a table of them: all that a session is stands in its token, sealed. They survive a restart,
//! and end with the key.
//!
//! A token is the base 64 of `version (2) | nonce (12) | AES-256-GCM of the ticket`, with the version as associated
//! data, and a `~` behind it. The two bytes of the version make it begin as those of AWS do (kvs-api 6.4).

use std::time::Duration;

use aws_lc_rs::aead;
use kvs_media::time::Utc;
use kvs_wire::FragmentSelectorType;

use super::request::{Discontinuities, Format, Mode, Range, Wish};
use super::timeline::ORIGIN;
use crate::keys::{CryptError, Key};
use crate::random::Random;
use crate::store::{Number, StreamId};
use crate::text::{self, URL_SAFE};

const VERSION: [u8; 2] = [0x0A, 0x21];
/// Bytes of a ticket.
const BYTES: usize = 8 + 2 + 8 + 8 + 8 + 2 + 2 + Number::BYTES + 8;
/// Characters of a token without the last.
const CHARACTERS: usize = ((VERSION.len() + aead::NONCE_LEN + BYTES + 16) * 4).div_ceil(3);

/// A session, as its token says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) stream: StreamId,
    pub(crate) wish: Wish,
    pub(crate) created: Utc,
    /// The fragment that it begins with.
    pub(crate) first: Number,
    /// When it begins in the session's clock, at [`ORIGIN`] of its media time.
    pub(crate) zero: Utc,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketError {
    /// It was not made here.
    Unknown,
    Expired,
}

/// Seals tickets and opens them.
pub(crate) struct Tickets(aead::LessSafeKey);

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(..)")
    }
}

impl Tickets {
    /// With a key that serves nothing else.
    pub(crate) fn new(key: &Key) -> Result<Self, CryptError> {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.bytes()).map_err(|_| CryptError::Derive)?;
        Ok(Self(aead::LessSafeKey::new(key)))
    }

    /// The token of a session.
    pub(crate) fn seal(&self, ticket: &Ticket, random: &dyn Random) -> Result<String, CryptError> {
        let mut nonce = [0; aead::NONCE_LEN];
        random.fill(&mut nonce)?;
        let mut sealed = ticket.to_bytes();
        self.0
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(VERSION),
                &mut sealed,
            )
            .map_err(|_| CryptError::Seal)?;
        let mut token = text::encode(&[&VERSION, nonce.as_slice(), &sealed].concat(), URL_SAFE);
        token.push('~');
        Ok(token)
    }

    /// The session of a token.
    pub(crate) fn open(&self, token: &str, now: Utc) -> Result<Ticket, TicketError> {
        let ticket = self.unseal(token).ok_or(TicketError::Unknown)?;
        if ticket.expires().is_some_and(|expires| now < expires) {
            Ok(ticket)
        } else {
            Err(TicketError::Expired)
        }
    }

    fn unseal(&self, token: &str) -> Option<Ticket> {
        let token = token.strip_suffix('~').filter(|token| token.len() == CHARACTERS)?;
        let mut bytes = text::decode(token, URL_SAFE)?;
        let (version, rest) = bytes.split_first_chunk_mut::<2>()?;
        let (nonce, sealed) = rest.split_at_mut_checked(aead::NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, aead::Aad::from(VERSION), sealed).ok()?;
        Ticket::from_bytes(plain)
    }
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn time(&mut self) -> Option<Utc> {
        self.take().map(i64::from_be_bytes).map(Utc::from_nanos)
    }
}

impl Ticket {
    /// It is good for nothing from then on.
    pub(crate) fn expires(&self) -> Option<Utc> {
        self.created.checked_add(Duration::from_secs(self.wish.expires.into()))
    }

    /// Whether a fragment with this number, which begins then by the session's clock, is anything of the session's.
    pub(crate) fn covers(&self, number: Number, start: Utc) -> bool {
        match self.wish.range {
            Some(range) => start >= range.start && range.end.is_none_or(|end| start <= end),
            None => number >= self.first,
        }
    }

    /// Where something that begins at a time of the session's clock begins in its media time.
    pub(crate) fn media_time(&self, start: Utc) -> Duration {
        match start.since(self.zero) {
            Some(after) => ORIGIN.saturating_add(after),
            None => ORIGIN.saturating_sub(self.zero.since(start).unwrap_or_default()),
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        let Self { stream, wish, created, first, zero } = self;
        let format = match wish.format {
            Format::HlsMp4 => 0_u16,
            Format::HlsTs => 1,
            Format::Dash => 2,
        };
        let mode = match wish.mode {
            Mode::Live => 0_u16,
            Mode::LiveReplay => 1,
            Mode::OnDemand => 2,
        };
        let discontinuities = match wish.discontinuities {
            Discontinuities::Always => 0_u16,
            Discontinuities::Never => 1,
            Discontinuities::OnDiscontinuity => 2,
        };
        let (range, end) = (wish.range, wish.range.and_then(|range| range.end));
        let flags = [
            wish.clock == FragmentSelectorType::ProducerTimestamp,
            wish.shows_times,
            wish.shows_numbers,
            range.is_some(),
            end.is_some(),
        ];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u16::from(flag));
        let choices = format << 12 | mode << 10 | discontinuities << 8 | flags;
        let start = range.map_or(Utc::EPOCH, |range| range.start);
        let mut bytes = Vec::with_capacity(BYTES + 16);
        bytes.extend_from_slice(&stream.0.to_be_bytes());
        bytes.extend_from_slice(&choices.to_be_bytes());
        for time in [start, end.unwrap_or(Utc::EPOCH), created] {
            bytes.extend_from_slice(&time.nanos().to_be_bytes());
        }
        bytes.extend_from_slice(&wish.expires.to_be_bytes());
        bytes.extend_from_slice(&wish.most.to_be_bytes());
        bytes.extend_from_slice(&first.to_bytes());
        bytes.extend_from_slice(&zero.nanos().to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let stream = StreamId(u64::from_be_bytes(fields.take()?));
        let choices = u16::from_be_bytes(fields.take()?);
        let (start, end, created) = (fields.time()?, fields.time()?, fields.time()?);
        let expires = u16::from_be_bytes(fields.take()?);
        let most = u16::from_be_bytes(fields.take()?);
        let first = Number::from_bytes(&fields.take::<{ Number::BYTES }>()?)?;
        let zero = fields.time()?;
        let flag = |bit: u16| choices >> bit & 1 == 1;
        let wish = Wish {
            format: match choices >> 12 {
                0 => Format::HlsMp4,
                1 => Format::HlsTs,
                2 => Format::Dash,
                _ => return None,
            },
            mode: match choices >> 10 & 3 {
                0 => Mode::Live,
                1 => Mode::LiveReplay,
                2 => Mode::OnDemand,
                _ => return None,
            },
            clock: if flag(4) {
                FragmentSelectorType::ProducerTimestamp
            } else {
                FragmentSelectorType::ServerTimestamp
            },
            range: flag(1).then_some(Range { start, end: flag(0).then_some(end) }),
            discontinuities: match choices >> 8 & 3 {
                0 => Discontinuities::Always,
                1 => Discontinuities::Never,
                2 => Discontinuities::OnDiscontinuity,
                _ => return None,
            },
            shows_times: flag(3),
            shows_numbers: flag(2),
            expires,
            most,
        };
        fields.0.is_empty().then_some(Self { stream, wish, created, first, zero })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use proptest::prelude::*;

    const NOW: Utc = Utc::from_nanos(1_700_000_000_123_456_789);

    fn tickets() -> Tickets {
        Tickets::new(&Key::new([7; 32])).unwrap()
    }

    pub(in crate::playback) fn any_wish() -> impl Strategy<Value = Wish> {
        let times = (any::<i64>(), prop::option::of(any::<i64>()));
        let range = prop::option::of(times).prop_map(|range| {
            range.map(|(start, end)| Range { start: Utc::from_nanos(start), end: end.map(Utc::from_nanos) })
        });
        let choices = (0..3_usize, 0..3_usize, 0..3_usize, any::<[bool; 3]>());
        (choices, range, any::<u16>(), any::<u16>()).prop_map(
            |(
                (format, mode, discontinuities, [producer, shows_times, shows_numbers]),
                range,
                expires,
                most,
            )| {
                Wish {
                    format: [Format::HlsMp4, Format::HlsTs, Format::Dash][format],
                    mode: [Mode::Live, Mode::LiveReplay, Mode::OnDemand][mode],
                    clock: match producer {
                        true => FragmentSelectorType::ProducerTimestamp,
                        false => FragmentSelectorType::ServerTimestamp,
                    },
                    range,
                    discontinuities: [
                        Discontinuities::Always,
                        Discontinuities::Never,
                        Discontinuities::OnDiscontinuity,
                    ][discontinuities],
                    shows_times,
                    shows_numbers,
                    expires,
                    most,
                }
            },
        )
    }

    fn ticket() -> Ticket {
        let wish = Wish::of_session(false, b"{}", NOW).unwrap();
        Ticket { stream: StreamId(3), wish, created: NOW, first: Number::FIRST, zero: NOW }
    }

    #[test]
    fn a_token_has_the_form_of_those_of_aws_and_ends_in_its_time() {
        let token = tickets().seal(&ticket(), &SystemRandom).unwrap();
        assert!(token.starts_with("Ci") && token.ends_with('~'), "{token}");
        assert!((120..=180).contains(&token.len()), "{}", token.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
        assert!(token.bytes().all(plain), "{token}");
        let at = |seconds| NOW.checked_add(Duration::from_secs(seconds)).unwrap();
        assert_eq!(tickets().open(&token, at(299)), Ok(ticket()));
        assert_eq!(tickets().open(&token, at(300)), Err(TicketError::Expired));
        let others = Tickets::new(&Key::new([8; 32])).unwrap();
        assert_eq!(others.open(&token, NOW), Err(TicketError::Unknown));
    }

    #[test]
    fn a_token_with_any_character_changed_is_none() {
        let token = tickets().seal(&ticket(), &SystemRandom).unwrap();
        for at in 0..token.len() {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tickets().open(&changed, NOW), Err(TicketError::Unknown), "{at}");
        }
        for cut in [0, 1, 20, token.len() - 1] {
            assert_eq!(tickets().open(&token[..cut], NOW), Err(TicketError::Unknown));
        }
    }

    proptest! {
        #[test]
        fn any_session_reads_back_as_it_was_sealed(
            wish in any_wish(),
            (stream, created, zero) in any::<(u64, i64, i64)>(),
            (sequence, server_ms, tail) in any::<(u64, u64, u32)>(),
        ) {
            let ticket = Ticket {
                stream: StreamId(stream),
                wish,
                created: Utc::from_nanos(created),
                first: Number { sequence, server_ms, tail },
                zero: Utc::from_nanos(zero),
            };
            let token = tickets().seal(&ticket, &SystemRandom).unwrap();
            prop_assert_eq!(tickets().unseal(&token), Some(ticket));
        }

        #[test]
        fn no_text_opens_that_was_not_sealed_here(token in "Ci[A-Za-z0-9_-]{126,130}~|.{0,200}") {
            prop_assert_eq!(tickets().open(&token, NOW), Err(TicketError::Unknown));
        }
    }
}
