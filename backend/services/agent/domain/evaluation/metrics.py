"""Evaluation metrics of installed packages, found by their entry points.

A metric is a callable with the positional arguments question, expected answers, answer and sources.
It returns a number between 0 and 1, or None if it does not apply to the question.
"""

import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from numbers import Real
from typing import Any, Final, Protocol

from backend.ai.answer_scores import SCORE_NAMES
from backend.ai.citations import Citation

ENTRY_POINT_GROUP: Final = "ai_agent_system.evaluation_metrics"

_TIMEOUT_SECONDS: Final = 30.0
_MAX_NAME_CHARACTERS: Final = 32
_MAX_ERROR_CHARACTERS: Final = 200


class InvalidMetric(Exception):
    """A metric is unknown or cannot be loaded. The message contains its name and the correction."""


class MetricFailed(Exception):
    """A metric raised an exception, took too long, or returned no valid score."""


class MetricFunction(Protocol):
    """The callable that a package provides."""

    def __call__(
        self,
        question: str,
        expected: list[str],
        answer: str,
        sources: list[dict[str, Any]],
        /,
    ) -> float | None: ...


class EvaluationMetric:
    """A metric with its name.

    Calls are made in a thread, which cannot be stopped: while a call that took too long still
    runs, further calls fail at once, so that there is at most one such thread for each metric.
    """

    def __init__(
        self, name: str, function: MetricFunction, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self.name = name
        self._function = function
        self._timeout_seconds = timeout_seconds
        self._is_called = False

    def score_answer(
        self, question: str, expected: Sequence[str], answer: str, citations: Sequence[Citation]
    ) -> float | None:
        """Return the score of *answer*, from 0 to 1; None if the metric does not apply.

        Raises:
            MetricFailed: the metric has no valid score. The message is one line.
        """
        if self._is_called:
            raise MetricFailed("the previous call has not ended")
        # The citations are copied: a metric that changes its arguments must not change the result.
        sources = [deepcopy(asdict(citation)) for citation in citations]
        outcome: queue.SimpleQueue[float | MetricFailed | None] = queue.SimpleQueue()

        def call() -> None:
            result: float | MetricFailed | None
            try:
                # The value is checked here too: converting or printing an object of a package can
                # raise any exception or take any time.
                result = _check_score(self._function(question, list(expected), answer, sources))
            except MetricFailed as error:
                result = error
            except BaseException as error:  # noqa: BLE001 - SystemExit must not end only the thread
                result = _to_failure(error)
            # Before the result, after which the next call can follow while this thread ends.
            self._is_called = False
            outcome.put(result)

        thread = threading.Thread(target=call, name=f"metric {self.name}", daemon=True)
        self._is_called = True
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._is_called = False
            raise
        try:
            result = outcome.get(timeout=self._timeout_seconds)
        except queue.Empty:
            raise MetricFailed(f"no score after {self._timeout_seconds:g} s") from None
        if isinstance(result, MetricFailed):
            raise result
        return result


def load_metrics(names: Sequence[str] | None) -> list[EvaluationMetric]:
    """Load installed metrics.

    Args:
        names: names of the metrics; None for all installed ones.

    Raises:
        InvalidMetric: a metric is not installed, ambiguous, or cannot be imported.
    """
    installed = _group_by_name(entry_points(group=ENTRY_POINT_GROUP))
    selected = sorted(installed) if names is None else list(dict.fromkeys(names))
    return [_load_metric(name, installed) for name in selected]


def _group_by_name(points: Iterable[EntryPoint]) -> Mapping[str, list[EntryPoint]]:
    by_name: dict[str, list[EntryPoint]] = {}
    for point in points:
        known = by_name.setdefault(point.name, [])
        # A folder that is on the path twice provides the same metric twice.
        if all(point.value != other.value for other in known):
            known.append(point)
    return by_name


def _load_metric(name: str, installed: Mapping[str, Sequence[EntryPoint]]) -> EvaluationMetric:
    points = installed.get(name, ())
    if not points:
        names = ", ".join(sorted(installed)) or "none"
        raise InvalidMetric(f"There is no evaluation metric {name!r}. Installed metrics: {names}.")
    if len(points) > 1:
        values = " and ".join(sorted(point.value for point in points))
        raise InvalidMetric(
            f"The evaluation metric {name!r} is provided by {values}. Uninstall one of them."
        )
    if name in SCORE_NAMES or not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
        raise InvalidMetric(
            f"The evaluation metric {name[:_MAX_NAME_CHARACTERS]!r} needs another name: at most "
            f"{_MAX_NAME_CHARACTERS} characters, and none of {', '.join(SCORE_NAMES)}."
        )
    try:
        function = points[0].load()
    except Exception as error:  # an import can raise anything
        raise InvalidMetric(
            f"The evaluation metric {name!r} cannot be imported from {points[0].value}: "
            f"{_shorten_line(f'{type(error).__name__}: {error}')}. Correct it, or select other "
            "metrics with --metrics."
        ) from error
    if not callable(function):
        raise InvalidMetric(
            f"The evaluation metric {name!r} is not callable: {points[0].value}. Name a function."
        )
    return EvaluationMetric(name, function)


def _check_score(value: object) -> float | None:
    """Return *value* as a score. Raises MetricFailed unless it is None or between 0 and 1."""
    if value is None:
        return None
    if isinstance(value, Real):
        score = float(value)
        if 0 <= score <= 1:  # NaN is not
            return score
    raise MetricFailed(_shorten_line(f"{value!r} is not a number between 0 and 1"))


def _to_failure(error: BaseException) -> MetricFailed:
    """Return the failure of a metric that raised *error*, also if its text cannot be formed."""
    name = type(error).__name__
    try:
        return MetricFailed(_shorten_line(f"{name}: {error}"))
    except BaseException:  # noqa: BLE001 - the text of an exception is code of the package too
        return MetricFailed(name)


def _shorten_line(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= _MAX_ERROR_CHARACTERS:
        return line
    return f"{line[: _MAX_ERROR_CHARACTERS - 1]}…"
