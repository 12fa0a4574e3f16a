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
    "Europe/Lisbon": "portugal, lissabon, porto, lisboa, lisbonne, lisbona",
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

# Names of large cities in other scripts and languages, in the form that follows a preposition.
_FOREIGN_NAMES: Final = {
    "America/New_York": "нью-йорке, νέα υόρκη, نيويورك, न्यूयॉर्क, "
    "纽约, 紐約, ニューヨーク, นิวยอร์ก, nova york,"
    " nova iorque",
    "America/Los_Angeles": "лос-анджелесе, 洛杉矶, 洛杉磯, ロサンゼルス",
    "Asia/Bangkok": "бангкоке, บางกอก, กรุงเทพ, กรุงเทพฯ, 曼谷, バンコク",
    "Asia/Dubai": "дубае, دبي, दुबई, 迪拜, ดูไบ, dubái",
    "Asia/Hong_Kong": "гонконге, 香港",
    "Asia/Kolkata": "дели, индии, دلهي, الهند, दिल्ली, मुंबई, भारत, 印度, 新德里",
    "Asia/Riyadh": "الرياض, эр-рияде",
    "Asia/Seoul": "сеуле, 首尔, 首爾, ソウル, โซล",
    "Asia/Shanghai": "пекине, шанхае, китае, πεκίνο, بكين, الصين, 北京, "
    "上海, 中国, 中國, ปักกิ่ง, pequim,"
    " bắc kinh, बीजिंग",
    "Asia/Singapore": "сингапуре, سنغافورة, 新加坡, สิงคโปร์, singapura, singapur",
    "Asia/Taipei": "台北, 臺北, 台湾, 台灣",
    "Asia/Ho_Chi_Minh": "hà nội, việt nam, ханое, 河内, thành phố hồ chí minh, sài gòn, đà nẵng",
    "Asia/Tokyo": "токио, японии, τόκιο, طوكيو, اليابان, टोक्यो, जापान, 东京, 東京, 日本, "
    "โตเกียว, tóquio",
    "Africa/Cairo": "каире, κάιρο, القاهرة, مصر, 开罗, kahire, cairo",
    "Australia/Sydney": "сиднее, سيدني, सिडनी, 悉尼, 雪梨, ซิดนีย์",
    "Europe/Athens": "афинах, αθήνα, ελλάδα, أثينا, 雅典, atina, atenas, atena, atene",
    "Europe/Berlin": "берлине, германии, βερολίνο, برلين, बर्लिन, 柏林, เบอร์ลิน, ベルリン, berlim",
    "Europe/Bucharest": "бухаресте, βουκουρέστι, bucurești, bükreş, românia",
    "Europe/Istanbul": "стамбуле, κωνσταντινούπολη, إسطنبول, 伊斯坦布尔, ankara, türkiye, i̇stanbul",
    "Europe/Kyiv": "киеве, киев, украине",
    "Europe/London": "лондоне, англии, λονδίνο, لندن, लंदन, लन्दन, 伦敦, 倫敦, ロンドン, ลอนดอน, "
    "londra, luân đôn",
    "Europe/Madrid": "мадриде, испании, μαδρίτη, مدريد, 马德里",
    "Europe/Moscow": "москве, россии, μόσχα, موسكو, मास्को, मॉस्को, 莫斯科, มอสโก, moskova, "
    "moscú, mosca, moscova",
    "Europe/Paris": "париже, франции, παρίσι, باريس, पेरिस, 巴黎, パリ, ปารีส",
    "Europe/Rome": "риме, италии, ρώμη, روما, 罗马, 羅馬",
    "Europe/Vienna": "вене, βιέννη, فيينا, 维也纳, viena, viyana",
}


def find_time_zone(place: str) -> str | None:
    """Return the IANA time zone of *place*, or None if it is unknown.

    *place* is an IANA name, the city in an IANA name, or a place in the tables above. Case is
    ignored.
    """
    normalized = re.sub(r"^the ", "", place.strip(" ?.!").lower())
    return _get_zones_by_place().get(normalized.replace(" ", "_"))


@cache
def _get_zones_by_place() -> dict[str, str]:
    zones: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        zones.setdefault(zone.rpartition("/")[2].lower(), zone)
    for names in (_PLACES_BY_ZONE, _FOREIGN_NAMES):
        for zone, places in names.items():
            zones |= {place.strip().replace(" ", "_"): zone for place in places.split(",")}
    return zones | {zone.lower(): zone for zone in available_timezones()}
