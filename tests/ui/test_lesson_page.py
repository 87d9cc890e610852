# ruff: noqa: RUF001 (− is the page's)
"""The page "Learn" in a real browser: links to its steps, languages, questions, pupils' page, projector, the chain."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from bilinear_read import read_bilinear
from learn_window import TOO_WIDE, go, kept_open, opened
from page_tabs import wait_until_it_fits
from playwright.sync_api import expect

from dlka.drawn.letter_file import load_letter
from dlka.ui.learn import EXAMPLE_MAP, LANGUAGES, STEPS, example, words

PAGE = words()["page"]
# What every step shows first.
PROJECTED = [
    *(".letter-told", ".taps-told", ".stack-told", ".offsets-told"),
    *(".chain-links", ".gate-residual", ".levels-told", ".test-models", ".volume-told"),
]


@pytest.fixture(scope="module")
def lesson(browser, server):
    with kept_open(browser, server) as page:
        yield page


def title(page):
    return page.locator(".learn-page h2:visible").inner_text()


def question(page, number):
    return page.locator(".learn-step:visible .learn-question").nth(number)


def test_a_link_opens_a_step_and_its_example(browser, server):
    page = opened(browser, server, "?step=6&example=scratches")
    assert title(page) == words()["gate"]["title"]
    expect(page.locator(".gate-example")).to_have_value("scratches")
    page.locator(".gate-told").get_by_text("channel ").wait_for()
    page.locator(".learn-steps a").nth(1).click()
    assert title(page) == words()["taps"]["title"]
    expect(page).to_have_url(re.compile(r"\?step=2$"))
    page.locator(".learn-turn:visible .next").click()
    expect(page).to_have_url(re.compile(r"\?step=3$"))
    page.goto(f"{server}learn?step=1&example=H")
    expect(page.locator(".letter-choose [aria-pressed=true]")).to_have_text("H")
    page.locator(".letter-choose button").get_by_text("X").click()
    expect(page).to_have_url(re.compile("example=X"))
    assert page.locator(".learn-note").is_hidden()
    page.goto(f"{server}learn?step=99&example=<b>{'cat' * 500}&lang=fr")
    page.locator("h2:visible").get_by_text(words()["letter"]["title"]).wait_for()
    note = page.locator(".learn-note span")
    expect(note).to_contain_text(PAGE["no_lang"].format(value="fr"))
    expect(note).to_contain_text(PAGE["no_step"].format(value="99"))
    expect(note).to_contain_text(PAGE["no_example"].format(value="<b>" + "cat" * 9 + "…"))
    expect(page).to_have_url(re.compile("learn$"))  # links and reloads ask for what is there
    page.get_by_role("button", name=PAGE["close"]).click()
    expect(note).to_be_hidden()
    page.goto(f"{server}learn?step=2&lang=de&example=E")
    expect(note).to_have_text(words("de")["page"]["no_example"].format(value="E"))
    assert page.evaluate("() => document.documentElement.lang") == "de"
    assert page.strangers == page.errors == []
    page.context.close()


def test_questions_say_why_after_a_right_answer_or_a_second_wrong_one(lesson):
    go(lesson, "taps")
    for step in ("offsets", "corners"):
        go(lesson, step)
        for number, asked in enumerate(words()[step]["questions"]):
            form = question(lesson, number)
            verdict = form.locator(".learn-verdict")
            if "number" in asked:
                form.locator("input").fill("many")
                form.locator("input").press("Enter")
                expect(verdict).to_have_text(PAGE["no_number"])
                right, *wrong = (str(asked["number"] + away).replace(".", ",") for away in (0, 1, 2))
            else:
                right, wrong = asked["right"], [i for i in range(len(asked["choices"])) if i != asked["right"]]
            # The first wrong answer once more is no second try.
            said = [(wrong[0], "again"), (wrong[0], "again"), (wrong[1], "wrong"), (right, "right")]
            for answer, word in said:
                if "number" in asked:
                    form.locator("input").fill(answer)
                else:
                    form.locator("input").nth(answer).check()
                form.get_by_role("button", name=PAGE["check"]).press("Enter")
                expect(verdict).to_have_class(f"learn-verdict {'right' if word == 'right' else 'wrong'}")
                why = "" if word == "again" else " " + " ".join(re.sub(r"<[^>]+>", "", asked["why"]).split())
                expect(verdict).to_have_text(PAGE[word] + why)


def test_the_pupils_page_has_no_answers_and_no_way_out(browser, server):
    page = opened(browser, server)
    page.locator(".learn-pupil").click()
    page.locator(".learn-pupil-here").wait_for()
    assert page.locator("input[type=checkbox], .learn-pupil").count() == 0
    form = question(page, 0)
    form.locator("input").fill("32")
    form.locator("input").press("Enter")
    expect(form.locator(".learn-verdict")).to_have_text(PAGE["noted"])
    page.locator(".learn-steps a").nth(3).click()
    assert {"pupil=1", "step=4"} <= set(page.url.split("?")[1].split("&"))
    every = page.locator(".learn-steps a, .learn-turn a, .learn-languages a").evaluate_all(
        "all => all.map(a => a.href)"
    )
    assert len(every) > 20
    assert all("pupil=1" in address for address in every)
    with page.expect_download() as waiting:
        page.locator(".learn-print").press("Enter")
    sheet = waiting.value.path().read_text(encoding="utf-8")
    assert all(asked["ask"] in sheet and asked["why"] not in sheet for s in STEPS for asked in words()[s]["questions"])
    page.goto(f"{server}learn?teacher=1")  # older links
    page.locator(".learn-pupil-here").wait_for()
    assert page.strangers == page.errors == []
    page.context.close()


def test_the_projector_shows_one_step_large_and_light(browser, server):
    page = opened(browser, server, "?step=5", color_scheme="dark")
    small = page.locator(".learn-text:visible p").first.bounding_box()["height"]
    page.locator(".learn-projector").click()
    expect(page).to_have_url(re.compile("projector=1"))
    shown = page.locator(".learn-step:visible")
    assert shown.locator(".learn-text p").first.bounding_box()["height"] > 1.2 * small
    assert page.locator(".learn-lead, .learn-print, .nav-holder, footer").locator("visible=true").count() == 0
    dark = "() => getComputedStyle(document.querySelector('.learn-text p')).color"
    assert max(int(v) for v in re.findall(r"\d+", page.evaluate(dark))[:3]) < 100
    box = page.locator(".corners-map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    place = page.locator(".corners-map").evaluate("s => [s.told.y, s.told.x]")
    assert place == pytest.approx([1.5, 1.5], abs=0.1)  # a pointer is where it is seen
    page.locator("h2:visible").focus()
    page.keyboard.press("ArrowRight")
    assert title(page) == words()["gate"]["title"]
    page.keyboard.press("PageUp")
    assert title(page) == words()["corners"]["title"]
    page.wait_for_function(f"() => !({TOO_WIDE})().length")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert (page.evaluate("() => document.activeElement.tagName"), outline) == ("H2", "none")  # put there by the script
    # A projector of 1280 x 720 shows a step's picture, its words and its first question at once.
    page.set_viewport_size({"width": 1280, "height": 720})
    for step, shown in zip(STEPS, PROJECTED, strict=True):
        go(page, step)
        for part in (shown, ".learn-question"):
            box = page.locator(f"#step-{step} {part}").first.bounding_box()
            assert box["y"] + box["height"] + page.evaluate("scrollY") <= 720, (step, part)
    marks = page.locator(".learn-steps b").all_inner_texts()
    assert len(set(marks)) == len(marks)
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("projector"))
    assert page.locator(".learn-lead").is_visible()
    assert page.strangers == page.errors == []
    page.context.close()


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_the_lesson_in_another_language_fits_a_phone(browser, server, language):
    page = opened(browser, server, "?step=2", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator(".learn-languages a").get_by_text(LANGUAGES[language]).click()
    page.wait_for_url(re.compile(f"lang={language}"))
    told = words(language)
    page.locator("h2:visible").get_by_text(told["taps"]["title"]).wait_for()
    for step in STEPS:
        go(page, step)
        assert title(page) == told[step]["title"]
        expect(page.locator(".learn-step:visible [aria-busy]")).to_have_count(0)
        wait_until_it_fits(page)
        page.wait_for_function(f"() => !({TOO_WIDE})().length")
        text = page.locator(".learn-page").inner_text()
        assert "{" not in text
        assert "undefined" not in text
        assert not re.search(r"\b(the|and|which|cells)\b", text)
        if language == "de":
            text = text.replace("CC BY-SA 4.0", "")
            assert not re.findall(r"\d\.\d.*", text), step
    for number, beside in enumerate(("game", "play"), len(STEPS)):
        page.locator(".learn-steps a").nth(number).press("Enter")
        page.locator(f"#{beside}:visible").wait_for()
        page.wait_for_function(f"() => !({TOO_WIDE})().length")
    assert page.strangers == page.errors == []
    page.context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_bars_are_as_long_as_their_values_at_every_width(browser, server, width):
    page = opened(browser, server, "?step=1", viewport={"width": width, "height": 900})
    for projected in (False, True):
        if projected:
            page.locator(".learn-projector").click()
        rows = page.locator(".letter-bars p")
        values = [float(text.split()[0]) for text in rows.locator("b").all_inner_texts()]
        wide = rows.locator("i").evaluate_all("all => all.map(bar => bar.getBoundingClientRect().width)")
        assert len(values) == 7
        assert wide == pytest.approx(np.array(values) * wide[0] / values[0], rel=0.01)
        assert wide[0] > 15  # px
    page.context.close()


def test_a_ring_around_a_tap_hides_no_object(lesson):
    go(lesson, "levels")
    fills = lesson.locator(".levels-panels circle").evaluate_all("all => all.map(tap => getComputedStyle(tap).fill)")
    assert len(fills) == 3 * 25
    assert set(fills) == {"none"}


def test_a_training_step_follows_the_slope_of_the_loss(lesson):
    go(lesson, "corners")
    lesson.locator(".chain-again").press("Enter")
    sheet, state = lesson.locator(".corners-map"), "s => s.told"
    before, rate, step = sheet.evaluate(state), 0.015, 1e-6
    moves = lesson.locator(".chain-links li").nth(3).inner_text().replace("−", "-")
    factors = [float(v) for v in re.findall(r"-?\d+\.\d+", moves)]
    assert factors[0] == rate  # what is said to be multiplied makes what is said to come of it
    assert rate * factors[1] * np.array(factors[2:4]) == pytest.approx(factors[4:], abs=0.006)
    lesson.locator(".chain-step").press("Enter")
    lesson.wait_for_function("y => document.querySelector('.corners-map').told.y !== y", arg=before["y"])
    after = sheet.evaluate(state)
    loss = lambda y, x: (read_bilinear(EXAMPLE_MAP, y, x) - 9) ** 2 / 2  # noqa: E731 (a formula)
    y, x = before["y"], before["x"]
    slopes = [(loss(y + step, x) - loss(y, x)) / step, (loss(y, x + step) - loss(y, x)) / step]
    assert [after["y"] - y, after["x"] - x] == pytest.approx([-rate * slope for slope in slopes], abs=1e-4)
    expect(lesson.locator(".chain-links .lit")).to_have_count(0)
    for _ in range(3):
        lesson.locator(".chain-many").press("Enter")
        lesson.wait_for_timeout(2000)
    assert sheet.evaluate(state)["read"] > 8.8
    lesson.locator(".corners-point").focus()
    for _ in range(5):
        lesson.keyboard.press("Shift+ArrowUp")
    expect(lesson.locator(".chain-told")).to_have_text(words()["corners"]["flat"])


def test_the_real_test_shows_what_the_cards_say_and_leads_to_what_if(browser, server):
    page = opened(browser, server, "?step=8")
    shown = page.locator(".test-models section")
    for section, row in zip(shown.all(), example.tested(), strict=True):
        assert row["model"] in section.locator("h3").inner_text()
        values = [float(v) for v in section.locator("b").all_inner_texts()]
        assert values == pytest.approx([way["ap"] for way in row["ways"].values()], abs=0.0501)
    first = shown.first.locator("small").all_inner_texts()
    assert first[1:] == ["−42.7 [−44.0, −40.8]", "−30.2 [−31.5, −28.5]", "−31.3 [−32.6, −29.5]"]
    page.locator(".learn-step:visible .learn-figure a").click()
    tab = page.get_by_role("tab", name="What if", exact=True)
    expect(tab).to_have_attribute("aria-selected", "true")
    assert page.strangers == page.errors == []
    page.context.close()


def test_both_kernels_reach_as_far_as_their_offsets_say(lesson):
    go(lesson, "offsets")
    lesson.wait_for_function("() => document.querySelector('.offsets-picture')?.told")
    lesson.locator(".offsets-stage").select_option(words()["offsets"]["both"].format(stage="P3"))
    told, slider = lesson.locator(".offsets-told"), lesson.locator(".offsets-strength")
    told.get_by_text("the grid alone 23 × 23").wait_for()
    samples = np.reshape(lesson.locator(".offsets-picture").evaluate("c => c.told.samples"), (-1, 2))
    high, wide = samples.max(axis=0) - samples.min(axis=0) + 1
    found = [float(v) for v in re.search(r"reads ([\d.]+) × ([\d.]+) cells", told.inner_text()).groups()]
    assert found == pytest.approx([high, wide], abs=0.051)
    assert max(found) > 23.5
    slider.press("Home")
    for _ in range(20):
        slider.press("ArrowRight")
    told.get_by_text("× 0.00: through both kernels the cell reads 23 × 23").wait_for()
    bars = lesson.locator(".offsets-costs b").all_inner_texts()
    assert [int(bar.split(" ")[0].strip(",").replace(",", "")) for bar in bars] == [
        cost["all"] for cost in example.costs().values()
    ]


def test_the_letter_game_names_what_the_network_names(lesson):
    """Its shares are the network's: with its own offsets, on the grid, with a tap moved, and for a drawing."""
    net = load_letter()[0]["deformable"]
    lesson.locator(".learn-steps a").nth(len(STEPS)).press("Enter")
    sheet = lesson.locator(".game-sheet")

    def check():
        state = sheet.evaluate("s => s.told")
        picture = np.frombuffer(base64.b64decode(state["picture"]), np.uint8).reshape(1, 48, 48).copy()
        own = net.read(picture)
        grid = (own.grid[:, ::-1] + 0.5) / 4 - 0.5  # (y, x) in cells
        offsets = (np.array(state["places"]) - grid).reshape(1, -1)
        wanted = net.read(picture, offsets=offsets.astype(np.float32))
        assert state["shares"] == pytest.approx(wanted.probabilities[0], abs=1e-3)
        assert np.reshape(state["own"], (25, 2)) == pytest.approx(grid + own.offsets.reshape(25, 2), abs=1e-4)
        return state, grid

    def settled(places):
        lesson.wait_for_function(
            "wanted => { const told = document.querySelector('.game-sheet').told; return told && told[wanted] &&"
            " told.places.every((place, i) => place.every((v, k) => Math.abs(v - told[wanted][i][k]) < 1e-6)) }",
            arg=places,
        )
        return check()

    state, grid = settled("own")
    assert state["shares"][0] > 0.9
    lesson.locator(".game-grid").press("Enter")
    lesson.wait_for_function("() => document.querySelector('.game-sheet').told.places[0].every(v => v === 2)")
    state, grid = check()
    assert np.array(state["places"]) == pytest.approx(grid)
    assert state["shares"][0] < 0.5
    tap = lesson.locator(".game-sheet .letter-sample").nth(12)
    tap.focus()
    lesson.keyboard.press("Shift+ArrowLeft")
    lesson.keyboard.press("ArrowUp")
    state, grid = check()
    assert np.array(state["places"])[12] == pytest.approx(grid[12] - [0.1, 1])
    expect(lesson.locator(".game-told")).to_contain_text("Taps moved from the grid: 1.")
    lesson.locator(".game-letters button").get_by_text("L").press("Enter")
    lesson.wait_for_function("old => document.querySelector('.game-sheet').told.picture !== old", arg=state["picture"])
    before, _ = settled("own")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    lesson.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.97 * box["height"])
    lesson.mouse.down()
    lesson.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.97 * box["height"], steps=4)
    lesson.mouse.up()
    lesson.wait_for_function("old => document.querySelector('.game-sheet').told.picture !== old", arg=before["picture"])
    settled("own")


