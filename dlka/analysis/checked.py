"""Values that programs and scripts send, checked against the annotations of the function that they are for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from dlka.errors import DlkaError, short

# Types are what they say: True is no number, "320" is none, and NaN and infinity are none either.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object with names and values",
    list: "a list",
    NoneType: "nothing",
}


def checked(function: Callable[..., Any], given: Mapping[str, Any], what: str = "") -> dict[str, Any]:
    """Those of the values that are parameters of the function, each of its type.

    None stands for a default of None. what: goes before a parameter's name in a message. Raises DlkaError, which names
    the parameter, what was expected and what came.
    """
    parameters = inspect.signature(function).parameters
    given = {n: v for n, v in given.items() if n in parameters and not (v is None and parameters[n].default is None)}
    try:
        model = _model(function)(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        own = first.get("ctx", {}).get("error")  # what a validator of ours expects
        expected = str(own) if own else _words(get_type_hints(function)[name])
        got = short(given[name]) if name in given else "nothing"
        raise DlkaError(f"{what}{name}: expected {expected}; got {got}.") from None
    return {name: getattr(model, name) for name in given}


@lru_cache(maxsize=64)
def _model(function: Callable[..., Any]) -> type[BaseModel]:
    """A model whose fields are the function's parameters."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    return create_model(function.__name__, __config__=STRICT, **fields)


def _words(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_words, get_args(hint)))
    if get_origin(hint) is Annotated:
        return _words(get_args(hint)[0])
    kind = get_origin(hint) or hint
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))
