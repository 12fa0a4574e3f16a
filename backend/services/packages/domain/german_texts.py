"""German templates of statements, and the names of codes in them."""

from collections.abc import Mapping
from typing import Final

GERMAN_TEMPLATES: Final[Mapping[str, str]] = {
    "no_events": "Das Paket {number} ({carrier}) hat noch keine Ereignisse.",
    "status": (
        "Das Paket {number} ({carrier}) hat den Status {status:status}; das letzte Ereignis "
        "ist {code:event}, {time:time}."
    ),
    "no_promise": "Ein zugesagter Zeitpunkt ist nicht bekannt, daher gibt es keine Verspätung.",
    "delivered_in_time": "Es wurde rechtzeitig zugestellt; zugesagt war {promised:time}.",
    "not_late": "Es ist noch nicht verspätet; zugesagt ist {promised:time}.",
    "delivered_late": (
        "Es wurde {late:hours} nach dem zugesagten Zeitpunkt {promised:time} zugestellt."
    ),
    "late": "Der zugesagte Zeitpunkt {promised:time} ist um {late:hours} überschritten.",
    "no_anomaly": "In den Ereignissen wurde nichts Auffälliges gefunden.",
    "unknown_lane": "Kein früheres Paket ging von {origin} nach {destination}.",
    "reported_before": "Das Ereignis {code:event} wurde gemeldet, bevor es eintrat.",
    "before_shipping": "Das Ereignis {code:event} liegt vor dem Versand des Pakets.",
    "reported_twice": "Das Ereignis {code:event} wurde zweimal gemeldet.",
    "wrong_order": "Das Ereignis {second:event} kommt nach {first:event}.",
    "missing_between": "Das Ereignis {code:event} fehlt zwischen {before:event} und {after:event}.",
    "missing_before": "Das Ereignis {code:event} fehlt vor {after:event}.",
    "jump": (
        "{distance} km liegen zwischen {before:event} und {after:event}, aber nur "
        "{hours:decimal} h."
    ),
    "slow_step": (
        "Der Schritt von {start:event} bis {end:event} dauerte {taken:hours}; üblich sind "
        "{usual:hours}, und 95 % dauern höchstens {p95:hours}."
    ),
    "few_steps": (
        "Für {unknown} von {steps} Schritten gibt es zu wenige frühere Pakete zum Vergleich."
    ),
    "few_waits": (
        "Zu wenige frühere Pakete erreichten {code:event}, um die Wartezeit zu vergleichen."
    ),
    "stalled": (
        "{waited:hours} lang wurde nach {code:event} nichts gemeldet; üblich sind "
        "{usual:hours}, und 95 % warten höchstens {p95:hours}."
    ),
    "lost_time": (
        "Die meiste Zeit ging zwischen {start:event} und {end:event} verloren: "
        "{taken:hours}, üblich sind {usual:hours}."
    ),
    "longest_step": (
        "Der längste Schritt führt von {start:event} bis {end:event} und dauerte {taken:hours}."
    ),
    "few_packages": "Es gibt zu wenige frühere Pakete, um die Schritte zu vergleichen.",
    "reported_problem": "Das Transportunternehmen meldete {code:event}, {time:time}.",
    "reported_problem_with_reason": (
        "Das Transportunternehmen meldete {code:event} ({reason:reason}), {time:time}."
    ),
    "no_forecast": "Es gibt keine früheren Pakete, aus denen sich die Ankunft vorhersagen lässt.",
    "arrival": (
        "Die Ankunft wird für {p50:time} erwartet, mit einer Wahrscheinlichkeit von 80 % "
        "zwischen {p10:time} und {p90:time}; Grundlage sind {samples} frühere Pakete der "
        "Gruppe {group}."
    ),
    "late_probability": "Die Wahrscheinlichkeit einer Verspätung beträgt {late:percent}.",
    "unknown_place": "Der Ort des Pakets oder sein Ziel ist nicht bekannt.",
    "no_route": (
        "Kein Weg von {start} nach {end} hat auf jedem Abschnitt mindestens {samples} frühere"
        " Pakete."
    ),
    "best_route": (
        "Der beste Weg ist {path}: Ankunft {p50:time}, mit einer Wahrscheinlichkeit von 90 % "
        "bis {p90:time}."
    ),
    "best_route_on_time": (
        "Der beste Weg ist {path}: Ankunft {p50:time}, mit einer Wahrscheinlichkeit von 90 % "
        "bis {p90:time}. Die Wahrscheinlichkeit einer pünktlichen Zustellung beträgt "
        "{on_time:percent}."
    ),
    "usual_route_on_time": (
        "Der übliche Weg {path} ist mit einer Wahrscheinlichkeit von {usual:percent} "
        "pünktlich, der beste mit {best:percent}."
    ),
    "usual_route_hours": "Der übliche Weg {path} dauert {usual:hours}, der beste {best:hours}.",
}
# Names by the format of the value.
GERMAN_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "event": {
        "announced": "Angekündigt",
        "picked_up": "Abgeholt",
        "accepted": "Angenommen",
        "departed": "Abgegangen",
        "arrived": "Angekommen",
        "customs_held": "Vom Zoll angehalten",
        "customs_released": "Vom Zoll freigegeben",
        "out_for_delivery": "In Zustellung",
        "delivery_attempted": "Zustellung versucht",
        "available_for_pickup": "Abholbereit",
        "delivered": "Zugestellt",
        "exception": "Problem",
        "delayed": "Verzögert",
        "return_started": "Rücksendung begonnen",
        "returned": "Zurückgesandt",
        "cancelled": "Storniert",
        "expired": "Ohne Nachricht",
        "lost": "Verloren",
        "note": "Hinweis",
    },
    "reason": {
        "damaged": "Beschädigt",
        "missorted": "Fehlgeleitet",
        "address": "Falsche Anschrift",
        "refused": "Annahme verweigert",
        "absent": "Empfänger abwesend",
        "closed": "Geschlossen",
        "customs_documents": "Zollpapiere",
        "customs_duties": "Zollgebühren",
        "weather": "Wetter",
        "security": "Sicherheit",
        "capacity": "Kapazität",
        "other": "Sonstiges",
    },
    "status": {
        "pre_transit": "Angekündigt",
        "in_transit": "Unterwegs",
        "out_for_delivery": "In Zustellung",
        "attempted": "Zustellung versucht",
        "available_for_pickup": "Abholbereit",
        "delivered": "Zugestellt",
        "returning": "Rücksendung",
        "returned": "Zurückgesandt",
        "exception": "Problem",
        "cancelled": "Storniert",
        "expired": "Ohne Nachricht",
    },
}
