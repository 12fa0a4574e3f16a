"""The other way in: the queue of documents that wait to be read."""
