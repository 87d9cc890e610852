"""Temporary files: one folder of bounded size, gone with the process, and a full disk is told."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi import FastAPI, UploadFile
from fastapi.testclient import TestClient
from filelock import FileLock

from dlka import temporary
from dlka.bench.visitor import Visitor, pictures
from dlka.errors import DlkaError
from dlka.ui.toolkit import gr
from dlka.ui.uploads import Uploads


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own for a test, of 1000 bytes."""
    monkeypatch.setattr(temporary, "folder", lambda: str(tmp_path))
    monkeypatch.setattr(temporary, "LIMIT", 1000)
    monkeypatch.setattr(temporary, "used", 0)
    monkeypatch.setattr(temporary, "lasting", set())
    return tmp_path


def write(size, name="a.bin", kept=False):
    path = Path(temporary.write(b"x" * size, name, kept))
    time.sleep(0.01)  # so that files have an order
    return path


def test_the_oldest_files_make_room(folder):
    made = [write(300) for _ in range(5)]
    assert [path.exists() for path in made] == [False, False, True, True, True]
    assert not made[0].parent.exists(), "no empty folder is left"
    assert made[2].stat().st_mode & 0o777 == 0o644


def test_what_every_visitor_is_given_stays(folder):
    first = write(400, kept=True)
    built = write(300)
    temporary.keep_all()
    made = [write(250) for _ in range(5)]
    assert first.exists()
    assert built.exists()
    assert [path.exists() for path in made] == [False] * 4 + [True]


def test_files_that_others_write_into_the_folder_count(folder, monkeypatch):
    upload = folder / "hash" / "upload.jpg"
    upload.parent.mkdir()
    upload.write_bytes(b"x" * 900)
    monkeypatch.setattr(temporary, "RECOUNT", 0)
    newer = write(300)
    assert not upload.exists()
    assert newer.exists()


