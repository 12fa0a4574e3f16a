"""The instances of one service: which is asked next, and which is left alone for a while.

Pure bookkeeping over a clock and a name server that are handed in; both carriers use it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from backend.chassis.dns import Names

FAILURES_TO_EJECT = 3
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


@dataclass(slots=True, eq=False)
class Instance:
    """One address of one origin of a service, and how it has done lately."""

    host: str
    port: int
    address: str
    """Where it is reached; the host's name until its addresses are known."""
    outstanding: int = 0
    failures: int = 0
    pause: float = 0.0
    ejected_until: float = 0.0
    authority: str = field(init=False)
    """What it is called in the field Host."""
    place: str = field(init=False)
    noted: str = field(init=False)
    """How the access log speaks of it."""

    def __post_init__(self) -> None:
        self.authority = _joined(self.host, self.port)
        self.place = _joined(self.address, self.port)
        self.noted = f',"upstream":"{self.place}"'

    @property
    def ejected(self) -> bool:
        return self.ejected_until > 0.0


class Instances:
    """Chooses among the instances of one service; opens the circuit when none is left."""

    def __init__(
        self,
        service: str,
        origins: Iterable[tuple[str, int]],
        clock: Callable[[], float] = time.monotonic,
        names: Names | None = None,
    ) -> None:
        self.service = service
        self.outstanding = 0
        self._origins = tuple(origins)
        self._clock = clock
        self._names = names
        self._turn = 0
        self._have(tuple(Instance(host, port, host) for host, port in self._origins))

    def follow(self) -> bool:
        """Take in whom the names lead to by now; whether that has changed. Never waits."""
        if self._names is None:
            return False
        before = {(each.host, each.port, each.address): each for each in self.all}
        now = {}
        for host, port in self._origins:
            found = self._names.known(host, port)
            if found is None:
                kept = [place for place in before if place[:2] == (host, port)]
            else:
                kept = [(host, port, address) for address in found]
            # Who stays keeps its record; who is new begins without one.
            now.update({place: before.get(place) or Instance(*place) for place in kept})
        if now.keys() == before.keys():
            return False
        self._have(tuple(now.values()))
        return True

    def _have(self, instances: tuple[Instance, ...]) -> None:
        self.all = instances
        self._only = instances[0] if len(instances) == 1 else None

    def choose(self, tried: Sequence[Instance] = ()) -> Instance | None:
        """The least busy instance that is not ejected; None when the circuit is open.

        One whose pause is over gets a single request, as a trial.
        """
        only = self._only
        if only is not None:
            if only in tried:
                return None
            return only if not only.ejected_until or self._on_trial(only) else None
        best = None
        self._turn += 1
        for step in range(len(self.all)):
            each = self.all[(self._turn + step) % len(self.all)]
            if each in tried:
                continue
            if each.ejected_until:
                if self._on_trial(each):
                    return each
                continue
            if best is None or each.outstanding < best.outstanding:
                best = each
        return best

    def succeeded(self, instance: Instance) -> None:
        if instance.failures or instance.ejected_until:
            instance.failures = 0
            instance.pause = 0.0
            instance.ejected_until = 0.0

    def failed(self, instance: Instance) -> None:
        """It refused, broke off, hung or answered nonsense; never: it answered 500."""
        instance.failures += 1
        if instance.failures < FAILURES_TO_EJECT and not instance.ejected:
            return
        if not instance.ejected and not self._may_eject():
            return
        instance.pause = min(max(instance.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        instance.ejected_until = self._clock() + instance.pause

    def retry_in(self) -> float:
        """Seconds until an ejected instance is tried again."""
        now = self._clock()
        waits = [each.ejected_until - now for each in self.all if each.ejected]
        return max(0.0, min(waits, default=0.0))

    @property
    def state(self) -> str:
        ejected = sum(each.ejected for each in self.all)
        return "closed" if not ejected else "open" if ejected == len(self.all) else "partial"

    def _may_eject(self) -> bool:
        # Of several, at most half: when more than that fail, it is not the instances, and
        # the rest would drown. A single one is the circuit breaker of its service.
        ejected = sum(each.ejected for each in self.all)
        return len(self.all) == 1 or (ejected + 1) * 2 <= len(self.all)

    def _on_trial(self, instance: Instance) -> bool:
        now = self._clock()
        if now < instance.ejected_until:
            return False
        instance.ejected_until = now + max(instance.pause, _FIRST_PAUSE)
        return True


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
