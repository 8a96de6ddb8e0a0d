"""How far a training is, by steps or by the clock: the same schedule for every library."""

from __future__ import annotations

import time

from rankgrad.training.optim import learning_rate_factor

_FINE = 10_000
_WARMUP = 0.1


class Pace:
    """The budget of a training: so many steps, or so many seconds.

    The learning rate is a function of the share of the budget that is spent: up over the first tenth, then down to 0.

    Args:
        steps: optimizer steps; None = as many as the seconds allow.
        seconds: of wall clock, from :meth:`begin` on; the step that is under way then is finished.

    Example:
        >>> pace = Pace(steps=10)
        >>> pace.done(9), pace.done(10), round(pace.factor(0), 2), round(pace.factor(5), 2)
        (False, True, 1.0, 0.56)
    """

    def __init__(self, *, steps: int | None = None, seconds: float | None = None) -> None:
        if (steps is None) == (seconds is None):
            raise ValueError(f"steps={steps}, seconds={seconds}: give one of them")
        self.steps = steps
        self.seconds = seconds
        self.started: float | None = None
        self.finished: float | None = None

    def begin(self) -> None:
        """Start the clock, once."""
        if self.started is None:
            self.started = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds from the beginning to the end, or to now."""
        if self.started is None:
            return 0.0
        return (time.perf_counter() if self.finished is None else self.finished) - self.started

    def spent(self, step: int) -> float:
        """The share of the budget that is spent when ``step`` steps are done."""
        return step / self.steps if self.steps is not None else self.elapsed / (self.seconds or 1.0)

    def factor(self, step: int) -> float:
        """The share of the peak learning rate for the step that follows ``step`` steps."""
        if self.steps is not None:
            return learning_rate_factor(step, total=self.steps, warmup=_WARMUP)
        return learning_rate_factor(int(min(self.spent(step), 1.0) * _FINE), total=_FINE, warmup=_WARMUP)

    def done(self, step: int) -> bool:
        """Whether the budget is spent; the first time that it is stops the clock."""
        over = self.spent(step) >= 1.0
        if over and self.finished is None:
            self.finished = time.perf_counter()
        return over

    def half(self) -> Pace:
        """A pace of half this budget, for a training in two parts; a half of seconds begins when it is first used."""
        if self.steps is not None:
            return Pace(steps=max(self.steps // 2, 1))
        return Pace(seconds=(self.seconds or 0.0) / 2)
