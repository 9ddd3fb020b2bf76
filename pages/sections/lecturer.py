"""The lecturer's page in parts: the code on the wall, questions, starts, what learners see, the runs, the end."""

from __future__ import annotations

from concurrent.futures import Future

import streamlit as st

from distill_core import consensus
from distill_core.data import datasets
from distill_core.runs import rooms as model
from distill_core.runs.rooms import Activity, Room
from distill_core.studies.presets import PRESETS
from pages.sections import classroom, controls
from pages.server import room as rooms
from pages.server.lab import engine, store
from pages.server.plain_text import plain, show_error

PAGES = (
    *("Lessons", "Checks", "Glossary", "Race", "Sweep", "Methods", "Experiments from papers", "Find the bug"),
    *("Soft targets", "Dark knowledge", "Calibration", "Draw", "Runs", "Presentation", "Preflight"),
)
FREE = {"everything": (), "T and alpha": ("temperature", "alpha"), "nothing": None}  # None: all settings are locked
SETTINGS = (*controls.FIELDS, "seeds")
STYLE = """<style>
.room-code {font: 800 5.5rem/1 ui-monospace, monospace; letter-spacing: .12em; margin: .2rem 0}
.room-link {font-size: 1.35rem; overflow-wrap: anywhere}
.room-qr {display: block; width: min(15rem, 100%); border-radius: .4rem}
.room-line {display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: baseline; font-size: 1.35rem}
.room-line .room-code {font-size: 2rem}
@media (max-width: 500px) {.room-code {font-size: 3.6rem}}
</style>"""


def closed() -> None:
    """What a lecturer sees before the room is open."""
    st.title("Open a room for your learners")
    st.markdown(
        "Learners join with a code or a QR code, without an account. You choose what they see, ask for guesses, start a race for all, and "
        "watch every result on one map of T and alpha. When you close the room, everything about it is deleted."
    )
    if st.button(
        "Open a room", type="primary", icon=":material/meeting_room:", key="open_room", help="Makes a code. One room is open at a time."
    ):
        _do(rooms.rooms().open)
        st.rerun()


def wall(room: Room) -> None:
    """What learners must see to join: the code, the address and the QR code; in one line while a question is on the wall."""
    address = rooms.learners_link(room.code)
    st.html(STYLE)
    code, link = f'<span class="room-code">{room.code}</span>', f'<span class="room-link">{_escaped(address)}</span>'
    if room.activity is not None:
        st.html(f'<div class="room-line">{code}{link}</div>')
        return
    words, picture = st.columns([3, 1], vertical_alignment="center")
    with words:
        st.markdown("Open this address, or type the code on the page **Start**:")
        st.html(f"<div>{code}</div><div>{link}</div>")
        st.fragment(_count, run_every=classroom.TICK)()
        if rooms.only_here(address):
            st.caption(":material/lock: This server answers on this machine only. Open it to others with `make run ADDRESS=0.0.0.0`.")
    with picture:
        st.html(f'<img class="room-qr" alt="QR code of {_escaped(address)}" src="{rooms.qr_code(address)}">')


def _count() -> None:
    seats = rooms.rooms().seats()
    st.markdown(f"### :material/groups: {seats} learner{'' if seats == 1 else 's'}")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


# --- questions ------------------------------------------------------------------------------------------------------


def ask() -> None:
    """Ask for a number, or for one of several answers."""
    kind = st.segmented_control(
        "Kind of answer",
        ["A number of points", "A choice"],
        default="A number of points",
        key="ask_kind",
        help="A number, in percentage points (in short, points) of test accuracy, is shown as a histogram; a choice as bars.",
    )
    if kind == "A choice":
        text = st.text_input(
            "Text of the question",
            "Which will have the higher test accuracy?",
            key="ask_choice",
            help="What the learners are asked.",
            max_chars=200,
        )
        lines = st.text_area(
            "Answers, one on a line",
            "the student\nthe baseline\nno difference that one can tell",
            key="ask_answers",
            help="Two to twelve answers.",
        )
        more: dict = {"choices": tuple(line.strip() for line in lines.splitlines() if line.strip())}
    else:
        preset = _preset(
            "Preset with the measured answer",
            key="ask_preset",
            help="A preset is a race with prepared settings. Its difference of student and baseline in test accuracy, which was measured "
            "for this lab, is shown to all with the answers.",
        )
        text = st.text_input(
            "Text of the question",
            "By how many points will the student beat the baseline?",
            key=f"ask_text_{preset}",
            help="What the learners are asked.",
            max_chars=200,
        )
        more = {"preset": preset}
    if st.button(
        "Ask the learners",
        type="primary",
        icon=":material/help:",
        key="ask",
        help="Brings all learners to the question. Nobody sees an answer before you reveal them.",
    ):
        _do(rooms.rooms().ask, "choice" if kind == "A choice" else "number", text, **more)
        st.rerun()


