"""Options and fixtures that all tests share."""

import gc
from collections.abc import Iterator
from functools import cache
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings
from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from backend.ai.model_build import build_missing_files
from backend.chassis import static_files
from tests import databases, event_schemas, servers
from tests.identities import Identities

# The tests of these files call one suite, which takes 20 s of CPU time to start and stop.
SHARED_SUITE = "tests/suite"
# These read the syntax trees of all files.
SAME_SOURCES = ("tests/architecture/test_language.py", "tests/architecture/test_code_rules.py")
LONG_FOLDERS = ("tests/suite/test_", "tests/suite", "tests/contract", "tests/operations")

# Folders that replaced systems have, and the markers of the tests that they stand for.
FOLDER_MARKERS = {
    "unit": "not suite and not browser and not containers",
    "integration": "suite and not browser",
    "e2e": "browser",
}

# Property tests use the same examples in every run, so that a commit passes or fails always.
# `--hypothesis-profile default` searches for others, also without a time limit for an example.
settings.register_profile("default", deadline=None)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=databases.KINDS,
        default=databases.KINDS[0],
        help="database of all tests that do not select one themselves",
    )
    parser.addoption(
        "--redis",
        choices=("server", "cluster"),
        default="server",
        help="what the fixture `valkey` starts",
    )
    parser.addoption(
        "--vector-store",
        choices=("pgvector", "qdrant"),
        help="vector store of the suite instead of Chroma; pgvector needs --database postgresql",
    )
    parser.addoption(
        "--slow",
        action="store_true",
        help="with tests/unit, tests/integration and tests/e2e: include slow tests",
    )


def _cache_compiled_rules() -> None:
    """Compile each route once for all apps of the tests.

    Werkzeug parses each route of each app and generates two functions for it, which takes more than
    half of the time of creating an app.
    """
    compile_rule = Rule.compile
    compiled: dict[object, dict[str, Any]] = {}
    names = ("_parts", "_trace", "_converters", "arguments")

    def compile_once(rule: Rule) -> None:
        key: tuple[object, ...] = (
            rule.rule,
            rule.subdomain,
            rule.host,
            rule.merge_slashes,
            str(rule.defaults),
        )
        key += (rule.map.host_matching, *rule.map.converters.items())
        if key not in compiled:
            compile_rule(rule)
            builders = {name: getattr(rule, name).__func__ for name in ("_build", "_build_unknown")}
            compiled[key] = {name: getattr(rule, name) for name in names} | builders
        for name, value in compiled[key].items():
            setattr(rule, name, value.__get__(rule) if isfunction(value) else value)

    pytest.MonkeyPatch().setattr(Rule, "compile", compile_once)


def _share_compiled_statements() -> None:
    """Compile each SQL statement once for all SQLite databases of the tests.

    SQLAlchemy keeps compiled statements for each engine and each dialect object. Most tests create
    an engine, so compiling took a third of their CPU time.
    """
    statements: LRUCache[object, object] = LRUCache(5_000)
    patch = pytest.MonkeyPatch()
    patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda self: hash(type(self)))
    patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda self, other: type(self) is type(other))
    shared = property(lambda _engine: statements, lambda _engine, _cache: None)
    patch.setattr(Engine, "_compiled_cache", shared, raising=False)


def _read_yaml_with_libyaml() -> None:
    """Let `yaml.safe_load` use the parser in C, which is faster."""
    pytest.MonkeyPatch().setattr(yaml, "SafeLoader", yaml.CSafeLoader)


def _compress_static_files_once() -> None:
    """Compress the files of the console and the widget once for all apps of the tests."""
    compress = cache(static_files.create_static_file)
    pytest.MonkeyPatch().setattr(static_files, "create_static_file", compress)


_cache_compiled_rules()
_share_compiled_statements()
_read_yaml_with_libyaml()
_compress_static_files_once()
# With the default of 700 objects, a seventh of the CPU time of collecting tests is spent on
# garbage collection, which finds little.
gc.set_threshold(20_000, 20, 20)


def pytest_configure(config: pytest.Config) -> None:
    database, vector_store = config.getoption("--database"), config.getoption("--vector-store")
    if vector_store == "pgvector" and database != "postgresql":
        raise pytest.UsageError("--vector-store pgvector needs --database postgresql.")
    _select_by_folder(config)
    databases.select_kind(database)
    databases.select_vector_store(vector_store)
    build_missing_files()
    event_schemas.validate_recorded_events()


def _select_by_folder(config: pytest.Config) -> None:
    """Replace the folders of FOLDER_MARKERS among the arguments by markers of all tests."""
    tests = Path(__file__).parent
    names = {
        argument: path.name
        for argument in config.args
        if (path := (config.invocation_params.dir / argument).resolve()).parent == tests
        and path.name in FOLDER_MARKERS
    }
    if not names:
        return
    if len(names) < len(set(config.args)):
        raise pytest.UsageError(f"Run {' and '.join(names)} without other paths.")
    expression = " or ".join(f"({FOLDER_MARKERS[name]})" for name in names.values())
    conditions = [expression, config.option.markexpr, "" if config.option.slow else "not slow"]
    config.option.markexpr = " and ".join(f"({text})" for text in conditions if text)
    config.args = [str(tests)]


def pytest_unconfigure() -> None:
    databases.stop()


class FileScheduling(LoadFileScheduling):
    """Run the tests of one file in one process, and all tests of the shared suite in one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file in SAME_SOURCES:
            return SAME_SOURCES[0]
        return SHARED_SUITE if str(Path(file).parent) == SHARED_SUITE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that all processes finish at the same time."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONG_FOLDERS])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exclude the collected tests and the imported modules from garbage collection: they stay."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Exclude what stays after the tests of a file from garbage collection.

    Otherwise the objects of apps whose threads are still running become millions, and a collection
    stops all servers and clients of this process for seconds.
    """
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _drop_databases_after_test(request: pytest.FixtureRequest) -> Iterator[None]:
    if not databases.on_postgresql():
        yield
        return
    folder: Path = request.getfixturevalue("tmp_path")
    yield
    databases.drop_below(folder)


@pytest.fixture
def identities() -> Identities:
    return Identities()


@pytest.fixture
def valkey(
    tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[servers.Valkey | servers.Cluster]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    if pytestconfig.getoption("--redis") == "cluster":
        with servers.valkey_cluster(folder) as cluster:
            yield cluster
        return
    with servers.valkey(folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template() -> str:
    """Name of the database that `postgres_url` copies."""
    return "template1"


@pytest.fixture
def postgres_url(postgres: servers.Postgres, postgres_template: str) -> Iterator[str]:
    """URL of a new database. Its connections are closed after the test."""
    with databases.closing_connections():
        yield postgres.database(template=postgres_template)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a new SQLite database."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """URL of a database for this test only."""
    return databases.empty_database_in(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def each_database_url(request: pytest.FixtureRequest) -> str:
    """URL of a new database of each supported kind, for tests of transaction isolation."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url
