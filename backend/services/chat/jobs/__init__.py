"""Background work of the chat service: answers, media, deliveries."""
