"""The words of the page "Learn": all languages say the same, and every word is used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dlka.ui import page_learn
from dlka.ui.learn import LANGUAGES, STEPS, words

OTHERS = [language for language in LANGUAGES if language != "en"]
# What has to be the same in every language: {placeholders}, figures, tags.
SAME = {"placeholders": r"\{\w+\}", "figures": r"\d+(?:\.\d+)?", "tags": r"</?[a-z]\w*[^>]*>"}
# What is written alike in two languages, by what it is.
ALIKE = {"levels.kernel", "offsets.one", "page.decimal", "sheet.name", "volume.cost_one", "volume.one"}
ALIKE |= {"volume.stage_name", "volume.encoder", "volume.decoder"}


def texts(node, path=()):
    """(path, text or number) of everything that a file of words says, depth first."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from texts(inner, (*path, key))
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from texts(inner, (*path, i))
    else:
        yield ".".join(map(str, path)), node


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_the_keys_placeholders_and_figures_of_english(language):
    english, other = dict(texts(words())), dict(texts(words(language)))
    assert list(other) == list(english)
    if language == "de":
        assert other["page.decimal"] == ","
        written = {path: text for path, text in other.items() if isinstance(text, str)}
        assert not [
            path for path, text in written.items() if re.search(r"\d\.\d", re.sub("<code>.*?</code>", "", text))
        ]
        other |= {path: re.sub(r"(?<=\d),(?=\d)", ".", text) for path, text in written.items()}
    for path, text in english.items():
        if not isinstance(text, str):  # the right choice, or a number
            assert other[path] == text, path
            continue
        for what, pattern in SAME.items():
            assert sorted(re.findall(pattern, other[path])) == sorted(re.findall(pattern, text)), (path, what)


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_left_in_english(language):
    english, other = dict(texts(words())), dict(texts(words(language)))
    for path, text in english.items():
        if isinstance(text, str) and path not in ALIKE:
            assert other[path] != text, path
            assert not re.search(r"(?<!\{)\b(the|and|of|is|are)\b", other[path]), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_can_be_answered(language):
    for step in STEPS:
        asked = words(language)[step]["questions"]
        assert len(asked) >= 2
        for question in asked:
            assert question["ask"]
            assert question["why"]
            if "number" in question:
                assert set(question) == {"ask", "number", "why"}
            else:
                assert question["right"] in range(len(question["choices"]))
                assert len(set(question["choices"])) == len(question["choices"])


def test_every_word_is_used_and_none_is_missing():
    own = Path(page_learn.FOLDER)
    sources = "".join(p.read_text() for p in (*own.glob("*.js"), *own.glob("*.html"), *own.glob("*.py")))
    computed = {"bar_", "figure_", "example_", "cost_", "chain_", "inside_", "in_use", "small", "unused", "shuffled"}
    computed |= {"no_step", "no_example", "no_lang", "dice_", "encoder", "decoder", "anterior", "posterior"}
    for piece, known in words().items():
        for word in known:
            made = any(word.startswith(start) for start in computed)
            assert made or re.search(rf'["\'.]{word}\b|\${word}\b', sources), f"{piece}: {word} is used nowhere"
    shared = words()["page"]
    page = {"lesson": shared} | {piece: words()[piece] for piece in page_learn.SCRIPTS}
    for piece, known in page.items():
        html = page_learn.read(f"{piece}.html") + (page_learn.read("step.html") if piece in STEPS else "")
        for word in re.findall(r"\$(\w+)", html):
            assert word in known or word in ("figure", "questions_word"), f"{piece}: ${word} is missing"
        for script in page_learn.SCRIPTS.get(piece, ()):
            for asked in re.findall(r"say\(([^,)]*)", page_learn.read(script)):
                for word in re.findall(r'"(\w+)"', asked):
                    assert word in known or word in shared, f"{piece}: {word} is missing"
    scripts = "".join(map(page_learn.read, ("common.js", "questions.js", "lesson.js")))
    for word in re.findall(r"words\.page\.(\w+)", scripts):
        assert word in shared, f"page: {word} is missing"


def test_the_page_gets_all_languages():
    sent = json.loads(page_learn.value())
    assert list(sent["words"]) == list(LANGUAGES) == ["en", "de", "zh"]
    assert sent["words"]["de"]["letter"]["title"] == "Ein Buchstabe, fünf Größen"
