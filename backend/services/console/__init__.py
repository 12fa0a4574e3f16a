"""The console: the browser interface at `/console/`.

It owns no data. It serves the static files of the interface, and converts code and formulas of
answers to trees that the browser displays. Browsers call it through the gateway; their scripts
call the HTTP API of the other services.
"""
