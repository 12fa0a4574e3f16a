"""Parser of e-mail."""

from email.message import EmailMessage

from backend.services.rag.extraction.text import mail


def make_message(**headers):
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    return message


def test_email_text_has_headers_body_and_attachments(parse_with):
    attached = make_message(Subject="Earlier", From="cy@example.org")
    attached.set_content("The first offer.")
    message = make_message(
        Subject="Angebot für Köln", From="Ada <ada@example.org>", To="bob@example.org"
    )
    message.set_content("Grüße aus Köln")
    message.add_alternative("<p>not this alternative</p>", subtype="html")
    message.add_attachment("a;b\n1;2\n", subtype="csv", filename="prices.csv")
    message.add_attachment(
        b"%PDF", maintype="application", subtype="pdf", filename="Plan für A.pdf"
    )
    message.add_attachment(attached)

    parsed = parse_with(mail.parse_email, message.as_bytes())

    assert parsed.title == "Angebot für Köln"
    assert parsed.text == (
        "From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Angebot für Köln\n\n"
        "Grüße aus Köln\n\n"
        "Attachment: prices.csv\n\na\tb\n1\t2\n\n"
        "Attachment: Plan für A.pdf (application/pdf)\n\n"
        "Attached message: Earlier\n\nFrom: cy@example.org\nSubject: Earlier\n\nThe first offer."
    )


def test_html_body_without_alternative_is_parsed(parse_with):
    message = make_message(Subject="Hi")
    message.set_content("<p>Dear <b>Ada</b>,</p><script>x</script>", subtype="html")

    assert parse_with(mail.parse_email, message.as_bytes()).text == "Subject: Hi\n\nDear Ada,"


def test_unencoded_non_ascii_headers_are_decoded(parse_with):
    raw = "Subject: Grüße\r\nFrom: ada@example.org\r\n\r\nKöln\r\n".encode("cp1252")

    assert parse_with(mail.parse_email, raw).text == "From: ada@example.org\nSubject: Grüße\n\nKöln"


def test_malformed_email_is_parsed(parse_with):
    raw = 'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nbody'

    assert "Subject: x" in parse_with(mail.parse_email, raw).text
