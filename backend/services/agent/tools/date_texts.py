"""Write a date and time in the language of a request."""

# ruff: noqa: RUF001 - non-Latin letters are intended
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_DEFAULT_LANGUAGE: Final = "en"


@dataclass(frozen=True, slots=True)
class _DateNames:
    """Sentence, weekdays from Monday and months of one language, the names separated by commas.

    Months are in the form that follows the number of a day.
    """

    sentence: str
    weekdays: str
    months: str


_LANGUAGES: Final[Mapping[str, _DateNames]] = {
    "en": _DateNames(
        "It is {weekday}, {day:02} {month} {year}, {time} in {zone}.",
        "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
        "January,February,March,April,May,June,July,August,September,October,November,December",
    ),
    "de": _DateNames(
        "Es ist {weekday}, der {day}. {month} {year}, {time} Uhr in {zone}.",
        "Montag,Dienstag,Mittwoch,Donnerstag,Freitag,Samstag,Sonntag",
        "Januar,Februar,März,April,Mai,Juni,Juli,August,September,Oktober,November,Dezember",
    ),
    "es": _DateNames(
        "Es {weekday}, {day} de {month} de {year}, {time} en {zone}.",
        "lunes,martes,miércoles,jueves,viernes,sábado,domingo",
        "enero,febrero,marzo,abril,mayo,junio,julio,agosto,septiembre,octubre,noviembre,diciembre",
    ),
    "fr": _DateNames(
        "Nous sommes le {weekday} {day} {month} {year}, il est {time} à {zone}.",
        "lundi,mardi,mercredi,jeudi,vendredi,samedi,dimanche",
        "janvier,février,mars,avril,mai,juin,juillet,août,septembre,octobre,novembre,décembre",
    ),
    "it": _DateNames(
        "È {weekday} {day} {month} {year}, ore {time} a {zone}.",
        "lunedì,martedì,mercoledì,giovedì,venerdì,sabato,domenica",
        "gennaio,febbraio,marzo,aprile,maggio,giugno,luglio,agosto,settembre,ottobre,novembre"
        ",dicembre",
    ),
    "pt": _DateNames(
        "É {weekday}, {day} de {month} de {year}, {time} em {zone}.",
        "segunda-feira,terça-feira,quarta-feira,quinta-feira,sexta-feira,sábado,domingo",
        "janeiro,fevereiro,março,abril,maio,junho,julho,agosto,setembro,outubro,novembro,dezembro",
    ),
    "ru": _DateNames(
        "Сейчас {weekday}, {day} {month} {year} года, {time} ({zone}).",
        "понедельник,вторник,среда,четверг,пятница,суббота,воскресенье",
        "января,февраля,марта,апреля,мая,июня,июля,августа,сентября,октября,ноября,декабря",
    ),
    "el": _DateNames(
        "Είναι {weekday}, {day} {month} {year}, ώρα {time} ({zone}).",
        "Δευτέρα,Τρίτη,Τετάρτη,Πέμπτη,Παρασκευή,Σάββατο,Κυριακή",
        "Ιανουαρίου,Φεβρουαρίου,Μαρτίου,Απριλίου,Μαΐου,Ιουνίου,Ιουλίου,Αυγούστου,Σεπτεμβρίου"
        ",Οκτωβρίου,Νοεμβρίου,Δεκεμβρίου",
    ),
    "ro": _DateNames(
        "Este {weekday}, {day} {month} {year}, ora {time} ({zone}).",
        "luni,marți,miercuri,joi,vineri,sâmbătă,duminică",
        "ianuarie,februarie,martie,aprilie,mai,iunie,iulie,august,septembrie,octombrie,noiembrie"
        ",decembrie",
    ),
    "tr": _DateNames(
        "Bugün {day} {month} {year} {weekday}, saat {time} ({zone}).",
        "Pazartesi,Salı,Çarşamba,Perşembe,Cuma,Cumartesi,Pazar",
        "Ocak,Şubat,Mart,Nisan,Mayıs,Haziran,Temmuz,Ağustos,Eylül,Ekim,Kasım,Aralık",
    ),
    "vi": _DateNames(
        "Bây giờ là {time}, {weekday}, ngày {day} {month} năm {year} ({zone}).",
        "thứ Hai,thứ Ba,thứ Tư,thứ Năm,thứ Sáu,thứ Bảy,Chủ nhật",
        ",".join(f"tháng {month}" for month in range(1, 13)),
    ),
    "ar": _DateNames(
        "اليوم {weekday} {day} {month} {year}، الساعة {time} ({zone}).",
        "الاثنين,الثلاثاء,الأربعاء,الخميس,الجمعة,السبت,الأحد",
        "يناير,فبراير,مارس,أبريل,مايو,يونيو,يوليو,أغسطس,سبتمبر,أكتوبر,نوفمبر,ديسمبر",
    ),
    "hi": _DateNames(
        "आज {weekday}, {day} {month} {year} है, समय {time} ({zone})।",
        "सोमवार,मंगलवार,बुधवार,गुरुवार,शुक्रवार,शनिवार,रविवार",
        "जनवरी,फ़रवरी,मार्च,अप्रैल,मई,जून,जुलाई,अगस्त,सितंबर,अक्टूबर,नवंबर,दिसंबर",
    ),
    "th": _DateNames(
        "ขณะนี้คือ{weekday}ที่ {day} {month} {year} เวลา {time} น. ({zone})",
        "วันจันทร์,วันอังคาร,วันพุธ,วันพฤหัสบดี,วันศุกร์,วันเสาร์,วันอาทิตย์",
        "มกราคม,กุมภาพันธ์,มีนาคม,เมษายน,พฤษภาคม,มิถุนายน,กรกฎาคม,สิงหาคม,กันยายน,ตุลาคม,พฤศจิกายน,ธันวาคม",
    ),
    "zh": _DateNames(
        "现在是{year}年{month}{day}日{weekday} {time}（{zone}）。",
        "星期一,星期二,星期三,星期四,星期五,星期六,星期日",
        ",".join(f"{month}月" for month in range(1, 13)),
    ),
}


def format_moment(moment: datetime, zone: str, language: str) -> str:
    """Return a sentence with the date and time of *moment* and the name of its *zone*.

    It is in *language*, an ISO 639-1 code, or in English if that language is not known here.
    """
    names = _LANGUAGES.get(language, _LANGUAGES[_DEFAULT_LANGUAGE])
    return names.sentence.format(
        weekday=names.weekdays.split(",")[moment.weekday()],
        day=moment.day,
        month=names.months.split(",")[moment.month - 1],
        year=moment.year,
        time=f"{moment:%H:%M}",
        zone=zone,
    )
