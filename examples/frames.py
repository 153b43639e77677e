#!/usr/bin/env python3
"""Reads a Kinesis Video Stream as numpy arrays, each with its time and the fragment that it is of.

    examples/frames.py front-door --from -10min --count 25

Needs python3-gi, python3-numpy and the plugin. Credentials, region and endpoint are those of the environment; for a
service on this machine: eval "$(kvs env)".
"""

from __future__ import annotations

import argparse
import datetime
import sys
import typing

import gi
import numpy

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402


class Frame(typing.NamedTuple):
    """A picture, and where it comes from."""

    #: Height by width by red, green, blue.
    pixels: numpy.ndarray
    #: When it was made, in nanoseconds since 1970.
    utc_ns: int
    #: The number of its fragment.
    fragment: str
    #: How far into the fragment it is.
    offset_ns: int

    @property
    def utc(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.utc_ns / 1e9, datetime.timezone.utc)


def frames(stream: str, since: str | None = None, until: str | None = None) -> typing.Iterator[Frame]:
    """The pictures of a stream: from now on, or of what was recorded."""
    Gst.init(None)
    pipeline = Gst.parse_launch(
        "kvssrc name=source ! decodebin ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink sync=false max-buffers=8"
    )
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    source.set_property("stream-name", stream)
    source.set_property("from", since)
    source.set_property("to", until)
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    try:
        while True:
            sample = sink.emit("try-pull-sample", 100 * Gst.MSECOND)
            if sample is not None:
                yield frame(sample)
            elif message := bus.pop_filtered(Gst.MessageType.ERROR):
                raise RuntimeError(message.parse_error()[0].message)
            elif sink.get_property("eos"):
                return
    finally:
        pipeline.set_state(Gst.State.NULL)


def frame(sample: Gst.Sample) -> Frame:
    buffer, info = sample.get_buffer(), GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    # A row may be longer than its pixels.
    rows = numpy.frombuffer(buffer.extract_dup(0, buffer.get_size()), numpy.uint8)
    rows = rows[: info.height * info.stride[0]].reshape(info.height, info.stride[0])
    pixels = rows[:, : info.width * 3].reshape(info.height, info.width, 3)
    unix = Gst.Caps.new_empty_simple("timestamp/x-unix")
    reference = buffer.get_reference_timestamp_meta(unix)
    fragment = buffer.get_custom_meta("KvsFragmentMeta").get_structure()
    return Frame(pixels, reference.timestamp, fragment.get_string("number"), fragment.get_value("offset"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("stream")
    arguments.add_argument("--from", dest="since", help="2026-11-20T03:23:51Z, seconds since 1970, or -10min")
    arguments.add_argument("--to", dest="until", help="as --from")
    arguments.add_argument("--count", type=int, default=sys.maxsize, help="so many pictures, and no more")
    options = arguments.parse_args()
    for number, one in enumerate(frames(options.stream, options.since, options.until), 1):
        height, width, _ = one.pixels.shape
        print(f"{one.utc_ns} {one.fragment} {one.offset_ns} {width}x{height} {one.pixels.mean():.1f}", flush=True)
        if number >= options.count:
            break


if __name__ == "__main__":
    main()
