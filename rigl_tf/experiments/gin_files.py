"""Parse gin files into statements, without importing what they name.

The files are parsed by gin's own parser, and included files are inserted. No
function is called, and TensorFlow is not imported.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import io
import tokenize
from typing import Any

from gin import config_parser

from rigl_tf import files
from rigl_tf.experiments import messages


class ConfigError(ValueError):
    """A mistake in configuration words or files."""


@dataclasses.dataclass(frozen=True)
class Macro:
    """A macro in a value, `%name`.

    Attributes:
        name: name of the macro.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """A function in a value, `@scope/selector` or `@scope/selector()`.

    Attributes:
        scope: the scope, or "".
        selector: name of the function.
        is_call: whether the function is called.
    """

    scope: str
    selector: str
    is_call: bool


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or the part of a file between two includes.

    Attributes:
        name: name of the file, for messages.
        text: the statements as gin reads them. Statements of other parts are
            empty lines, so that line numbers are those of the file.
        statements: the parsed statements.
    """

    name: str
    text: str
    statements: tuple[Any, ...]

    def stream(self) -> io.StringIO:
        """Return the text as a file object with a name."""
        return _stream(self.name, self.text)

    @property
    def imports(self) -> list[Any]:
        """The statements that import modules."""
        return [s for s in self._imports() if not _is_feature(s)]

    @property
    def is_dynamic(self) -> bool:
        """Whether names are looked up in the imported modules."""
        return any(map(_is_feature, self._imports()))

    @property
    def bindings(self) -> list[Any]:
        """The statements that bind values."""
        kind = config_parser.BindingStatement
        return [s for s in self.statements if isinstance(s, kind)]

    def _imports(self) -> list[Any]:
        kind = config_parser.ImportStatement
        return [s for s in self.statements if isinstance(s, kind)]

    def selectors(self) -> list[tuple[str, Any]]:
        """Return `(selector, location)` of each function or class named."""
        found: list[tuple[str, Any]] = []
        for statement in self.statements:
            if isinstance(statement, config_parser.BlockDeclaration):
                found.append((statement.selector, statement.location))
            if not isinstance(statement, config_parser.BindingStatement):
                continue
            if statement.arg_name:
                found.append((statement.selector, statement.location))
            found += [
                (item.selector, statement.location)
                for item in named(statement.value)
                if isinstance(item, Reference)
            ]
        return found


def read(
    name: str,
    find: Callable[[str, str], str],
    includers: tuple[str, ...] = (),
) -> list[Part]:
    """Read a file and the files that it includes.

    Args:
        name: path or URL of the file.
        find: function `(name, including file) -> path` for included files.
        includers: paths of the files that include this one.

    Returns:
        The parts, in the order in which gin must read them.

    Raises:
        ConfigError: if a file is missing, is not UTF-8 text in gin's notation,
            or includes itself.
    """
    chain = (*includers, name)
    if name in includers:
        raise ConfigError(f"Files include each other: {' -> '.join(chain)}")
    text = _text(name)
    statements = parse(name, text)
    parts: list[Part] = []
    begin = 0
    for index, statement in enumerate(statements):
        if isinstance(statement, config_parser.IncludeStatement):
            parts.append(_part(name, text, statements, begin, index))
            parts += read(find(statement.filename, name), find, chain)
            begin = index + 1
    return [*parts, _part(name, text, statements, begin, len(statements))]


def of_text(name: str, text: str) -> Part:
    """Return a text without includes as a `Part`.

    Args:
        name: name of the text in error messages.
        text: statements in gin's notation.
    """
    return Part(name, text, parse(name, text))


def parse(name: str, text: str) -> tuple[Any, ...]:
    """Parse a text into statements.

    Functions and macros in values become `Reference` and `Macro`.

    Args:
        name: name of the text in error messages.
        text: statements in gin's notation.

    Raises:
        ConfigError: if the text is not in gin's notation.
    """
    statements = []
    try:
        parser = config_parser.ConfigParser(_stream(name, text), _Delegate())
        while (statement := parser.parse_statement()) is not None:
            statements.append(statement)
    # Raised by gin's parser and Python's tokenizer for other kinds of text; the
    # last two by thousands of nested brackets.
    except (
        SyntaxError,
        ValueError,
        TypeError,
        AssertionError,
        IndexError,
        tokenize.TokenError,
        StopIteration,
        RecursionError,
        MemoryError,
    ) as error:
        text = messages.one_line(error.args[0] if error.args else error)
        line = f", line {error.lineno}" if hasattr(error, "lineno") else ""
        raise ConfigError(
            f"Configuration error: {name}{line}: {text[:300]}"
        ) from error
    return tuple(statements)


def named(value: Any) -> list[Any]:
    """Return each `Reference` and `Macro` in a value."""
    if isinstance(value, (Macro, Reference)):
        return [value]
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)):
        return [item for element in value for item in named(element)]
    return []


def macros(parts: Sequence[Part]) -> tuple[set[str], set[str]]:
    """Return the names of the macros that parts define, and that they use."""
    bindings = [s for part in parts for s in part.bindings]
    defined = {_macro_name(s) for s in bindings if not s.arg_name}
    used = {
        item.name
        for s in bindings
        for item in named(s.value)
        if isinstance(item, Macro)
    }
    return defined, used


def require_no_cycle(parts: Iterable[Part]) -> None:
    """Raise ConfigError if a macro or a call needs its own value.

    Bindings in a scope are left out, as it depends on the call whether they
    apply.

    Args:
        parts: parts of files; later bindings replace earlier ones.
    """
    values: dict[tuple[str, str], tuple[Any, Part]] = {}
    for part in parts:
        for s in part.bindings:
            if not s.arg_name:
                values[f"%{_macro_name(s)}", ""] = s.value, part
            elif not s.scope:
                values[f"@{_canonical(s.selector, part)}()", s.arg_name] = (
                    s.value,
                    part,
                )
    edges: dict[str, list[str]] = {}
    for (node, _), (value, part) in values.items():
        edges.setdefault(node, []).extend(
            f"%{item.name}"
            if isinstance(item, Macro)
            else f"@{_canonical(item.selector, part)}()"
            for item in named(value)
            if isinstance(item, Macro) or (item.is_call and not item.scope)
        )
    cycle = _cycle(edges)
    if cycle:
        raise ConfigError(
            "A value must not need itself. Received: "
            f"{' -> '.join([*cycle, cycle[0]])}"
        )


def _cycle(edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return the nodes of a cycle of a graph, or None."""
    done: set[str] = set()
    # The nodes on the way from the start, with the edges not yet followed.
    path: dict[str, Iterator[str]] = {}
    for start in edges:
        ahead = [start]
        while ahead:
            node = ahead[-1]
            if node not in path and node not in done:
                path[node] = iter(edges.get(node, ()))
            after = next(path[node], None) if node in path else None
            if after is None:
                path.pop(node, None)
                done.add(ahead.pop())
            elif after in path:
                nodes = list(path)
                return nodes[nodes.index(after) :]
            elif after not in done:
                ahead.append(after)
    return None


