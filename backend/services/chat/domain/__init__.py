"""Rules of conversations, messages, contacts and accounts."""
