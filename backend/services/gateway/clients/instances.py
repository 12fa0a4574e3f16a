"""Load balancing and outlier ejection for the instances of one service.

No I/O except through the clock and host resolver that are passed in. Used by both data paths.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from backend.chassis.dns import HostResolver

FAILURES_TO_EJECT = 3
MISSED_PROBES_TO_EJECT = 2
PROBE_INTERVAL_SECONDS = 1.0
_MIN_EJECTION_SECONDS = 0.5
_MAX_EJECTION_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class Instance:
    """One address of one origin of a service, with its recent failures.

    Attributes:
        host: host name of the origin.
        port: port of the origin.
        address: IP address, or the host name until it is resolved.
        outstanding: number of requests without a response.
        failures: consecutive failures.
        responses: number of responses that have started.
        missed_probes: consecutive missed probes without a response in between.
        responses_at_miss: value of `responses` at the last missed probe.
        ejection_seconds: length of the current or last ejection; doubles while trials fail.
        ejected_until: end of the ejection on the group's clock; 0 if not ejected, infinite until
            the instance responds to a probe.
        is_on_trial: True if a trial request was sent during the ejection and has no result yet.
        authority: value of the Host header.
        endpoint: address and port.
        log_member: member of the JSON object in the access log.
    """

    host: str
    port: int
    address: str
    outstanding: int = 0
    failures: int = 0
    responses: int = 0
    missed_probes: int = 0
    responses_at_miss: int = 0
    ejection_seconds: float = 0.0
    ejected_until: float = 0.0
    is_on_trial: bool = False
    authority: str = field(init=False)
    endpoint: str = field(init=False)
    log_member: str = field(init=False)

    def __post_init__(self) -> None:
        self.authority = _join_host_port(self.host, self.port)
        self.endpoint = _join_host_port(self.address, self.port)
        self.log_member = f',"upstream":"{self.endpoint}"'

    @property
    def is_ejected(self) -> bool:
        return self.ejected_until > 0.0


class InstanceGroup:
    """The instances of one service. The circuit is open while all of them are ejected.

    Args:
        service: name of the service.
        origins: (host, port) of each configured upstream.
        clock: monotonic time in seconds.
        resolver: resolves the hosts to addresses; None uses each host as one instance.
    """

    def __init__(
        self,
        service: str,
        origins: Iterable[tuple[str, int]],
        clock: Callable[[], float] = time.monotonic,
        resolver: HostResolver | None = None,
    ) -> None:
        self.service = service
        self.outstanding = 0
        self._origins = tuple(origins)
        self._clock = clock
        self._resolver = resolver
        self._turn = 0
        self._set_instances(tuple(Instance(host, port, host) for host, port in self._origins))

    def refresh_addresses(self) -> bool:
        """Apply the resolver's current addresses. Never blocks.

        Returns:
            True if the instances have changed.
        """
        if self._resolver is None:
            return False
        before = {(item.host, item.port, item.address): item for item in self.instances}
        current = {}
        for host, port in self._origins:
            addresses = self._resolver.get_cached_addresses(host, port)
            if addresses is None:
                keys = [key for key in before if key[:2] == (host, port)]
            else:
                keys = [(host, port, address) for address in addresses]
            # A remaining instance keeps its failures and counters; a new one starts without any.
            current.update({key: before.get(key) or Instance(*key) for key in keys})
        if current.keys() == before.keys():
            return False
        self._set_instances(tuple(current.values()))
        return True

    def _set_instances(self, instances: tuple[Instance, ...]) -> None:
        self.instances = instances
        self._only = instances[0] if len(instances) == 1 else None

    def is_full(self, concurrency: int, instance_concurrency: int) -> bool:
        """Return whether the service has as many outstanding requests as it may have.

        Args:
            concurrency: limit for all instances together; 0 if only *instance_concurrency* applies.
            instance_concurrency: limit for each instance. Ejected instances, and the requests that
                wait for them, do not count.
        """
        if concurrency:
            return self.outstanding >= concurrency
        if self._only is not None:
            return self.outstanding >= instance_concurrency
        available = [item.outstanding for item in self.instances if not item.is_ejected]
        return sum(available) >= instance_concurrency * max(1, len(available))

    def select_instance(self, excluded: Sequence[Instance] = ()) -> Instance | None:
        """Return the available instance with the fewest outstanding requests.

        After an ejection ends, the instance gets a single request as a trial. Returns None if
        the circuit is open, or if only *excluded* instances are available.
        """
        only = self._only
        if only is not None:
            if only in excluded:
                return None
            return only if not only.ejected_until or self._start_trial(only) else None
        best = None
        self._turn += 1
        for step in range(len(self.instances)):
            instance = self.instances[(self._turn + step) % len(self.instances)]
            if instance in excluded:
                continue
            if instance.ejected_until:
                if self._start_trial(instance):
                    return instance
                continue
            if best is None or instance.outstanding < best.outstanding:
                best = instance
        return best

    def record_success(self, instance: Instance) -> None:
        instance.responses += 1
        if instance.failures or instance.ejected_until:
            instance.failures = 0
            instance.ejection_seconds = 0.0
            instance.ejected_until = 0.0
            instance.is_on_trial = False

    def record_probe_response(self, instance: Instance) -> None:
        """Readmit *instance* if it is ejected.

        If it is not ejected, the failures of its requests still count: an instance can answer
        probes while requests time out.
        """
        if instance.is_ejected:
            self.record_success(instance)
        else:
            instance.responses += 1

    def record_failure(self, instance: Instance) -> None:
        """Count a refused or lost connection, a timeout or a malformed response.

        A response with status 500 is not a failure of the instance. During an ejection, only the
        failure of a trial extends it: the requests in flight fail together when a process ends.
        """
        instance.failures += 1
        if instance.ejected_until == math.inf:
            return
        if instance.is_ejected:
            if not instance.is_on_trial:
                return
        elif instance.failures < FAILURES_TO_EJECT or not self._can_eject():
            return
        instance.is_on_trial = False
        instance.ejection_seconds = min(
            max(instance.ejection_seconds * 2, _MIN_EJECTION_SECONDS), _MAX_EJECTION_SECONDS
        )
        instance.ejected_until = self._clock() + instance.ejection_seconds

    def record_missed_probe(self, instance: Instance) -> None:
        """Count a probe that was not answered in time. The second one ejects the instance.

        The instance gets no trial request until it responds to a probe: it accepts connections, so
        the caller of a trial request would wait. This may eject all instances of the service.
        """
        if instance.responses != instance.responses_at_miss:
            instance.responses_at_miss = instance.responses
            instance.missed_probes = 0
        instance.missed_probes += 1
        if instance.missed_probes >= MISSED_PROBES_TO_EJECT:
            instance.ejected_until = math.inf

    def seconds_until_retry(self) -> float:
        """Return the time until an ejected instance gets a trial request or the next probe."""
        now = self._clock()
        waits = [item.ejected_until - now for item in self.instances if item.is_ejected]
        seconds = max(0.0, min(waits, default=0.0))
        return seconds if seconds < math.inf else PROBE_INTERVAL_SECONDS

    @property
    def circuit_state(self) -> str:
        """`closed`, `partial` (some instances are ejected) or `open` (all are)."""
        ejected = sum(item.is_ejected for item in self.instances)
        if not ejected:
            return "closed"
        return "open" if ejected == len(self.instances) else "partial"

    def _can_eject(self) -> bool:
        # Eject at most half of several instances: if more fail, the cause is not the instances,
        # and the remaining ones would be overloaded. A single instance is the circuit breaker of
        # its service.
        ejected = sum(item.is_ejected for item in self.instances)
        return len(self.instances) == 1 or (ejected + 1) * 2 <= len(self.instances)

    def _start_trial(self, instance: Instance) -> bool:
        """Return True and extend the ejection if *instance* is due for a trial request."""
        now = self._clock()
        if now < instance.ejected_until:
            return False
        instance.ejected_until = now + max(instance.ejection_seconds, _MIN_EJECTION_SECONDS)
        instance.is_on_trial = True
        return True


def _join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
