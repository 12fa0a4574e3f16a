"""Words that somebody wrote, marked as what they are: data, whatever they ask for."""


def framed(tag: str, text: str, source: str, more: str = "") -> str:
    """*text* between tags, which it cannot close itself to speak from outside of them."""
    within = text.replace(f"</{tag}", f"<\\/{tag}")
    return f"<{tag} from={source!r}{more}>\n{within}\n</{tag}>"
