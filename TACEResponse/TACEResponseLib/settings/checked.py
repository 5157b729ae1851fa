"""`Settings`: a frozen dataclass that checks its own values and knows its JSON."""

import dataclasses
import types
import typing
from dataclasses import dataclass

from TACEResponseLib.messages.errors import LimitsError, SettingsError
from TACEResponseLib.messages.language import listed, tr


@dataclass(frozen=True)
class Settings:
    """Base: type-checked construction, `to_json` and `from_json` without loss.

    RETIRED: names that older files still hold and that mean nothing any more.
    """

    RETIRED: typing.ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = _conform(getattr(self, item.name), hints[item.name], f"{type(self).__name__}.{item.name}")
            object.__setattr__(self, item.name, value)
        self.check()

    def check(self) -> None:
        """Raise SettingsError when a value is outside its limits; subclasses say which."""

    def require(self, condition: bool, name: str, expected: str) -> None:
        """Raise LimitsError for setting `name` unless `condition` holds; expected: a marked text."""
        if not condition:
            raise LimitsError(
                tr("setting {name} is outside its limits", name=f"{type(self).__name__}.{name}"),
                field=name,
                expected=tr(expected),
                received=repr(getattr(self, name)),
            )

    def to_json(self) -> dict:
        """A dictionary of JSON types that `from_json` turns back into an equal object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict) -> "Settings":
        """Settings from a dictionary; an unknown key is an error, a missing one the default."""
        if not isinstance(content, dict):
            raise SettingsError(
                tr("{name} is not an object", name=cls.__name__), received=type(content).__name__
            )
        known = {item.name for item in dataclasses.fields(cls)}
        content = {name: value for name, value in content.items() if name not in cls.RETIRED}
        unknown = sorted(set(content) - known)
        if unknown:
            raise SettingsError(
                tr("{name} has no setting {unknown}", name=cls.__name__, unknown=listed(unknown)),
                field=unknown[0],
                expected=listed(sorted(known)),
                received=listed(unknown),
            )
        return cls(**content)


def _conform(value, hint, name: str):
    """`value` as `hint` says (lists from JSON become tuples, objects become settings), or an error."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _conform(value, next(a for a in arguments if a is not type(None)), name)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise SettingsError(
                tr("setting {name} has the wrong length", name=name),
                expected=str(len(arguments)),
                received=str(len(value)),
            )
        inner = arguments * len(value) if arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(_conform(v, a, name) for v, a in zip(value, inner, strict=False))
    if origin is typing.Literal:
        if value in arguments:
            return value
        expected = listed(map(str, arguments))
        raise SettingsError(
            tr("setting {name} is unknown", name=name), expected=expected, received=repr(value)
        )
    if isinstance(hint, type):
        if issubclass(hint, Settings) and isinstance(value, dict):
            return hint.from_json(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
            return value
    expected = getattr(hint, "__name__", str(hint))
    raise SettingsError(
        tr("setting {name} has the wrong type", name=name), expected=expected, received=repr(value)
    )
