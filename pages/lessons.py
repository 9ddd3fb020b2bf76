"""Lessons: guess, run, explain."""

import streamlit as st

from distill_core.lessons import LESSONS
from pages.components.progress import kept_guesses
from pages.sections import lessons
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

set_up("Lessons")
from_link("lessons", {"lesson": ""})
settle("lessons_lesson", list(LESSONS))
guesses = kept_guesses(st.session_state.get("lesson_guesses", {}), names=LESSONS)
with st.sidebar:
    name = lessons.choose(guesses)
lesson = LESSONS[name]
of_group = [one for one in LESSONS.values() if one.group == lesson.group]
st.title(lesson.title)
st.caption(f"{lesson.group}, lesson {of_group.index(lesson) + 1} of {len(of_group)}")
lessons.ask(name, lesson, guesses.get(name))
if name in guesses:
    if lessons.show_result(name, lesson, guesses[name]):
        lessons.explain(name, lesson)
else:
    lessons.invite(lesson)
to_link("lessons", {"lesson": name})
