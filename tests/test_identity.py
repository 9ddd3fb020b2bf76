"""The token of a browser: given with its first page, kept by the browser, and known to a page in its first run."""

import json

import pytest
from browser_fixtures import settled
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pages.server.identity import COOKIE, TokenCookie, valid_token
from tests.faults.learner import Learner

OTHER = "0123456789abcdef" * 2


@pytest.fixture
def client():
    routes = [Route("/", lambda _: HTMLResponse("<p>")), Route("/data", lambda _: JSONResponse({}))]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(TokenCookie)]))


@pytest.mark.parametrize("sent", [None, "not a token"])
def test_each_new_browser_gets_a_token_of_its_own_with_a_page_and_with_nothing_else(client, sent):
    headers = {"Cookie": f"{COOKIE}={sent}"} if sent else {}
    assert "set-cookie" not in client.get("/data", headers=headers).headers
    given = []
    for _ in range(2):
        client.cookies.clear()
        given.append(client.get("/", headers=headers).cookies[COOKIE])
    assert all(map(valid_token, given)) and given[0] != given[1]


def test_a_browser_that_has_a_token_keeps_it(client):
    assert "set-cookie" not in client.get("/", headers={"Cookie": f"{COOKIE}={OTHER}"}).headers


def test_a_page_knows_the_token_of_the_cookie_in_its_first_run(open_lab):
    with Learner(open_lab.address, token=OTHER) as learner:
        learner._run(page_name="glossary")
        (known,) = (json.loads(widget.element.json)["known"] for widget in learner.widgets.values() if widget.key == "identity")
    assert known == OTHER


def test_storage_and_cookie_have_the_same_token_also_after_one_of_them_was_cleared(open_lab, new_page):
    page = new_page(f"{open_lab.address}/glossary")
    read = f"[localStorage.getItem('{COOKIE}'), document.cookie.split('{COOKIE}=')[1]?.slice(0, 32)]"

    def tokens():
        settled(page)
        expect(page.locator(".identity")).to_be_attached()
        page.wait_for_function(f"({read})[0] !== null && ({read})[0] === ({read})[1]")
        return page.evaluate(read)

    first = tokens()
    assert valid_token(first[0])
    page.context.clear_cookies()
    page.reload()
    assert tokens() == first
    page.evaluate("localStorage.clear()")
    page.reload()
    assert tokens() == first