def test_folders_of_several_files_count(folder):
    run = Path(temporary.new_folder())
    for number in range(5):
        temporary.write_to(run / f"{number}.jpg", b"x" * 300)
        time.sleep(0.01)
    assert sorted(path.name for path in run.iterdir()) == ["2.jpg", "3.jpg", "4.jpg"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(server, monkeypatch, number):
    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    visitor = Visitor(server.rstrip("/"))
    visitor.show_picture(next(pictures(1)))
    visitor.values["Input size, px"] = 320
    for place, name in ((Path, "write_bytes"), (temporary.tempfile, "mkdtemp")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, full)
            with pytest.raises(DlkaError, match=r"refused Compare: The disk is full here, .*try again later\.$"):
                visitor.change("Compare", "click")
    assert visitor.change("Compare", "click") > 0


def test_half_a_file_is_not_left(folder, monkeypatch):
    whole = Path.write_bytes

    def half(path, data):
        whole(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        write(100)
    assert not list(folder.rglob("*.bin"))


def test_a_folder_that_somebody_has_removed_is_made_again(folder):
    shutil.rmtree(folder)
    assert write(10).read_bytes() == b"x" * 10


def uploading(error=None):
    """A server with the middleware, whose upload address fails with an error."""
    app = FastAPI()

    @app.post("/gradio_api/upload")
    async def upload(files: UploadFile) -> int:
        if error:
            raise error
        return len(await files.read())

    app.add_middleware(Uploads)
    return TestClient(app)


def test_an_upload_onto_a_full_disk_is_told():
    answer = uploading(OSError(errno.ENOSPC, "No space left on device")).post(
        "/gradio_api/upload", files={"files": b"x"}
    )
    assert answer.status_code == 507
    assert answer.text.startswith("The disk is full here")
    with pytest.raises(OSError, match="broken"):
        uploading(OSError(errno.EIO, "broken")).post("/gradio_api/upload", files={"files": b"x"})


def test_uploads_make_room_before_they_come(folder):
    old = write(800)
    answer = uploading().post("/gradio_api/upload", files={"files": b"x" * 500})
    assert (answer.status_code, answer.json()) == (200, 500)
    assert not old.exists()


def test_what_an_upload_only_says_that_it_will_send_takes_no_room(folder):
    old = write(800)
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": "850"}
    with suppress(Exception):  # the server gets less than was said
        uploading().post("/gradio_api/upload", content=iter([b"--x\r\n"]), headers=headers)
    assert old.exists()
    answer = uploading().post("/gradio_api/upload", content=b"", headers=headers | {"content-length": "20000000000"})
    assert answer.status_code == 413
    assert answer.text.startswith("This is more than fits at once: at most ")
    assert old.exists()


def test_an_upload_without_a_length_counts_as_it_comes(folder):
    old = write(800)
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"x" * 300 + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = uploading().post("/gradio_api/upload", content=iter([body]), headers=headers)
    assert (answer.status_code, answer.json()) == (200, 300)
    assert not old.exists()
    answer = uploading().post("/gradio_api/upload", content=iter([body[:100], b"x" * 2000]), headers=headers)
    assert answer.status_code == 413


def test_nothing_else_is_large_or_a_form(monkeypatch):
    answer = uploading().post("/gradio_api/component_server/", files={"files": b"x"})
    assert (answer.status_code, answer.text) == (415, "Files are sent to /upload, and to nowhere else.")
    monkeypatch.setattr("dlka.ui.uploads.MOST", 100)
    assert uploading().post("/gradio_api/queue/join", content=b"x" * 101).status_code == 413
    assert uploading().post("/gradio_api/queue/join", content=b"x" * 99).status_code == 404


def test_gradio_puts_uploads_there_and_copies_nothing():
    folder = temporary.folder()
    path = temporary.write(b"\xff\xd8\xff", "a.jpg")
    image = gr.Image(type="filepath")
    assert Path(image.GRADIO_CACHE) == Path(folder)
    assert image.move_resource_to_block_cache(path) == path


HOLD = "from dlka import temporary; import time; print(temporary.folder(), flush=True); time.sleep(100)"


@pytest.mark.slow
def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path, monkeypatch):
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    alive, dead = (
        subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        stays, left = (Path(process.stdout.readline().strip()) for process in (alive, dead))
        (tmp_path / "dlka-other").mkdir()
        dead.kill()
        dead.wait()
        assert left.is_dir(), "nobody could remove it"
        monkeypatch.setattr(temporary, "NEW", 0)
        temporary.remove_left(tmp_path)
        assert not left.exists()
        assert stays.is_dir()
        assert (tmp_path / "dlka-other").is_dir(), "a folder without a lock is not ours"
    finally:
        alive.kill()
        alive.wait()


def test_a_folder_that_is_just_made_is_left_alone(tmp_path):
    made = tmp_path / "dlka-new"
    made.mkdir()
    with FileLock(made / temporary.LOCK):
        pass
    (made / temporary.LOCK).touch()
    temporary.remove_left(tmp_path)
    assert made.is_dir()


# A shell that starts the tests in the background may have them ignore SIGINT.
SERVE = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from dlka.ui.app import serve
serve(port={port})
"""
START = 300  # seconds for a page that compiles its kernels first


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_page_that_is_stopped_leaves_no_file(tmp_path, number):
    """A real page, stopped by a signal after it has answered."""
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    environment.pop("GRADIO_TEMP_DIR", None)
    code = SERVE.format(port=port)
    page = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    late = threading.Timer(START, page.kill)
    late.start()
    try:
        assert any("Running on local URL" in line for line in page.stdout), "the page has ended before it answered"
        urllib.request.urlopen(f"http://127.0.0.1:{port}").read()
        assert len(list(tmp_path.glob("dlka-*/*/*"))) > 3
        page.send_signal(number)
        assert page.wait(60) == -number, "it ends at once, by the signal"
        assert not list(tmp_path.glob("dlka-*"))
        assert not (tmp_path / "gradio").exists()
    finally:
        late.cancel()
        page.kill()
        page.wait()
