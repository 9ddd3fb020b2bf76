"""Lecturer: open a room, bring the learners together, ask, start races for all, and see every result on one map."""

import streamlit as st

from pages.sections import classroom, lecturer, scripts
from pages.server import room as rooms
from pages.server.lab import link, owner, set_up

set_up("Lecturer")
if not rooms.is_lecturer(owner()):
    st.title("For the lecturer")
    st.markdown(
        "Open this page by the link that the server prints in its terminal when it starts: it begins with *Lecturer's page*. "
        "The link works for this server until it is started again."
    )
    link("pages/classroom.py", "Learners join on the page Classroom", icon="groups")
    st.stop()

room = rooms.current()
if room is None:
    lecturer.closed()
else:
    with st.container():  # whatever it shows, the tabs keep their place in the page, and with it the open tab
        lecturer.wall(room)
        lecturer.now(room)
    ask, start, teach, see, runs = st.tabs(["Ask", "Start a race for all", "Be the teacher", "What learners see", "Stop and clear runs"])
    with ask:
        lecturer.ask()
    with start:
        lecturer.start_all(room)
    with teach:
        lecturer.be_the_teacher()
    with see:
        lecturer.visible(room)
    with runs:
        lecturer.runs()
    st.subheader("The board: all runs of the room")
    st.fragment(classroom.board, run_every=classroom.TICK)(room, key="board")
    lecturer.close()
with st.container(horizontal=True):
    link("pages/presentation.py", "Presentation, with keys", icon="present_to_all")
    link("pages/preflight.py", "Preflight", icon="checklist")
scripts.show()
