"""The settings of methods: what they are in their limits, which keys they change, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
from test_cohort import DOUBLE, alone, assert_same, together
from test_language_models import small
from test_sweep_page import open_sweep  # noqa: F401 (a fixture)

from distill_core.__main__ import main
from distill_core.batch import Batch
from distill_core.experiment import Experiment
from distill_core.losses import top_k_loss
from distill_core.method_settings import FIXED, SETTINGS, configured, in_words, settings_of
from distill_core.objectives import METHODS, objective
from distill_core.references import citations
from distill_core.text_objectives import TEXT_METHODS, method_of

USUAL = {name: setting.default for name, setting in SETTINGS.items()}


def batch(**more):
    """Twenty examples of nine classes in double precision."""
    student, teacher = torch.randn(2, 20, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return Batch(student, teacher, torch.arange(20) % 9, alpha=0.3, temperature=2.0, **more)


def total(method, **settings):
    return objective(configured(method, USUAL | settings), batch())[0].item()


def test_a_setting_has_the_default_of_its_field_and_names_its_source():
    for name, setting in SETTINGS.items():
        assert Experiment.__dataclass_fields__[name].default == setting.default
        assert citations(setting.help)
        assert all(name in settings_of(method) for method in setting.methods)


def test_with_its_defaults_a_method_is_what_it_was_before_it_had_settings():
    for name in METHODS | TEXT_METHODS:
        method, usual = configured(name, USUAL), method_of(name)
        if settings_of(name):
            assert (method.weight, method.student_writes) == (usual.weight, usual.student_writes)
            assert objective(method, batch())[0].item() == objective(usual, batch())[0].item()
        else:
            assert method is usual


@pytest.mark.parametrize(("beta", "limit"), [(0.0, "soft-targets"), (1.0, "reverse-kl")])
def test_beta_reaches_the_soft_loss_at_0_and_its_reverse_at_1(beta, limit):
    assert total("jensen-shannon", beta=beta) == pytest.approx(total(limit), rel=1e-12)
    near = abs(beta - 1e-3)  # the weighted divergence tends to the same
    assert total("jensen-shannon", beta=near) == pytest.approx(total(limit), rel=0.02)
    assert total("jensen-shannon", beta=0.5) != pytest.approx(total(limit), rel=1e-3)


@pytest.mark.parametrize("fixed", FIXED)
def test_a_method_with_fixed_settings_is_the_general_one_with_them(fixed):
    general, settings = {
        "jensen-shannon-0.1": ("jensen-shannon", {"beta": 0.1}),
        "jensen-shannon-0.9": ("jensen-shannon", {"beta": 0.9}),
        "top-5": ("top-k", {"top_k": 5}),
        "top-5-scaled": ("top-k", {"top_k": 5, "rest": "left-out"}),
    }[fixed]
    assert total(general, **settings) == pytest.approx(total(fixed), rel=1e-12)


@pytest.mark.parametrize("rest", ("one-class", "left-out"))
def test_all_probabilities_are_the_soft_targets(rest):
    assert total("top-k", top_k=9, rest=rest) == pytest.approx(total("soft-targets"), rel=1e-12)
    assert total("top-k", top_k=200, rest=rest) == pytest.approx(total("soft-targets"), rel=1e-12)  # of an own text with few characters
    assert total("top-k", top_k=3, rest=rest) != pytest.approx(total("soft-targets"), rel=0.05)
    logits = batch().student_logits.clone().requires_grad_()
    top_k_loss(logits, batch().teacher_logits, k=9, temperature=2.0, keep_rest=rest == "one-class").backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("method", "plain"), [("on-policy", "soft-targets"), ("on-policy-reverse-kl", "reverse-kl")])
def test_a_student_that_never_writes_is_distilled_token_by_token(method, plain, monkeypatch):
    never, usual = alone(small(method, on_policy_share=0.0), torch.float64, monkeypatch), alone(small(plain), torch.float64, monkeypatch)
    for name, weight in usual[1][0].items():
        assert torch.equal(never[1][0][name], weight)
    half = alone(small(method), torch.float64, monkeypatch)
    assert not torch.equal(half[1][0]["head.weight"], usual[1][0]["head.weight"])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("on-policy", {"on_policy_share": 1.0}),
        ("jensen-shannon", {"beta": 0.8}),
        ("jensen-shannon", {"beta": 0.0}),
        ("top-k", {"top_k": 2, "rest": "left-out"}),
    ],
    ids=str,
)
def test_a_cohort_equals_alone_with_other_settings(method, settings, monkeypatch):
    experiments = [small(method, seed=1, alpha=0.3, **settings), small(method, seed=0, alpha=0.0, **settings)]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), DOUBLE)


def test_images_have_the_settings_of_the_methods_that_they_have(monkeypatch):
    usual = Experiment(images=40, student="mlp-8x1", epochs=1, batch_size=20, method="jensen-shannon", beta=0.2)
    found, other = together([usual, replace(usual, beta=0.5)], torch.float64)
    assert_same(found, alone(usual, torch.float64, monkeypatch), DOUBLE)
    assert not torch.equal(found[1][0]["stem.weight"], other[1][0]["stem.weight"])
    assert torch.equal(found[1][1]["stem.weight"], other[1][1]["stem.weight"])  # a baseline has none of them


# --- keys and refusals ----------------------------------------------------------------------------------------------

LITTLE = {"dataset": "little-language"}
KEYS = [  # as they were before methods had settings
    ({}, "a6da6738759cc652", "af9b0b51cd0cbe82"),
    ({"dataset": "mnist", "images": 1000, "method": "jensen-shannon", "validation": 2000}, "0c67e2e1aef2ddee", "9f40b4fe854a2399"),
    ({"compression": "int4"}, "6cd276416b8a7b00", "7c6af031e5dc8777"),
    (LITTLE, "da66076a8478c775", "1cbb2d7c8bee351f"),
    ({**LITTLE, "method": "jensen-shannon-0.1"}, "a0a7f27dbc08d892", "1cbb2d7c8bee351f"),
    ({**LITTLE, "method": "jensen-shannon"}, "f3fd78c0f1841f4a", "1cbb2d7c8bee351f"),
    ({**LITTLE, "method": "top-5"}, "0082f8c8ef91dec7", "1cbb2d7c8bee351f"),
    ({**LITTLE, "method": "on-policy-reverse-kl", "seed": 3}, "7631b2528cbe61d5", "ff7e36a0917bd99f"),
]


@pytest.mark.parametrize(("fields", "key", "baseline"), KEYS, ids=[str(fields) for fields, *_ in KEYS])
def test_earlier_experiments_keep_their_keys(fields, key, baseline, monkeypatch):
    for name in ("RESULT_VERSION", "TEXT_RESULT_VERSION"):
        monkeypatch.setattr(f"distill_core.experiment.{name}", 3)  # that of then
    assert (Experiment(**fields).key, Experiment(**fields).baseline.key) == (key, baseline)


OTHERS = [
    ("on-policy", {"on_policy_share": 0.0}),
    ("on-policy-reverse-kl", {"on_policy_share": 1.0}),
    ("jensen-shannon", {"beta": 0.0}),
    ("jensen-shannon", {"beta": 0.9}),
    ("top-k", {"top_k": 1}),
    ("top-k", {"rest": "left-out"}),
]


@pytest.mark.parametrize(("method", "settings"), OTHERS, ids=str)
def test_a_setting_that_is_not_the_default_changes_the_key_of_the_student_and_not_of_its_baseline(method, settings):
    usual = Experiment(**LITTLE, method=method)
    other = replace(usual, **settings)
    assert other.key != usual.key and other.baseline == usual.baseline
    assert Experiment.from_json(other.to_json()) == other


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "on-policy", "on_policy_share": 1.1}, ("on_policy_share 1.1", "from 0 to 1")),
        ({"method": "on-policy", "on_policy_share": math.nan}, ("on_policy_share nan",)),
        ({"method": "jensen-shannon", "beta": -0.1}, ("beta -0.1", "from 0 to 1")),
        ({"method": "jensen-shannon", "beta": 1e-9}, ("beta 1e-09", "0.001")),
        ({"method": "jensen-shannon", "beta": "half"}, ("beta 'half'", "a number")),
        ({"method": "top-k", "top_k": 0}, ("top_k 0", "from 1 to 40")),
        ({"method": "top-k", "top_k": 41}, ("top_k 41", "from 1 to 40")),
        ({"method": "top-k", "top_k": 2.5}, ("top_k 2.5", "a whole number")),
        ({"method": "top-k", "rest": "forgotten"}, ("rest 'forgotten'", "one-class, left-out")),
        ({"method": "top-k", "rest": "left-out", "top_k": 1}, ("top_k 1", "top_k 2 or more")),
        ({"method": "soft-targets", "beta": 0.3}, ("beta 0.3", "no effect", "jensen-shannon")),
        ({"method": "jensen-shannon-0.1", "beta": 0.3}, ("beta 0.3", "no effect")),
        ({"method": "top-5", "top_k": 3}, ("top_k 3", "top-k")),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_refused_in_one_sentence(fields, words, refused):
    with refused(*words):
        Experiment(**LITTLE, **fields)


# --- the command line and the page ----------------------------------------------------------------------------------


def test_the_command_line_has_the_settings_with_their_meaning(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')}" in text
    assert "from 0 (the soft loss) to 1 (its reverse)" in text and "Agarwal et al. 2024" in text
    assert main(["train", "--dataset", "little-language", "--method", "top-k", "--top-k", "90"]) == 2
    assert "top_k 90 cannot be run; give a number from 1 to 40" in capsys.readouterr().err


def test_the_race_page_shows_the_settings_of_the_chosen_method_alone(open_sweep):  # noqa: F811
    app = open_sweep("race.py", dataset="little-language", method="top-k", top_k="3", rest="left-out")
    assert not app.exception and not app.error
    assert app.number_input(key="top_k").value == 3 and app.selectbox(key="rest").value == "left-out"
    assert any("k 3, rest left-out" in one.value for one in app.markdown)
    assert "beta" not in {one.key for one in app.slider}
    assert not set(FIXED) & set(app.selectbox(key="method").options)
    app.selectbox(key="method").set_value("jensen-shannon").run()
    app.slider(key="beta").set_value(0.8).run()
    assert not app.exception and not app.error
    assert app.query_params["beta"] == "0.8" and "top_k" not in app.query_params
    app.selectbox(key="method").set_value("on-policy").run()
    assert not app.exception and not app.error and app.slider(key="on_policy_share").value == 0.5 and "beta" not in app.query_params


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"method": "jensen-shannon", "beta": "2"}, "beta 2"),
        ({"beta": "0.3"}, "no effect"),
        ({"method": "top-k", "top_k": "x"}, "top_k 'x'"),
    ],
    ids=str,
)
def test_a_link_with_a_setting_that_cannot_be_gives_one_sentence(open_sweep, query, words):  # noqa: F811
    app = open_sweep("race.py", dataset="little-language", **query)
    assert not app.exception and not app.error and app.session_state["dataset"] == "digits"
    (message,) = [toast.value.replace("\\", "").replace("\u2060", "") for toast in app.toast]
    assert words in message


def test_a_method_is_described_with_its_settings():
    assert in_words("top-k", vars(Experiment(**LITTLE, method="top-k", top_k=3))) == "k 3, rest one-class"
    assert in_words("soft-targets", USUAL) == "" and dataclasses.asdict(Experiment())["beta"] == 0.5