def be_the_teacher() -> None:
    """Ask for soft labels of ten odd images."""
    st.markdown(
        "Ten ambiguous images, of each class the test image of which a trained network is least certain. Each learner splits 100 % over "
        "the classes of an image. Then three students train on these images: one on the mean of the learners' answers, one on the hard "
        "labels, one on the network's soft targets. You and all learners see their test accuracies."
    )
    dataset = st.selectbox(
        "Data set",
        classroom.sets_to_teach(),
        format_func=lambda name: datasets.DATASETS[name].title,
        key="teach_set",
        help="Where the ten test images come from.",
    )
    if st.button(
        "Show the ten images to the learners",
        type="primary",
        icon=":material/school:",
        key="teach",
        help="Opens the ten images on the page of each learner, who splits 100 % over the classes of each. Then press Train on the soft "
        "labels, a button that appears here: it trains the three students.",
    ):
        names, images = datasets.DATASETS[dataset].class_names, classroom.odd_images_of(dataset)
        _do(rooms.rooms().ask, "teacher", "Which digit is it, and how sure are you?", choices=names, dataset=dataset, images=images)
        st.rerun()


def now(room: Room) -> None:
    """The activity of the moment, for the wall: how many have answered, and the answers once they are revealed."""
    if room.activity is None:
        return
    st.subheader(plain(room.activity.text))
    is_teacher = room.activity.kind == "teacher"
    with st.container(horizontal=True):
        if (not room.activity.revealed or _failed(room.activity)) and st.button(
            "Train on the soft labels" if is_teacher else "Reveal the answers",
            type="primary", icon=":material/visibility:", key="reveal",
            help=f"Takes no more answers and {'trains the three students' if is_teacher else 'shows them to all'}.",
        ):  # fmt: skip
            _reveal(room.activity)
            st.rerun()
        if st.button(
            "End this question",
            icon=":material/close:",
            key="end_activity",
            help="Takes the question from all pages and deletes its answers.",
        ):
            _do(rooms.rooms().end_activity)
            st.rerun()
    st.fragment(_progress, run_every=None if _is_settled(room.activity) else 1.0)(room.version)
    if room.activity.revealed:
        classroom.show_answers(room.activity)


def _failed(activity: Activity) -> bool:
    """Whether the students of the soft labels have to be trained again: the workers, or this server, were restarted meanwhile."""
    if activity.kind != "teacher" or not activity.revealed or activity.result:
        return False
    future, _ = _training().get(activity.id, (None, {}))
    return future is None or (future.done() and future.exception() is not None)


def _is_settled(activity: Activity) -> bool:
    return activity.revealed and (activity.kind != "teacher" or bool(activity.result))


def _progress(version: int) -> None:
    """How many have answered; when the students are trained, their result becomes part of the room."""
    room = rooms.rooms().current()
    if room is None or room.version != version or room.activity is None:
        st.rerun()
    if not room.activity.revealed:
        answered, seats = rooms.rooms().answered(), rooms.rooms().seats()
        st.markdown(f"### {answered} of {seats} have answered")
    elif room.activity.kind == "teacher" and not room.activity.result:
        _collect(room.activity)


def _reveal(activity: Activity) -> None:
    if activity.kind != "teacher":
        _do(rooms.rooms().reveal)
        return
    answers = [rooms.rooms().answers(item) for item in range(len(activity.images))]
    used = [item for item, given in enumerate(answers) if given]
    if not used:
        st.toast("Nobody has labelled an image yet: wait for the first.", icon=":material/block:")
        return
    labels = [model.consensus(answers[item]) for item in used]
    future = engine().compute(consensus.compare, activity.dataset, [activity.images[item] for item in used], labels)
    _training()[activity.id] = (future, {"used": used, "voters": rooms.rooms().answered()})
    _do(rooms.rooms().reveal)


@st.cache_resource(show_spinner=False)
def _training() -> dict[str, tuple[Future, dict]]:
    """By activity: the students in training on a worker."""
    return {}


def _collect(activity: Activity) -> None:
    future, about = _training().get(activity.id, (None, {}))
    if future is None:
        st.markdown("The server was restarted while the students were trained: train them again.")
    elif not future.done():
        st.markdown(":material/model_training: Three times twenty students learn from ten images; it takes some seconds.")
    elif error := future.exception():
        show_error(error)
        if st.session_state.get(f"failed_{activity.id}") != id(future):
            st.session_state[f"failed_{activity.id}"] = id(future)
            st.rerun()  # once: the button to train again appears
    else:
        _do(rooms.rooms().reveal, {**future.result(), **about})
        _training().pop(activity.id, None)
        st.rerun()


# --- races ----------------------------------------------------------------------------------------------------------


