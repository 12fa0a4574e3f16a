"""The MCP servers that an administrator has set up, as their file names them."""

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
    """One server: reached by *url* (streamable HTTP), or a process of ours that speaks on stdio.

    Of its tools, those in *tools* are offered (all, if there is no list), to callers who have all
    *permissions* and act in one of *tenants* (any, if there is no list). A tool waits for its
    user's approval, unless *side_effects* says that it has none, or the server is *trusted* and
    says so itself.
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
    def _is_reached_in_one_way(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("A server has either a url or a command.")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    servers: Annotated[dict[Name, McpServer], Field(alias="mcpServers", max_length=64)]


def read_servers(
    file: Path, variable: Callable[[str], str | None], *, allow_stdio: bool
) -> Mapping[str, McpServer]:
    """The servers in *file*, `${NAME}` in it being a *variable*; ValueError says what to do."""
    try:
        raw = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        servers = _File.model_validate(_filled(raw, variable)).servers
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{file}: {place}: {first['msg']}.") from error
    for name, server in servers.items():
        if server.command is not None and not allow_stdio:
            raise ValueError(
                f"{file}: {name} starts a process. Set MCP_ALLOW_STDIO=true to let it, "
                "or give it a url."
            )
    return servers


def _filled(value: Any, variable: Callable[[str], str | None]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, variable) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variable) for each in value]
    if not isinstance(value, str):
        return value

    def filled(found: re.Match[str]) -> str:
        given = variable(found[1])
        if given is None:
            raise ValueError(f"{found[1]} is not set, but the file of MCP servers names it.")
        return given

    return _VARIABLE.sub(filled, value)
