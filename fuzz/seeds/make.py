#!/usr/bin/env python3
"""Makes the seeds that are neither links to the samples of the crates nor written by hand.

    fuzz/seeds/make.py

What a target takes is said at the head of its source.
"""

import json
import pathlib

SEEDS = pathlib.Path(__file__).resolve().parent
MEDIA = SEEDS.parent.parent / "crates/kvs-media/tests/data"
CODEC = MEDIA / "codec"
VECTORS = SEEDS.parent.parent / "crates/kvs-service/tests/data/sigv4/vectors.json"


def sample(name):
    return (CODEC / name).read_bytes()


def seed(target, name, data):
    (SEEDS / target).mkdir(exist_ok=True)
    (SEEDS / target / name).write_bytes(data)


def annex_b(stream):
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1") if unit.strip(b"\0")]


def prefixed(units, size):
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


def ivf(name):
    """The first frame."""
    data = sample(name)[32:]
    return data[12 : 12 + int.from_bytes(data[:4], "little")]


def variants():
    for line in (CODEC / "variants.txt").read_text().splitlines():
        name, codec, private, *_ = line.split()
        yield f"{codec}-{name}", codec, bytes.fromhex(private)


def pieces(codec, *parts):
    return bytes([codec]) + b"".join(bytes([kind]) + len(data).to_bytes(2, "big") + data for kind, data in parts)


def described(head, private=b""):
    return head.encode() + b"\n" + private


def element(name, *parts):
    data = b"".join(parts)
    return bytes.fromhex(name) + (len(data) | 1 << 28).to_bytes(4, "big") + data


def number(name, value):
    return element(name, value.to_bytes(8, "big"))


def tags(*pairs):
    simple = (element("67c8", element("45a3", name.encode()), element("4487", value.encode())) for name, value in pairs)
    return element("1254c367", element("7373", element("63c0"), *simple))


def document(tracks, *rest, known=False):
    """A header section with so many tracks, and what comes behind it."""
    ebml = element("1a45dfa3", element("4282", b"matroska"))
    info = element("1549a966", number("2ad7b1", 1_000_000))
    entry = lambda track: element("ae", number("d7", track), number("73c5", track), number("83", 1), element("86", b"V_VP8"))
    entries = element("1654ae6b", *(entry(track) for track in range(1, tracks + 1)))
    segment = b"".join((info, entries, *rest))
    size = (len(segment) if known else (1 << 56) - 1) | 1 << 56
    return ebml + bytes.fromhex("18538067") + size.to_bytes(8, "big") + segment


def block(track, ticks, payload, flags=0x80):
    return element("a3", bytes([0x80 | track]), ticks.to_bytes(2, "big", signed=True), bytes([flags]), payload)


def cluster(time, *blocks, size=None):
    data = number("e7", time) + b"".join(blocks)
    return element("1f43b675", data) if size is None else bytes.fromhex("1f43b675" + size) + data


def body(media, flags=0, length=99):
    """Media as a call: how it is opened and ends, and in what pieces it comes."""
    return bytes([flags]) + media[: 60 << 10] + bytes([length])


def lines(*calls):
    return "\n".join(f"{operation} {json.dumps(body)}" for operation, body in calls).encode()


def head(message, flags=0):
    target = message["path"] + ("?" + message["query"] if message["query"] else "")
    headers = [f"{name}: {value}" for name, value in message["headers"]]
    return bytes([flags]) + "\n".join([message["method"], target, *headers, "", message["body"]]).encode()


