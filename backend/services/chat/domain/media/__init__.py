"""Files that contacts sent: download, type, storage."""
