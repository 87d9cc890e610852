"""What the page gives: its endpoints and their answers, every figure to take along, recipes, and what stands on it.

Everything is asked of a running `python -m dlka serve` over HTTP, and recipes of `python -m dlka replay`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.golden import commands, digest
from tests.golden.alike import differences
from tests.golden.digest import ROOT

STORED = Path(__file__).with_name("stored")
# Name -> picture, model, baseline (empty: the fitting one), size in pixels (0: what fits), strength.
LOOKS: dict[str, tuple[Path, str, str, int, float]] = {
    "scene": (commands.SCENE, "scenes", "", 0, 1.0),
    "street": (commands.photograph("bus.jpg"), "head", "control", 320, 1.0),
    "dots": (commands.DOTS, "neck", "control", 320, 0.5),
    "people": (commands.photograph("zidane.jpg"), "residual", "control", 320, 2.0),
    "own": (commands.CASES / "data/roboflow/train/images/traina.jpg", "residual", "control", 64, 1.0),
    "rigid": (commands.SCENE, "scenes-rigid", "scenes-control", 0, 1.0),  # without offsets
}
STILL = {"shrink": 1.0, "rotate": 0.0, "right": 0.0, "down": 0.0, "blur": 0.0, "brightness": 1.0}
SMALL = STILL | {"shrink": 0.6, "rotate": 30.0, "right": 4.0, "blur": 1.0, "brightness": 0.8}
OFFSETS = {
    "stage": "P3 5x5",
    "overlay": "Magnitude",
    "tap": 0,
    "opacity": 0.7,
    "scale": "All stages",
    "x": None,
    "y": None,
}
GATE = {"block": "P3", "reduction": "mean", "channel": 0, "opacity": 0.65}
WHAT_IF = {"picture": "difference", "kind": "learned", "strength": 0.0, "stages": "", "seed": 0, "example": ""}
WAYS = ("baseline", "rigid LKA", "D-LKA", "sliced baseline")
LONGEST_ANSWER = 300  # seconds
Asked = tuple[str, str, dict[str, Any]]  # a key of LOOKS, a figure's kind and its arguments


def _figures() -> dict[str, Asked]:
    """Every kind of figure, with every choice that a visitor has in it, by a name of its own."""
    found: dict[str, Asked] = {}

    def add(look: str, kind: str, named: str = "", /, **arguments: Any) -> None:
        found[f"{look}: {kind}{f', {named}' if named else ''}"] = (look, kind, arguments)

    for look in ("scene", "street", "rigid"):
        for side in ("dlka", "baseline"):
            add(look, "boxes", side, side=side)
        add(look, "difference")
        add(look, "crops")
    for overlay in ("Magnitude", "Arrows", "Flow colours", "Sample density"):
        add("scene", "offsets", overlay, **OFFSETS | {"overlay": overlay})
    add("people", "offsets", "this stage", **OFFSETS | {"stage": "P4 7x7 d3", "scale": "This stage"})
    add("scene", "offsets", "one tap and a point", **OFFSETS | {"tap": 7, "x": 210.0, "y": 180.0, "opacity": 0.4})
    add("dots", "offsets", "own scale", **OFFSETS | {"stage": "P5 5x5", "overlay": "Arrows", "scale": 1.5})
    add("scene", "reads", "one stage", view="P3 7x7 d3", row=20, column=15)
    add("scene", "condensation", "one stage", stage="P3 5x5")
    add("street", "condensation", "composed", stage="P3 composed")
    add("dots", "receptive field", stage="P5 5x5", row=3, column=4)
    add("dots", "samples", x=200.0, y=150.0)
    for look in ("scene", "street"):
        add(look, "samples", x=200.0, y=150.0)
        add(look, "reads", "composed", view="P3 composed", row=10, column=12)
        add(look, "receptive field", stage="P3 5x5", row=12, column=14)
        add(look, "spread")
    for reduction in ("mean", "mean abs", "max abs", "channel"):
        add("scene", "attention", reduction, **GATE | {"reduction": reduction, "channel": 3})
    add("street", "attention", **GATE | {"block": "P5"})
    for look, box in (("scene", "dlka 0"), ("scene", "baseline 1"), ("street", "baseline 0")):
        add(look, "box cells", box, box=box)
        add(look, "box samples", box, box=box)
    for side in ("dlka", "baseline"):
        for of in ("layercam", "gradient"):
            add("scene", "box evidence", f"{side}, {of}", box="dlka 0", side=side, of=of)
        add("scene", "adapted", side, side=side, number=1, **SMALL)
    add("street", "box evidence", "baseline, layercam", box="baseline 0", side="baseline", of="layercam")
    add("street", "adapted", "baseline", side="baseline", number=1, **SMALL)
    add("scene", "adapted samples", "object", stage="P3 5x5", number=1, x=None, y=None, **SMALL)
    add("street", "adapted samples", "point", stage="P3 5x5", number=None, x=200.0, y=150.0, **STILL)
    for picture in ("difference", "learned", "changed"):
        add("scene", "what if", f"off, {picture}", **WHAT_IF | {"picture": picture})
    for way in WAYS:
        add("scene", "four ways", way, way=way)
    add("street", "four ways", "sliced baseline", way="sliced baseline")
    add("street", "what if", "off, difference", **WHAT_IF)
    add("scene", "what if", "turned round", **WHAT_IF | {"strength": -1.0, "stages": "P3 7x7 d3"})
    add("scene", "what if", "shuffled", **WHAT_IF | {"kind": "shuffled", "strength": 1.0, "seed": 3})
    other = "Drawn scene: rings, 11 to 88 px"
    add("scene", "what if", "another picture's", **WHAT_IF | {"kind": "given", "strength": 1.0, "example": other})
    add("scene", "what if", "gate off", **WHAT_IF | {"kind": "gate off", "strength": 1.0})
    add("rigid", "attention", **GATE)
    add("own", "difference")
    return found


FIGURES = _figures()
# One figure of every kind, whose recipe is stored whole and must make the same for ever.
MACHINE = ("versions", "device", "arithmetic")  # parts of a recipe
RECIPES = sorted({asked[1]: name for name, asked in reversed(FIGURES.items())}.values()) + ["own: difference"]


def endpoints() -> dict[str, Any]:
    """Every named endpoint with its parameters and answers, the tools for assistants, and sentences for bad values."""
    names = served().client.view_api(return_format="dict", print_info=False)
    tools = _json(f"{served().address}/gradio_api/mcp/schema")
    found: dict[str, Any] = {"named endpoints": value(names), "tools for assistants": value(tools)}
    return found | {name: _answer(*call) for name, call in CALLS.items()} | asyncio.run(_assisted())


def figures() -> dict[str, Any]:
    """Every figure: its drawing as PNG, SVG and PDF, its caption, its recipe and its numbers."""
    return {name: _figure(name)[1] for name in FIGURES}


def recipes() -> dict[str, Any]:
    """The recipes of a figure of every kind as the page writes them."""
    return {name: _figure(name)[0] for name in RECIPES}


def comparable(recipes: dict[str, Any]) -> dict[str, Any]:
    """Recipes without what another machine or number of threads changes; the arrays are compared by `figures`."""
    found = {}
    for name, recipe in recipes.items():
        arrays = {n: f"{a['dtype']} {a['shape']}" for n, a in recipe["arrays"].items()}
        machine = {k: sorted(recipe[k]) if isinstance(recipe[k], dict) else "" for k in MACHINE if k in recipe}
        found[name] = recipe | machine | {"arrays": arrays}
    return found


def replays() -> dict[str, Any]:
    """What `python -m dlka replay` makes of every stored recipe; files that are as the page's are not told twice."""
    recipes, drawn = (json.loads((STORED / f"{n}.json").read_text(encoding="utf-8")) for n in ("recipes", "figures"))
    found = {}
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        folder = Path(name).resolve()
        for number, (figure, recipe) in enumerate(recipes.items()):
            (folder / f"{number}.json").write_text(json.dumps(recipe), encoding="utf-8")
            told = commands.run(f"replay {number}.json --out {number}", folder, longest=20_000)
            found[figure] = _replayed(told, drawn[figure], recipe)
    return found


