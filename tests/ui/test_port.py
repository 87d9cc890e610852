"""A port that cannot be listened on is told before any model loads."""

from __future__ import annotations

import re
import socket

import pytest

from dlka.cli import main
from dlka.ui import app
from dlka.ui.app import check_port


@pytest.fixture
def taken():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_taken_port_is_one_sentence_before_the_models_load(taken, monkeypatch, capsys):
    monkeypatch.setattr(app, "first_look", lambda: pytest.fail("models are loaded"))
    assert main(["serve", "--port", str(taken)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"dlka: Port {taken} at 127.0.0.1 is taken already: stop what listens there, or choose another port "
        "(python -m dlka serve --port NUMBER).\n"
    )


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        (None, 0, "Port: expected 1 to 65535, got 0."),
        (None, -1, "Port: expected 1 to 65535, got -1."),
        (None, 65536, "Port: expected 1 to 65535, got 65536."),
        (None, 10**30, "Port: expected 1 to 65535, got 1000"),
        ("no.such.machine.invalid", 7860, "Host: expected a name or an address of this machine, got 'no.such"),
        ("x" * 300, 7860, "Host: expected a name"),
        ("a b\n", 7860, "Host: expected a name"),
        ("no.such.machine.invalid", None, "Host: expected a name or an address of this machine, got 'no.such"),
        ("192.0.2.1", None, "Host: 192.0.2.1 cannot be listened on: "),
        ("192.0.2.1", 7860, "Port 7860 at 192.0.2.1 cannot be listened on: "),  # an address that no machine has
    ],
)
def test_what_is_no_place_to_listen(host, port, says, monkeypatch, capsys):
    monkeypatch.setattr(app, "first_look", lambda: pytest.fail("models are loaded"))
    flags = {"--host": host, "--port": port}
    assert main(["serve", *(str(word) for flag in flags.items() if flag[1] is not None for word in flag)]) == 2
    said = capsys.readouterr().err
    assert re.match(re.escape(f"dlka: {says}"), said)
    assert said.count("\n") == 1


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_free_port_is_left_free(family, host):
    try:
        with socket.socket(family) as one:
            one.bind((host, 0))
            free = one.getsockname()[1]
    except OSError:
        pytest.skip("no such addresses on this machine")
    check_port(host, free)
    with socket.socket(family) as one:
        one.bind((host, free))
