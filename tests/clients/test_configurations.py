"""Image generation, notification, edge and mapped resources: kept, checked, and given back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from service import Service

IMAGES: dict[str, Any] = {
    "Status": "ENABLED",
    "ImageSelectorType": "PRODUCER_TIMESTAMP",
    "DestinationConfig": {"Uri": "s3://bucket/prefix", "DestinationRegion": "us-east-1"},
    "SamplingInterval": 200,
    "Format": "JPEG",
    "FormatConfig": {"JPEGQuality": "80"},
    "WidthPixels": 320,
    "HeightPixels": 240,
}
NOTIFICATION: dict[str, Any] = {
    "Status": "DISABLED",
    "DestinationConfig": {"Uri": "arn:aws:sns:us-west-2:111122223333:topic"},
}
HUB = "arn:aws:iot:us-west-2:111122223333:thing/hub"
SECRET = "arn:aws:secretsmanager:us-west-2:111122223333:secret:camera-a1b2c3"
EDGE: dict[str, Any] = {
    "HubDeviceArn": HUB,
    "RecorderConfig": {
        "MediaSourceConfig": {"MediaUriSecretArn": SECRET, "MediaUriType": "RTSP_URI"},
        "ScheduleConfig": {"ScheduleExpression": "0 0 8 ? * * *", "DurationInSeconds": 3600},
    },
    "UploaderConfig": {"ScheduleConfig": {"ScheduleExpression": "0 0 9 ? * * *", "DurationInSeconds": 60}},
    "DeletionConfig": {
        "EdgeRetentionInHours": 24,
        "LocalSizeConfig": {"MaxLocalMediaSizeInMB": 64, "StrategyOnFullSize": "DELETE_OLDEST_MEDIA"},
        "DeleteAfterUpload": False,
    },
}


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """A copy with one member changed."""
    whole = copy.deepcopy(value)
    inner, *names = [whole, *path.split(".")]
    for key in names[:-1]:
        inner = inner[key]
    inner[names[-1]] = new
    return whole


def test_image_generation_is_given_back_and_removed(kvs: Service, stream: str) -> None:
    control = kvs.control
    assert "ImageGenerationConfiguration" not in control.describe_image_generation_configuration(StreamName=stream)
    for wanted in (IMAGES, {**{key: IMAGES[key] for key in list(IMAGES)[:5]}, "Format": "PNG", "Status": "DISABLED"}):
        control.update_image_generation_configuration(StreamName=stream, ImageGenerationConfiguration=wanted)
        assert (
            control.describe_image_generation_configuration(StreamName=stream)["ImageGenerationConfiguration"] == wanted
        )
    control.update_image_generation_configuration(StreamName=stream)
    assert "ImageGenerationConfiguration" not in control.describe_image_generation_configuration(StreamName=stream)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("SamplingInterval", 199),
        ("Format", "GIF"),
        ("Status", "MAYBE"),
        ("ImageSelectorType", "NOW"),
        ("DestinationConfig.Uri", "bucket"),
        ("DestinationConfig.DestinationRegion", "the-moon-is-far-9"),
        ("FormatConfig", {"JPEGQuality": "101"}),
        ("WidthPixels", 3841),
        ("HeightPixels", 2161),
    ],
)
def test_wrong_image_generation_is_refused(kvs: Service, stream: str, path: str, value: Any) -> None:
    with pytest.raises(kvs.control.exceptions.InvalidArgumentException):
        kvs.control.update_image_generation_configuration(
            StreamName=stream, ImageGenerationConfiguration=changed(IMAGES, path, value)
        )
    assert "ImageGenerationConfiguration" not in kvs.control.describe_image_generation_configuration(StreamName=stream)


def test_notification_is_given_back_and_removed(kvs: Service, stream: str) -> None:
    control = kvs.control
    control.update_notification_configuration(StreamName=stream, NotificationConfiguration=NOTIFICATION)
    assert control.describe_notification_configuration(StreamName=stream)["NotificationConfiguration"] == NOTIFICATION
    for uri in ("topic", NOTIFICATION["DestinationConfig"]["Uri"] + ".fifo"):
        with pytest.raises(control.exceptions.InvalidArgumentException):
            control.update_notification_configuration(
                StreamName=stream, NotificationConfiguration=changed(NOTIFICATION, "DestinationConfig.Uri", uri)
            )
    control.update_notification_configuration(StreamName=stream)
    assert "NotificationConfiguration" not in control.describe_notification_configuration(StreamName=stream)


def test_a_stream_that_keeps_nothing_has_no_such_configuration(kvs: Service, name: str) -> None:
    kvs.create(name, hours=0)
    control = kvs.control
    with pytest.raises(control.exceptions.NoDataRetentionException):
        control.update_image_generation_configuration(StreamName=name, ImageGenerationConfiguration=IMAGES)
    with pytest.raises(control.exceptions.NoDataRetentionException):
        control.update_notification_configuration(StreamName=name, NotificationConfiguration=NOTIFICATION)
    with pytest.raises(control.exceptions.NoDataRetentionException):
        control.start_edge_configuration_update(StreamName=name, EdgeConfig=EDGE)


def test_an_edge_configuration_waits_for_an_agent_and_is_deleted(kvs: Service, stream: str) -> None:
    control, missing = kvs.control, kvs.control.exceptions.StreamEdgeConfigurationNotFoundException
    with pytest.raises(missing) as refused:
        control.describe_edge_configuration(StreamName=stream)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    started = control.start_edge_configuration_update(StreamName=stream, EdgeConfig=EDGE)
    assert (started["EdgeConfig"], started["SyncStatus"], started["StreamName"]) == (EDGE, "SYNCING", stream)
    described = control.describe_edge_configuration(StreamName=stream)
    assert described["EdgeConfig"] == EDGE and described["CreationTime"] == started["CreationTime"]
    with pytest.raises(control.exceptions.ResourceInUseException):
        control.start_edge_configuration_update(StreamName=stream, EdgeConfig=EDGE)
    control.delete_edge_configuration(StreamName=stream)
    for call in (control.describe_edge_configuration, control.delete_edge_configuration):
        with pytest.raises(missing):
            call(StreamName=stream)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("HubDeviceArn", "arn:aws:iot:us-west-2:1:hub"),
        ("RecorderConfig.MediaSourceConfig.MediaUriSecretArn", "arn:aws:s3:us-west-2:1:secret:long-enough"),
        ("RecorderConfig.MediaSourceConfig.MediaUriType", "HTTP_URI"),
        ("RecorderConfig.ScheduleConfig.DurationInSeconds", 3601),
        ("UploaderConfig.ScheduleConfig.ScheduleExpression", "0 0 9 ? * " + "*" * 100),
        ("DeletionConfig.EdgeRetentionInHours", 721),
        ("DeletionConfig.LocalSizeConfig.MaxLocalMediaSizeInMB", 2_000_001),
        ("DeletionConfig.LocalSizeConfig.StrategyOnFullSize", "EXPLODE"),
    ],
)
def test_a_wrong_edge_configuration_is_refused(kvs: Service, stream: str, path: str, value: Any) -> None:
    with pytest.raises(kvs.control.exceptions.InvalidArgumentException):
        kvs.control.start_edge_configuration_update(StreamName=stream, EdgeConfig=changed(EDGE, path, value))


def test_the_streams_of_a_hub_are_listed_in_pages(kvs: Service, name: str) -> None:
    hub = f"{HUB}-{name}"
    names = [f"{name}.{number}" for number in range(7)]
    for each in names:
        kvs.create(each)
        kvs.control.start_edge_configuration_update(StreamName=each, EdgeConfig={**EDGE, "HubDeviceArn": hub})
    pages = list(kvs.control.get_paginator("list_edge_agent_configurations").paginate(HubDeviceArn=hub))
    assert [[config["StreamName"] for config in page["EdgeConfigs"]] for page in pages] == [names[:5], names[5:]]
    assert kvs.control.list_edge_agent_configurations(HubDeviceArn=HUB + "-other")["EdgeConfigs"] == []


def test_no_channel_is_mapped_to_a_stream(kvs: Service, stream: str) -> None:
    assert (
        kvs.control.describe_mapped_resource_configuration(StreamName=stream)["MappedResourceConfigurationList"] == []
    )
