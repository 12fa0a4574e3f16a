"""Description of the console service for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service(
    "console",
    port=5008,
    api_description=(
        "The console service serves the browser interface at `/console/`. The routes below convert "
        "code and formulas of answers to trees that a browser can display."
    ),
)
