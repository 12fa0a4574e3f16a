"""Request bodies of file uploads."""

from collections.abc import Mapping

from urllib3 import encode_multipart_formdata

FormFields = Mapping[str, str | tuple[str, bytes, str]]
"""Fields by name: a text, or a file as its name, content and MIME type."""


def encode_form(fields: FormFields) -> tuple[bytes, str]:
    """Return the multipart/form-data body of *fields* and its content type."""
    return encode_multipart_formdata(dict(fields))
