"""The room of a class: who is in it, what it shows, whose votes count, and that nothing is left of it."""

import sqlite3
import threading

import pytest

from distill_core.runs.rooms import SPREAD, Rooms, consensus, spread

TOKENS = [f"{number:032x}" for number in range(30)]


@pytest.fixture
def rooms(tmp_path):
    return Rooms(tmp_path / "rooms.sqlite")


@pytest.fixture
def room(rooms):
    return rooms.open()


def at_once(work, arguments):
    """Call `work` once for each argument, in threads that start together; returns what each returned or raised."""
    barrier, found = threading.Barrier(len(arguments)), [None] * len(arguments)

    def run(number):
        barrier.wait()
        try:
            found[number] = work(arguments[number])
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(arguments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_without_a_room_nobody_can_join_vote_or_be_asked(rooms, refused):
    assert rooms.current() is None and rooms.seat(TOKENS[0]) == 0 and rooms.runs() == []
    with refused("ABCDE", "five characters"):
        rooms.join("ABCDE", TOKENS[0])
    for call in (
        lambda: rooms.answer("x", TOKENS[0], 1.0),
        lambda: rooms.ask("number", "How many?"),
        lambda: rooms.change(hidden=("Sweep",)),
    ):
        with refused("closed"):
            call()


def test_a_code_opens_the_room_as_people_type_it_and_a_wrong_one_does_not(rooms, room, refused):
    assert rooms.join(f" {room.code[:2].lower()} {room.code[2:].lower()} ", TOKENS[0]) == 1
    for wrong in ("", "ZZZZZ", room.code + "A", "<b>x</b>"):
        with refused("no room with the code"):
            rooms.join(wrong, TOKENS[1])
    assert rooms.seats() == 1


def test_a_browser_keeps_its_seat_and_each_gets_one_of_its_own(rooms, room):
    seats = at_once(lambda token: rooms.join(room.code, token), TOKENS)
    assert sorted(seats) == list(range(1, 31))
    assert [rooms.join(room.code, token) for token in TOKENS] == seats


def test_a_full_room_says_so_and_keeps_its_seats(rooms, room, refused, monkeypatch):
    monkeypatch.setattr("distill_core.runs.rooms.MAX_SEATS", 2)
    rooms.join(room.code, TOKENS[0])
    rooms.join(room.code, TOKENS[1])
    with refused("full"):
        rooms.join(room.code, TOKENS[2])
    assert rooms.join(room.code, TOKENS[0]) == 1


def test_of_thirty_votes_at_once_none_is_lost(rooms, room):
    for token in TOKENS:
        rooms.join(room.code, token)
    question = rooms.ask("number", "By how many points?").activity.id
    assert at_once(lambda pair: rooms.answer(question, pair[1], float(pair[0])), list(enumerate(TOKENS))) == [None] * 30
    assert sorted(rooms.answers()) == [float(number) for number in range(30)]
    assert rooms.answered() == 30


def test_a_browser_has_one_vote_and_the_last_one_counts(rooms, room):
    rooms.join(room.code, TOKENS[0])
    question = rooms.ask("choice", "Which is better?", choices=("student", "baseline")).activity.id
    at_once(lambda number: rooms.answer(question, TOKENS[0], number % 2), list(range(20)))
    assert len(rooms.answers()) == 1
    rooms.answer(question, TOKENS[0], 1)
    assert rooms.answers() == [1] and rooms.answers_of(TOKENS[0]) == {0: 1}


def test_a_vote_counts_only_from_the_room_for_the_question_that_is_open(rooms, room, refused):
    rooms.join(room.code, TOKENS[0])
    first = rooms.ask("number", "First?").activity.id
    with refused("not in the room"):
        rooms.answer(first, TOKENS[1], 1.0)
    rooms.answer(first, TOKENS[0], 1.0)
    second = rooms.ask("number", "Second?").activity.id
    assert rooms.answers() == []
    with refused("over"):
        rooms.answer(first, TOKENS[0], 1.0)
    rooms.answer(second, TOKENS[0], 2.0)
    assert rooms.reveal().activity.revealed
    with refused("shown already"):
        rooms.answer(second, TOKENS[0], 3.0)
    assert rooms.answers() == [2.0]


@pytest.mark.parametrize("value", [None, "3", True, float("nan"), float("inf"), 31, -1e9, [1], {}])
def test_a_guess_that_is_no_number_in_range_does_not_count(rooms, room, refused, value):
    rooms.join(room.code, TOKENS[0])
    question = rooms.ask("number", "By how many points?").activity.id
    with refused("does not count"):
        rooms.answer(question, TOKENS[0], value)
    assert rooms.answers() == []


@pytest.mark.parametrize("value", [[50, 50], [100, 0, 0, 0], [-100, 100, 100], [33.3, 33.3, 33.4], [99, 0, 0], "100", None])
def test_a_soft_label_must_be_whole_percentages_that_sum_to_100(rooms, room, refused, value):
    rooms.join(room.code, TOKENS[0])
    question = rooms.ask("teacher", "Be the teacher", choices=("0", "1", "2"), images=(5, 7)).activity.id
    with refused("split 100 %"):
        rooms.answer(question, TOKENS[0], value)
    with refused("split 100 %"):
        rooms.answer(question, TOKENS[0], [100, 0, 0], item=2)
    rooms.answer(question, TOKENS[0], [60, 40, 0], item=1)
    assert rooms.answers(item=1) == [[60, 40, 0]] and rooms.answers(item=0) == []


def test_the_consensus_is_the_mean_of_the_soft_labels():
    assert consensus([[100, 0, 0], [50, 50, 0], [0, 10, 90]]) == pytest.approx([0.5, 0.2, 0.3])


def test_what_the_lecturer_hides_locks_or_starts_is_what_learners_read(rooms, room):
    rooms.change(hidden=("Sweep", "Draw"), locked=("dataset",), preset="few-images")
    assert (room := rooms.current()).hidden == ("Sweep", "Draw") and room.locked == ("dataset",) and room.preset == "few-images"
    called = rooms.bring("race", preset="few-images", spread=True)
    again = rooms.bring("race", preset="few-images")
    assert (called.call.number, again.call.number) == (1, 2) and called.version < again.version
    assert rooms.current() == again


def test_thirty_learners_get_thirty_different_places_on_the_map():
    assert {spread(seat) for seat in range(1, 31)} == set(SPREAD)
    first = [spread(seat) for seat in range(1, 5)]
    assert len({t for t, _ in first}) == 4


def test_the_board_has_a_run_once_for_each_learner_and_none_of_outsiders(rooms, room):
    for token in TOKENS[:3]:
        rooms.join(room.code, token)
        rooms.note_run(token, "shared", is_new=False)
        rooms.note_run(token, "shared", is_new=False)
    rooms.note_run(TOKENS[9], "foreign", is_new=True)
    rooms.note_run(TOKENS[0], "own", is_new=True)
    assert [(one.run, one.seat) for one in rooms.runs()] == [("shared", 1), ("shared", 2), ("shared", 3), ("own", 1)]
    rooms.forget_run("shared")
    assert [one.run for one in rooms.runs()] == ["own"]


def test_a_room_survives_a_restart_of_the_server(rooms, room):
    rooms.join(room.code, TOKENS[0])
    question = rooms.ask("number", "How many?").activity
    rooms.answer(question.id, TOKENS[0], 4.0)
    again = Rooms(rooms.path)
    assert again.current() == rooms.current() and again.seat(TOKENS[0]) == 1 and again.answers() == [4.0]


def test_a_closed_room_is_gone_from_the_file_too(rooms, room):
    rooms.join(room.code, TOKENS[0])
    question = rooms.ask("choice", "Is this sentence still on the disk?", choices=("certainly not", "perhaps")).activity.id
    rooms.answer(question, TOKENS[0], 1)
    rooms.note_run(TOKENS[0], "a-run-of-the-room", is_new=True)
    rooms.note_run(TOKENS[0], "a-cached-run", is_new=False)
    assert rooms.close() == ["a-run-of-the-room"]
    assert rooms.current() is None and rooms.seats() == 0 and rooms.answers() == []
    left = b"".join(path.read_bytes() for path in rooms.path.parent.glob("rooms.sqlite*"))
    assert left
    for trace in (b"on the disk", b"certainly not", b"a-run-of-the-room", room.code.encode(), TOKENS[0].encode()):
        assert trace not in left, trace
    assert rooms.open().code != room.code


def test_a_locked_file_gives_one_sentence(rooms, room, refused):
    other = sqlite3.connect(rooms.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with refused("cannot be used now", "locked"):
        rooms.join(room.code, TOKENS[0])
    other.execute("ROLLBACK")
    assert rooms.join(room.code, TOKENS[0]) == 1
    other.close()


@pytest.mark.parametrize(
    ("kind", "text", "more", "named"),
    [
        ("poll", "?", {}, "poll"),
        ("number", " ", {}, "0 characters"),
        ("number", "x" * 201, {}, "201 characters"),
        ("choice", "Which?", {"choices": ("one",)}, "1 answers"),
        ("choice", "Which?", {"choices": ("a", "b" * 300)}, "300 characters"),
        ("teacher", "Split", {}, "no image"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(rooms, room, refused, kind, text, more, named):
    with refused(named):
        rooms.ask(kind, text, **more)
    assert rooms.current().activity is None
