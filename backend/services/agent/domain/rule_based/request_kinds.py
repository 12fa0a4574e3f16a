"""Kinds of requests that a language model answers in different ways: rules in twelve languages.

A request without any of these words is a question, which is answered from the documents.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

from backend.services.agent.engine.chat_models.planner import RequestKind

_POLITE: Final = (
    r"^(?:(?:please|ok(?:ay)?|now|and|then|hi|hello|hey|bitte|und|jetzt|nun|hallo|por favor|y|"
    r"per favore|s'il (?:te|vous) plaît|et|пожалуйста|а|и|请|請|من فضلك)[,!]?\s*|"
    r"(?:can|could|would|will) you (?:please |now |also )?|i(?:'d like| want| need) you to |"
    r"(?:kannst|könntest|würdest) du (?:mir |bitte |nun )*|(?:können|könnten) sie (?:mir |bitte )*|"
    r"(?:peux-tu|pouvez-vous|pourrais-tu|pourriez-vous) (?:me |m')?|"
    r"(?:puedes|podrías|puede|podría) |(?:puoi|potresti) |(?:você )?(?:pode|poderia) |"
    r"(?:kun|kunt|zou) (?:je|u) |(?:можешь|можете) |(?:你能|你可以|能不能|请你))*"
)

_SUMMARY: Final = re.compile(
    r"\bsummari[sz]e\b|\btl;?dr\b|\bsum (?:it|this|that|the .{1,60}) up\b"
    r"|\b(?:give|write|make|create|provide|show|need|want|prepare)\b.{0,40}"
    r"\b(?:summary|overview|gist|key points|main points|synopsis)\b"
    r"|^\W*(?:a )?(?:short |brief |quick )?(?:summary|overview|gist|synopsis)\b"
    r"|\b(?:what are|list|name|give (?:me )?) ?the (?:main|key|most important)"
    r" (?:points|facts|findings)"
    r"|^\W*what (?:is|are|'s) .{1,60} about\W*$|^\W*what(?:'s| is) in (?:the|this) \w+\W*$"
    r"|\bzusammenfassen\b|^\W*(?:kurze )?zusammenfassung\b|\bzusammenzufassen\b"
    r"|\bfass\w*\b.{0,80}\bzusammen\b"
    r"|\b(?:gib|gebe|schreib|mach|erstell)\w*\b.{0,40}\b(?:überblick|zusammenfassung)\b"
    r"|\bworum geht es\b"
    r"|\brésum[eéè]\w*|\bde quoi (?:parle|traite|s'agit)"
    r"|\bresum(?:e|ir|en|a|o|imir|ime|idamente)\b|\bde qué (?:trata|va|habla)\b"
    r"|\bdo que (?:se )?trata"
    r"|\briassum\w*|\briassunto\b|\bdi cosa (?:parla|tratta)"
    r"|\bsamenvat\w*|\bvat\b.{0,60}\bsamen\b|\bwaar gaat .{1,60} over\b"
    r"|кратк\w+ (?:содержани|пересказ)|\bрезюмир\w*|\bперескажи|\bобобщи|\bподытожь|\bо ч[её]м "
    r"|\bözetle|\bözet\b|tóm tắt|总结|總結|概括|摘要|概述|要約|まとめて|요약|สรุป"
    r"|لخ[ّ]?ص|تلخيص|ملخص",
    re.IGNORECASE,
)
_ABOUT_CONVERSATION: Final = re.compile(
    r"\b(?:conversation|chat|discussion|so far|gespräch|unterhaltung|conversaci[oó]n|"
    r"conversazione|gesprek|разговор|беседу)\b|对话|對話|会話|المحادثة",
    re.IGNORECASE,
)

_WRITING: Final = re.compile(
    _POLITE + r"(?:"
    r"(?:write|compose|draft|invent|imagine|brainstorm|make up|come up with|create|suggest|propose"
    r"|translate|rewrite|rephrase|reword|proofread|correct|polish|improve)\b(?! (?:down|this down))"
    r"|tell (?:me |us )?(?:a|an|another|some) (?:\w+ )?(?:jokes?|story|riddle|tale|fairy tale)"
    r"|give (?:me |us )?(?:a|an|some|\w+|\d+) (?:\w+ )?(?:ideas?|names?|slogans?|titles?|jokes?"
    r"|tips|synonyms|examples? of)\b"
    r"|(?:a|an|another) (?:short |funny |little )*(?:haiku|poem|limerick|joke|story|riddle|song)\b"
    r"|schreib\w*|verfass\w*|dichte\b|reime?\b|erfinde?\w*|entw[ie]rf\w*|formulier\w*|übersetz\w*"
    r"|korrigier\w*|verbesser\w*|denk dir|schlag\w* .{1,60}\bvor\b"
    r"|erzähl\w*(?: mir| uns)? (?:einen|eine|noch)\b"
    r"|(?:ein|einen) (?:kurzes |kurzen |lustiges |lustigen )*"
    r"(?:haiku|gedicht|limerick|reim|witz|märchen|lied)\b"
    r"|écri\w+|rédige\w*|compose\w*|invente\w*|imagine\w*|tradui\w*|corrige\w*|propose\w*"
    r"|raconte\w*(?:-moi)? une?\b"
    r"|escrib\w+|redact\w+|comp[oó]n\w*|inventa\w*|traduc\w+|corrig\w+|propón\w*|sugier\w+"
    r"|cu[eé]nta(?:me|nos)? un\w*"
    r"|scriv\w+|componi\w*|inventa\w*|traduci\w*|correggi\w*|proponi\w*|raccont\w+ una?\b"
    r"|escrev\w+|redij\w+|invent[ea]\w*|traduz\w+|corrij\w+|cont[ea](?:-me)? uma?\b"
    r"|schrijf\w*|verzin\w*|vertaal\w*|vertel\w* een\b"
    r"|(?:напиши|сочини|придумай|переведи|исправь|составь|предложи)\w*"
    r"|расскажи (?:мне )?(?:анекдот|шутку|сказку|историю)"
    r"|yaz\b|uydur|çevir|viết|dịch|sáng tác"
    r"|(?:帮我|給我|给我)?(?:写|寫|创作|創作|翻译|翻譯|编一|編一|作一首|讲个笑话|講個笑話|起个名字)"
    r"|(?:اكتب|ألف|ترجم|اقترح|صحح)"
    r")|(?:を|に)?(?:書いて|作って|翻訳して|詠んで|訳して)|(?:써|지어|번역해) ?(?:줘|주세요)"
    r"|^(?:ช่วย)?(?:เขียน|แต่ง|แปล)",
    re.IGNORECASE,
)
# Such a request is written from documents.
_NAMES_DOCUMENTS: Final = re.compile(
    r"\b(?:documents?|reports?|contracts?|files?|pdfs?|polic(?:y|ies)|manuals?|handbooks?|notes"
    r"|minutes|our|according to|based on|from the)\b"
    r"|\b\w[\w-]{0,80}\.(?:pdf|docx?|pptx?|xlsx?|md|txt|eml"
    r"|html?|csv)\b"
    r"|\b(?:dokument\w*|bericht\w*|vertr[aä]g\w*|datei\w*|handbuch\w*|unser\w*|laut|anhand|gemäß)\b"
    r"|\b(?:rapport|contrat|fichier|manuel|notre|nos|d'après|selon)\b"
    r"|\b(?:documentos?|informe|contrato|archivo|nuestr[oa]s?|según)\b"
    r"|\b(?:documento|relazione|contratto|nostr[oaie]|secondo)\b|документ|отч[её]т|договор"
    r"|文档|文件|報告|报告|合同|المستند|التقرير|العقد",
    re.IGNORECASE,
)

_LANGUAGE_NAMES: Final = (
    r"(?:english|german|french|spanish|italian|portuguese|dutch|russian|chinese|japanese|korean"
    r"|arabic|thai|turkish|polish|vietnamese|englisch|deutsch|französisch|spanisch|italienisch"
    r"|russisch|chinesisch|arabisch|anglais|allemand|français|espagnol|inglés|alemán|francés"
    r"|español|inglese|tedesco|francese|spagnolo|engels|duits|frans)"
)
_MAX_REVISION_WORDS: Final = 14
# Longer requests contain a text besides the instruction.
_MAX_INSTRUCTION_CHARACTERS: Final = 600
_REVISION: Final = re.compile(
    r"\b(?:shorter|longer|simpler|more (?:simply|briefly|formal(?:ly)?|detailed|concise(?:ly)?)"
    r"|less formal|make (?:it|that|this) (?:a|an|into)|rephrase|reword|rewrite|shorten"
    r"|bullet points?|(?:as|into) an?"
    r" (?:bulleted |short )?(?:list|table|poem|email|tweet)"
    r"|in (?:one|two|a single|fewer|simpler?|plain) (?:sentences?|words?|english))\b"
    rf"|^\W*(?:{_POLITE[1:]})?(?:(?:say|write|repeat|translate|put)"
    r" (?:it|that|this|the (?:answer|same))(?: again)? |the same |translate |translation )?"
    rf"(?:in|into|to) {_LANGUAGE_NAMES}\W*$"
    r"|\b(?:kürzer|länger|einfacher|knapper|förmlicher|ausführlicher|stichpunkte\w*|stichworte\w*"
    r"|als (?:liste|tabelle|gedicht|e-?mail)|in (?:einem|zwei|kurzen) s[aä]tz\w*"
    r"|noch ?mal anders)\b"
    r"|^\W*(?:und |bitte |jetzt |das |es |übersetze? (?:das |es |dies )?)*"
    rf"(?:auf|ins) {_LANGUAGE_NAMES}"
    r"(?: bitte)?\W*$"
    r"|\b(?:plus (?:court|simple|long)|en une phrase|sous forme de liste|reformule)\b"
    rf"|^\W*(?:et |maintenant |le même |traduis(?:-le)? )*en {_LANGUAGE_NAMES}\W*$"
    r"|\bmás (?:corto|breve|simple|sencillo|largo)\b|\bcomo (?:una )?lista\b|\ben una frase\b"
    r"|\bpiù (?:breve|corto|semplice)\b|\bcome elenco\b|\bin una frase\b"
    r"|короче|проще|подробнее|одним предложением|списком|переведи (?:это )?на "
    r"|更短|简短|簡短|用一句话|翻译成|翻譯成|もっと短く|簡単に|اختصر|بشكل أبسط",
    re.IGNORECASE,
)
# A request that begins with such a word asks something new.
_NEW_QUESTION: Final = re.compile(
    r"^\W*(?:who|when|where|which|whose|how|wer|wann|wo|welche\w*|wie|qui|quand|où|combien|quién"
    r"|cuándo|dónde|cuánt\w+|chi|quando|dove|quant\w|кто|когда|где|сколько)\b",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"[?？؟]\s*$|^\W*(?:who|what|when|where|why|which|whose|how|is|are|was|were|do|does|did|has"
    r"|have|wer|was|wann|wo|warum|wie|welche\w*|qui|que|quand|où|comment|quién|qué|cuándo|dónde"
    r"|cómo|chi|che|quando|dove|come|кто|что|когда|где|почему|как)\b",
    re.IGNORECASE,
)


def classify_request(request: str, previous_answer: str = "") -> RequestKind:
    """Return the kind of *request*, which follows *previous_answer* or starts the conversation.

    A long request contains the text that is to be summarized or changed.
    """
    has_text = len(request) > _MAX_INSTRUCTION_CHARACTERS
    request = request[:_MAX_INSTRUCTION_CHARACTERS]
    may_refer = len(request.split()) <= _MAX_REVISION_WORDS and not _NEW_QUESTION.match(request)
    if previous_answer and may_refer and _REVISION.search(request):
        return "revision"
    if _SUMMARY.search(request):
        if previous_answer and _ABOUT_CONVERSATION.search(request):
            return "revision"
        return "writing" if has_text else "summary"
    if _WRITING.search(request):
        return "document writing" if _NAMES_DOCUMENTS.search(request) else "writing"
    return "question"


def is_worded_as_question(text: str) -> bool:
    """Return True if *text* ends with a question mark or begins like a question."""
    if len(text) > _MAX_INSTRUCTION_CHARACTERS:
        half = _MAX_INSTRUCTION_CHARACTERS // 2
        text = text[:half] + text[-half:]
    return _QUESTION.search(text) is not None


def strip_summary_words(request: str) -> str:
    """Return *request* without the words that request a summary: the subject that remains."""
    return " ".join(_SUMMARY.sub(" ", request).split())
