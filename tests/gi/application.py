"""An application in Python that uses kvssink through gi. tests/gi.rs starts the service and runs it."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import sys
import time
import unittest

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

#: Longer than anything takes that comes at all.
PATIENCE = 40.0
PICTURES = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1"
H264 = "x264enc key-int-max=10 bframes=0 speed-preset=ultrafast tune=zerolatency ! h264parse"

Gst.init(None)


class FragmentAck(ctypes.Structure):
    """What handlers in C see of an ack."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("timecode", ctypes.c_uint64),
        ("sequence_number", ctypes.c_char * 129),
        ("result", ctypes.c_uint32),
    ]


def address(pointer: object) -> int:
    """Where a gpointer points: gi wraps it in an object that has nothing but the address behind its head."""
    if isinstance(pointer, int):
        return pointer
    assert type(pointer).__name__ == "GPointer", pointer
    return ctypes.c_size_t.from_address(id(pointer) + object.__basicsize__).value


class Recording:
    """A pipeline with a sink `k`, and what it has said."""

    def __init__(self, stream: str, more: str = "", source: str = f"{PICTURES} ! {H264} ! queue") -> None:
        self.pipeline = Gst.parse_launch(f"{source} ! kvssink name=k stream-name={stream} {more}")
        self.sink = self.pipeline.get_by_name("k")
        self.bus = self.pipeline.get_bus()
        self.elements: list[Gst.Structure] = []
        self.errors: list[str] = []
        self.ended = False

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipeline.set_state(Gst.State.NULL)

    def play(self) -> None:
        assert self.pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE

    def stat(self, name: str) -> int:
        value = self.sink.get_property("stats").get_value(name)
        assert value is not None, name
        return value

    def look(self, patience_ns: int = 0) -> None:
        while message := self.bus.timed_pop(patience_ns):
            patience_ns = 0
            if message.type == Gst.MessageType.ELEMENT:
                self.elements.append(message.get_structure().copy())
            elif message.type == Gst.MessageType.ERROR:
                self.errors.append(message.parse_error()[0].message)
            elif message.type == Gst.MessageType.EOS:
                self.ended = True

    def until(self, what: str, holds) -> None:
        begun = time.monotonic()
        while not holds():
            assert time.monotonic() - begun < PATIENCE, f"never came: {what}; {self.sink.get_property('stats')}"
            assert not self.errors, self.errors
            self.look(20 * Gst.MSECOND)

    def end(self) -> None:
        assert self.pipeline.send_event(Gst.Event.new_eos())
        self.until("the end", lambda: self.ended)

    def said(self, name: str) -> list[Gst.Structure]:
        self.look()
        return [element for element in self.elements if element.get_name() == name]


