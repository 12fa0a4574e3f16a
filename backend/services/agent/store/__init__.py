"""Its own tables: conversations and their messages."""
