"""Parser of e-mail: headers, choice of the body, attachments and attached messages."""

import base64
from email.message import EmailMessage
from time import thread_time

import pytest

from backend.services.rag.extraction.text import mail

HEADER = "From: ada@example.org\r\nSubject: Offer\r\nMIME-Version: 1.0\r\n"


def make_message(**headers):
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    return message


def multipart(subtype, *parts, header=HEADER):
    body = "".join(f"--b-{subtype}\r\n{part}\r\n" for part in parts)
    return (
        f'{header}Content-Type: multipart/{subtype}; boundary="b-{subtype}"\r\n\r\n'
        f"{body}--b-{subtype}--\r\n"
    )


def part(media_type, content, *headers):
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"Content-Type: {media_type}\r\n{lines}\r\n{content}"


def encode(content):
    return base64.encodebytes(content.encode()).decode()


def get_body(parsed):
    return parsed.text.partition("\n\n")[2]


def test_email_text_has_headers_body_and_attachment_names(parse_with):
    attached = make_message(Subject="Earlier", From="cy@example.org")
    attached.set_content("The first offer.")
    message = make_message(
        Subject="Angebot für Köln", From="Ada <ada@example.org>", To="bob@example.org"
    )
    message.set_content("Grüße aus Köln")
    message.add_alternative("<p><b>Grüße</b> aus Köln</p>", subtype="html")
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
        "Attachment: prices.csv (text/csv)\n\n"
        "Attachment: Plan für A.pdf (application/pdf)\n\n"
        "Attached message: Earlier\n\nFrom: cy@example.org\nSubject: Earlier\n\nThe first offer."
    )
    assert [(each.filename, each.content) for each in parsed.attachments] == [
        ("prices.csv", b"a;b\n1;2\n"),
        ("Plan für A.pdf", b"%PDF"),
    ]


def test_html_body_without_alternative_is_parsed(parse_with):
    message = make_message(Subject="Hi")
    message.set_content("<p>Dear <b>Ada</b>,</p><script>x</script>", subtype="html")

    assert parse_with(mail.parse_email, message.as_bytes()).text == "Subject: Hi\n\nDear Ada,"


@pytest.mark.parametrize(
    "blank", ["", " \r\n\r\n", "\u00a0\u200b\r\n", "\u2800\u3164\ufeff", "\u200c\u034f\u00ad"]
)
def test_html_is_read_if_plain_text_has_no_visible_character(parse_with, blank):
    message = multipart(
        "alternative",
        part("text/plain; charset=utf-8", blank),
        part("text/html", "<p>418 crowns by 3 June.</p>"),
    )

    assert get_body(parse_with(mail.parse_email, message)) == "418 crowns by 3 June."


@pytest.mark.parametrize(
    ("stub", "html"),
    [
        ("Your e-mail program does not support HTML messages.", "The bus leaves at 05:52."),
        (
            "Diese Nachricht enthält HTML. Öffnen Sie https://example.org/nachricht/4711.",
            "Abfahrt um 5.52 Uhr am Markt.",
        ),
        ("Votre logiciel n'affiche pas le HTML.", "<table><tr><td>Quai</td><td>4</td></table>"),
        ("このメールはHTML形式です。", "会議は三時に始まります。場所は図書館です。"),
        ("Это письмо в формате HTML.", "Поезд отходит в 7:40."),
        ("[image: logo]", "<div><p>Room 12</p><p>Monday at noon</p></div>"),
    ],
)
def test_html_is_read_if_plain_text_says_something_else(parse_with, stub, html):
    message = multipart(
        "alternative",
        part("text/plain; charset=utf-8", stub),
        part("text/html; charset=utf-8", html),
    )

    text = parse_with(mail.parse_email, message).text

    assert stub not in text
    assert "<" not in text
    assert [word for word in ("05:52", "5.52", "Quai", "三時", "7:40", "Room 12") if word in text]


@pytest.mark.parametrize("line", ["Lunch at 12.\r\nBring bread.", "昼食は十二時です。"])
def test_plain_text_is_read_if_html_says_the_same(parse_with, line):
    html = f"<p><a href='https://example.org'>{line}</a></p>"
    message = multipart(
        "alternative",
        part("text/plain; charset=utf-8", f"{line}\r\n-- \r\nAda, tel. 4711"),
        part("text/html; charset=utf-8", html),
    )

    assert "tel. 4711" in parse_with(mail.parse_email, message).text