def _replayed(told: dict[str, Any], drawn: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    files = {name.partition("/")[2]: made for name, made in told.get("files", {}).items()}
    for ending in ("png", "svg", "pdf", "npz"):
        if f"figure.{ending}" in files and all(d.near for d in differences(drawn[ending], files[f"figure.{ending}"])):
            files[f"figure.{ending}"] = "as the page's"
    if files.get("figure.recipe.json") == value(recipe):
        files["figure.recipe.json"] = "as the page's"
    same = sum(line.endswith("]: same") for line in told["out"])
    others = [line for line in told["out"] if not line.endswith("]: same")]
    return told | {"files": files, "out": others, "arrays that are the same": same}


def shown() -> dict[str, Any]:
    """What stands on every page as it opens: each component with its words and choices."""
    found = {}
    for name, path in {"Explore": "", "Many pictures": "many", "Learn": "learn"}.items():
        html = urllib.request.urlopen(f"{served().address}/{path}", timeout=60).read().decode()
        config = _config(html)
        here = {c["id"]: c for c in config["components"]}
        parts = [_component(here[i]) for i in _in_order(config["page"][path]["layout"]) if i in here]
        found[name] = {f"{n:03d} {p.pop('type')}": p for n, p in enumerate(filter(None, parts))}
        found[f"{name}, the page's head"] = value(re.findall(r"<title>.*?</title>", html))
    return found


def _calls() -> dict[str, tuple[str, list[Path], dict[str, Any]]]:
    """Calls by their names: an endpoint, the picture that is sent if there is one, and the other arguments."""
    found: dict[str, tuple[str, list[Path], dict[str, Any]]] = {}

    def add(name: str, endpoint: str, look: str, /, **arguments: Any) -> None:
        picture, model, baseline, size, strength = LOOKS[look]
        usual: dict[str, Any] = {"model": model, "size": size}
        if endpoint in ("compare", "figure"):
            usual |= {"baseline": baseline, "strength": strength}
        found[name] = (endpoint, [picture], usual | arguments)

    for look in LOOKS:
        add(f"compare, {look}", "compare", look)
        add(f"stages, {look}", "stages", look)
    found["compare, defaults"] = ("compare", [LOOKS["street"][0]], {})
    add("compare, confidence", "compare", "street", confidence=0.6, iou=0.3)
    for kind in ("Magnitude", "Arrows", "Flow colours", "Sample density"):
        add(f"offset_overlay, {kind}", "offset_overlay", "dots", kind=kind, stage="P4 5x5")
    add("offset_overlay, tap", "offset_overlay", "scene", tap=3, scale_cells=2.0, opacity=0.5)
    add("attention_overlay", "attention_overlay", "dots")
    add("attention_overlay, channel", "attention_overlay", "dots", reduction="channel", channel=2, block="P4")
    add("probe, scene", "probe", "scene", x=120.0, y=90.0)
    add("probe, street", "probe", "street", x=400.0, y=500.0)
    add("refused: model", "compare", "scene", model="nothing")
    add("refused: other classes", "compare", "scene", baseline="control")
    add("refused: size", "compare", "scene", size=33)
    add("refused: type", "compare", "scene", size="320")
    add("refused: confidence", "compare", "scene", confidence=3.0)
    add("refused: strength", "compare", "scene", strength=9.0)
    add("refused: stage", "offset_overlay", "scene", stage="P9")
    add("refused: no stages", "offset_overlay", "rigid")
    add("refused: a stock model", "compare", "street", model="control", baseline="head")
    add("refused: overlay", "offset_overlay", "scene", kind="Rainbow")
    add("refused: tap", "offset_overlay", "scene", tap=99)
    add("refused: block", "attention_overlay", "scene", block="P9")
    add("refused: reduction", "attention_overlay", "scene", reduction="median")
    add("refused: channel", "attention_overlay", "scene", reduction="channel", channel=9999)
    add("refused: point", "probe", "scene", x=-900.0, y=0.0)
    add("refused: kind of figure", "figure", "scene", kind="nothing", arguments={})
    add("refused: arguments of figure", "figure", "scene", kind="boxes", arguments={})
    add("refused: type in figure", "figure", "scene", kind="boxes", arguments={"side": 3})
    add("refused: side of figure", "figure", "scene", kind="boxes", arguments={"side": "left"})
    cell = {"view": "P3 5x5", "row": 999, "column": 0}
    add("refused: cell of figure", "figure", "scene", kind="reads", arguments=cell)
    add("refused: box of figure", "figure", "scene", kind="box cells", arguments={"box": "dlka 99"})
    return found


CALLS = _calls()
DRAWN = {"example": "Dots and curves, 4 to 64 px", "model": "neck"}
# Questions of assistants, who speak MCP: a tool and its arguments.
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "compare_image, example": ("compare_image", {"example": "Bus stop"}),
    "compare_image, first": ("compare_image", {}),
    "list_stages": ("list_stages", DRAWN),
    "list_stages, first": ("list_stages", {"strength": 0.5}),
    "probe_cell": ("probe_cell", {"stage": "P3 composed", "row": 10, "column": 12}),
    "probe_cell, one stage": ("probe_cell", {"stage": "P4 5x5", "row": 1, "column": 2} | DRAWN),
    "refused: example": ("compare_image", {"example": "Nothing"}),
    "refused: tool's stage": ("probe_cell", {"stage": "P9", "row": 1, "column": 1}),
}


