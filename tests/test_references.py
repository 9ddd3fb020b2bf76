"""Citations: each is in the list of references, names the authors, and is followed by the place that was read."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from distill_core.glossary import TIMELINE
from distill_core.lessons import LESSONS
from distill_core.objectives import METHODS
from distill_core.references import CITATION, REFERENCES, citations, reference
from distill_core.studies.comparison import SET_UPS
from distill_core.studies.literature import STUDIES
from distill_core.studies.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    *(path for folder in ("distill_core", "pages") for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "references.py"),
    ROOT / "README.md",
    ROOT / "distill_core" / "weights" / "cards.json",
]
PLACE = re.compile(
    r"(?:, \*[^*]+\*)?(?: \([A-Z][\w-]+\))?"  # a title, the usual name of the method
    r"(?: \(section not checked\)|, (?:sections?|equations?|tables?|figures?|algorithm|abstract|appendix|pages?|chapter) ?"
    r"|, the (?:authors' code|author's code|README|page))"
)
PART = re.compile(rf"{CITATION.pattern}(?:, \*[^*]+\*)?")  # a citation alone: a constant, to which others add the place
SENTENCE = re.compile(r"(?<!et al)[.!?:;] (?=\W*[A-Z])")  # its end
MEMORY = re.compile(r"\((?:\w+ )*(?:from memory|unchecked|not checked)\)")  # of which one form is used: "section not checked"


def cited_as(entry):
    """How a citation names the authors; None for a single author, whose name alone may stand for a method or a test."""
    first, *others = entry.surnames
    return f"{first} et al." if len(others) > 1 else f"{first} and {others[0]}" if others else None


NAMES = "|".join(re.escape(name) for name in sorted({cited_as(entry) for entry in REFERENCES.values()} - {None}))
AUTHORS = re.compile(rf"\b({NAMES})(?! \d{{4}})")


def texts(path):
    """The strings, docstrings and comments of a Python file; the whole of another file."""
    source = path.read_text()
    if path.suffix != ".py":
        return [source]
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = " ".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)
    return [*strings, comments]


def without_place(text):
    """The citations of a text that are not followed by a section, figure, the code ..., or by the mark that none was checked."""
    line = " ".join(text.split())
    return [found[0] for found in CITATION.finditer(line) if not PLACE.match(line, found.end())]


def without_citation(text):
    """The sentences that name authors of a paper without its year, and do not cite it either: nobody can look up what they claim."""
    sentences = SENTENCE.split(" ".join(text.split()))
    return [one for one in sentences for found in AUTHORS.findall(one) if not any(c.startswith(found) for c in citations(one))]


def names_authors(citation):
    """Whether a citation has the authors of its reference: all of them, or the first of three or more and "et al."."""
    names, surnames = citation[:-5], reference(citation).surnames
    if names.endswith(" et al."):
        return len(surnames) > 2 and names == f"{surnames[0]} et al."
    return names == " and ".join([name for name in (", ".join(surnames[:-1]), surnames[-1]) if name])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_citation_is_in_the_references_under_its_authors_and_names_its_place(path):
    for text in texts(path):
        assert all(names_authors(citation) for citation in citations(text)), citations(text)
        assert PART.fullmatch(text) or not without_place(text), text
        assert not without_citation(text), text
        assert {mark.replace("\n", " ") for mark in MEMORY.findall(" ".join(text.split()))} <= {"(section not checked)"}, text


def test_studies_and_lessons_and_the_history_name_their_source_and_its_place():
    sources = {name: study.source for name, study in STUDIES.items()} | {name: lesson.source for name, lesson in LESSONS.items()}
    for name, source in [*sources.items(), *((event, source) for _, event, source in TIMELINE)]:
        assert citations(source) or source.casefold().startswith("measured here"), name
        assert not without_place(source), name


def test_presets_and_methods_and_set_ups_name_their_source_and_its_place():
    for name, preset in PRESETS.items():
        assert preset.source == "Measured here" or citations(preset.source), name
        assert not without_place(preset.source), name
    for name, method in METHODS.items():
        assert method.paper == "public code" or (citations(method.paper) and not without_place(method.paper)), name
    for name, entry in SET_UPS.items():
        assert citations(entry.idea) or name.startswith("two-teachers"), name


def test_the_key_of_a_reference_is_its_first_author_and_year():
    assert all(key == f"{entry.surnames[0]} {entry.year}" for key, entry in REFERENCES.items())
    assert list(REFERENCES) == sorted(REFERENCES, key=str.casefold)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in Hinton, Vinyals and\n    Dean 2015, section 2", ["Hinton, Vinyals and Dean 2015"]),
        ("(Hinton et al. 2015; Ba and Caruana 2014)", ["Hinton et al. 2015", "Ba and Caruana 2014"]),
        (
            "Source: van der Maaten and Hinton 2008; van den Oord et al. 2018.",
            ["van der Maaten and Hinton 2008", "van den Oord et al. 2018"],
        ),
        ("M\u00fcller, Kornblith and Hinton 2019", ["M\u00fcller, Kornblith and Hinton 2019"]),
        ("(Jordan 2024)", ["Jordan 2024"]),
        ("CVPR 2022, at most 2000 students, 2026-11-26", []),
    ],
)
def test_citations_are_found_in_a_text(text, found):
    assert citations(text) == found
    assert all(names_authors(citation) for citation in found)


def test_a_citation_that_is_not_in_the_references_says_what_to_add():
    with pytest.raises(ValueError, match=r"citation 'Hinton et al\. 2016' has no entry 'Hinton 2016' in REFERENCES"):
        reference("Hinton et al. 2016")


def test_a_citation_without_its_place_or_with_other_authors_is_found():
    assert without_place("Hinton et al. 2015, section 2; Park et al. 2019. Section 3 of") == ["Park et al. 2019"]
    assert without_place("Tung and Mori 2019 (section not checked), Huang et al. 2022 (DIST), the authors' code") == []
    assert without_citation("As Cho and Hariharan found, so it is. Beyer et al. disagree (Beyer et al. 2022, section 3).") == [
        "As Cho and Hariharan found, so it is"
    ]
    assert MEMORY.findall("section 3 (from memory), section 4 (section not checked)") == ["(from memory)", "(section not checked)"]
    assert not names_authors("Hinton and Dean 2015") and not names_authors("Ba et al. 2014")


def _references_of_attention():
    from pages.sections.methods import show_references

    show_references("attention")


def test_the_page_methods_shows_the_reference_of_its_method_in_full_and_all_others_below():
    own, everything = AppTest.from_function(_references_of_attention, default_timeout=60).run().expander[0].caption
    assert own.value.endswith(f"- {reference(METHODS['attention'].paper.split(',')[0])}") and own.value.count("\n- ") == 1
    assert all(f"- {entry}" in everything.value for entry in REFERENCES.values())
