"""A statement that arrives as a form: clients send one when its parameters are too long for an address."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

FORM: Final = "multipart/form-data"


def form_fields(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields of a body of type `multipart/form-data`, by name; the last of a name counts.

    Raises:
        ValueError: it is no such form, or a field has no name or is not UTF-8.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + body)
    if message.get_content_type() != FORM or not message.is_multipart() or message.defects:
        raise ValueError("the form is cut short, or its boundary is missing")
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str):
            raise ValueError("a field of the form has no name")  # noqa: TRY004 - of a body, not of an argument
        fields[name] = content.decode() if isinstance(content, bytes) else ""
    return fields