class Served(NamedTuple):
    """A running page: its process, its address, a client of it, and the folder of what the client fetches."""

    process: subprocess.Popen[bytes]
    address: str
    client: Client
    folder: tempfile.TemporaryDirectory[str]


@cache
def served() -> Served:
    """The page, started when it is first asked; it stays for all sections, until `stop`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, argv = f"http://127.0.0.1:{port}", [sys.executable, "-m", "dlka", "serve", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        try:
            _wait(address, process, log)
        except BaseException:
            process.terminate()
            raise
    folder = tempfile.TemporaryDirectory(prefix="golden-")
    return Served(process, address, Client(address, verbose=False, download_files=folder.name), folder)


def stop() -> None:
    """End the page, if it was started."""
    if served.cache_info().currsize:
        page = served()
        page.process.terminate()
        page.process.wait(60)
        page.folder.cleanup()
        served.cache_clear()


def _wait(address: str, process: subprocess.Popen[bytes], log: Any) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        if process.poll() is not None:
            log.seek(0)
            raise SystemExit(f"The page did not start: {log.read().decode()[-2000:]}")
        time.sleep(1)
    raise SystemExit("The page did not answer within five minutes.")


@cache
def _figure(name: str) -> tuple[Any, Any]:
    """A figure's recipe, and the digests of all its files."""
    look, kind, arguments = FIGURES[name]
    picture, model, baseline, size, strength = LOOKS[look]
    given = {"kind": kind, "arguments": arguments, "model": model, "baseline": baseline}
    try:
        recipe, *files = served().client.predict(
            handle_file(str(picture)), **given, size=size, strength=strength, api_name="/figure"
        )
    except AppError as error:
        return None, {"refused": digest.normalised(str(error))}
    about = {"caption": recipe["caption"], "figure": recipe["figure"]}
    return recipe, about | {Path(path).suffix[1:]: digest.file(Path(path)) for path in files}


