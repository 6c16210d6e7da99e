"""Find, check, parse and write gin configurations.

Gin binds one class, `experiment.Experiment`. Configuration files import what
they name (dynamic registration), so library code needs no decorators;
`allow_list` restricts what they can name. Files are parsed in the order of the
words, after base.gin and before the settings of the command line.
"""

import ast
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
from importlib import resources
import inspect
import pathlib
import re
from typing import TYPE_CHECKING
from typing import Any

from rigl_tf import files
from rigl_tf.experiments import allow_list
from rigl_tf.experiments import gin_files
from rigl_tf.experiments import messages
from rigl_tf.experiments import run_settings

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from rigl_tf.experiments.experiment import Experiment

ConfigError = gin_files.ConfigError
_MACRO = r"[A-Z][A-Z0-9_]*"
# With or without scopes: "updaters.RigL.drop_noise".
_PARAMETER = r"\w+(/\w+)*(\.\w+)+"
_PRELUDE = "".join(
    [
        "from __gin__ import dynamic_registration\nimport keras\n",
        *(f"import {m} as {name}\n" for name, m in allow_list.MODULES.items()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration that is checked, but not yet parsed by gin.

    Attributes:
        words: the words of the command line.
        parts: all files with the files that they include, base.gin first, then
            the settings of the command line.
        imports: modules of the user, whose functions settings can name.
    """

    words: tuple[str, ...]
    parts: tuple[gin_files.Part, ...]
    imports: tuple[str, ...] = ()


def directory() -> pathlib.Path:
    """Return the directory of the shipped configuration files."""
    package = pathlib.Path(str(resources.files("rigl_tf")))
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped(folder: str = "") -> list[str]:
    """Return the names of the shipped files, e.g. "tasks/digits_mlp".

    Args:
        folder: folder of the files, e.g. "tasks"; "" for all.
    """
    root = directory()
    found = sorted((root / folder).rglob("*.gin"))
    return [str(file.relative_to(root).with_suffix("")) for file in found]


def read(words: Sequence[str], imports: Sequence[str] = ()) -> Config:
    """Read and check the words of a command line, without TensorFlow.

    Args:
        words: names of shipped files ("tasks/digits_mlp"), paths of files,
            macros ("SPARSITY=0.9") and bindings
            ("updaters.RigL.drop_noise=1e-5").
        imports: names of modules of the user, which bindings can name.

    Raises:
        ConfigError: if a file or macro does not exist, a value is not valid, or
            a file imports a module that it may not import.
    """
    names = [word for word in words if names_file(word)]
    if not names:
        raise ConfigError(
            "Name a task and a method, e.g. `tasks/digits_mlp methods/rigl`. "
            f"Received: {' '.join(words) or 'no words'}"
        )
    parts: list[gin_files.Part] = []
    for name in [str(directory() / "base.gin"), *map(_find, names)]:
        parts += gin_files.read(name, _find)
    known = set().union(*gin_files.macros(parts))
    prelude = _PRELUDE + "".join(f"import {m}\n" for m in imports)
    for word in words:
        if not names_file(word):
            _require_text(word)
            text = f"{prelude}{_binding(word, known)}\n"
            parts.append(gin_files.of_text("the command line", text))
    allow_list.check_imports(parts, imports)
    _require_defined(parts)
    gin_files.require_no_cycle(parts)
    return Config(tuple(words), tuple(parts), tuple(imports))


def names_file(word: str) -> bool:
    """Return whether a word names a file, and is not a setting."""
    name, is_setting, _ = word.partition("=")
    if re.fullmatch(rf"{_MACRO}|{_PARAMETER}", name) and is_setting:
        return False
    return not is_setting or _is_file(pathlib.Path(word))


def sweep_file(name: str) -> pathlib.Path:
    """Return the path of a sweep file.

    Args:
        name: path, or name of a shipped file such as "sweeps/digits_mlp".

    Raises:
        ConfigError: if there is no such file.
    """
    for candidate in (pathlib.Path(name), directory() / f"{name}.txt"):
        if _is_file(candidate):
            return candidate
    known = [f"sweeps/{p.stem}" for p in directory().glob("sweeps/*.txt")]
    raise ConfigError(f"No sweep {name!r}: {messages.nearest(name, known)}")


def parse(config: Config) -> "Callable[[], Experiment]":
    """Parse a configuration into gin's global state, and replace that.

    Args:
        config: result of `read`.

    Returns:
        A function without arguments that builds the experiment.

    Raises:
        ConfigError: if gin finds a mistake; its message is on one line.
    """
    import gin

    from rigl_tf.experiments import experiment

    allow_list.import_modules(config.imports)
    allow_list.check_names(config.parts, config.imports)
    gin.clear_config()
    try:
        for part in config.parts:
            gin.parse_config(part.stream())
        bound = gin.get_bindings(
            experiment.Experiment, resolve_references=False
        )
    except Exception as error:  # gin raises many kinds of errors
        raise ConfigError(
            f"Configuration error: {messages.one_line(error)}"
        ) from error
    signature = inspect.signature(experiment.Experiment)
    for name, parameter in signature.parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if required and name not in bound:
            raise ConfigError(
                f"No configuration file sets `{name}`: name a task and a "
                "method, e.g. `tasks/digits_mlp methods/rigl`. "
                f"Received: {' '.join(config.words)}"
            )
    return gin.get_configurable(experiment.Experiment)


def resolved() -> str:
    """Return all bindings in gin's global state as the text of a gin file."""
    import gin

    return gin.config_str()


def settings() -> dict[str, Any]:
    """Return the settings of the experiment, see `run_settings.collect`.

    Call it after data set and network are built: before, gin does not know the
    defaults of the functions that build them.
    """
    import gin
    from gin import config_parser

    class Delegate(config_parser.ParserDelegate):
        def configurable_reference(self, name: str, evaluate: bool) -> str:
            return f"@{name}{'()' * evaluate}"

        def macro(self, name: str) -> run_settings.Macro:
            return run_settings.Macro(name)

    parameters: dict[str, Any] = {}
    macros: dict[str, Any] = {}
    # All bindings, and the defaults of the functions that were called.
    for text in (gin.config_str(), gin.operative_config_str()):
        for line in config_parser.ConfigParser(text, Delegate()):
            if not isinstance(line, config_parser.BindingStatement):
                continue
            scope = f"{line.scope}/" if line.scope else ""
            if line.arg_name:
                name = f"{scope}{line.selector}.{line.arg_name}"
                parameters[name] = line.value
            else:
                macros[f"{scope}{line.selector}"] = line.value
    return run_settings.collect(parameters, macros)


def _find(name: str, includer: str | None = None) -> str:
    """Return the path of a configuration file.

    Args:
        name: path or URL of the file, or the name of a shipped file.
        includer: path of the file that includes it, or None. Its directory is
            searched first.
    """
    if "://" in name and files.path(name).exists():
        return name
    candidates = [pathlib.Path(name), directory() / name]
    candidates.append(directory() / f"{name}.gin")
    if includer is not None and "://" not in name:
        candidates.insert(0, files.path(includer).parent / name)
    for candidate in candidates:
        if _is_file(candidate):
            is_local = files.is_local(candidate)
            return str(candidate.resolve() if is_local else candidate)
    where = f" (included by {includer})" if includer else ""
    raise ConfigError(
        f"No configuration file {name!r}{where}: "
        f"{messages.nearest(name, shipped())}"
    )


def _is_file(path: pathlib.Path) -> bool:
    """Return whether a file exists; False for names that cannot be files."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _require_text(word: str) -> None:
    """Raise ConfigError if a word has bytes that are not UTF-8."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"Settings must be UTF-8 text. Received: {word!r}"
        ) from error


_REFERENCE = r"[@%][\w/.]+(\(\))?"
# Words, paths and "2:4" need no quotation marks.
_BARE_WORD = r"(?:[A-Za-z/.~][\w/.:+~-]*|\d+:\d+\w*)"


def _binding(word: str, macros: Iterable[str]) -> str:
    """Turn NAME=value or function.parameter=value into a line of gin."""
    name, value = word.split("=", 1)
    is_macro = _is_macro(name)
    if is_macro and name not in macros:
        raise ConfigError(
            f"No macro {name!r}: "
            f"{messages.nearest(name, filter(_is_macro, macros))}"
        )
    if not is_macro and not re.fullmatch(_PARAMETER, name):
        raise ConfigError(
            "A setting must have the form NAME=value or "
            f"module.function.parameter=value. Received: {word!r}"
        )
    if "," in value and _is_literal(value):  # gin requires parentheses
        value = repr(ast.literal_eval(value))
    if re.fullmatch(_BARE_WORD, value) and not _is_literal(value):
        value = repr(value)
    if not re.fullmatch(_REFERENCE, value) and not _is_literal(value):
        raise ConfigError(
            f"The value of {name} must be a Python literal, a word or an "
            f"@reference. Received: {word!r}"
        )
    return f"{name} = {value}"


def _is_macro(name: str) -> bool:
    return re.fullmatch(_MACRO, name) is not None


def _is_literal(value: str) -> bool:
    try:
        ast.literal_eval(value)
    # The last three for {[]: 1} and for thousands of brackets.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _require_defined(parts: Sequence[gin_files.Part]) -> None:
    """Raise ConfigError if a macro is used, but not defined."""
    defined, used = gin_files.macros(parts)
    # Other names may be constants that a module defines.
    missing = sorted(name for name in used - defined if _is_macro(name))
    if missing:
        raise ConfigError(
            f"No word sets {', '.join(missing)}: name a task and a method, "
            "e.g. `tasks/digits_mlp methods/rigl SPARSITY=0.98`, or set "
            "NAME=value"
        )
