"""All errors of the console service."""

from backend.chassis.web.problems import ServiceError


class AssetNotFound(ServiceError):
    """The current version of the console has no such file. A reload of the page updates it."""

    status = 404
    code = "asset_not_found"
    title = "File not found"

    def __init__(self) -> None:
        super().__init__("The console was updated, or has no such file. Reload the page.")