class Application(unittest.TestCase):
    def test_properties_have_the_types_that_python_expects(self) -> None:
        sink = Gst.ElementFactory.make("kvssink")
        sink.set_property("stream-name", "door")
        sink.set_property("retention-period", 24)
        sink.set_property("streaming-type", "offline")
        sink.props.buffer_policy = "drop-oldest"
        sink.set_property("file-start-time", 1_700_000_000)
        tags = Gst.Structure.new_from_string("tags,site=(string)door")
        sink.set_property("stream-tags", tags)
        self.assertEqual(sink.get_property("stream-name"), "door")
        self.assertEqual(sink.get_property("streaming-type").value_nick, "offline")
        self.assertEqual(sink.props.buffer_policy.value_nick, "drop-oldest")
        self.assertEqual(sink.get_property("stream-tags").get_string("site"), "door")
        sink.set_property("secret-key", "hush-hush")
        with self.assertRaises(TypeError):
            sink.get_property("secret-key")
        with self.assertRaises(TypeError):
            sink.set_property("stream-nmae", "typo")

    def test_an_application_sees_acks_stats_and_connections(self) -> None:
        acks: list[tuple[int, int, str, int]] = []

        def heard(_: Gst.Element, pointer: object) -> None:
            ack = FragmentAck.from_address(address(pointer))
            acks.append((ack.type, ack.timecode, ack.sequence_number.decode(), ack.result))

        with Recording("gi-acks") as recording:
            recording.sink.connect("fragment-ack", heard)
            recording.play()
            recording.until("three fragments", lambda: recording.stat("num-fragments-persisted") >= 3)
            recording.end()
            said = recording.said("kvs-fragment-ack")
            kinds = {"BUFFERING": 1, "RECEIVED": 2, "PERSISTED": 3}
            for ack in said:
                kind = ack.get_string("type")
                if kind == "IDLE":
                    continue
                timecode, number = ack.get_value("timecode"), ack.get_string("fragment-number")
                self.assertIn((kinds[kind], timecode, number, 200), acks)
                self.assertLess(abs(timecode / 1000 - time.time()), 60)
            self.assertEqual({ack.get_string("type") for ack in said} & set(kinds), set(kinds))
            states = [connection.get_string("state") for connection in recording.said("kvs-connection")]
            self.assertIn("connected", states)
            stat = recording.stat
            self.assertEqual(stat("num-frames-in"), stat("num-frames-persisted") + stat("num-frames-held"))
            self.assertEqual(stat("num-frames-held"), 0)
            stats = recording.sink.get_property("stats")
            self.assertEqual(stats.get_name(), "application/x-kvssink-stats")
            self.assertIn(stats.get_string("last-fragment-number"), [ack[2] for ack in acks])
            self.assertGreater(stats.get_value("last-persisted-time"), 1_700_000_000 * Gst.SECOND)

    def test_tags_are_added_by_signal_and_by_event(self) -> None:
        with Recording("gi-tags") as recording:
            self.assertFalse(recording.sink.emit("add-metadata", "early", "too", False))
            recording.play()
            recording.until("a picture", lambda: recording.stat("num-frames-in") > 3)
            self.assertTrue(recording.sink.emit("add-metadata", "plate", "ZH 1234", False))
            self.assertTrue(recording.sink.emit("add-metadata", "door", "left", True))
            self.assertFalse(recording.sink.emit("add-metadata", "AWS_mine", "no", False))
            self.assertFalse(recording.sink.emit("add-metadata", "long", "x" * 257, False))
            structure = Gst.Structure.new_from_string("kvs-add-metadata,name=by,value=event,persist=false")
            self.assertTrue(recording.sink.send_event(Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure)))
            before = recording.stat("num-fragments-persisted")
            recording.until("two fragments", lambda: recording.stat("num-fragments-persisted") >= before + 3)
            recording.end()
        # The test that started this one looks at the stream.

    def test_an_error_has_a_domain_that_python_can_match(self) -> None:
        with Recording("gi-missing", "allow-create-stream=false") as recording:
            recording.play()
            message = recording.bus.timed_pop_filtered(int(PATIENCE * Gst.SECOND), Gst.MessageType.ERROR)
            error, _ = message.parse_error()
            self.assertTrue(error.matches(Gst.ResourceError.quark(), Gst.ResourceError.NOT_FOUND), error)

    def test_recordings_leave_no_memory_behind(self) -> None:
        def resident() -> int:
            status = pathlib.Path("/proc/self/status").read_text()
            return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

        def threads() -> int:
            return len(os.listdir("/proc/self/task"))

        source = "audiotestsrc num-buffers=2 samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1 ! mulawenc"
        with Recording("gi-cycles", source=source) as recording:
            for cycle in range(600):
                recording.play()
                recording.until("all to be stored", lambda: recording.stat("num-frames-persisted") == 2)
                recording.pipeline.set_state(Gst.State.NULL)
                recording.look()
                recording.elements.clear()
                if cycle == 100:
                    before, threads_before = resident(), threads()
            grown = resident() - before
            self.assertLess(grown, 4_096, f"{grown} kB in 500 recordings")
            # The pool for what blocks grows to its own size.
            self.assertLessEqual(threads(), threads_before + 4)

    def test_a_process_that_ends_while_it_records_ends_well(self) -> None:
        program = (
            "import ctypes, gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None);"
            f"p = Gst.parse_launch('{PICTURES} ! {H264} ! kvssink name=k stream-name=gi-exit');"
            "p.set_state(Gst.State.PLAYING); k = p.get_by_name('k'); b = p.get_bus();\n"
            "while k.get_property('stats').get_value('num-frames-sent') < 3: b.timed_pop(20 * Gst.MSECOND)\n"
            # As a program in C does that returns from main.
            "ctypes.CDLL(None).exit(7)"
        )
        for _ in range(4):
            ended = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, capture_output=True)
            self.assertEqual((ended.returncode, ended.stderr), (7, b""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