def _canonical(selector: str, part: Part) -> str:
    """Return a selector with the name of its module in place of an alias."""
    first, _, rest = selector.partition(".")
    for statement in part.imports if part.is_dynamic else ():
        if statement.bound_name() == first and (
            statement.alias or statement.is_from
        ):
            return f"{statement.module}.{rest}"
    return selector


def _macro_name(statement: Any) -> str:
    scope = f"{statement.scope}/" if statement.scope else ""
    return f"{scope}{statement.selector}"


def _is_feature(statement: Any) -> bool:
    return statement.is_from and statement.module.startswith("__gin__.")


def _part(
    name: str, text: str, statements: Sequence[Any], begin: int, end: int
) -> Part:
    """Return statements `begin` to `end` of a file, and all imports before."""
    lines = text.split("\n")
    starts = [s.location.line_num - 1 for s in statements]
    kept = []
    for index, statement in enumerate(statements):
        is_import = isinstance(statement, config_parser.ImportStatement)
        if begin <= index < end or (index < begin and is_import):
            kept.append(statement)
            continue
        after = starts[index + 1] if index + 1 < len(starts) else len(lines)
        for number in range(starts[index], after):
            lines[number] = ""
    return Part(name, "\n".join(lines), tuple(kept))


def _text(name: str) -> str:
    """Read a file as text, and convert the line ends of other systems."""
    try:
        text = files.path(name).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"A configuration file must be UTF-8 text. Received: {name} "
            f"({error.reason} at byte {error.start})"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _stream(name: str, text: str) -> io.StringIO:
    stream = io.StringIO(text)
    stream.name = name  # type: ignore[attr-defined] # gin's errors show it
    return stream


class _Delegate(config_parser.ParserDelegate):
    """Let the parser represent functions and macros by their names."""

    def configurable_reference(
        self, scoped_configurable_name: str, evaluate: bool
    ) -> Reference:
        scope, _, selector = scoped_configurable_name.rpartition("/")
        return Reference(scope, selector, evaluate)

    def macro(self, macro_name: str) -> Macro:
        return Macro(macro_name)
