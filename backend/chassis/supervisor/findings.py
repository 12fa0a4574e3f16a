"""What the doctor finds: what is wrong, why that matters, and what mends it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; an error keeps something from working."""

    level: Level
    # Which service or part it is about.
    about: str
    what: str
    why: str
    # A command, or what to set to what.
    mend: str

    def told(self) -> Mapping[str, str]:
        return asdict(self)


def error(about: str, what: str, why: str, mend: str) -> Finding:
    return Finding("error", about, what, why, mend)


def warning(about: str, what: str, why: str, mend: str) -> Finding:
    return Finding("warning", about, what, why, mend)