def start_all(room: Room) -> None:
    """Bring every learner to the race page with a preset."""
    preset = _preset(
        "Preset", key="start_preset", current=room.preset, help="The race that all learners get: a preset is a race with prepared settings."
    )
    st.markdown(f"{PRESETS[preset].question}")
    spread = st.toggle(
        "Different T and alpha for each learner", key="start_spread",
        help="Each seat gets one of thirty pairs of T and alpha, so that the runs of all learners together are a sweep. Off: all learners "
        "get the settings of the preset, which are trained once.",
    )  # fmt: skip
    train = st.toggle(
        "Start training at once",
        value=True,
        key="start_train",
        help="Off: the page Race of each learner gets the settings, and waits until the learner presses Train.",
    )
    if st.button(
        "Start it for all", type="primary", icon=":material/sprint:", key="start_all",
        help="Opens the page Race for all learners, with this preset. Locked settings have its values from then on.",
    ):  # fmt: skip
        _do(rooms.rooms().change, preset=preset)
        _do(rooms.rooms().bring, "race", preset=preset, spread=spread, train=train)
        st.rerun()


def visible(room: Room) -> None:
    """Which pages and settings learners have."""
    hidden = st.multiselect(
        "Hide these pages from learners",
        PAGES,
        default=[name for name in room.hidden if name in PAGES],
        key="hide_pages",
        help="Learners in the room cannot open them, also not by their address.",
    )
    free = st.radio(
        "On the race page, learners may change",
        [*FREE, "these settings"],
        key="free",
        help="All other settings are locked: greyed out on the page Race of each learner, with the values of the preset below.",
        horizontal=True,
        index=_which_free(room),
    )
    names = FREE.get(free)
    if free == "these settings":
        names = tuple(
            st.multiselect(
                "Settings that learners may change",
                SETTINGS,
                default=[s for s in SETTINGS if s not in room.locked],
                key="free_names",
                help="The settings that stay free.",
            )
        )
    locked = () if free == "everything" else tuple(name for name in SETTINGS if name not in (names or ()))
    preset = _preset(
        "Preset for the locked settings", key="lock_preset", current=room.preset,
        help="A preset is a race with prepared settings. The settings that learners may not change on the page Race, as chosen above, have "
        "its values, until Start it for all sets another preset. Where learners may change everything, it has no effect.",
    )  # fmt: skip
    shown = st.toggle(
        "Show the board to learners too", value=room.board_shown, key="board_shown",
        help="The board is the map of T and alpha below, with a dot for each run of a learner. Learners see it below the question on their "
        "page Classroom.",
    )  # fmt: skip
    wanted = {"hidden": tuple(hidden), "locked": locked, "preset": preset, "board_shown": shown}
    is_applied = wanted == {name: getattr(room, name) for name in wanted}
    if st.button(
        "Apply to all learners", type="primary", icon=":material/check:", key="apply", disabled=is_applied,
        help="Nothing to apply: no choice in this tab has changed." if is_applied else "Their pages change within some seconds.",
    ):  # fmt: skip
        _do(rooms.rooms().change, **wanted)
        st.rerun()


def _which_free(room: Room) -> int:
    left = set(SETTINGS) - set(room.locked)
    return 0 if not room.locked else 1 if left == {"temperature", "alpha"} else 2 if not left else 3


def runs() -> None:
    """Stop or delete any run of the room."""
    listed = [(one, run) for one in rooms.rooms().runs() if (run := store().get(one.run)) is not None]
    if not listed:
        st.markdown("No learner has started a run yet.")
    for run in {run.id: run for _, run in listed}.values():
        seats = ", ".join(str(one.seat) for one, other in listed if other.id == run.id)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Learner {seats}: {plain(run.title or 'a race')}, {run.status}", width="stretch")
            if st.button(
                "Stop",
                icon=":material/stop:",
                key=f"stop_{run.id}",
                help="Ends the run; its curves stay.",
                disabled=not run.active and run.status != "paused",
            ):
                engine().end(run.id)
                st.rerun()
            if st.button("Clear", icon=":material/delete:", key=f"clear_{run.id}", help="Deletes the run, for everybody who shares it."):
                rooms.rooms().forget_run(run.id)
                engine().erase(run.id)
                st.rerun()


def close() -> None:
    """Close the room, after a question."""
    with st.popover(
        "Close the room", icon=":material/no_meeting_room:", key="close", help="Ends the room for all; a second button confirms it."
    ):
        st.markdown("Deletes the code, the seats, all answers and soft labels, and the runs that learners started in it.")
        if st.button(
            "Close the room and delete its data", type="primary", key="close_room",
            help="Also deletes the board, and the new runs of the room from the page Runs. Results that this server had before, and runs "
            "of others, stay. This cannot be undone.",
        ):  # fmt: skip
            for run_id in _do(rooms.rooms().close) or []:
                engine().erase(run_id)
            st.rerun()


def _preset(label: str, *, key: str, help: str, current: str = "first-race") -> str:
    names = list(PRESETS)
    return st.selectbox(
        label, names, index=names.index(current) if current in names else 0, format_func=lambda n: PRESETS[n].title, key=key,
        help=help,
    )  # fmt: skip


def _do(change, *arguments: object, **more: object) -> object:  # noqa: ANN001
    """Change the room; a refusal gives one sentence on the page."""
    try:
        return change(*arguments, **more)
    except ValueError as error:
        show_error(error)
        st.stop()
