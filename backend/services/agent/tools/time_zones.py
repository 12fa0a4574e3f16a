"""Find IANA time zones by city, country and other place names."""

import re
from functools import cache
from typing import Final
from zoneinfo import available_timezones

# An IANA time zone is named after one city. These are further places in each zone, and translations
# of names.
_PLACES_BY_ZONE: Final = {
    "America/New_York": "nyc, new york city, washington, washington dc, boston, miami, atlanta, "
    "philadelphia, nueva york, orlando",
    "America/Chicago": "houston, dallas, austin, texas, minneapolis, new orleans",
    "America/Los_Angeles": "la, san francisco, sf, seattle, california, las vegas, san diego, "
    "silicon valley",
    "America/Toronto": "montreal, ottawa, quebec",
    "America/Sao_Paulo": "rio, rio de janeiro, brasilia, brazil, brasil, brasilien",
    "America/Argentina/Buenos_Aires": "argentina, argentinien",
    "America/Mexico_City": "mexico, ciudad de mexico, mexiko",
    "Europe/London": "uk, england, great britain, united kingdom, manchester, edinburgh, scotland, "
    "londres, londra, birmingham",
    "Europe/Berlin": "germany, deutschland, munich, münchen, hamburg, frankfurt, cologne, köln, "
    "stuttgart, allemagne, alemania",
    "Europe/Paris": "france, frankreich, francia, lyon, marseille, parigi",
    "Europe/Madrid": "spain, spanien, españa, espagne, barcelona, valencia",
    "Europe/Rome": "italy, italien, italia, italie, milan, milano, mailand, roma, rom, naples",
    "Europe/Zurich": "switzerland, schweiz, suisse, geneva, genf, genève, basel, bern, zürich",
    "Europe/Vienna": "austria, österreich, wien, vienne",
    "Europe/Amsterdam": "netherlands, holland, rotterdam, niederlande",
    "Europe/Brussels": "belgium, brüssel, bruxelles",
    "Europe/Lisbon": "portugal, lissabon, porto",
    "Europe/Dublin": "ireland",
    "Europe/Moscow": "russia, moskau, moscou, st petersburg",
    "Europe/Athens": "greece, athen",
    "Europe/Warsaw": "poland, warschau, krakow",
    "Europe/Prague": "prag, czechia",
    "Europe/Copenhagen": "denmark, kopenhagen",
    "Europe/Stockholm": "sweden",
    "Europe/Oslo": "norway, bergen",
    "Europe/Helsinki": "finland",
    "Europe/Kyiv": "ukraine",
    "Asia/Tokyo": "japan, tokio, osaka, kyoto",
    "Asia/Shanghai": "china, beijing, peking, pekin, shenzhen, guangzhou",
    "Asia/Kolkata": "india, indien, delhi, new delhi, mumbai, bangalore, bengaluru, chennai",
    "Asia/Seoul": "korea, south korea",
    "Asia/Bangkok": "thailand",
    "Asia/Jakarta": "indonesia",
    "Asia/Karachi": "pakistan, lahore, islamabad",
    "Asia/Jerusalem": "israel, tel aviv",
    "Asia/Dubai": "uae, abu dhabi, emirates",
    "Asia/Riyadh": "saudi arabia",
    "Asia/Ho_Chi_Minh": "vietnam, hanoi",
    "Africa/Lagos": "nigeria, abuja",
    "Africa/Nairobi": "kenya",
    "Africa/Cairo": "egypt",
    "Africa/Johannesburg": "south africa, cape town, pretoria",
    "Australia/Sydney": "canberra, new south wales",
    "Pacific/Auckland": "new zealand, wellington",
    "Pacific/Honolulu": "hawaii",
}


def find_time_zone(place: str) -> str | None:
    """Return the IANA time zone of *place*, or None if it is unknown.

    *place* is an IANA name, the city in an IANA name, or a place in _PLACES_BY_ZONE. Case is
    ignored.
    """
    normalized = re.sub(r"^the ", "", place.strip(" ?.!").lower())
    return _get_zones_by_place().get(normalized.replace(" ", "_"))


@cache
def _get_zones_by_place() -> dict[str, str]:
    zones: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        zones.setdefault(zone.rpartition("/")[2].lower(), zone)
    for zone, places in _PLACES_BY_ZONE.items():
        zones |= {place.strip().replace(" ", "_"): zone for place in places.split(",")}
    return zones | {zone.lower(): zone for zone in available_timezones()}