def _answer(endpoint: str, pictures: list[Path], arguments: dict[str, Any]) -> Any:
    """An endpoint's answer: JSON as it is, files as digests; a refusal as its sentence."""
    asked = served().client.submit(*map(handle_file, map(str, pictures)), **arguments, api_name=f"/{endpoint}")
    try:
        answer = asked.result(timeout=LONGEST_ANSWER)
    except TimeoutError:
        raise SystemExit(f"/{endpoint} has not answered {arguments} within {LONGEST_ANSWER} s.") from None
    except (AppError, ValueError) as error:
        return {"refused": digest.normalised(str(error))}
    return value(answer)


async def _assisted() -> dict[str, Any]:
    """The answers to QUESTIONS: what is told, and digests of pictures."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    found = {}
    async with (
        streamablehttp_client(f"{served().address}/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as client,
    ):
        await client.initialize()
        for name, question in QUESTIONS.items():
            answer = await client.call_tool(*question)
            found[name] = {
                "refused": answer.isError,
                "told": [
                    digest.pixels(base64.b64decode(part.data)) if part.type == "image" else value(part.text)
                    for part in answer.content
                ],
            }
    return found


def value(given: Any) -> Any:
    """The digest of an answer, in which files that were fetched are digests of what is in them."""
    if isinstance(given, list | tuple) and any(isinstance(v, str) and _is_file(v) for v in given):
        return [value(v) for v in given]
    if isinstance(given, str):
        if _is_file(given):
            return digest.file(Path(given))
        with contextlib.suppress(ValueError):
            if given[:1] in "[{":
                return value(json.loads(given))
    return digest.value(given)


def _is_file(text: str) -> bool:
    return text.startswith("/") and len(text) < 500 and Path(text).is_file()


def _json(address: str) -> Any:
    return json.loads(urllib.request.urlopen(address, timeout=60).read())


def _config(html: str) -> dict[str, Any]:
    found = re.search(r"window\.gradio_config = (\{.*?\});?\s*</script>", html, re.DOTALL)
    if found is None:
        raise SystemExit("The page holds no gradio_config: gradio has changed.")
    return json.loads(found[1])


def _in_order(layout: dict[str, Any]) -> Iterator[int]:
    if "id" in layout:
        yield layout["id"]
    for child in layout.get("children", []):
        yield from _in_order(child)


def _component(part: dict[str, Any]) -> dict[str, Any] | None:
    """A component's kind and words; None for one without any."""
    props = part["props"]
    kept = ("label", "info", "choices", "minimum", "maximum", "step", "placeholder", "interactive", "visible", "open")
    about = {k: digest.value(props[k]) for k in kept if props.get(k) not in (None, [], "")}
    told = props.get("value")
    if isinstance(told, str) and told:
        about["value"] = digest.text(without_served(told), 250)
    elif isinstance(told, int | float | list):
        about["value"] = digest.value(told)
    words = set(about) - {"interactive", "visible", "open"}
    return {"type": part["type"], **about} if words else None


def without_served(text: str) -> str:
    """A component's text without pictures inside it, addresses of files, and keys of comparisons."""
    text = re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+", "PICTURE", text)
    text = re.sub(r"/tmp/[^\s\"'<>\\]+", "FILE", text)
    return digest.normalised(text)
