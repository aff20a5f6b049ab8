"""How we ask: every option, said once for all services, and what may stand in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from types import UnionType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, cast

import attrs
import msgspec

from rxchat.messages import Tool
from rxchat.request import Timeout

if TYPE_CHECKING:
    import aiohttp

    from rxchat.keys import KeyGiven

__all__ = ["BODY", "VALUES", "Options", "ToolGiven", "jsonable", "merged"]

ToolGiven: TypeAlias = Tool | Mapping[str, Any]


class Session(Protocol):
    """What may stand in the place of an aiohttp.ClientSession: a cassette does."""

    async def request(self, method: str, url: Any, /, **options: Any) -> Any:
        """Send a request, and give what an aiohttp.ClientResponse can do for a reader."""


class Options(TypedDict, total=False):
    """What a call may say about its request; an option that a service cannot carry is an error.

    None takes back what was said before about the answer, the key or a setting.
    """

    # Who and where
    base_url: str
    model: str
    key: KeyGiven | None
    headers: Mapping[str, str]
    proxy: str | None
    timeout: Timeout | float | None
    ssl: SSLContext | None
    session: aiohttp.ClientSession | Session | None

    # How the model is to answer
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    n: int | None
    reasoning: str | int | None
    """An effort ("none", "low", "medium", "high", ...) or a budget in tokens; 0 is none."""
    schema: Mapping[str, Any] | type | UnionType | None
    """The JSON schema that the answer must fit, or a type that msgspec can make one of."""
    tools: Sequence[ToolGiven] | None
    tool_choice: str | None
    """"auto", "none", "required", or the name of the tool to call."""
    extra: Mapping[str, Any]
    """Anything else for the body, merged into it."""

    # Parts of some services' addresses and headers
    api_version: str | None
    auth: str | None
    beta: str | None
    endpoint: str | None
    location: str | None
    organization: str | None
    project: str | None
    region: str | None
    version: str | None


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A body with more in it; objects are merged, anything else is replaced.

    >>> merged({"model": "x", "options": {"a": 1}}, {"options": {"b": 2}})
    {'model': 'x', 'options': {'a': 1, 'b': 2}}
    """
    whole = dict(body)
    for name, value in extra.items():
        known = whole.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        whole[name] = merged(cast("Any", known), cast("Any", value)) if both else value
    return whole


def jsonable(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a mapping, as JSON: what is wrong is said where it was given."""
    return msgspec.json.decode(msgspec.json.encode(value), type=dict[str, Any])


# What may stand in an option -------------------------------------------------------------------


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {value!r}")
    return value


def _whole_number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"must be a whole number, not {value!r}")


def _count(value: Any) -> int:
    if (count := _whole_number(value)) < 1:
        raise ValueError(f"must be 1 or more, not {value!r}")
    return count


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"must be a text or several, none of them empty, not {value!r}")
    return texts


def _effort(value: Any) -> str | int:
    is_budget = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_budget and not (isinstance(value, str) and value):
        raise ValueError(f"must be an effort ('low', ...) or a number of tokens, not {value!r}")
    return value or "none"


def _schema(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return jsonable(cast("Mapping[str, Any]", value))
    try:
        schema = msgspec.json.schema(value)
    except TypeError:
        raise TypeError(
            "must be a JSON schema, or a type that msgspec knows (a struct, a dataclass, an attrs "
            f"class, a TypedDict), not {value!r}; of a pydantic model, pass model_json_schema()"
        ) from None
    # The services want the object itself at the root, where msgspec has a reference to it.
    root = schema.pop("$ref", "").rpartition("/")[2]
    if root:
        schema = {**schema["$defs"][root], **schema}
        refers = f'"#/$defs/{root}"'.encode() in msgspec.json.encode(schema)
        if schema["$defs"].keys() == {root} and not refers:
            del schema["$defs"]
    if schema.get("type") != "object":
        raise ValueError(f"must be of an object, with fields, and {value!r} is not")
    return dict(closed(schema))


def closed(schema: Any) -> Any:
    """The schema of a type, with every field required and no other allowed: some insist on it."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]  # pyright: ignore[reportUnknownVariableType]  # JSON
    if not isinstance(schema, dict):
        return schema
    known: dict[str, Any] = {str(n): closed(inner) for n, inner in cast("Any", schema).items()}
    if known.get("type") == "object" and "properties" in known:
        known |= {"required": list(known["properties"]), "additionalProperties": False}
    return known


_TOOL = {"name", "description", "parameters"}


def _tool(value: Any) -> Tool:
    if isinstance(value, Tool):
        return attrs.evolve(value, parameters=jsonable(value.parameters))
    if hasattr(value, "get"):
        given = jsonable(value.get("function", value))
        if given.pop("type", "function") == "function" and given.keys() <= _TOOL:
            return Tool(**given)
    raise ValueError(
        "a tool is rxchat.Tool(name, description, parameters), or a mapping of these, "
        f"not {str(value)[:80]}"
    )


def _tools(value: Any) -> tuple[Tool, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"must be a list of tools, not {type(value).__name__}")
    tools = tuple(map(_tool, cast("Sequence[Any]", value)))
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("two tools have the same name")
    return tools


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {value!r}")
    return value


VALUES: Mapping[str, Callable[[Any], Any]] = {
    "temperature": _number,
    "top_p": _number,
    "max_tokens": _count,
    "stop": _texts,
    "seed": _whole_number,
    "n": _count,
    "reasoning": _effort,
    "schema": _schema,
    "tools": _tools,
    "tool_choice": _word,
}
BODY = tuple(VALUES)