def test_alternative_with_related_and_mixed_parts_is_read(parse_with):
    related = multipart(
        "related",
        part("text/html", '<p>See the map.</p><img src="cid:map@x"><p>Gate B</p>'),
        part("image/png", "AAAA", "Content-ID: <map@x>", "Content-Transfer-Encoding: base64"),
        part("application/pdf; name=terms.pdf", "JVBE", "Content-Transfer-Encoding: base64"),
        header="",
    )
    message = multipart("alternative", part("text/plain", " "), related)

    parsed = parse_with(mail.parse_email, message)

    assert get_body(parsed) == ("See the map.\n\nGate B\n\nAttachment: terms.pdf (application/pdf)")
    assert [each.filename for each in parsed.attachments] == ["terms.pdf"]


def test_alternative_formats_for_other_programs_are_not_shown(parse_with):
    message = multipart(
        "alternative",
        part("text/plain", "Two tables are free."),
        part("text/html", "<p>Two tables are free.</p>"),
        part("text/x-amp-html", "<html amp4email>"),
    )

    assert get_body(parse_with(mail.parse_email, message)) == "Two tables are free."


def test_signed_message_shows_content_without_signature(parse_with):
    message = multipart(
        "signed",
        part("text/plain", "We accept."),
        part("application/pgp-signature; name=signature.asc", "-----BEGIN PGP SIGNATURE-----"),
    )

    parsed = parse_with(mail.parse_email, message)

    assert get_body(parsed) == "We accept."
    assert parsed.attachments == []


def test_delivery_report_shows_status_and_returned_message(parse_with):
    message = multipart(
        "report",
        part("text/plain", "Your message was not delivered."),
        part(
            "message/delivery-status", "Final-Recipient: rfc822; bob@example.org\r\nStatus: 5.1.1"
        ),
        part("message/rfc822", f"{HEADER}\r\nHello Bob"),
    )

    body = get_body(parse_with(mail.parse_email, message))

    assert "Status: 5.1.1" in body
    assert "Attached message: Offer" in body
    assert "Hello Bob" in body


def test_parts_of_a_digest_are_messages_by_default(parse_with):
    message = multipart("digest", "\r\nSubject: One\r\n\r\nfirst", "\r\nSubject: Two\r\n\r\nsecond")

    body = get_body(parse_with(mail.parse_email, message))

    assert "Attached message: One" in body
    assert "Subject: Two\n\nsecond" in body


@pytest.mark.parametrize(
    ("encoding", "encode_content"),
    [
        ("base64", encode),
        ("quoted-printable", lambda content: content.replace("=", "=3D")),
        ("BASE64", lambda content: encode(content).rstrip("=\n")),
        ("8bit", lambda content: content),
    ],
)
def test_attached_message_in_any_transfer_encoding_is_read(parse_with, encoding, encode_content):
    attached = multipart("mixed", part("text/plain", "Pump 9 loses oil."))
    message = multipart(
        "mixed",
        part("text/plain", "See below."),
        part(
            'message/rfc822; name="forwarded.eml"',
            encode_content(attached.replace("b-mixed", "inner=")),
            f"Content-Transfer-Encoding: {encoding}",
        ),
    )

    body = get_body(parse_with(mail.parse_email, message))

    assert body.startswith("See below.\n\nAttached message: Offer\n\nFrom: ada@example.org")
    assert body.endswith("Pump 9 loses oil.")


@pytest.mark.parametrize(
    ("media_type", "filename"),
    [
        ('application/pdf; name="ground-floor-plan.pdf"', "ground-floor-plan.pdf"),
        ("application/zip; name=archive.zip", "archive.zip"),
        ("image/jpeg; name*=UTF-8''%C3%A9cran.jpg", "écran.jpg"),
        ("application/vnd.ms-excel; name==?utf-8?B?5aCx5ZGK?=.xls", "報告.xls"),
        ("text/csv; name=list.csv", "list.csv"),
    ],
)
def test_message_that_is_only_an_attachment_names_it(parse_with, media_type, filename):
    message = (
        f"{HEADER}Content-Type: {media_type}\r\nContent-Disposition: attachment\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nJVBERg=="
    )

    parsed = parse_with(mail.parse_email, message)

    assert f"Attachment: {filename} (" in parsed.text
    assert parsed.attachments[0].content == b"%PDF"


