"""Classroom: join a room with its code, answer the lecturer's questions, see the runs of the room."""

import streamlit as st

from distill_core.studies.presets import PRESETS
from pages.components.live_chart import have_charts_ready
from pages.sections import classroom
from pages.server import room as rooms
from pages.server.lab import link, owner, set_up

set_up("Classroom")
room, seat = rooms.current(), st.session_state.get("seat", 0)

if room is None or not seat:
    st.title("Join a room")
    if room is None:
        st.markdown("No room is open on this server. The lecturer opens one on the page Lecturer.")
    else:
        st.markdown("Type the code that the lecturer shows. There is no account: you get a seat number, and nobody asks for a name.")
        classroom.ask_for_code()
    st.stop()

st.caption(f"Room **{room.code}** · you are learner **{seat}**")
if room.activity is not None:
    classroom.answer(room.activity, rooms.rooms().answers_of(owner()))
else:
    st.title("You are in.")
    st.markdown("Look at the lecturer's screen. This page changes by itself when there is something to do.")
    if room.call is not None and room.call.preset in PRESETS and "Race" not in room.hidden:
        st.markdown(f"All learners run the preset **{PRESETS[room.call.preset].title}**.")
        link("pages/race.py", "Open the race", icon="sprint")
    have_charts_ready()
if room.board_shown:
    st.subheader("The board: all runs of the room")
    st.fragment(classroom.board, run_every=classroom.TICK)(room, key="board")
with st.expander("Leave the room"):
    st.markdown("Your answers and your dots on the board are deleted.")
    if st.button(
        "Leave", icon=":material/logout:", key="leave", help="Gives the seat back. With the code you can join again, in another seat."
    ):
        rooms.rooms().leave(owner())
        st.rerun()
