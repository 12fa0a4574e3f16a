"""Fields of a package that clients set, and the words that searches find in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from backend.services.packages.domain.search_words import index_words
from backend.services.packages.model import Location
from backend.services.packages.store.tables import PackageRow


@dataclass(frozen=True, slots=True)
class PackageFields:
    """The fields of a package that clients set."""

    reference: str | None = None
    origin: Location | None = None
    destination: Location | None = None
    service: str | None = None
    weight_g: int | None = None
    shipped_at: datetime | None = None
    promised_at: datetime | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


FIELD_NAMES: Final = tuple(PackageFields.__dataclass_fields__)


def set_field(row: PackageRow, name: str, value: Any) -> None:
    """Set the columns of a field of `PackageFields`."""
    if name in ("origin", "destination"):
        place: Location | None = value
        setattr(row, name, place and place.to_json())
        setattr(row, f"{name}_key", (place.key if place else "")[:255])
        setattr(row, f"{name}_country", (place.country or "").upper() if place else "")
    elif name == "tags":
        row.tags = list(dict.fromkeys(value))
    elif name == "metadata":
        row.metadata_ = dict(value)
    else:
        setattr(row, name, value)


def differs(row: PackageRow, name: str, value: Any) -> bool:
    """Return whether *value* would change the field."""
    if name in ("origin", "destination"):
        return bool(getattr(row, name) != (value and value.to_json()))
    if name == "tags":
        return list(row.tags) != list(dict.fromkeys(value))
    if name == "metadata":
        return dict(row.metadata_) != dict(value)
    return bool(getattr(row, name) != value)


def collect_words(row: PackageRow) -> str:
    """Return the words that searches find, separated by spaces."""
    places = [Location.from_json(place) for place in (row.origin, row.destination)]
    return index_words(
        (
            row.number,
            row.reference,
            row.carrier,
            row.service,
            *(text for place in places if place for text in _list_texts(place)),
            *row.tags,
            *(value for value in row.metadata_.values() if isinstance(value, str)),
        )
    )


def _list_texts(place: Location) -> Sequence[str | None]:
    return (place.name, place.postal_code, place.code)
