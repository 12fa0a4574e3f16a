"""Non-ASCII letters of languages in lower case, the more frequent ones first."""

from typing import Final

ALPHABETS: Final = (
    "äüößé",  # German
    "éèàêçâîôûùëïüœæÿ",  # French
    "áóíéñúüºª",  # Spanish
    "ãçáéóíêõúâôàºª",  # Portuguese
    "èàùòéìîó",  # Italian
    "ëéïèöüêóá",  # Dutch
    "àóèíéçúòïü·",  # Catalan
    "äåöéü",  # Swedish
    "äöåéšž",  # Finnish
    "øæåéöüóòâôä",  # Danish, Norwegian
    "áðíóéúþæöý",  # Icelandic
    "øáðíóúýæ",  # Faroese
    "áíéóú",  # Irish
    "ŵâêîôŷû",  # Welsh
    "łąężćśóńźé",  # Polish
    "íáěéřůýčžšúóťňďö",  # Czech
    "áíéúčžýôšľťňäďóŕĺ",  # Slovak
    "áéíöóőüúű",  # Hungarian
    "čšžćđ",  # Croatian, Bosnian, Slovenian, Serbian
    "ăâîşţ",  # Romanian, with cedillas
    "ăâîșț",  # Romanian
    "ëç",  # Albanian
    "ėųšįžąūčę",  # Lithuanian
    "āīšēņžūļķģčōŗ",  # Latvian
    "äõüöšž",  # Estonian
    "ışüğçöİâîû",  # Turkish
    "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",  # Russian, Bulgarian
    "оанивтеріслкумдпяьзбгйчхїцжєюшщфґ",  # Ukrainian
    "анірыелстдкмвупояьзчбгўцйхэжшёюф",  # Belarusian
    "аиоентсрјвукдмплзбгчшжћхњљцђфџ",  # Serbian
    "аоеинтрсвдкпмулјзгбчшжцњќѓфѕљџ",  # Macedonian
    "αοιετσνηυρπκμλςήδγίωχόάθέύφβώξζψϊϋΐΰ",  # Greek
    "יוהלאתרמבשנדםחקעפטגכזצסןךףץ",  # Hebrew
    "اليمنوترةبعدسفهكقحجشصطخأضذىزثغظءئإآؤپچژگکی",  # Arabic, Persian
    "ànhôưđôêăơậ́̀̉̃",  # Vietnamese
)
# Non-ASCII Latin letters that are words. One-letter words of other scripts are not listed: the
# longer words of a text outweigh them.
WORDS_OF_ONE_LETTER: Final = frozenset("àáéíóúèêåæøőį")
