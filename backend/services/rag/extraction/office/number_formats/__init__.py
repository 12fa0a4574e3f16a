"""Number formats of spreadsheets (ECMA-376 Part 1, 18.8.30 and 18.8.31)."""
