//! Answers requests, one after another.

use std::io::{self, Write};

use bytes::Bytes;
use kvs_wire::picture::{Answer, Failure, Format, PICTURE_BYTES, Request};

use super::decoder::{DecodeError, Decoder};
use super::encoder::{Encoder, Form};
use super::line::Output;

/// What is kept from one request to the next: starting costs more than a picture.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    decoder: Option<Decoder>,
    jpeg: Option<Encoder>,
    png: Option<Encoder>,
}

impl Worker {
    /// Writes an answer for each picture that a request wants.
    pub(crate) fn answer(&mut self, request: Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        let message = Bytes::from(request);
        let request = Request::read(&message).map_err(io::Error::other)?;
        let form = Form { format: request.format, width: request.width, height: request.height };
        let mut wanted = request.wanted.iter().copied().peekable();
        let decoder = match self.decoder.take_if(|decoder| decoder.is_of(request.codec, request.private)) {
            Some(decoder) => Ok(decoder),
            None => Decoder::new(request.codec, request.private),
        };
        let why = match decoder {
            Ok(decoder) => {
                let shown = decoder.decode(&request, &message, |time, output| {
                    // What should have come before does not come any more.
                    while wanted.next_if(|wanted| *wanted < time).is_some() {
                        write(out, &Answer::Failed(Failure::Undecodable, "it was passed over"))?;
                    }
                    if wanted.next_if_eq(&time).is_some() {
                        self.picture(output, form, out)?;
                    }
                    Ok::<_, io::Error>(wanted.peek().is_none())
                })?;
                match shown {
                    // One that has failed is not used again.
                    Ok(()) => {
                        decoder.clear();
                        self.decoder = Some(decoder);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        if let Some(why) = why {
            let failure = match why {
                DecodeError::Codec(_) | DecodeError::Missing(_) => Failure::NoDecoder,
                DecodeError::Broken(_) => Failure::Undecodable,
            };
            let why = why.to_string();
            for _ in wanted {
                write(out, &Answer::Failed(failure, &why))?;
            }
        }
        out.flush()
    }

    fn picture(&mut self, output: Output, form: Form, out: &mut impl Write) -> io::Result<()> {
        if output.1.flags().contains(gst::BufferFlags::CORRUPTED) {
            return write(out, &Answer::Failed(Failure::Undecodable, "it is damaged"));
        }
        let kept = match form.format {
            Format::Jpeg(_) => &mut self.jpeg,
            Format::Png => &mut self.png,
        };
        let encoder = match kept.take() {
            Some(encoder) => Ok(encoder),
            None => Encoder::new(form.format),
        };
        let written = encoder.and_then(|mut encoder| {
            let picture = encoder.encode(output, form)?;
            *kept = Some(encoder);
            Ok(picture)
        });
        let picture = match written {
            Ok(picture) => picture,
            Err(error) => return write(out, &Answer::Failed(Failure::Unwritable, &error.to_string())),
        };
        match picture.map_readable() {
            Ok(bytes) if bytes.len() > PICTURE_BYTES => {
                let why = format!("it has {} bytes", bytes.len());
                write(out, &Answer::Failed(Failure::TooLarge, &why))
            }
            Ok(bytes) => write(out, &Answer::Picture(&bytes)),
            Err(error) => write(out, &Answer::Failed(Failure::Unwritable, &error.to_string())),
        }
    }
}

fn write(out: &mut impl Write, answer: &Answer<'_>) -> io::Result<()> {
    out.write_all(&answer.head().map_err(io::Error::other)?)?;
    out.write_all(answer.body())
}
