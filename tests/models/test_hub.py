"""Models to and from a hub: here a folder stands in for it, and no network is asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError

from dlka.cli import main
from dlka.errors import DlkaError
from dlka.models import catalog, own
from dlka.models.catalog import find
from dlka.models.hub import pull, push
from dlka.models.weights import load_card, with_card


class Hub:
    """What dlka uses of huggingface_hub.HfApi, in a folder."""

    folder: Path

    def create_repo(self, repo_id, private, exist_ok):
        (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return f"hub/{repo_id}{' (private)' if private else ''}"

    def upload_file(self, *, path_or_fileobj, path_in_repo, repo_id):
        data = path_or_fileobj if isinstance(path_or_fileobj, bytes) else Path(path_or_fileobj).read_bytes()
        (self.folder / repo_id / path_in_repo).write_bytes(data)

    def list_repo_files(self, repo_id):
        if not (self.folder / repo_id).is_dir():
            raise EntryNotFoundError("404: there is no such repository")
        return [path.name for path in (self.folder / repo_id).iterdir()]

    def hf_hub_download(self, repo_id, filename):
        return str(self.folder / repo_id / filename)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", type("Standin", (Hub,), {"folder": tmp_path / "hub"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def test_what_is_pushed_is_pulled(hub, capsys):
    assert main(["push", "scenes", "me/scenes", "--private"]) == 0
    assert main(["pull", "me/scenes"]) == 0
    assert capsys.readouterr().out == "Written: hub/me/scenes (private).\nWritten: scenes.safetensors.\n"
    assert Path("scenes.safetensors").read_bytes() == find("scenes").read_bytes()
    said = (hub / "me/scenes/README.md").read_text()
    assert said.startswith("---\nlicense: agpl-3.0\n")
    assert "AP 61.0" in said
    assert 'dlka.load("scenes.safetensors")' in said
    with pytest.raises(DlkaError, match="is there already"):
        pull("me/scenes")
    assert load_card(pull("me/scenes", Path("other.safetensors"))).placement == "one-level"


def test_what_is_no_model_is_refused(hub):
    push(find("scenes"), "me/two", "A model.")
    shutil.copy(find("control"), hub / "me/two/control.safetensors")
    with pytest.raises(DlkaError, match=r"expected one \.safetensors file in it; got"):
        pull("me/two")
    (hub / "me/two/control.safetensors").unlink()
    (hub / "me/two/scenes.safetensors").write_bytes(b"nothing")
    with pytest.raises(DlkaError, match=r"scenes\.safetensors"):
        pull("me/two")
    assert not Path("scenes.safetensors").exists()
    with pytest.raises(DlkaError, match=r"me/none: the hub said no: .*no such repository"):
        pull("me/none")


@pytest.mark.slow
@pytest.mark.parametrize("repo", ["me/nothing", "no repository"])
def test_the_real_client_is_refused_in_a_sentence(tmp_path, repo):
    """Its own offline mode, and its own check of a name, so that no network is asked."""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "dlka", "pull", repo]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"dlka: {repo}: the hub said no: ")
    assert done.stderr.count("\n") == 1


def test_a_file_of_ones_own_is_pushed(hub, monkeypatch):
    monkeypatch.setattr(own, "ADDED", [])
    monkeypatch.setattr(catalog, "ADDED", own.ADDED)
    card = replace(load_card(find("scenes")), licence="that of the checkpoint it was converted from")
    with_card(find("scenes"), Path("mine.safetensors"), card)
    assert main(["push", "mine.safetensors", "me/mine"]) == 0
    said = (hub / "me/mine/README.md").read_text()
    assert "license: other\n" in said, "the hub takes no sentence for a licence"
    assert "# mine" in said
    assert (hub / "me/mine/mine.safetensors").read_bytes() == Path("mine.safetensors").read_bytes()
