"""The lab in Firefox: a whole race, and every page."""

import json

from browser_fixtures import PAGES
from test_race_browser import until

SETTLED = """!!document.querySelector("[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]")
  && document.querySelectorAll("[data-testid=stMain] [data-testid=stElementContainer]").length > 2"""
FAILED = """document.querySelectorAll("[data-testid=stException], [data-testid=stAlertContentError]").length"""


def shows(text):
    return f"document.body.innerText.includes({json.dumps(text)})"


def go_to(page):
    """Opens a page as the Back button does, without loading the app again."""
    address = f"/{'' if page == 'start' else page}"
    return f"history.pushState(null, '', {address!r}), dispatchEvent(new PopStateEvent('popstate'))"


def race_and_open_every_page(browser, address, *, wait_for_parts=lambda: None):
    """In a browser other than Chromium: a race from the press to its conclusion, then each page, none with an error box."""
    browser.goto(address)
    browser.until(SETTLED)
    browser.press(".st-key-start_race button")
    browser.until(shows("finished:"))
    browser.until("document.querySelector('.live-chart')?.dataset.painted > 0")
    line = "document.querySelector('.live-chart .js-plotly-plot').data.find((trace) => trace.uid === 'student test_accuracy').y"
    assert 50 < browser.until(f"{line}.at(-1)") <= 100
    browser.until(shows("The teacher helped"))
    for name in PAGES:
        browser.evaluate(go_to(name))
        browser.until(f"document.title.startsWith({name.replace('_', ' ').capitalize()!r}) && {SETTLED}")
        wait_for_parts()
        assert browser.evaluate(FAILED) == 0, name  # also of a component whose code did not load


def test_a_race_runs_in_firefox_from_press_to_verdict_and_no_page_has_an_error(open_lab, firefox):
    race_and_open_every_page(firefox, open_lab.address, wait_for_parts=firefox.wait_for_parts)
    # Streamlit's own, of a page that is left while it asks the server for its next tick or starts a component.
    left = ("when disconnected from server", "error loading dynamically imported module: blob:")
    assert [error for error in firefox.errors if not any(words in error for words in left)] == []
    assert {one for one in firefox.requests if one} == {f"127.0.0.1:{open_lab.port}"}


def test_an_error_of_a_page_in_firefox_is_noticed(open_lab, firefox):
    firefox.goto(f"{open_lab.address}/draw")
    before = len(firefox.errors)
    firefox.evaluate("setTimeout(() => { throw new Error('of this test'); })")
    until(lambda: firefox.evaluate("1") and any("of this test" in error for error in firefox.errors[before:]))
    del firefox.errors[before:]
