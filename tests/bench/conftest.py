"""A running page of the benches' own: crowds and abandoned requests leave work that other tests would wait for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlka.ui.app import serve


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address; closed after each file of tests."""
    app = serve(block=False)
    yield app.local_url
    app.close()
