"""Its own tables: conversations and their messages; and the events of their last runs."""
