"""One lesson in a browser: a lecturer and three learners join, guess, race, teach, and leave nothing behind."""

import re
import urllib.request

import pytest
from playwright.sync_api import expect
from test_race_browser import button, until

CODE = ".room-code"


@pytest.fixture
def lab(lab_server):
    return lab_server(script="pages/server/serve.py")


def lecturers_link(lab):
    """The link that the server has printed to its terminal."""
    urllib.request.urlopen(lab.address).close()
    return until(lambda: re.search(r"http://\S+/lecturer\?token=\S+", lab.log.read_text())).group()


def bars(page, uid):
    """The numbers of a painted chart's trace."""
    return page.evaluate(
        """uid => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data ?? [])
        .find(trace => trace.uid === uid)?.y?.map(Number) ?? []""",
        uid,
    )


def gains_on_the_board(page):
    """The gains of the finished runs. A chart is drawn where it is seen, and what stands above the board grows and shrinks."""
    page.locator(".st-key-board .live-chart").scroll_into_view_if_needed()
    return bars(page, "gains")


def split(page, image, chips):
    """Place ten chips on the classes of one image."""
    page.locator(".soft-label .thumb").nth(image).click()
    for label, count in chips.items():
        for _ in range(count):
            page.locator(".soft-label .plus").nth(label).click()


def test_a_lesson_of_a_lecturer_and_three_learners_leaves_nothing_behind(lab, new_page, tmp_path):
    lecturer = new_page(lecturers_link(lab))
    button(lecturer, "Open a room").click()
    code = lecturer.locator(CODE).inner_text()
    assert "token" not in lecturer.url and re.fullmatch("[A-Z2-9]{5}", code)
    expect(lecturer.locator("img.room-qr")).to_be_visible()

    learners = [new_page(f"{lab.address}/classroom?room={code}") for _ in range(2)]
    learners.append(new_page(lab.address))
    learners[2].get_by_label("Code of the room", exact=True).fill(code.lower())
    learners[2].get_by_role("button", name="Join the room").click()
    for number, page in enumerate(learners):
        expect(page.get_by_text("You are in.")).to_be_visible()
        expect(page.get_by_text(re.compile(r"you are learner \d")).first).to_be_visible()
        assert number == 2 or "room=" not in page.url
    expect(lecturer.get_by_text("3 learners")).to_be_visible()

    button(lecturer, "Ask the learners").click()
    for number, page in enumerate(learners):
        slider = page.get_by_role("slider")
        slider.focus()
        for _ in range(2 * number):
            slider.press("ArrowRight")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text(f"Your answer: {['0.0', '+1.0', '+2.0'][number]} points")).to_be_visible()
    expect(lecturer.get_by_text("3 of 3 have answered")).to_be_visible()
    assert bars(learners[0], "guesses") == []  # nobody sees a guess before the lecturer shows all
    button(lecturer, "Reveal the answers").click()
    for page in (lecturer, *learners):
        until(lambda page=page: sum(bars(page, "guesses")) == 3)
    button(lecturer, "End this question").click()

    lecturer.get_by_role("tab", name="What learners see").click()
    free = lecturer.get_by_role("radiogroup", name="On the race page, learners may change").get_by_text("T and alpha", exact=True)
    expect(free).to_have_count(1)  # what the tab had before is gone
    free.click()
    lecturer.get_by_label("Hide these pages from learners", exact=True).click()
    lecturer.get_by_role("option", name="Sweep").click()
    lecturer.keyboard.press("Escape")
    button(lecturer, "Apply to all learners").click()
    expect(button(lecturer, "Apply to all learners")).to_be_disabled()

    lecturer.get_by_role("tab", name="Start a race for all").click()
    lecturer.get_by_label("Preset", exact=True).click()
    lecturer.get_by_role("option", name="Ten epochs at a high temperature").click()  # ten epochs: the quickest
    lecturer.get_by_text("Different T and alpha for each learner").click()
    button(lecturer, "Start it for all").click()
    for page in learners:
        expect(page).to_have_url(re.compile(r"/race\?.*run="))
    expect(learners[0].get_by_label("Student", exact=True)).to_be_disabled()
    until(lambda: len(gains_on_the_board(lecturer)) == 3, seconds=400)
    assert len(set(gains_on_the_board(lecturer))) == 3  # each has an alpha of its own

    hidden = new_page(f"{lab.address}/sweep", context=learners[1].context)
    expect(hidden.get_by_text("The lecturer has hidden the page Sweep for now.")).to_be_visible()
    hidden.close()

    lecturer.get_by_role("tab", name="Be the teacher").click()
    lecturer.get_by_label("Data set", exact=True).click()
    lecturer.get_by_role("option", name="Digits").click()
    button(lecturer, "Show the ten images to the learners").click()
    for page in learners:
        expect(page.locator(".soft-label .plus")).to_have_count(10)
        split(page, 3, {3: 7, 9: 3})
        split(page, 8, {8: 10})
        expect(page.locator(".soft-label")).to_have_attribute("data-done", "2")
    expect(lecturer.get_by_text("3 of 3 have answered")).to_be_visible()
    button(lecturer, "Train on the soft labels").click()
    for page in (lecturer, learners[0]):
        expect(page.get_by_text("from 3 teachers in this room")).to_be_visible(timeout=240_000)
        expect(page.get_by_text("learned from these 2 images and nothing else")).to_be_visible()

    lecturer.locator(".st-key-close button:visible").click()
    button(lecturer, "Close the room and delete its data").click()
    expect(button(lecturer, "Open a room")).to_be_visible()
    for page in learners:
        expect(page.get_by_text("No room is open on this server.")).to_be_visible()
    runs = new_page(f"{lab.address}/runs")
    expect(runs.get_by_text("There is no run yet")).to_be_visible()
    left = b"".join(path.read_bytes() for path in (tmp_path / "home").glob("rooms.sqlite*"))
    assert left and code.encode() not in left


def test_without_its_link_the_lecturers_page_opens_for_nobody(lab, new_page):
    right = lecturers_link(lab)
    for address in (f"{lab.address}/lecturer", right[:-1], f"{lab.address}/lecturer?token="):
        page = new_page(address)
        expect(page.get_by_text("the link that the server prints in its terminal")).to_be_visible()
        expect(button(page, "Open a room")).to_have_count(0)
    page = new_page(right)
    expect(button(page, "Open a room")).to_be_visible()
    again = new_page(f"{lab.address}/lecturer", context=page.context)  # this browser is known until the server ends
    expect(button(again, "Open a room")).to_be_visible()
