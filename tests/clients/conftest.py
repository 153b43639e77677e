"""What the tests have in common: services and streams."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service import Service

_number = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """No credentials, profiles or endpoints of whoever runs the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true"
    )


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """Starts services; all of them have to end well with the module."""
    services: list[Service] = []

    def start(*flags: str, **more: Any) -> Service:
        service = Service(tmp_path_factory.mktemp("service"), *flags, **more)
        services.append(service)
        return service.start()

    yield start
    wrong = []
    for service in services:
        try:
            service.stop()
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, wrong


@pytest.fixture(scope="module")
def kvs(serve: Callable[..., Service]) -> Service:
    """The service of a module. Its tests use streams of their own."""
    return serve("--allow-faults")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", request.node.name)[:80] + f".{next(_number)}"


@pytest.fixture
def stream(kvs: Service, name: str) -> str:
    """A stream of this test, which keeps what it is sent."""
    kvs.create(name)
    return name


@pytest.fixture
def no_faults(kvs: Service) -> Iterator[None]:
    """Takes back what faults the test has commanded."""
    yield
    kvs.ask("DELETE", "/faults")


_seen: dict[Service, int] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for service in Service.running:
        _seen[service] = _size(service.log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A test that fails shows what the services had to say meanwhile."""
    report = yield
    if report.failed:
        for service in Service.running:
            with service.log.open("rb") as log:
                log.seek(_seen.get(service, 0))
                said = log.read().decode(errors="replace")
            if said:
                report.sections.append((f"stderr of kvs serve at {service.url}", said[-4000:]))
    return report


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
