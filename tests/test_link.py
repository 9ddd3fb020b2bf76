"""A page's choices in its address."""

import streamlit as st
from streamlit.runtime.state import QueryParamsProxy
from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from pages.server.link import from_link, settle, to_link

    if st.session_state.pop("another_page", False):
        return
    from_link("animals", {"kind": "", "number": 1})
    settle("animals_kind", ["cat", "dog", "horse"])
    kind = st.segmented_control("Kind", ["cat", "dog", "horse"], key="animals_kind", required=True)
    to_link("animals", {"kind": kind, "number": st.session_state["animals_number"]})


def opened(**link):
    app = AppTest.from_function(page)
    for name, value in link.items():
        app.query_params[name] = value
    return app.run()


def test_a_choice_of_a_link_outlives_a_run_without_its_widget():
    app = opened(kind="dog")
    app.session_state["another_page"] = True
    app.run()
    assert "animals_kind" not in app.session_state  # Streamlit drops it with its widget
    app.run()
    assert app.session_state["animals_kind"] == "dog"


def test_a_learners_choice_is_not_undone_by_the_address_of_the_link():
    app = opened(kind="dog")
    app.session_state["animals_kind"] = "horse"
    app.run()
    assert app.session_state["animals_kind"] == app.query_params["kind"] == "horse"
    app.query_params["kind"] = "dog"  # a message that the browser sent before it had the new address
    app.run()
    assert app.session_state["animals_kind"] == "horse"


def test_a_choice_survives_a_page_that_is_ended_as_it_sends_its_address(monkeypatch):
    send = QueryParamsProxy.from_dict

    def end_after_sending(params, values):  # as a click does that arrives at this moment
        send(params, values)
        st.stop()

    app = opened(kind="dog")
    app.session_state["animals_kind"] = "cat"
    with monkeypatch.context() as patched:
        patched.setattr(QueryParamsProxy, "from_dict", end_after_sending)
        app.run()
    assert app.query_params["kind"] == "cat"  # the browser has this address and sends it with the next click
    app.session_state["animals_kind"] = "horse"
    app.run()
    assert app.session_state["animals_kind"] == "horse"
