"""Users may do what their policies say and nothing else; temporary credentials end, and are made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import service as services
from consumer import between
from matroska import body, media
from producer import media_headers, now_ms, numbers, open_session, put, signed
from service import ONCE, REGION, Service, environment
from wire import Call, refusal


def user(kvs: Service, name: str, *statements: dict[str, Any]) -> Credentials:
    """A user with a policy, made while the service runs."""
    said = services.kvs("users", "add", name, "--data", kvs.data).stdout
    if statements:
        document = kvs.folder / f"{name}.json"
        document.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        services.kvs("users", "policy", name, "tests", document, "--data", kvs.data)
    values = dict(line.split("=", 1) for line in said.split())
    who = Credentials(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
    # The service hears of a change by a signal: until it has, the key is nobody's.
    for _ in range(500):
        try:
            kvs.client("kinesisvideo", who).describe_stream(StreamName="nobody")
        except ClientError as error:
            if error.response["Error"]["Code"] != "UnrecognizedClientException":
                return who
    raise AssertionError("the service does not know its new user")


def arn_of(kvs: Service, stream: str) -> str:
    return kvs.control.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]


def code_of(call: Callable[..., Any], **arguments: Any) -> str | None:
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def test_a_user_of_one_stream_has_that_one(kvs: Service, stream: str, name: str) -> None:
    other = f"{name}.other"
    kvs.create(other)
    who = user(
        kvs,
        "one-stream",
        {"Effect": "Allow", "Action": "kinesisvideo:*", "Resource": f"arn:aws:kinesisvideo:*:*:stream/{stream}/*"},
    )
    control = kvs.client("kinesisvideo", who)
    assert control.describe_stream(StreamName=stream)["StreamInfo"]["StreamName"] == stream
    with pytest.raises(ClientError) as refused:
        control.describe_stream(StreamName=other)
    answer = refused.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (403, "AccessDeniedException")
    assert answer["Error"]["Message"] == (
        f"User: arn:aws:iam::111122223333:user/one-stream is not authorized to perform: kinesisvideo:DescribeStream on resource: {other}"
    )
    for arguments in ({"StreamARN": arn_of(kvs, other)}, {"StreamName": stream, "StreamARN": arn_of(kvs, other)}):
        assert code_of(control.describe_stream, **arguments) == "AccessDeniedException"
    assert code_of(control.list_streams) == "AccessDeniedException"
    assert code_of(control.create_stream, StreamName=name + ".new") == "AccessDeniedException"
    assert code_of(control.delete_stream, StreamARN=arn_of(kvs, other)) == "AccessDeniedException"

    assert len(numbers(put(kvs, stream, body(media(now_ms(), 1)), credentials=who))) == 1
    denied = refusal(kvs, signed(kvs, media_headers(other), who))
    assert (denied.status, denied.exception, denied.by_operation) == (403, "AccessDeniedException", True)
    for api, call in (
        (
            "GET_MEDIA",
            lambda client, which: client.get_media(StreamName=which, StartSelector={"StartSelectorType": "EARLIEST"}),
        ),
        (
            "LIST_FRAGMENTS",
            lambda client, which: client.list_fragments(
                StreamName=which, FragmentSelector=between("SERVER_TIMESTAMP", 0, 4e9)
            ),
        ),
    ):
        client = kvs.data_client(api, stream, who)
        call(client, stream)
        assert code_of(call, client=client, which=other) == "AccessDeniedException"


def test_denial_wins_and_actions_are_told_apart(kvs: Service, stream: str) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    who = user(
        kvs,
        "no-put",
        everything,
        {"Effect": "Deny", "Action": ["kinesisvideo:Put*", "kinesisvideo:Delete*"], "Resource": "*"},
    )
    control = kvs.client("kinesisvideo", who)
    assert control.list_streams()["StreamInfoList"]
    assert code_of(control.delete_stream, StreamARN=arn_of(kvs, stream)) == "AccessDeniedException"
    assert refusal(kvs, signed(kvs, media_headers(stream), who)).exception == "AccessDeniedException"


def test_a_user_without_policies_may_do_nothing_and_a_removed_one_is_nobody(kvs: Service, stream: str) -> None:
    who = user(kvs, "nothing")
    control = kvs.client("kinesisvideo", who)
    assert code_of(control.describe_stream, StreamName=stream) == "AccessDeniedException"
    assert code_of(control.describe_stream, StreamName="nobody") == "AccessDeniedException"
    services.kvs("users", "remove", "nothing", "--data", kvs.data)
    for _ in range(500):
        if code_of(control.describe_stream, StreamName=stream) == "UnrecognizedClientException":
            return
    raise AssertionError("the user is still known")


# --- temporary credentials ------------------------------------------------------------------------------------------


def temporary(kvs: Service, *flags: str) -> Credentials:
    said = json.loads(services.kvs("credentials", "--data", kvs.data, "--format", "json", *flags).stdout)["Credentials"]
    return Credentials(said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])


def test_temporary_credentials_end(kvs: Service, stream: str, no_faults: None) -> None:
    who = temporary(kvs, "--for", "15s")
    assert who.access_key.startswith("ASIA")
    control = kvs.client("kinesisvideo", who)
    assert control.describe_stream(StreamName=stream)
    assert len(numbers(put(kvs, stream, body(media(now_ms(), 1)), credentials=who))) == 1
    kvs.fault({"skew_clock": {"millis": 16_000}})
    with pytest.raises(ClientError) as refused:
        control.describe_stream(StreamName=stream)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )
    answer = refusal(kvs, signed(kvs, media_headers(stream), who))
    assert (answer.status, answer.exception, answer.by_operation) == (403, "ExpiredTokenException", False)


def test_temporary_credentials_may_do_less_than_their_user(kvs: Service, stream: str, tmp_path: Path) -> None:
    policy = tmp_path / "read.json"
    policy.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "kinesisvideo:Describe*", "Resource": "*"},
            }
        )
    )
    control = kvs.client("kinesisvideo", temporary(kvs, "--policy", str(policy)))
    assert control.describe_stream(StreamName=stream)
    assert code_of(control.list_streams) == "AccessDeniedException"


@pytest.mark.parametrize("change", [lambda token: None, lambda token: token[:-2] + "xx", lambda token: token + token])
def test_a_session_token_is_whole_or_nothing(kvs: Service, stream: str, change: Callable[[str], str | None]) -> None:
    who = temporary(kvs)
    assert who.token
    broken = Credentials(who.access_key, who.secret_key, change(who.token))
    assert (
        code_of(kvs.client("kinesisvideo", broken).describe_stream, StreamName=stream) == "UnrecognizedClientException"
    )


def test_a_session_outlives_the_credentials_that_opened_it(kvs: Service, stream: str, no_faults: None) -> None:
    with open_session(kvs, stream, credentials=temporary(kvs, "--for", "15s")) as session:
        assert session.answer.status == 200
        session.send(body(media(now_ms(), 1)))
        session.finish()
        assert len(numbers(session.acks())) == 1


def test_a_container_gets_credentials_from_the_service_and_gets_them_anew(
    kvs: Service, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = services.kvs(
        "credentials", "--data", kvs.data, "--format", "container-env", "--for", "15s", "--shell", "sh"
    ).stdout
    values = dict(
        line.removeprefix("export ").split("=", 1) for line in said.splitlines() if line.startswith("export ")
    )
    uri, token = (
        values[f"AWS_CONTAINER_{name}"].strip("'\"") for name in ("CREDENTIALS_FULL_URI", "AUTHORIZATION_TOKEN")
    )
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
    session = boto3.Session(region_name=REGION)
    provider = session.get_credentials()
    assert provider is not None and provider.method == "container-role"
    control = session.client("kinesisvideo", endpoint_url=kvs.url, config=ONCE)
    keys = set()
    for _ in range(3):
        # They end within botocore's ten minutes, so that it asks again before each call.
        assert control.describe_stream(StreamName=stream)
        keys.add(provider.get_frozen_credentials().access_key)
    assert len(keys) == 3 and all(key.startswith("ASIA") for key in keys)


@pytest.mark.parametrize("token", [None, "", "nobody", "Bearer nobody"])
def test_nobody_gets_credentials_without_the_token_of_a_user(kvs: Service, token: str | None) -> None:
    status, said = kvs.ask("GET", "/credentials?for=60", **({} if token is None else {"Authorization": token}))
    assert status in (401, 403) and "SecretAccessKey" not in said


def test_a_profile_can_ask_the_command_for_credentials(
    kvs: Service, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    process = f"{services.BINARY} credentials --data {kvs.data} --for 60s --format process"
    config.write_text(f"[profile local]\nregion = {REGION}\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    session = boto3.Session(profile_name="local")
    control = session.client("kinesisvideo", endpoint_url=kvs.url, config=ONCE)
    assert control.describe_stream(StreamName=stream)
    assert environment().get("AWS_CONFIG_FILE") is None


def test_keys_may_be_changed_without_a_pause(kvs: Service, stream: str) -> None:
    who = user(kvs, "two-keys", {"Effect": "Allow", "Action": "kinesisvideo:*", "Resource": "*"})
    services.kvs("users", "key", "two-keys", "--data", kvs.data)
    assert kvs.client("kinesisvideo", who).describe_stream(StreamName=stream)
    services.kvs("users", "key", "two-keys", "--revoke", who.access_key, "--data", kvs.data)
    for _ in range(500):
        if code_of(kvs.client("kinesisvideo", who).describe_stream, StreamName=stream) == "UnrecognizedClientException":
            return
    raise AssertionError("the key is still known")


def test_secrets_are_in_no_log(serve: Callable[..., Service], name: str) -> None:
    loud = serve("--log", "trace", "--allow-faults")
    loud.create(name)
    who = temporary(loud)
    put(loud, name, body(media(now_ms(), 1)), credentials=who)
    with Call(loud, signed(loud, media_headers("nobody"), who)) as call:
        call.head()
    assert code_of(
        loud.client("kinesisvideo", Credentials("AKIANOBODYNOBODYNOBO", "secret-that-is-wrong" * 2)).list_streams
    )
    loud.stop()
    log = loud.log.read_text()
    assert loud.credentials and "CreateStream" in log and "PutMedia" in log
    for secret in (loud.credentials.secret_key, who.secret_key, who.token, "secret-that-is-wrong"):
        assert secret and secret not in log
    for line in (loud.data / "master.key").read_text().split():
        assert len(line) < 32 or line not in log
