"""Gin files as statements: read, resolve includes, find undefined macros.

gin's own parser takes the files apart, but nothing that they name is imported
or called here, and TensorFlow is not needed.
"""

import dataclasses
import io
import tokenize

from gin import config_parser

from rigl_tf import files
from rigl_tf.experiments import messages


class ConfigError(ValueError):
    """A mistake in configuration words or files."""


@dataclasses.dataclass(frozen=True)
class Macro:
    """`%name` in a value."""

    name: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@scope/selector` or `@scope/selector()` in a value."""

    scope: str
    selector: str
    is_call: bool


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or the part of one between two includes.

    Attributes:
        name: name of the file, for messages.
        text: the statements as gin reads them; those of other parts are empty
            lines, so that line numbers are those of the file.
        statements: the same, taken apart.
    """

    name: str
    text: str
    statements: tuple

    def stream(self):
        """Return the text as a file that has a name."""
        return _stream(self.name, self.text)

    @property
    def imports(self):
        """The import statements of modules."""
        return [s for s in self._imports() if not _is_feature(s)]

    @property
    def is_dynamic(self):
        """Whether names are looked up in the imported modules."""
        return any(map(_is_feature, self._imports()))

    @property
    def bindings(self):
        """The statements that bind values."""
        kind = config_parser.BindingStatement
        return [s for s in self.statements if isinstance(s, kind)]

    def _imports(self):
        kind = config_parser.ImportStatement
        return [s for s in self.statements if isinstance(s, kind)]

    def selectors(self):
        """List `(selector, location)` of all functions and classes named."""
        found = []
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


def read(name, find, includers=()):
    """Read a file and what it includes.

    Args:
        name: its path or URL.
        find: function `(name, including file) -> path` of included files.
        includers: paths of the files that led here.

    Returns:
        list of `Part`, in the order in which gin is to read them.

    Raises:
        ConfigError: a file is missing, no UTF-8 text, no gin, or includes
            itself.
    """
    chain = (*includers, name)
    if name in includers:
        raise ConfigError(f"Files include each other: {' -> '.join(chain)}")
    text = _text(name)
    statements = take_apart(name, text)
    parts, begin = [], 0
    for index, statement in enumerate(statements):
        if isinstance(statement, config_parser.IncludeStatement):
            parts.append(_part(name, text, statements, begin, index))
            parts += read(find(statement.filename, name), find, chain)
            begin = index + 1
    return [*parts, _part(name, text, statements, begin, len(statements))]


def of_text(name, text):
    """Return a text without includes as a `Part`."""
    return Part(name, text, take_apart(name, text))


def take_apart(name, text):
    """Return the statements of a text.

    References and macros in values are `Reference` and `Macro`.

    Args:
        name: what errors call the text.
        text: in gin's notation.

    Raises:
        ConfigError: it is not in gin's notation.
    """
    statements = []
    try:
        parser = config_parser.ConfigParser(_stream(name, text), _Delegate())
        while (statement := parser.parse_statement()) is not None:
            statements.append(statement)
    # What gin's parser and Python's tokenizer raise for texts of other kinds;
    # the last two come from brackets without end.
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


def named(value):
    """List the `Reference`s and `Macro`s in a value."""
    if isinstance(value, (Macro, Reference)):
        return [value]
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)):
        return [item for element in value for item in named(element)]
    return []


def macros(parts):
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


def require_no_cycle(parts):
    """Raise ConfigError if macros, or calls, need their own value.

    Bindings in a scope are left out: whether these apply depends on the call.

    Args:
        parts: list of `Part`; later bindings replace earlier ones.
    """
    values = {}
    for part in parts:
        for s in part.bindings:
            if not s.arg_name:
                values[f"%{_macro_name(s)}", ""] = s.value, part
            elif not s.scope:
                values[f"@{_canonical(s.selector, part)}()", s.arg_name] = (
                    s.value,
                    part,
                )
    edges = {}
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


def _cycle(edges):
    """Return the nodes of a cycle of a graph, or None."""
    done, path = set(), {}  # of the path: node -> edges not yet followed
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


def _canonical(selector, part):
    """Return a selector with its module's name in place of an alias."""
    first, _, rest = selector.partition(".")
    for statement in part.imports if part.is_dynamic else ():
        if statement.bound_name() == first and (
            statement.alias or statement.is_from
        ):
            return f"{statement.module}.{rest}"
    return selector


def _macro_name(statement):
    scope = f"{statement.scope}/" if statement.scope else ""
    return f"{scope}{statement.selector}"


def _is_feature(statement):
    return statement.is_from and statement.module.startswith("__gin__.")


def _part(name, text, statements, begin, end):
    """Return some statements of a file, with all imports before them."""
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


def _text(name):
    """Read a file as text, with any of the three kinds of line ends."""
    try:
        text = files.path(name).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"A configuration file must be UTF-8 text. Received: {name} "
            f"({error.reason} at byte {error.start})"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _stream(name, text):
    stream = io.StringIO(text)
    stream.name = name
    return stream


class _Delegate(config_parser.ParserDelegate):
    """Makes of references and macros what says their names."""

    def configurable_reference(self, scoped_configurable_name, evaluate):
        scope, _, selector = scoped_configurable_name.rpartition("/")
        return Reference(scope, selector, evaluate)

    def macro(self, macro_name):
        return Macro(macro_name)