def test_attachment_without_name_gets_one_by_its_media_type(parse_with):
    message = multipart("mixed", part("application/pdf", "x", "Content-Description: Site plan"))

    body = get_body(parse_with(mail.parse_email, message))

    assert body == "Attachment: attachment-1.pdf (application/pdf): Site plan"


def test_invitation_shows_event_once(parse_with):
    event = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Weir\r\nDTSTART:20270312T091500Z\r\n"
        "END:VEVENT\r\nEND:VCALENDAR"
    )
    alternative = multipart(
        "alternative",
        part("text/plain", "You are invited."),
        part("text/calendar; method=REQUEST", event),
        header="",
    )
    attachment = part(
        "application/ics; name=invite.ics",
        encode(event),
        "Content-Disposition: attachment",
        "Content-Transfer-Encoding: base64",
    )

    body = get_body(parse_with(mail.parse_email, multipart("mixed", alternative, attachment)))

    assert body == "You are invited.\n\nEvent: Weir\nStart: 2027-03-12 09:15 UTC"


def test_flowed_text_is_joined(parse_with):
    message = f"{HEADER}Content-Type: text/plain; format=flowed\r\n\r\nThe key \r\nhangs here.\r\n"

    assert get_body(parse_with(mail.parse_email, message)) == "The key hangs here."


def test_unencoded_non_ascii_headers_are_decoded(parse_with):
    raw = "Subject: Grüße\r\nFrom: ada@example.org\r\n\r\nKöln\r\n".encode("cp1252")

    assert parse_with(mail.parse_email, raw).text == "From: ada@example.org\nSubject: Grüße\n\nKöln"


@pytest.mark.parametrize(
    "raw",
    [
        'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nbody',
        "Subject: x\nContent-Type: multipart/mixed\n\n--z\nContent-Type: text/plain\n\nbody",
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\nbody",
        "Subject: x\r\nno header line\r\nContent-Type: text/html\r\n\r\n<p>body</p>",
        "Subject: x\r\nbody",
        "From ada Mon Jan  1 00:00:00 2024\nSubject: x\n\nbody",
        "\ufeffSubject: x\n\nbody",
        "Subject : x\n\nbody",
    ],
)
def test_malformed_email_is_parsed(parse_with, raw):
    assert parse_with(mail.parse_email, raw).text == "Subject: x\n\nbody"


@pytest.mark.parametrize(
    "build",
    [
        lambda n: multipart("mixed", *[part("text/plain", "a")] * n),
        lambda n: "".join(
            f"Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n" for i in range(n)
        ),
        lambda n: "Content-Type: message/rfc822\r\n\r\n" * n,
        lambda n: "X-Note: a\r\n" * n * 10 + "\r\nbody",
        lambda n: "Subject: " + "=?utf-8?q?a?= " * n * 10 + "\r\n\r\nbody",
        lambda n: "Subject: a\r\n" + " folded\r\n" * n * 10 + "\r\nbody",
        lambda n: "Content-Type: a/b" + '; x="\\"' * n + "\r\n\r\nbody",
        lambda n: multipart("mixed", *["Content-Type: a/b; name*0*=''%41" + "; n*1=b" * 9] * n),
    ],
    ids=["parts", "multiparts", "messages", "fields", "words", "folds", "parameters", "names"],
)
def test_hostile_email_takes_linear_time(tmp_path, build):
    def measure(count):
        file = tmp_path / "file"
        file.write_text(build(count), newline="")
        times = []
        for _ in range(3):
            started_at = thread_time()
            list(mail.parse_email(file).pages)
            times.append(thread_time() - started_at)
        return min(times)

    assert measure(3000) < 3 * measure(1500) + 0.02


def test_text_says_that_parts_beyond_the_limit_are_not_read(parse_with):
    message = multipart("mixed", *[part("text/plain", "a")] * 1001)

    assert parse_with(mail.parse_email, message).text.endswith(
        "Further parts of this message are not read."
    )
