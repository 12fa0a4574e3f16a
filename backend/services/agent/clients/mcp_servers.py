"""Configuration file of MCP servers."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from backend.security import Permission

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class McpServer(BaseModel):
    """An MCP server: a *url* (streamable HTTP), or a *command* that is started and uses stdio.

    The tools in *tools* are offered, or all if it is None, to callers that have all *permissions*
    and belong to one of *tenants*, or to any tenant if it is None. A tool call requires the user's
    approval unless *side_effects* maps the tool to False, or the server is *trusted* and declares
    the tool as read-only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    command: Annotated[str, StringConstraints(min_length=1)] | None = None
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    tools: list[str] | None = None
    permissions: Annotated[
        frozenset[Annotated[Permission, Field(strict=False)]], Field(strict=False)
    ] = frozenset({Permission.AGENT_QUERY})
    tenants: list[str] | None = None
    trusted: bool = False
    side_effects: dict[str, bool] = Field(default_factory=dict)
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0

    @model_validator(mode="after")
    def _check_url_or_command(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("A server needs either a url or a command.")
        return self


class _ServersFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    servers: Annotated[dict[Name, McpServer], Field(alias="mcpServers", max_length=64)]


def read_mcp_servers(
    file: Path, get_variable: Callable[[str], str | None], *, allow_stdio: bool
) -> Mapping[str, McpServer]:
    """Return the servers in *file* by name.

    Args:
        file: JSON file with the object `mcpServers`.
        get_variable: returns the value for `${NAME}` in the file's strings, or None if NAME is
            not set.
        allow_stdio: whether servers may be started as processes.

    Raises:
        ValueError: the file is unreadable or invalid. The message says how to fix it.
    """
    try:
        raw = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        servers = _ServersFile.model_validate(_expand_variables(raw, get_variable)).servers
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{file}: {location}: {first['msg']}.") from error
    for name, server in servers.items():
        if server.command is not None and not allow_stdio:
            raise ValueError(
                f"{file}: {name} starts a process. Set MCP_ALLOW_STDIO=true to allow it, "
                "or configure a url instead."
            )
    return servers


def _expand_variables(value: Any, get_variable: Callable[[str], str | None]) -> Any:
    """Return *value* with `${NAME}` replaced in all its strings."""
    if isinstance(value, dict):
        return {key: _expand_variables(item, get_variable) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand_variables(item, get_variable) for item in value]
    if not isinstance(value, str):
        return value

    def expand(match: re.Match[str]) -> str:
        variable = get_variable(match[1])
        if variable is None:
            raise ValueError(f"The file of MCP servers uses {match[1]}, which is not set.")
        return variable

    return _VARIABLE.sub(expand, value)