def test_a_drawing_in_the_letter_game_is_no_letter_that_was_chosen(lesson):
    lesson.locator(".learn-steps a").nth(len(STEPS)).press("Enter")
    pressed, said = lesson.locator(".game [aria-pressed=true]"), lesson.locator(".game-told")
    lesson.locator(".game-letters button").get_by_text("T").press("Enter")
    expect(pressed).to_have_text(["T", "12 px"])
    said.get_by_text("It names T. T: ").wait_for()
    lesson.locator(".game-clear").press("Enter")
    expect(pressed).to_have_count(0)
    expect(said).to_have_text(words()["game"]["empty"])
    assert set(lesson.locator(".game-bars b").all_inner_texts()) == {""}
    # The first stroke begins on a tap, which stays where it is.
    sheet = lesson.locator(".game-sheet")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    at = [box[side] + 26 / 48 * box[length] for side, length in (("x", "width"), ("y", "height"))]
    lesson.mouse.move(*at)
    lesson.mouse.down()
    lesson.mouse.move(at[0], at[1] + 0.2 * box["height"], steps=4)
    lesson.mouse.up()
    expect(said).to_contain_text("It names your drawing ")
    expect(pressed).to_have_count(0)
    expect(lesson.locator(".game-bars .letter-own")).to_have_count(0)
    ink = lesson.locator(".game-paper").evaluate("c => [...c.getContext('2d').getImageData(26, 30, 1, 1).data][0]")
    assert ink == 185
    lesson.locator(".game-sizes button").get_by_text("26 px").press("Enter")
    expect(pressed).to_have_text(["T", "26 px"])
    said.get_by_text("It names T. T: ").wait_for()
