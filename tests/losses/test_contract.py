"""Every loss x every check; and the docstrings: what they say of needs and terms, and that their examples run."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import lookalike.losses
from lookalike.losses import LOSSES
from tests.losses.cases import CASES
from tests.losses.contract import CHECKS, batch


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_contract(name: str, check: str) -> None:
    check_loss = CHECKS[check]
    check_loss(CASES[name])


def test_every_loss_is_here() -> None:
    found = {name: type(CASES[name].make()) for name in LOSSES}
    assert found == LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_docstring_tells_needs_and_terms(name: str) -> None:
    loss, text = CASES[name].make(), inspect.getdoc(LOSSES[name]) or ""
    needs, terms = re.search(r"^Needs: ([\w, ]+)\.", text, re.M), re.search(r"^Terms: (.*)$", text, re.M)
    assert needs and terms
    assert needs[1].split(", ") == [name for name, needed in loss.inputs.items() if needed]
    assert re.findall(r'"(\w+)"', terms[1]) == list(loss.terms(*batch()))


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(lookalike.losses.__path__)])
def test_examples_in_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"lookalike.losses.{module}"))
    assert found.failed == 0
    assert found.attempted > 0 or module in ("base", "pairs", "proxies")
