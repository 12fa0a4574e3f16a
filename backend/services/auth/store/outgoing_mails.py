"""Table of mails that wait to be sent."""

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.services.auth.store.delivery_queue import DeliveryRow


class OutgoingMail(DeliveryRow):
    """A queued mail."""

    __tablename__ = "outgoing_mails"

    # Recipient and text are encrypted: the text may contain a token.
    sealed_recipient: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(String(200))
    sealed_text: Mapped[str] = mapped_column(Text)
