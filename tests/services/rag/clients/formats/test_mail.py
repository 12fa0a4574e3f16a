"""E-mail."""

from email.message import EmailMessage

from backend.services.rag.clients.formats import mail


def message(**headers):
    written = EmailMessage()
    for name, value in headers.items():
        written[name] = value
    return written


def test_a_mail_is_its_headers_its_body_and_what_is_attached(read_with):
    inner = message(Subject="Earlier", From="cy@example.org")
    inner.set_content("The first offer.")
    sent = message(Subject="Angebot für Köln", From="Ada <ada@example.org>", To="bob@example.org")
    sent.set_content("Grüße aus Köln")
    sent.add_alternative("<p>not this one</p>", subtype="html")
    sent.add_attachment("a;b\n1;2\n", subtype="csv", filename="prices.csv")
    sent.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Plan für A.pdf")
    sent.add_attachment(inner)

    read = read_with(mail.read, sent.as_bytes())

    assert read.title == "Angebot für Köln"
    assert read.text == (
        "From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Angebot für Köln\n\n"
        "Grüße aus Köln\n\n"
        "Attachment: prices.csv\n\na\tb\n1\t2\n\n"
        "Attachment: Plan für A.pdf (application/pdf)\n\n"
        "Attached message: Earlier\n\nFrom: cy@example.org\nSubject: Earlier\n\nThe first offer."
    )


def test_a_mail_of_html_alone_is_read(read_with):
    sent = message(Subject="Hi")
    sent.set_content("<p>Dear <b>Ada</b>,</p><script>x</script>", subtype="html")

    assert read_with(mail.read, sent.as_bytes()).text == "Subject: Hi\n\nDear Ada,"


def test_letters_that_break_the_rules_are_read_all_the_same(read_with):
    raw = "Subject: Grüße\r\nFrom: ada@example.org\r\n\r\nKöln\r\n".encode("cp1252")

    assert read_with(mail.read, raw).text == "From: ada@example.org\nSubject: Grüße\n\nKöln"


def test_a_broken_mail_is_read_as_far_as_it_goes(read_with):
    raw = 'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nbody'

    assert "Subject: x" in read_with(mail.read, raw).text
