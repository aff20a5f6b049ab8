"""Functions of yours as tools of a model: their schema from type hints and docstring.

Strategy. A function's parameters become the fields of a msgspec struct. That one struct makes the
JSON schema that the model sees, and reads the arguments that it sends.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeAlias, get_type_hints

import attrs
import msgspec

from rxchat.errors import UsageError
from rxchat.messages import Tool
from rxchat.operators.tools.docstrings import read_docstring

__all__ = ["Callee", "Function", "callees", "tool_of"]

Function: TypeAlias = Callable[..., Any] | tuple[Tool, Callable[..., Any]]
"""A function with type hints, sync or async; or a tool of yours, and the function for it."""


def tool_of(function: Callable[..., Any], /) -> Tool:
    '''The tool that a function is: its name, its docstring, and a schema from its type hints.

    The docstring's text is the description. What it says about parameters, in Google's, NumPy's or
    Sphinx's way, goes to them. Types are whatever msgspec knows: `Literal`, enums, dataclasses,
    attrs classes, structs, `TypedDict`, unions. A parameter without a hint may be anything; one
    with a default is optional.

    >>> def weather(city: str, days: int = 1) -> str:
    ...     """Tell the weather.
    ...
    ...     Args:
    ...         city: The city, in English.
    ...     """
    >>> tool_of(weather).description
    'Tell the weather.'
    >>> tool_of(weather).parameters["properties"]["city"]
    {'description': 'The city, in English.', 'type': 'string'}
    >>> tool_of(weather).parameters["required"]
    ['city']
    '''
    return _callee(function).tool


@attrs.frozen
class Callee:
    """A function that a model may call, and how it is called with JSON."""

    tool: Tool
    function: Callable[..., Any]
    read: Callable[[str], inspect.BoundArguments]
    """What the JSON text of a call's arguments says; a `ValueError` tells why it does not fit."""

    def __call__(self, arguments: inspect.BoundArguments) -> Any:
        return self.function(*arguments.args, **arguments.kwargs)


def callees(functions: Iterable[Function]) -> dict[str, Callee]:
    """The functions by the names that the model calls them by."""
    if isinstance(functions, str | Mapping) or not hasattr(functions, "__iter__"):
        raise UsageError(f"functions are a list of functions, not {functions!r}")
    found: dict[str, Callee] = {}
    for function in functions:
        callee = _callee(function)
        if found.setdefault(callee.tool.name, callee) is not callee:
            raise UsageError(f"two tools have the same name: {callee.tool.name!r}")
    if not found:
        raise UsageError("there must be at least one function")
    return found


def _callee(given: Any) -> Callee:
    match given:
        case (Tool() as tool, function) if callable(function):
            return Callee(tool, function, _as_they_come(function))
        case _ if callable(given):
            return _by_hints(given)
        case _:
            raise UsageError(
                f"a tool's function is a function, or (rxchat.Tool(...), function), not {given!r}"
            )


# With a schema of your own: the arguments are passed on as the JSON has them. -------------------


def _as_they_come(function: Callable[..., Any]) -> Callable[[str], inspect.BoundArguments]:
    signature = _signature(function)
    fields = msgspec.json.Decoder(dict[str, Any])

    def read(arguments: str) -> inspect.BoundArguments:
        try:
            return signature.bind(**fields.decode(arguments))
        except TypeError as error:  # one too many, or one that is missing
            raise ValueError(str(error)) from None

    return read


# With a schema from type hints ------------------------------------------------------------------

_ONE_EACH = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def _by_hints(function: Callable[..., Any]) -> Callee:
    name = getattr(function, "__name__", "")
    if inspect.isclass(function) or not name.isidentifier():
        raise UsageError(
            f"{function!r} has no name that a model could call: "
            "pass (rxchat.Tool(name, description, parameters), function)"
        )
    signature = _signature(function)
    description, told = read_docstring(inspect.getdoc(function) or "")
    fields = [
        _field(name, parameter, told.get(parameter.name, ""))
        for parameter in _hinted(name, function, signature)
    ]
    try:
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        parameters = _schema(struct)
        strict = msgspec.json.Decoder(struct)
        lax = msgspec.json.Decoder(struct, strict=False)
    except (TypeError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"there is no JSON schema for the parameters of {name}(): {error}; "
            f"pass (rxchat.Tool({name!r}, description, parameters), {name})"
        ) from None

    def read(arguments: str) -> inspect.BoundArguments:
        try:
            fields = strict.decode(arguments)
        except msgspec.ValidationError as error:
            try:  # models write numbers as strings
                fields = lax.decode(arguments)
            except msgspec.ValidationError:
                raise error from None
        bound = signature.bind_partial()
        bound.arguments |= {
            name: value
            for name in signature.parameters
            if (value := getattr(fields, name)) is not msgspec.UNSET
        }
        bound.apply_defaults()
        return bound

    return Callee(Tool(name, description, parameters), function, read)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise UsageError(
            f"{function!r} does not tell its parameters: wrap it in a function of yours"
        ) from None


def _hinted(
    name: str, function: Callable[..., Any], signature: inspect.Signature
) -> list[inspect.Parameter]:
    """The parameters, with the types that their hints mean."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UsageError(f"a type hint of {name}() cannot be read: {error}") from None
    for parameter in signature.parameters.values():
        if parameter.kind not in _ONE_EACH:
            raise UsageError(
                f"{name}() takes {parameter}, which has no schema: name each parameter, "
                f"or pass (rxchat.Tool({name!r}, description, parameters), {name})"
            )
    return [
        parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in signature.parameters.values()
    ]


def _field(function: str, parameter: inspect.Parameter, told: str) -> tuple[str, Any, Any]:
    """A parameter as a field of the struct, with what the docstring tells of it."""
    kind, default = parameter.annotation, parameter.default
    if default is None and kind is not Any:
        kind = kind | None
    if told:
        kind = Annotated[kind, msgspec.Meta(description=told)]
    if default is parameter.empty:
        return parameter.name, kind, msgspec.NODEFAULT
    if default is None or isinstance(default, str | int | float):  # which the schema can show
        return parameter.name, kind, default
    return parameter.name, kind | msgspec.UnsetType, msgspec.UNSET


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of an object: the services want it at the root, not a reference to it."""
    (root,), parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    schema = parts.pop(root["$ref"].rpartition("/")[2])
    del schema["title"]
    return {**schema, "$defs": parts} if parts else schema
