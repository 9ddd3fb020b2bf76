"""Who may import whom: STYLE.md's six rules, read from the imports themselves."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from distill_core import READING_ORDER

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "distill_core"
LABORATORY = {"sqlalchemy", "distributed", "dask"}
PAGES = sorted((ROOT / "pages").glob("*.py"))
PARTS = sorted((ROOT / "pages" / "parts").rglob("*.py"))

# Beside torch, numpy and the standard library; each for the one thing it does there.
ALSO = {
    "places": {"platformdirs"},
    "datasets": {"torchvision", "sklearn", "PIL", "safetensors", "filelock"},
    "drawing": {"PIL"},
    "teachers": {"safetensors", "filelock"},
    "analysis": {"scipy", "sklearn", "threadpoolctl"},
    "cohort": {"safetensors"},
}


def tree(path):
    return ast.parse(path.read_text(), str(path))


def imports(path):
    """Every module that a file imports, anywhere in it; `from a import b` counts as `a.b`."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(ROOT).parts[: -node.level]) if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def outside(path):
    """The packages that are neither Python's own nor the lab's."""
    return {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"distill_core", "pages", "__future__"}


def core_files(path):
    """The core files (and sub-packages) that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("distill_core.")}


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def label(path):
    return str(path.relative_to(ROOT))


def test_the_reading_order_names_every_core_file_once():
    files = {path.stem for path in CORE.glob("*.py")} - {"__init__", "__main__"}
    assert sorted(READING_ORDER) == sorted(files)


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_core_file_needs_only_those_before_it(name):
    earlier = READING_ORDER[: READING_ORDER.index(name)]
    assert core_files(CORE / f"{name}.py") <= set(earlier)


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_core_file_uses_torch_and_numpy_and_little_else(name):
    assert outside(CORE / f"{name}.py") <= {"torch", "numpy"} | ALSO.get(name, set())


def test_only_pages_and_their_parts_and_the_table_of_contents_import_streamlit():
    found = [label(path) for path in sources("distill_core") if "streamlit" in outside(path)]
    assert found == []


def test_only_the_laboratory_imports_database_and_engine():
    everywhere = [*sources("distill_core", "pages"), *ROOT.glob("*.py")]
    found = [label(path) for path in everywhere if CORE / "runs" not in path.parents and outside(path) & LABORATORY]
    assert found == []


def test_the_laboratory_draws_nothing():
    for path in (CORE / "runs").rglob("*.py"):
        assert not outside(path) & {"streamlit", "plotly"} and "figures" not in core_files(path), label(path)


def test_figures_take_plain_numbers():
    for path in (CORE / "figures").rglob("*.py"):
        assert outside(path) <= {"plotly", "numpy", "scipy", "pandas"}, label(path)
        assert core_files(path) <= {"figures"}, label(path)


def test_nothing_in_the_core_imports_a_page():
    found = [label(path) for path in sources("distill_core") if any(name.split(".")[0] in ("pages", "app") for name in imports(path))]
    assert found == []


def test_no_page_imports_a_page():
    names = {path.stem for path in PAGES} - {"__init__"}
    for path in [*PAGES, *PARTS]:
        inside = {name.split(".")[1] for name in imports(path) if name.startswith("pages.")}
        assert not inside & names, label(path)


def test_no_page_trains():
    """It puts a run into the queue; a worker trains."""
    training = {"train", "train_cohort", "Cohort", "Runner", "make_teacher", "prepare_teacher", "backward"}
    for path in [*PAGES, *PARTS]:
        called = {getattr(node.func, "id", getattr(node.func, "attr", "")) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
        assert not called & training, label(path)


def test_the_app_is_a_table_of_contents_and_nothing_else():
    path = ROOT / "app.py"
    assert outside(path) == {"streamlit"} and core_files(path) <= {"runs"}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While)
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def test_every_file_says_what_it_is_for():
    for path in [*sources("distill_core", "pages"), *ROOT.glob("*.py")]:
        assert path.stem == "__init__" or ast.get_docstring(tree(path)), label(path)
