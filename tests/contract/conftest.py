"""Who answers which of the contract's questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import loss_cases
import maxsim_cases
import metric_cases
import operator_cases
import pytest
from contract_case import Case

CASES = [*operator_cases.CASES, *maxsim_cases.CASES, *metric_cases.CASES, *loss_cases.CASES]
SELECTIONS: dict[str, Callable[[Case], bool]] = {
    "case": lambda case: True,
    "unordered": lambda case: not case.ordered,
    "differentiable": lambda case: case.differentiable,
    "reducing": lambda case: case.reduces,
    "list_case": lambda case: not case.vectors,
    "static": lambda case: case.static,
    "double": lambda case: case.differentiable and case.derivative and case.float64,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, selected in SELECTIONS.items():
        if fixture in metafunc.fixturenames:
            rows = [case for case in CASES if selected(case)]
            metafunc.parametrize(fixture, rows, ids=[case.name for case in rows])


@pytest.fixture
def covered() -> set[Callable[..., Any]]:
    """The functions with a row in the table."""
    return {case.covers for case in CASES}
