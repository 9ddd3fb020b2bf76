"""Advisor: which student, temperature, alpha and method for these labels and this budget, and what that rests on."""

import streamlit as st

from distill_core.statistics import may_be_best, paired_difference
from pages.sections import advisor
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, to_link

set_up("Advisor")
st.title("Which student fits my budget?")
from_link("advisor", advisor.DEFAULTS)
dataset, labels, kilobytes = advisor.choose()
advisor.show(dataset, labels, kilobytes)
show_source(paired_difference, may_be_best)
to_link("advisor", {"dataset": dataset, "labels": labels, "kilobytes": kilobytes})
