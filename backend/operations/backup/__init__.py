"""Back up a running installation to one file and restore it into any supported database.

A backup is a tar archive (format/archive.py) with the rows of all tables as JSON arrays
(format/row_transfer.py) and the services' data outside their tables (chassis/backup_contract.py).
Its content does not depend on the kind of database from which it was created.
"""
