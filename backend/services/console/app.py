"""App factory of the console service."""

from pathlib import Path

from flask import Flask

from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    run_development_server,
    verify_routes,
)
from backend.services.console.domain.assets import AssetFolder
from backend.services.console.routes.pages import page_routes
from backend.services.console.routes.rich_text import rich_text_routes
from backend.services.console.settings import Settings

STATIC_FOLDER = Path(__file__).parent / "static"
# The prefix of the gateway's route, which removes it before it forwards a request.
PUBLIC_PREFIX = "/console"


def create_app(settings: Settings | None = None, static_folder: Path = STATIC_FOLDER) -> Flask:
    """Build the console service. Tests pass *settings* and *static_folder*."""
    settings = settings or Settings.from_env(load_env())
    app = create_service(settings.common, {})
    provide(app, AssetFolder(static_folder, PUBLIC_PREFIX, reloads=settings.reloads_files))
    app.register_blueprint(rich_text_routes)
    app.register_blueprint(page_routes)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


if __name__ == "__main__":
    run_development_server(create_app, "console")
