"""Routes of a package as JSON, as sentences and as findings."""

from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.messaging.audit_events import format_time
from backend.services.packages.domain.optimization.routes import Route, RouteChoice
from backend.services.packages.domain.statements import create_statement
from backend.services.packages.model import Evidence, Finding, Sentence, Severity

# Minimum difference that is reported: of the on-time probabilities, or as a share of P50.
_MIN_GAIN: Final = 0.05


def describe_route(route: Route, at: datetime, ids: tuple[str, ...]) -> Sentence:
    values: dict[str, str] = {
        "path": " > ".join(route.places),
        "p50": format_time(at + timedelta(hours=route.p50)),
        "p90": format_time(at + timedelta(hours=route.p90)),
    }
    if route.on_time is None:
        return Sentence(create_statement("best_route", **values), ids)
    return Sentence(create_statement("best_route_on_time", **values, on_time=route.on_time), ids)


def compare_routes(choice: RouteChoice, ids: tuple[str, ...]) -> list[Finding]:
    """Return a finding if another route is better than the one that most packages took."""
    best = choice.routes[0]
    usual = max(choice.routes, key=lambda route: route.samples)
    if usual is best:
        return []
    path = " > ".join(usual.places)
    if best.on_time is not None and usual.on_time is not None:
        if best.on_time - usual.on_time < _MIN_GAIN:
            return []
        statement = create_statement(
            "usual_route_on_time", path=path, usual=usual.on_time, best=best.on_time
        )
        evidence: Evidence = {
            "value": round(usual.on_time, 4),
            "expected": round(best.on_time, 4),
            "samples": best.samples,
        }
    else:
        if usual.p50 * (1 - _MIN_GAIN) < best.p50:
            return []
        statement = create_statement("usual_route_hours", path=path, usual=usual.p50, best=best.p50)
        evidence = {
            "value": round(usual.p50, 2),
            "expected": round(best.p50, 2),
            "samples": best.samples,
        }
    return [Finding("better_route", Severity.INFO, statement, ids, evidence)]


def route_to_json(route: Route, at: datetime) -> dict[str, Any]:
    return {
        "places": list(route.places),
        "p10": format_time(at + timedelta(hours=route.p10)),
        "p50": format_time(at + timedelta(hours=route.p50)),
        "p90": format_time(at + timedelta(hours=route.p90)),
        "hours": {"p50": round(route.p50, 2), "p90": round(route.p90, 2)},
        "on_time_probability": None if route.on_time is None else round(route.on_time, 4),
        "samples": route.samples,
        "legs": [
            {
                "from": leg.start,
                "to": leg.end,
                "p50_hours": round(leg.p50_hours, 2),
                "p90_hours": round(leg.p90_hours, 2),
                "samples": leg.samples,
            }
            for leg in route.legs
        ],
    }
