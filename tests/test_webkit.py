"""The lab in WebKit, the engine of Safari, where it is installed: a whole race, and every page."""

import pytest
from test_firefox import race_and_open_every_page
from webkit import NEEDS, find_webkit, open_webkit


@pytest.fixture(scope="module")
def webkit():
    found = find_webkit()
    if not found:
        pytest.skip(NEEDS)
    with open_webkit(*found) as browser:
        yield browser


def test_a_race_runs_in_webkit_from_press_to_verdict_and_no_page_has_an_error(open_lab, webkit):
    race_and_open_every_page(webkit, open_lab.address)
    assert webkit.evaluate("typeof requestIdleCallback") == "undefined"  # which other browsers have
