"""The lab in WebKit, the engine of Safari, where it is installed: a whole race, and every page."""

import pytest
from browser_fixtures import PAGES
from test_firefox import FAILED, SETTLED, go_to, shows
from webkit import NEEDS, find_webkit, open_webkit


@pytest.fixture(scope="module")
def webkit():
    found = find_webkit()
    if not found:
        pytest.skip(NEEDS)
    with open_webkit(*found) as browser:
        yield browser


def test_a_race_runs_in_webkit_from_press_to_verdict_and_no_page_has_an_error(open_lab, webkit):
    webkit.goto(open_lab.address)
    assert webkit.evaluate("typeof requestIdleCallback") == "undefined"  # which other browsers have
    webkit.until(SETTLED)
    webkit.until("document.querySelector('.st-key-start_race button:enabled')")
    webkit.evaluate("document.querySelector('.st-key-start_race button:enabled').click()")
    webkit.until(shows("finished:"))
    webkit.until("document.querySelector('.live-chart')?.dataset.painted > 0")
    line = "document.querySelector('.live-chart .js-plotly-plot').data.find((trace) => trace.uid === 'student test_accuracy').y"
    assert 50 < webkit.until(f"{line}.at(-1)") <= 100
    webkit.until(shows("The teacher helped"))
    for name in PAGES:
        webkit.evaluate(go_to(name))
        webkit.until(f"document.title.startsWith({name.replace('_', ' ').capitalize()!r}) && {SETTLED}")
        assert webkit.evaluate(FAILED) == 0, name  # also of a component whose code did not load
