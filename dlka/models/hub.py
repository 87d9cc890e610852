"""Weights to and from a repository of the Hugging Face hub, by huggingface_hub; only when somebody asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlka.errors import DlkaError
from dlka.models.weights import load_card

SUFFIX = ".safetensors"


def push(weights: Path, repo: str, said: str, private: bool = False) -> str:
    """Write a weights file, which holds its card, and a README into a repository; returns the address.

    repo: "name/repository", made where there is none; said: what the README says of the model, Markdown; private: of a
    new repository. Raises DlkaError, also where nobody is logged in or the hub does not answer.
    """
    card = load_card(weights)
    licence = "agpl-3.0" if card.licence == "AGPL-3.0" else "other"  # the hub knows licences by its own short names
    head = f"---\nlicense: {licence}\npipeline_tag: object-detection\ntags: [dlka, yolov8]\n---\n"
    use = f'```python\n# after: dlka pull {repo}\nimport dlka\n\ndlka.load("{weights.name}")("picture.jpg")\n```\n'
    with _hub(repo) as hub:
        address = hub.create_repo(repo, private=private, exist_ok=True)
        readme = f"{head}\n# {weights.stem}\n\n{said}\n\n{use}".encode()
        hub.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id=repo)
        hub.upload_file(path_or_fileobj=weights, path_in_repo=weights.name, repo_id=repo)
    return str(address)


def pull(repo: str, out: Path | None = None) -> Path:
    """Get the one weights file of a repository, checked; returns where it is: out, by default its name here.

    Raises DlkaError for a file that is there already, for none or several in the repository, for one that is no model,
    and as `push`.
    """
    with _hub(repo) as hub:
        found = [name for name in hub.list_repo_files(repo) if name.endswith(SUFFIX)]
        if len(found) != 1:
            raise DlkaError(f"{repo}: expected one {SUFFIX} file in it; got {', '.join(found[:5]) or 'none'}.")
        out = out or Path(Path(found[0]).name)
        if out.exists():
            raise DlkaError(f"{out} is there already; give another name: --out FILE.")
        file = Path(hub.hf_hub_download(repo, found[0]))
    load_card(file)
    shutil.copyfile(file, out)
    return out


@contextmanager
def _hub(repo: str) -> Iterator[Any]:
    """The hub's own client, whose refusals become sentences."""
    import huggingface_hub
    from httpx import HTTPError
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        yield huggingface_hub.HfApi()
    except (OSError, HTTPError, EntryNotFoundError, HFValidationError) as error:  # most of its own are OSErrors
        said = " ".join(str(error).split())
        raise DlkaError(f"{repo}: the hub said no: {said:.300}") from error
