"""Everything that has to survive, in one file: taken while running, restored into any database.

A backup is a tar (container.py) of rows, one JSON array each (rows.py), and of what services
keep beside their tables (belongings.py). Nothing of it is tied to the database it came from.
"""
