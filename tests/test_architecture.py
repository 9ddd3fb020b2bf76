"""Which file may import which: the rules of STYLE.md, read from the imports themselves, without an exception."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from distill_core import READING_ORDER

ROOT = Path(__file__).resolve().parent.parent
CORE, PAGES = ROOT / "distill_core", ROOT / "pages"
ENGINE_PACKAGES = {"sqlalchemy", "distributed", "dask"}

# Beside torch, numpy, scipy and the standard library; each for the one thing it does there.
ALSO = {
    "paths": {"platformdirs"},
    "data": {"torchvision", "sklearn", "PIL", "safetensors", "filelock"},
    "teachers": {"safetensors", "filelock"},
    "analysis": {"sklearn", "threadpoolctl"},
    "starts": {"safetensors"},
    "training": {"safetensors"},
    "export": {"safetensors", "onnx", "onnxruntime"},
    "studies": {"safetensors"},
    "serving": {"starlette", "uvicorn"},
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


def module_of(path):
    """A file's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for folder in (CORE, PAGES) for path in sorted(folder.rglob("*.py"))}


def own_imports(path):
    """The modules of this repository that a file imports, as the files they are."""
    found = set()
    for name in imports(path):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        if name and name != module_of(path):
            found.add(name)
    return found


def outside(path):
    """The packages that are neither Python's own nor the lab's."""
    return {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"distill_core", "pages", "__future__"}


def within(*folders):
    """The files of these folders, each by its path below the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def label(path):
    return str(path.relative_to(ROOT))


def imports_from(path, *packages):
    """What a file imports of these packages of the lab."""
    return {name for name in own_imports(path) if name.startswith(tuple(f"{package}." for package in packages)) or name in packages}


def is_lesson(path):
    """A lesson is added by one file: nothing else lists it."""
    return path.parent.name == "lessons" and "LESSON = " in path.read_text()


def test_the_reading_order_names_every_core_file_once():
    lecture = {module_of(path) for path in within("distill_core") if not {"figures", "runs"} & set(path.relative_to(CORE).parts)}
    lecture = {name for name in lecture if not is_lesson(MODULES[name])}
    empty = {name for name in lecture if MODULES[name].name == "__init__.py" and not own_imports(MODULES[name])}
    assert sorted(READING_ORDER) == sorted(
        name.removeprefix("distill_core.") for name in lecture - empty - {"distill_core.__main__", "distill_core"}
    )


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_core_file_needs_only_those_before_it(name):
    earlier = {f"distill_core.{one}" for one in READING_ORDER[: READING_ORDER.index(name)]}
    packages = {one for one in MODULES if MODULES[one].name == "__init__.py"}
    assert own_imports(MODULES[f"distill_core.{name}"]) - (packages - earlier if "." not in name else packages) <= earlier


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_core_file_uses_torch_numpy_scipy_and_little_else(name):
    assert outside(MODULES[f"distill_core.{name}"]) <= {"torch", "numpy", "scipy"} | ALSO.get(name.split(".")[0], set())


def test_the_core_imports_neither_streamlit_nor_a_page():
    for path in within("distill_core"):
        assert "streamlit" not in outside(path) and not imports_from(path, "pages", "app"), label(path)


def test_only_runs_imports_the_database_and_the_engine():
    for path in [*within("distill_core", "pages"), *ROOT.glob("*.py")]:
        assert CORE / "runs" in path.parents or not outside(path) & ENGINE_PACKAGES, label(path)


def test_runs_draws_nothing():
    for path in within("distill_core/runs"):
        assert not outside(path) & {"streamlit", "plotly"} and not imports_from(path, "distill_core.figures"), label(path)


def test_figures_take_plain_numbers():
    for path in within("distill_core/figures"):
        assert outside(path) <= {"plotly", "numpy", "scipy", "pandas"}, label(path)
        assert own_imports(path) <= imports_from(path, "distill_core.figures", "distill_core.statistics"), label(path)


def test_components_and_server_never_import_a_section_or_a_page():
    for path in within("pages/components", "pages/server"):
        used = own_imports(path)
        assert used <= imports_from(path, "pages.components", "pages.server", "distill_core"), label(path)


def test_sections_never_import_a_page():
    for path in within("pages/sections"):
        assert imports_from(path, "pages") <= imports_from(path, "pages.sections", "pages.components", "pages.server"), label(path)


def test_pages_import_neither_each_other_nor_torch_nor_a_database():
    for path in sorted(PAGES.glob("*.py")):
        assert imports_from(path, "pages") <= imports_from(path, "pages.sections", "pages.components", "pages.server"), label(path)
        assert not outside(path) & {"torch", "torchvision", *ENGINE_PACKAGES}, label(path)


def test_no_page_trains():
    """It puts a run into the queue; a worker trains."""
    training = {"train", "train_cohort", "Cohort", "Learner", "make_teacher", "prepare_teacher", "backward"}
    for path in within("pages"):
        called = {getattr(node.func, "id", getattr(node.func, "attr", "")) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
        assert not called & training, label(path)


def test_the_app_is_a_table_of_contents_and_nothing_else():
    path = ROOT / "app.py"
    assert outside(path) == {"streamlit"} and not own_imports(path)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While)
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def test_no_module_imports_itself_by_a_detour():
    """No cycle, imports inside functions and for types counted too."""
    uses = {name: own_imports(path) for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(uses[name]):
                visit(other, [*trail, name])
            done.add(name)

    for name in uses:
        visit(name, [])


def test_no_module_uses_a_private_name_of_another():
    """Neither `from a import _b`, nor `a._b` for an imported module `a`; names with two underscores are Python's."""
    for path in within("distill_core", "pages"):
        modules = {name.rpartition(".")[2] for name in own_imports(path)}
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("distill_core", "pages"):
                taken = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                taken = [node.attr]
            else:
                continue
            assert not [name for name in taken if name.startswith("_") and not name.startswith("__")], f"{label(path)}:{node.lineno}"


def test_private_parts_of_streamlit_are_used_in_one_file_only():
    """What begins with an underscore, or lies below `streamlit.runtime`: what a new version may change without a word."""
    for path in [*within("pages"), *ROOT.glob("*.py")]:
        inner = {name for name in imports(path) if name.startswith("streamlit.runtime") or ("._" in name and name.startswith("streamlit"))}
        assert not inner or label(path) == "pages/server/streamlit_patches.py", f"{label(path)}: {inner}"


def test_every_file_says_what_it_is_for():
    for path in [*within("distill_core", "pages"), *ROOT.glob("*.py")]:
        assert ast.get_docstring(tree(path)), label(path)


def test_readme_lists_every_file():
    listed = (ROOT / "README.md").read_text().split("## The way in")[1].split("\n## ")[0]
    for path in [*within("distill_core", "pages"), *ROOT.glob("*.py")]:
        assert path.name == "__init__.py" or is_lesson(path) or path.name in listed, label(path)


def test_the_way_of_a_run_in_readme_names_functions_that_exist():
    way = (ROOT / "README.md").read_text().split("## How a run flows")[1].split("\n## ")[0]
    steps = [line for line in way.splitlines() if line[:2].strip(". ").isdigit()]
    assert len(steps) == 10
    defined = {
        node.name
        for path in within("distill_core", "pages")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = [name for quoted in re.findall(r"`[\w/.]+\.py: ([\w.]+)`|`(\w+\.\w+)`", way) for name in quoted if name and ".js" not in name]
    assert len(named) >= 10
    for name in named:
        assert name.rpartition(".")[2] in defined, name
