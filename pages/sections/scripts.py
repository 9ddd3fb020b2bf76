"""Scripts for a lecture of 10, 25 or 50 minutes: when to do what, and what to say."""

from __future__ import annotations

import streamlit as st

SCRIPTS = {
    10: (
        (0, "Start", "Let the temperature move. Ask: which wrong class has the most probability, and why?"),
        (2, "Presentation, *A first race*", "Say what student and baseline share: weights, images, order. Let the room guess by hands."),
        (3, "Space", "While it trains: what does the band mean? Ten seeds, 95 % interval."),
        (5, "V", "Read the conclusion aloud, with its interval. One seed alone would not show it."),
        (6, "\u2192, *A class without images*", "The student never sees a 3. Guess: what share of the threes will it recognise?"),
        (8, "Space, then V", "The soft targets of other digits carry the 3. This is dark knowledge."),
        (9, "Start", "What they can try at home: the address of the lab, one question to answer with it."),
    ),
    25: (
        (0, "Lecturer, *Open a room*", "Learners scan the code. Nobody gives a name."),
        (2, "Start", "Soft targets at T = 1, 4, 20. What changes, what stays in order?"),
        (5, "Ask: a number, *A first race*", "By how many points will the student beat the baseline? Wait for most answers."),
        (7, "Start it for all, *A first race*", "The same run for all. Talk about the baseline while it trains."),
        (9, "Reveal the answers", "Compare histogram, measured difference and what came. Who guessed below zero, and why?"),
        (12, "Start it for all, *different T and alpha*", "All runs together are a sweep: watch the dots on the board take their colours."),
        (16, "The board", "Where is it blue? Why nowhere near alpha = 1? Is the best dot really the best?"),
        (19, "Be the teacher", "Ten odd digits. Five minutes on phones; walk through the room."),
        (23, "Train on the soft labels", "Did the learners' answers teach more than the labels? Ten images are few: read the interval."),
        (24, "Close the room", "Everything about it is deleted."),
    ),
    50: (
        (0, "Lecturer, *Open a room*", "Learners scan the code; hide pages that would give results away."),
        (3, "Start", "From logits to soft targets. Write softmax(z / T) on the board; ask for the limits of T."),
        (8, "Ask: a choice", "Which will have the higher test accuracy, student or baseline? Reveal before the race."),
        (10, "Start it for all, *A first race*", "Follow the difference curve, not two single curves: pairs cancel what seeds share."),
        (15, "Soft targets", "T\u00b2: the size of the gradient with and without it."),
        (20, "Start it for all, *different T and alpha*", "Lock all but T and alpha first. Predict the map, then look at the board."),
        (26, "Ask: a number, *Ten epochs at a high temperature*", "Where distillation harms: guess, then run it in Presentation."),
        (31, "Presentation, *A class without images*", "Guess the recall of the 3, run, reveal, then the claim of the paper."),
        (36, "Be the teacher", "Ten odd digits. The consensus against the network's soft targets."),
        (42, "Find the bug", "In pairs: one hidden mistake from public code, from its curves alone."),
        (47, "The board", "What did we measure, on what, how often? What could another teacher change?"),
        (49, "Close the room", "Everything about it is deleted."),
    ),
}  # fmt: skip


def show() -> None:
    """The scripts, one tab each."""
    with st.expander("Scripts for 10, 25 and 50 minutes"):
        for tab, (minutes, steps) in zip(st.tabs([f"{minutes} minutes" for minutes in SCRIPTS]), SCRIPTS.items(), strict=True):
            rows = "\n".join(f"| {minute}\u2032 | {do} | {say} |" for minute, do, say in steps)
            tab.markdown(f"| minute | open or press | say |\n|---|---|---|\n{rows}\n\nThe end: {minutes}\u2032.")
