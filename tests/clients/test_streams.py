"""Streams, as boto3 makes, finds, changes and deletes them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service import UNCHECKED, Service

APIS = [
    "PUT_MEDIA",
    "GET_MEDIA",
    "LIST_FRAGMENTS",
    "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL",
    "GET_DASH_STREAMING_SESSION_URL",
    "GET_CLIP",
    "GET_IMAGES",
]
ARN = re.compile(r"arn:aws:kinesisvideo:us-west-2:111122223333:stream/([a-zA-Z0-9_.-]+)/(\d+)")


def test_a_new_stream_is_described_as_it_was_asked_for(kvs: Service, name: str) -> None:
    created = kvs.control.create_stream(
        StreamName=name,
        DeviceName="door",
        MediaType="video/h264,audio/aac",
        DataRetentionInHours=48,
        Tags={"place": "Zürich", "empty": ""},
        StreamStorageConfiguration={"DefaultStorageTier": "WARM"},
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", created["ResponseMetadata"]["RequestId"])
    arn = created["StreamARN"]
    found = ARN.fullmatch(arn)
    assert found and found[1] == name
    by_name = kvs.control.describe_stream(StreamName=name)["StreamInfo"]
    assert kvs.control.describe_stream(StreamARN=arn)["StreamInfo"] == by_name
    assert kvs.control.describe_stream(StreamARN=arn, StreamName=name)["StreamInfo"] == by_name
    assert re.fullmatch(r"[a-zA-Z0-9]{20}", by_name.pop("Version"))
    made: datetime.datetime = by_name.pop("CreationTime")
    assert abs(made - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    assert round(made.timestamp() * 1000) == int(found[2])
    assert by_name == {
        "DeviceName": "door",
        "StreamName": name,
        "StreamARN": arn,
        "MediaType": "video/h264,audio/aac",
        "KmsKeyId": "arn:aws:kms:us-west-2:111122223333:alias/aws/kinesisvideo",
        "Status": "ACTIVE",
        "DataRetentionInHours": 48,
    }
    assert kvs.control.list_tags_for_stream(StreamName=name)["Tags"] == {"place": "Zürich", "empty": ""}
    tier = kvs.control.describe_stream_storage_configuration(StreamName=name)
    assert (tier["StreamName"], tier["StreamARN"]) == (name, arn)
    assert tier["StreamStorageConfiguration"] == {"DefaultStorageTier": "WARM"}


def test_a_name_is_taken_until_its_stream_is_deleted(kvs: Service, name: str) -> None:
    old = kvs.create(name)
    with pytest.raises(kvs.control.exceptions.ResourceInUseException) as refused:
        kvs.create(name)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused.value.response["Error"]["Message"] == f"The stream {name} already exists."
    kvs.control.delete_stream(StreamARN=old)
    with pytest.raises(kvs.control.exceptions.ResourceNotFoundException) as refused:
        kvs.control.describe_stream(StreamName=name)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert refused.value.response["Error"]["Message"] == "The requested stream is not found or not active."
    new = kvs.create(name)
    assert new != old
    for call in (kvs.control.describe_stream, kvs.control.delete_stream):
        with pytest.raises(kvs.control.exceptions.ResourceNotFoundException):
            call(StreamARN=old)
    assert kvs.control.describe_stream(StreamName=name)["StreamInfo"]["StreamARN"] == new


def test_a_change_needs_the_latest_version_and_makes_a_new_one(kvs: Service, stream: str) -> None:
    control = kvs.control
    info = control.describe_stream(StreamName=stream)["StreamInfo"]
    versions = [info["Version"]]
    changes: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (control.update_stream, {"DeviceName": "gate", "MediaType": "video/h265"}),
        (control.update_stream, {"MediaType": "audio/aac"}),
        (control.update_data_retention, {"Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 24}),
        (control.update_data_retention, {"Operation": "DECREASE_DATA_RETENTION", "DataRetentionChangeInHours": 47}),
        (control.update_stream_storage_configuration, {"StreamStorageConfiguration": {"DefaultStorageTier": "WARM"}}),
    ]
    for change, arguments in changes:
        with pytest.raises(control.exceptions.VersionMismatchException) as refused:
            change(StreamName=stream, CurrentVersion="x" * 20, **arguments)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        change(StreamName=stream, CurrentVersion=versions[-1], **arguments)
        with pytest.raises(control.exceptions.VersionMismatchException):
            change(StreamName=stream, CurrentVersion=versions[-1], **arguments)
        versions.append(control.describe_stream(StreamName=stream)["StreamInfo"]["Version"])
    assert len(set(versions)) == len(versions)
    after = control.describe_stream(StreamName=stream)["StreamInfo"]
    assert (after["DeviceName"], after["MediaType"], after["DataRetentionInHours"]) == ("gate", "audio/aac", 1)
    assert (after["StreamARN"], after["CreationTime"]) == (info["StreamARN"], info["CreationTime"])
    storage = control.describe_stream_storage_configuration(StreamARN=info["StreamARN"])
    assert storage["StreamStorageConfiguration"]["DefaultStorageTier"] == "WARM"
    with pytest.raises(control.exceptions.VersionMismatchException):
        control.delete_stream(StreamARN=info["StreamARN"], CurrentVersion=versions[0])
    control.delete_stream(StreamARN=info["StreamARN"], CurrentVersion=versions[-1])


@pytest.mark.parametrize(
    ("operation", "hours"),
    [("INCREASE_DATA_RETENTION", 87_577), ("DECREASE_DATA_RETENTION", 25), ("INCREASE_DATA_RETENTION", 0)],
)
def test_retention_stays_between_nothing_and_ten_years(kvs: Service, stream: str, operation: str, hours: int) -> None:
    control = kvs.client("kinesisvideo", config=UNCHECKED)
    version = control.describe_stream(StreamName=stream)["StreamInfo"]["Version"]
    with pytest.raises(control.exceptions.InvalidArgumentException):
        control.update_data_retention(
            StreamName=stream, CurrentVersion=version, Operation=operation, DataRetentionChangeInHours=hours
        )
    control.update_data_retention(
        StreamName=stream,
        CurrentVersion=version,
        Operation="INCREASE_DATA_RETENTION",
        DataRetentionChangeInHours=87_576,
    )
    assert control.describe_stream(StreamName=stream)["StreamInfo"]["DataRetentionInHours"] == 87_600


def test_streams_are_listed_in_pages_and_by_the_beginning_of_their_names(kvs: Service, name: str) -> None:
    names = [f"{name}.{letter}{number}" for letter in "ab" for number in range(7)]
    for each in reversed(names):
        kvs.create(each)
    pages = kvs.control.get_paginator("list_streams").paginate(
        StreamNameCondition={"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": f"{name}."},
        PaginationConfig={"PageSize": 4},
    )
    found = [[info["StreamName"] for info in page["StreamInfoList"]] for page in pages]
    assert [len(page) for page in found] == [4, 4, 4, 2]
    assert sorted(sum(found, [])) == names
    only = kvs.control.list_streams(
        StreamNameCondition={"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": f"{name}.b"}, MaxResults=7
    )
    assert [info["StreamName"] for info in only["StreamInfoList"]] == names[7:]
    assert only.get("NextToken") is None
    assert only["StreamInfoList"][0] == kvs.control.describe_stream(StreamName=names[7])["StreamInfo"]
    everything = kvs.control.get_paginator("list_streams").paginate().build_full_result()["StreamInfoList"]
    assert set(names) <= {info["StreamName"] for info in everything}
    first = kvs.control.list_streams(MaxResults=1)
    assert len(first["StreamInfoList"]) == 1 and re.fullmatch(r"[a-zA-Z0-9+/=]{1,1024}", first["NextToken"])


def test_tags_are_added_replaced_and_taken_away(kvs: Service, stream: str) -> None:
    control, arn = kvs.control, kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    control.tag_stream(StreamName=stream, Tags={"a": "1", "b": "2"})
    control.tag_stream(StreamARN=arn, Tags={"b": "3", "c d": "+-=._:/@ ü"})
    answer = control.list_tags_for_stream(StreamARN=arn)
    assert answer["Tags"] == {"a": "1", "b": "3", "c d": "+-=._:/@ ü"} and answer.get("NextToken") is None
    control.untag_stream(StreamName=stream, TagKeyList=["a", "never"])
    assert control.list_tags_for_stream(StreamName=stream)["Tags"] == {"b": "3", "c d": "+-=._:/@ ü"}


def test_a_stream_has_fifty_tags_and_no_more(kvs: Service, stream: str, name: str) -> None:
    control = kvs.control
    control.tag_stream(StreamName=stream, Tags={f"k{number}": "v" for number in range(50)})
    control.tag_stream(StreamName=stream, Tags={"k7": "again"})
    with pytest.raises(control.exceptions.TagsPerResourceExceededLimitException):
        control.tag_stream(StreamName=stream, Tags={"one": "more"})
    with pytest.raises(control.exceptions.TagsPerResourceExceededLimitException):
        kvs.create(name + ".tagged", Tags={f"k{number}": "v" for number in range(51)})
    assert len(control.list_tags_for_stream(StreamName=stream)["Tags"]) == 50


@pytest.mark.parametrize("api", APIS)
def test_every_api_has_an_endpoint_at_this_listener(kvs: Service, stream: str, api: str) -> None:
    arn = kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    assert kvs.control.get_data_endpoint(StreamName=stream, APIName=api)["DataEndpoint"] == kvs.url
    assert kvs.control.get_data_endpoint(StreamARN=arn, APIName=api)["DataEndpoint"] == kvs.url
    with pytest.raises(kvs.control.exceptions.ResourceNotFoundException):
        kvs.control.get_data_endpoint(StreamName=stream + ".other", APIName=api)


def test_an_api_that_there_is_not_has_no_endpoint(kvs: Service, stream: str) -> None:
    with pytest.raises(kvs.control.exceptions.InvalidArgumentException):
        kvs.control.get_data_endpoint(StreamName=stream, APIName="GET_COFFEE")


def test_the_endpoint_is_under_the_name_that_the_client_used(kvs: Service, stream: str) -> None:
    port = kvs.address[1]
    named = kvs.client("kinesisvideo", endpoint_url=f"http://localhost:{port}")
    assert named.get_data_endpoint(StreamName=stream, APIName="PUT_MEDIA")["DataEndpoint"] == f"http://localhost:{port}"


def test_a_stream_that_is_not_there_is_the_same_error_everywhere(kvs: Service, name: str) -> None:
    control = kvs.control
    versioned: dict[str, Any] = {"StreamName": name, "CurrentVersion": "v"}
    calls: dict[str, dict[str, Any]] = {
        "describe_stream": {"StreamName": name},
        "update_stream": versioned,
        "update_data_retention": {**versioned, "Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 1},
        "update_stream_storage_configuration": {
            **versioned,
            "StreamStorageConfiguration": {"DefaultStorageTier": "HOT"},
        },
        "describe_stream_storage_configuration": {"StreamName": name},
        "tag_stream": {"StreamName": name, "Tags": {"a": "b"}},
        "untag_stream": {"StreamName": name, "TagKeyList": ["a"]},
        "list_tags_for_stream": {"StreamName": name},
        "describe_image_generation_configuration": {"StreamName": name},
        "update_image_generation_configuration": {"StreamName": name},
        "describe_notification_configuration": {"StreamName": name},
        "update_notification_configuration": {"StreamName": name},
        "describe_mapped_resource_configuration": {"StreamName": name},
        "describe_edge_configuration": {"StreamName": name},
        "delete_edge_configuration": {"StreamName": name},
        "delete_stream": {"StreamARN": f"arn:aws:kinesisvideo:us-west-2:111122223333:stream/{name}/1"},
    }
    for operation, arguments in calls.items():
        with pytest.raises(ClientError) as refused:
            getattr(control, operation)(**arguments)
        assert isinstance(refused.value, control.exceptions.ResourceNotFoundException), (operation, refused.value)


def test_what_is_set_outlives_the_service(serve: Callable[..., Service], name: str) -> None:
    service = serve()
    service.create(name, hours=5, Tags={"kept": "yes"})
    before = service.control.describe_stream(StreamName=name)["StreamInfo"]
    service.stop()
    service.start()
    again = service.client("kinesisvideo")
    assert again.describe_stream(StreamName=name)["StreamInfo"] == before
    assert again.list_tags_for_stream(StreamName=name)["Tags"] == {"kept": "yes"}