def statement(effect, action, resource, **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements, version="2012-10-17"):
    return json.dumps({"Version": version, "Statement": list(statements)}, separators=(",", ":"))


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def zigzag(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def string(data):
    return varint(len(data)) + data


def change(what, place, count, data=b"", file=0):
    return bytes([file << 4 | what]) + place.to_bytes(3, "big") + count.to_bytes(2, "big") + data


OPUS = b"OpusHead\1\2\x38\1\x80\xbb\0\0\0\0\0"
SURROUND = b"OpusHead\1\6\x38\1\x80\xbb\0\0\0\0\1\4\2\0\4\1\2\3\5"
ALAW = bytes([6, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0])
H264, H265 = (annex_b(sample(name)) for name in ("h264-high.h264", "h265-main10.h265"))
PARAMETER_SETS = {7, 8}, {32, 33, 34}

for name, data in {"opus": OPUS, "surround": SURROUND, "alaw": ALAW, "caps": b"meta/x-klv, parsed=true"}.items():
    seed("codec_records", name, data)
for name, data in {"aac": "1210", "aac-rate": "1780226090", "aac-ps": "eb8a0800", "aac-sbr": "139056e5a0"}.items():
    seed("codec_records", name, bytes.fromhex(data))

for name in ("vp8", "vp9"):
    seed("codec_frames", name, ivf(f"{name}.ivf"))
seed("codec_frames", "opus", b"\xfb\3")
# Two raw data blocks with their positions and checksums.
seed("codec_frames", "adts-blocks", bytes.fromhex("fff8508002dffd00070000") + b"\1\2\3\4\5\0\0" + b"\6\7\0\0")

for size in (1, 2, 3, 4):
    seed("nal_units", f"prefixed-{size}", prefixed([unit[:200] for unit in H264[:4]], size) + b"\0" * size)

for name, codec, private in variants():
    if codec == "av1":
        seed("sequence_headers", name, private[6:])
    elif codec == "h264":
        length = int.from_bytes(private[6:8], "big")
        seed("sequence_headers", name, private[8 : 8 + length])
    else:
        arrays = private[23:]
        # An array of one unit each: VPS, SPS, PPS.
        length = int.from_bytes(arrays[3:5], "big")
        sps = arrays[5 + length :]
        seed("sequence_headers", name, sps[5 : 5 + int.from_bytes(sps[3:5], "big")])
seed("sequence_headers", "vps", H265[[unit[0] >> 1 & 63 for unit in H265].index(32)])

start = b"\0\0\0\1"
frame = start + start.join(unit[:60] for unit in H264[:4])
other = start + start.join(annex_b(sample("h264-baseline.h264"))[:2])
sets = [unit for unit in H264 if unit[0] & 31 in PARAMETER_SETS[0]][:2]
seed("parameter_sets", "h264", pieces(0, (0, frame), (0, other), (2, prefixed(sets, 2)), (5, sample("h264-high.avcC"))))
# A picture parameter set with each id from 1 to 6: more than may be held.
seed("parameter_sets", "large", pieces(0, (5, sample("h264-high.avcC")), *((6, bytes([0x68, head])) for head in (0x5F, 0x7F, 0x27, 0x2F, 0x37, 0x3F))))
frame = start + start.join(unit[:60] for unit in H265[:5])
sets = [unit for unit in H265 if unit[0] >> 1 & 63 in PARAMETER_SETS[1]][:3]
seed("parameter_sets", "h265", pieces(1, (5, sample("h265-main.hvcC")), (0, frame), (4, prefixed(sets, 4))))
av1 = sample("av1.obu")[:200]
seed("parameter_sets", "av1", pieces(2, (0, av1), (5, sample("av1-10bit.av1C")), (0, av1)))

for name, data in {
    "h264": described("V_MPEG4/ISO/AVC", sample("h264-high.avcC")),
    "h265": described("V_MPEGH/ISO/HEVC", sample("h265-main.hvcC")),
    "av1": described("V_AV1", sample("av1.av1C")),
    "vp9": described("V_VP9 0 0 0 1280 720 33333333", b"\1\1\0\2\1\x1f\3\1\x08"),
    "mjpeg": described("V_MS/VFW/FOURCC 0 0 0 640 480 40000000", b"\x28\0\0\0" + b"\0" * 12 + b"MJPG" + b"\0" * 20),
    "aac": described("A_AAC", b"\x12\x10"),
    "aac-old": described("A_AAC/MPEG4/LC 44100 2 16"),
    "opus": described("A_OPUS 48000 2", OPUS),
    "alaw": described("A_MS/ACM 8000 1 8", ALAW),
    "pcm": described("A_PCM/INT/LIT 48000 2 16"),
    "data": described("D_KVS/CAPS", b"application/x-json"),
}.items():
    seed("describe", name, data)

BASE = 1_795_145_031_000
MARKER = tags(("AWS_KINESISVIDEO_END_OF_FRAGMENT", ""))
both = [cluster(BASE + at, block(1, 0, b"key"), block(2, 3, b"sound"), block(1, 40, b"", 0)) for at in (0, 1000, 2000)]
for name, data in {
    "tags": body(document(2, tags(("plate", "ZH 1234"), ("gate", "2")), both[0], MARKER, tags(("a", "b")), *both[1:])),
    "known-size": body(document(1, cluster(BASE, block(1, 0, b"key")), known=True), length=3),
    "open-clusters": body(document(1, *(cluster(BASE + at, block(1, 0, b"key"), size="ff") for at in (0, 9)))),
    "relative": body(document(2, *both).replace(BASE.to_bytes(8, "big"), bytes(8)), flags=1),
    "no-acks": body(document(2, *both), flags=2),
    "not-kept": body(document(2, *both), flags=4),
    "broken": body(document(2, *both)[:-3], flags=8),
    "idle": body(document(2, *both), flags=16),
    "old": body(document(2, *both), flags=24),
    "not-stored": body(document(2, *both), flags=32),
    "not-later": body(document(2, both[1], both[0])),
    "missing-track": body(document(3, *both)),
    "too-many-tags": body(document(2, tags(*((f"t{at}", "v") for at in range(11))), *both)),
    "reserved-tag": body(document(2, tags(("AWS_X", "v")), *both)),
    "empty-tags": body(document(2, *[tags()] * 12, *both)),
}.items():
    seed("service_ingest", name, data)
for name in ("ffmpeg-epoch", "ffmpeg-short-clusters", "gst-alaw", "mjpeg-pcm", "mkvmerge", "mkvmerge-block-groups", "mkvmerge-everything", "mkvmerge-lacing-xiph", "x265-b-frames-opus"):
    seed("service_ingest", name, body((MEDIA / f"{name}.mkv").read_bytes(), flags=1))

AWS = "AWS_KINESISVIDEO_"
NUMBERS = ["9134385233318143238773030204476768872849578393" + digit for digit in "67"]
whole = lambda at: tags((AWS + "MILLIS_BEHIND_NOW", "910"), (AWS + "CONTINUATION_TOKEN", NUMBERS[at]))
chunk = lambda at, *rest, time=f"{BASE / 1000:.3f}": document(
    2, tags(("plate", "ZH 1234")), tags((AWS + "FRAGMENT_NUMBER", NUMBERS[at]), (AWS + "SERVER_TIMESTAMP", "1795145032.5"), (AWS + "PRODUCER_TIMESTAMP", time)), *rest
)
missing = document(0, tags((AWS + "ERROR_CODE", "FRAGMENT_NOT_FOUND"), (AWS + "ERROR_ID", "3000"), (AWS + "FRAGMENT_NUMBER", NUMBERS[0])))
filled = cluster(BASE, block(1, 0, b"key"), block(2, 0, b"", 0x88), block(2, 0, b"\0", 0x89))
for name, data in {
    "live": b"\0" + chunk(0, both[0], whole(0)) + chunk(1, both[1], whole(1)) + b"\x40",
    "archive": b"\1" + chunk(0, both[0]) + missing + chunk(1, filled, time="5.000") + b"\x07",
    "cut": b"\0" + chunk(0, both[0]) + chunk(1, both[1])[:-5] + b"\xff",
    "empty": b"\0" + chunk(0, whole(0)) + missing + b"\x10",
    "nameless": b"\0" + document(1, both[0], whole(0)) + chunk(1, *[both[1]] * 5, whole(1)) + b"\x21",
    "full": b"\1" + chunk(0, cluster(BASE, *[block(1, at, b"frame") for at in range(60)])) + chunk(1, cluster(BASE, block(1, 0, bytes(21_000)))) + b"\xff",
}.items():
    seed("chunks", name, data)

HUB = "arn:aws:iot:us-west-2:111122223333:thing/hub"
SCHEDULE = {"DurationInSeconds": 60, "ScheduleExpression": "0 0 * * * ? *"}
EDGE = {
    "HubDeviceArn": HUB,
    "RecorderConfig": {"MediaSourceConfig": {"MediaUriSecretArn": "arn:aws:secretsmanager:us-west-2:111122223333:secret:s", "MediaUriType": "RTSP_URI"}, "ScheduleConfig": SCHEDULE},
    "UploaderConfig": {"ScheduleConfig": SCHEDULE},
    "DeletionConfig": {"EdgeRetentionInHours": 5, "DeleteAfterUpload": True, "LocalSizeConfig": {"MaxLocalMediaSizeInMB": 64, "StrategyOnFullSize": "DENY_NEW_MEDIA"}},
}
IMAGES = {"Status": "ENABLED", "ImageSelectorType": "SERVER_TIMESTAMP", "DestinationConfig": {"Uri": "s3://bucket", "DestinationRegion": "us-west-2"}, "SamplingInterval": 200, "Format": "JPEG", "FormatConfig": {"JPEGQuality": "80"}, "WidthPixels": 640}
CAM = {"StreamName": "cam2"}
for name, calls in {
    "life": [
        ("CreateStream", {"StreamName": "cam4", "DeviceName": "door", "MediaType": "video/h264,audio/aac", "KmsKeyId": "k", "DataRetentionInHours": 24, "Tags": {"a": "b"}, "StreamStorageConfiguration": {"DefaultStorageTier": "WARM"}}),
        ("DescribeStream", {"StreamARN": "@4"}),
        ("UpdateStream", {"StreamARN": "@4", "CurrentVersion": "$4", "DeviceName": "gate", "MediaType": "video/h265"}),
        ("UpdateDataRetention", {"StreamName": "cam4", "CurrentVersion": "$4", "Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 3}),
        ("UpdateStreamStorageConfiguration", {"StreamName": "cam4", "CurrentVersion": "$4", "StreamStorageConfiguration": {"DefaultStorageTier": "HOT"}}),
        ("GetDataEndpoint", {"StreamName": "cam4", "APIName": "PUT_MEDIA"}),
        ("DeleteStream", {"StreamARN": "@4", "CurrentVersion": "$4"}),
        ("CreateStream", {"StreamName": "cam4"}),
    ],
    "tags": [
        ("TagStream", {**CAM, "Tags": {"a": "b", "c": "d"}}),
        ("ListTagsForStream", CAM),
        ("UntagStream", {**CAM, "TagKeyList": ["a"]}),
    ],
    "lists": [
        ("CreateStream", {"StreamName": "dam"}),
        ("ListStreams", {"MaxResults": 2, "StreamNameCondition": {"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "cam"}}),
        ("ListStreams", {"MaxResults": 2, "NextToken": "63616d32"}),
    ],
    "configurations": [
        ("UpdateImageGenerationConfiguration", {**CAM, "ImageGenerationConfiguration": IMAGES}),
        ("DescribeImageGenerationConfiguration", CAM),
        ("UpdateNotificationConfiguration", {**CAM, "NotificationConfiguration": {"Status": "DISABLED", "DestinationConfig": {"Uri": "arn:aws:sns:us-west-2:111122223333:topic"}}}),
        ("DescribeNotificationConfiguration", CAM),
        ("DescribeMappedResourceConfiguration", CAM),
        ("DescribeStreamStorageConfiguration", CAM),
        ("UpdateImageGenerationConfiguration", CAM),
    ],
    "edge": [
        *(("StartEdgeConfigurationUpdate", {"StreamName": stream, "EdgeConfig": EDGE}) for stream in ("cam2", "cam3", "cam2")),
        ("DescribeEdgeConfiguration", CAM),
        ("ListEdgeAgentConfigurations", {"HubDeviceArn": HUB, "MaxResults": 1}),
        ("DeleteEdgeConfiguration", CAM),
    ],
}.items():
    seed("service_control", name, lines(*calls))

for at, message in enumerate(json.loads(VECTORS.read_text())["vectors"]):
    seed("service_signature", f"vector-{at}", head(message))
plain = {"method": "POST", "path": "/describeStream", "query": "", "headers": [("Content-Type", "application/json"), ("X-Two", "a  b"), ("x-two", "c")], "body": "{}"}
for name, data in {
    "own": head(plain, flags=1),
    "own-session": head(plain, flags=3),
    "own-query": head({**plain, "path": "/a/../b%20c//", "query": "b=2&a=%2f+&a=1"}, flags=1 | 2 << 2),
    "own-media": head({**plain, "path": "/putMedia"}, flags=3 | 1 << 2),
    "own-announced": head({**plain, "headers": [("x-amz-content-sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")]}, flags=1 | 4 << 2),
    "token": head({**plain, "headers": [("Host", "localhost"), ("X-Amz-Date", "20240102T030405Z"), ("X-Amz-Security-Token", "{token}"), ("Authorization", "AWS4-HMAC-SHA256 Credential=ASIA/20240102/us-west-2/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64)]}),
}.items():
    seed("service_signature", name, data)

PUT, ARN = "kinesisvideo:PutMedia", "arn:aws:kinesisvideo:us-west-2:111122223333:stream/eve-1/1588143003893"
own = statement("Allow", "kinesisvideo:*", "arn:aws:kinesisvideo:*:*:stream/${aws:username}-*/*")
but = {"Sid": "But", "Effect": "Deny", "NotAction": ["kinesisvideo:Put?edia", "kinesisvideo:Get*"], "NotResource": ["arn:aws:kinesisvideo"]}
for name, parts in {
    "own": [PUT, ARN, "eve", policy(own)],
    "denied": [PUT, ARN, "eve", policy(own), policy(statement("Deny", PUT, ARN))],
    "denied-all-but": [PUT, ARN, "bob", policy(own, but)],
    "nobody": [PUT, ARN, "", policy(own), policy(statement("Allow", "*", "*"), version="2008-10-17")],
    "stars": [PUT, ARN, "eve", policy(statement("Allow", "kinesisvideo:*?*a", "arn:*:*:*:*:*:*e*v*e*${*}${?}${$}*"))],
}.items():
    seed("service_policy", name, "\0".join(parts).encode())
key = lambda at: {"AccessKeyId": f"AKIA{at}", "SecretAccessKey": f"secret{at}"}
eve = {"Id": "AIDA1", "Name": "eve", "Keys": [key(1), key(2)], "Policies": [{"Name": "own", "Document": json.loads(policy(own, but))}]}
seed("service_policy", "identities", json.dumps({"Format": 1, "Root": {"Keys": [key(0)]}, "Users": [eve, {"Id": "AIDA2", "Name": "bob"}]}, indent=2).encode())

faults = [
    {"stream": "cam", "times": 2, "what": {"refuse": {"operation": "PutMedia", "status": 503}}},
    {"times": 1, "what": {"error_ack": {"fragment": 3, "id": 4004}}},
    *({"what": {name: {"millis": 20}}} for name in ("delay_acks", "expire_session", "skew_clock", "list_late", "end_get_media")),
    {"what": {"drop_acks": {"event": "PERSISTED"}}},
    *({"times": 3, "what": {name: {"bytes": 9}}} for name in ("close_after", "reset_after", "stall_after")),
    {"stream": "cam1", "what": "shuffle_lists"},
]
for at, fault in enumerate(faults):
    seed("service_faults", f"fault-{at}", json.dumps(fault).encode())
# Requests of the data plane: a byte for the operation, then headers or a body.
number = "91343852333181432392682062659367423407745400833"
requests = {
    "put-absolute": (0, "x-amzn-fragment-timecode-type: ABSOLUTE\nx-amzn-fragment-acknowledgment-required: 1"),
    "put-relative": (0, "x-amzn-fragment-timecode-type: RELATIVE\nx-amzn-producer-start-timestamp: 1600995182.7"),
    "get-now": (1, {"StreamName": "cam", "StartSelector": {"StartSelectorType": "NOW"}}),
    "get-after": (1, {"StartSelector": {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": number}}),
    "get-token": (1, {"StartSelector": {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": number}}),
    "get-time": (1, {"StartSelector": {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": 1.7e9}}),
    "list": (
        2,
        {
            "StreamName": "cam",
            "MaxResults": 7,
            "FragmentSelector": {
                "FragmentSelectorType": "PRODUCER_TIMESTAMP",
                "TimestampRange": {"StartTimestamp": 1, "EndTimestamp": 1.5e9},
            },
        },
    ),
    "list-token": (2, {"StreamARN": "arn", "NextToken": "A" * 60}),
    "media": (3, {"StreamName": "cam", "Fragments": [number, number]}),
    "images": (
        4,
        {
            "StreamName": "cam",
            "ImageSelectorType": "PRODUCER_TIMESTAMP",
            "StartTimestamp": 1,
            "EndTimestamp": 9.5,
            "SamplingInterval": 200,
            "Format": "JPEG",
            "FormatConfig": {"JPEGQuality": "50"},
            "WidthPixels": 320,
            "MaxResults": 3,
        },
    ),
}
for name, (operation, request) in requests.items():
    text = request if isinstance(request, str) else json.dumps(request)
    seed("service_bodies", name, bytes([operation]) + text.encode())


def pictures(quality, wanted, frames, media):
    big = lambda width, *values: b"".join(value.to_bytes(width, "big", signed=True) for value in values)
    said = [big(1, quality), big(2, 320, 0, 5), b"V_VP8", big(4, 2), b"pr", big(2, len(wanted)), big(8, *wanted)]
    entries = [big(8, time) + big(4, offset, length) for time, offset, length in frames]
    return b"".join([*said, big(4, len(entries)), *entries, media])


for name, data in {
    "request": pictures(80, [-5, 40], [(-5, 2, 3), (40, 5, 2)], b"xx12345yy"),
    "png": pictures(0, [0], [(0, 0, 9)], b"xx12345yy"),
    "picture": b"\0\xff\xd8picture",
    "failed": b"\2it is damaged",
}.items():
    seed("pictures", name, data)
seed("service_faults", "all", "\n".join(map(json.dumps, faults)).encode())

# Three frames of two tracks: the lead byte, a new track, the gap, the size.
frames = bytes([0x3C | 0x80, 0x0C]) + b"\1" + varint(6) + varint(10) + bytes([0x3D | 0x80, 0x0D]) + b"\2" + varint(7) + varint(300) + bytes([0x78, *zigzag(-40), *varint(20)])
numbers = varint(7) + varint(BASE) + varint(9)
fragment = b"\1" + numbers + zigzag(BASE * 1_000_000) + varint(1960) + zigzag(BASE) + varint(1_000_000) + string(b"header") + string(b"tags") + string(frames) + varint(2) + varint(64) + varint(65536) + varint(1026) + varint(10)
row = zigzag(BASE * 1_000_000) + varint(1960) + varint(5000) + varint(5) + varint(64) + varint(99)
wide = (7).to_bytes(8, "big") + BASE.to_bytes(8, "big") + (9).to_bytes(4, "big")
record = b"KVSr\2\0\0\0" + (3).to_bytes(8, "little") + (7).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(8)
for name, data in {
    "fragment": fragment,
    "frames": frames,
    "rows": varint(2) + (varint(3) + wide + row) * 2,
    "row": row,
    "number": wide,
    "use": varint(70_000) + varint(0) + varint(9) + varint(66_000),
    "stream": string(b"cam1") + string(b"default") + string(bytes(60)),
    "segment": b"KVSSEGMT\1\0\0\0" + (5).to_bytes(8, "little") + bytes(44),
    "trailer": b"KVSTRAIL" + (5).to_bytes(8, "little") + (4160).to_bytes(8, "little") + (99).to_bytes(4, "little") + bytes(36),
    "record": (5).to_bytes(8, "little") + (64).to_bytes(4, "little") + record,
    "keys": ("# keys\nnew " + "ab" * 32 + "\n old " + "01" * 32 + " # kept\n").encode(),
    "file": b"00000000000000ab.seg",
}.items():
    seed("service_store", name, data)

for name, data in {
    "nothing": b"\0",
    "crashed": b"\1",
    "index-again": b"\2",
    "flip": b"\0" + change(3, 4096 + 100, 0x4000),
    "write": b"\2" + change(0, 4096 + 700, 8, b"garbage!"),
    "zeros": b"\2" + change(4, 4096, 0x0400),
    "cut": b"\1" + change(5, 9000, 0),
    "longer": b"\0" + change(6, 9000, 9000),
    "copy": b"\3" + change(7, 4096, 500),
    "other": b"\2" + change(8, 4096, 30_000),
    "header": b"\0" + change(4, 0, 4096),
    "gone": b"\0" + change(9, 0, 0),
    "index": b"\0" + change(4, 4096, 20_000, file=13),
    "index-gone": b"\0" + change(9, 0, 0, file=13),
    "catalog": b"\0" + change(3, 4200, 0x0100, file=14),
    "fragment": b"\2" + change(11, 4096, len(fragment), fragment),
    "block": b"\2" + change(10, 4096, 5, b"block") + change(5, 6000, 0),
    "footer": b"\2" + change(13, 80_000, len(varint(1) + varint(1) + wide + row), varint(1) + varint(1) + wide + row),
}.items():
    seed("service_segments", name, data)
