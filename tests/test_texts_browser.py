"""A race on the little language in a browser: from the press to its conclusion, a prompt, and the link to the finished run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from test_race_browser import BUSY, finished, points, press, until

ROOT = Path(__file__).resolve().parent.parent
SMALL = "dataset=little-language&student=gpt-16x1&images=50&epochs=4&seeds=3"


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    return serve(ROOT / "pages" / "server" / "serve.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def test_a_race_on_a_text_ends_in_a_conclusion_and_a_prompt_gives_texts_and_bars(lab, watched):
    page = watched(f"{lab}/race?{SMALL}")
    expect(page.get_by_text("training windows", exact=False).first).to_be_visible(timeout=BUSY)
    press(page, "Train")
    until(lambda: points(page, line="student test_bits_per_character"))
    written = page.locator("[class*='st-key-samples_'] .coloured-text")
    expect(written.locator("figcaption")).to_have_text(["teacher", "baseline", "student"], timeout=BUSY)
    finished(page)
    expect(written.locator(".epoch")).to_have_text("After epoch 4", timeout=BUSY)
    texts = written.locator(".text").all_inner_texts()
    assert all(text.startswith("the king that sees the dogs ") for text in texts) and len(set(texts)) == 3
    page.locator("[class*='st-key-text_epoch_'] input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    expect(written.locator(".epoch")).to_have_text("Before the training", timeout=BUSY)
    assert written.locator(".text").all_inner_texts()[1:] != texts[1:]
    sentence = page.locator("[data-testid='stAlert']").first
    expect(sentence).to_contain_text(
        re.compile(r"Over 3 seeds, 400 test windows: the student needs \d\.\d+ bits a character"), timeout=BUSY
    )
    expect(sentence).to_contain_text("lower is better")
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.scroll_into_view_if_needed(timeout=BUSY)
    prompt.fill("every small bird")
    prompt.press("Enter")
    expect(page.locator(".coloured-text .prompt").filter(has_text="every small bird")).to_have_count(3, timeout=BUSY)
    bars = page.locator(".soft-targets")
    bars.scroll_into_view_if_needed(timeout=BUSY)
    expect(bars.locator(".class")).to_have_count(12)
    expect(bars.locator("canvas")).to_be_hidden()
    before = bars.locator(".percent").all_inner_texts()
    bars.locator("input[type=range]").focus()
    page.keyboard.press("PageUp")
    expect(bars.locator(".shown")).to_have_text(re.compile(r"T = [2-9]"))
    assert before != bars.locator(".percent").all_inner_texts()
    prompt.fill("a unicorn")
    prompt.press("Enter")
    expect(page.get_by_text("'unicorn' is not in the vocabulary").first).to_be_visible(timeout=BUSY)
    again = watched(page.url)  # the link, in another person's browser
    finished(again)
    expect(again.locator("[data-testid='stAlert']").first).to_contain_text("bits a character", timeout=BUSY)
