"""Gin configuration: find, check, parse and write.

Gin binds one function, `experiment.Experiment`; configuration files
import what they name (dynamic registration), so library code stays free of
decorators. What they may name, `trust` decides. Files are parsed in the order
base.gin, the words as given, then the bindings of the command line.
"""

import ast
import dataclasses
from importlib import resources
import inspect
import pathlib
import re

from rigl_tf import files
from rigl_tf.experiments import allow_list
from rigl_tf.experiments import gin_files
from rigl_tf.experiments import messages
from rigl_tf.experiments import run_settings

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
    """Checked but not yet parsed configuration.

    Attributes:
        words: the words of the command line.
        parts: all files with what they include, base.gin first, then the
            bindings of the command line.
        imports: modules of the user's own, for bindings to name.
    """

    words: tuple[str, ...]
    parts: tuple[gin_files.Part, ...]
    imports: tuple[str, ...] = ()


def directory():
    """Return the directory of the shipped configuration files."""
    package = pathlib.Path(resources.files("rigl_tf"))
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped(folder=""):
    """List the names of the shipped files, e.g. "tasks/digits_mlp"."""
    root = directory()
    files = sorted((root / folder).rglob("*.gin"))
    return [str(file.relative_to(root).with_suffix("")) for file in files]


def read(words, imports=()):
    """Check the words of a command line; imports no TensorFlow.

    Args:
        words: names of files ("tasks/digits_mlp" of the shipped ones, or
            paths), macros ("SPARSITY=0.9") and bindings
            ("updaters.RigL.drop_noise=1e-5").
        imports: names of modules outside the package that bindings may name.

    Returns:
        `Config`.

    Raises:
        ConfigError: a file or macro that does not exist, a bad value, or an
            import of another module.
    """
    names = [word for word in words if names_file(word)]
    if not names:
        raise ConfigError(
            "Name a task and a method, e.g. `tasks/digits_mlp methods/rigl`. "
            f"Received: {' '.join(words) or 'no words'}"
        )
    parts = []
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


def names_file(word):
    """Say whether a word names a file, and is no setting."""
    name, is_setting, _ = word.partition("=")
    if re.fullmatch(rf"{_MACRO}|{_PARAMETER}", name) and is_setting:
        return False
    return not is_setting or _is_file(pathlib.Path(word))


def sweep_file(name):
    """Return the path of a sweep file.

    Args:
        name: path, or name of a shipped file such as "sweeps/digits_mlp".
    """
    for candidate in (pathlib.Path(name), directory() / f"{name}.txt"):
        if _is_file(candidate):
            return candidate
    known = [f"sweeps/{p.stem}" for p in directory().glob("sweeps/*.txt")]
    raise ConfigError(f"No sweep {name!r}: {messages.nearest(name, known)}")


def parse(config):
    """Parse into gin's global state, replacing what was there.

    Returns:
        `experiment.Experiment` with everything bound; call it to build one.

    Raises:
        ConfigError: what gin finds wrong, on one line.
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
    except Exception as error:  # gin raises many kinds, all the user's mistakes
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


def resolved():
    """Return everything that is bound, as the text of one gin file."""
    import gin

    return gin.config_str()


def settings():
    """Return the settings of the experiment, see `run_settings.collect`.

    Call it when the experiment is built: until then gin does not know the
    defaults of the functions that are to be called.
    """
    import gin
    from gin import config_parser

    class Delegate(config_parser.ParserDelegate):
        def configurable_reference(self, name, evaluate):
            return f"@{name}{'()' * evaluate}"

        def macro(self, name):
            return run_settings.Macro(name)

    parameters, macros = {}, {}
    # What is bound, and what was called with which defaults.
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


def _find(name, includer=None):
    """Return the path of a configuration file.

    Args:
        name: its path or URL, or the name of a shipped file.
        includer: path of a file that includes it, or None: it may lie beside
            that one.
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


def _is_file(path):
    """Say whether there is a file; no name is too long to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _require_text(word):
    """Raise ConfigError if a word has bytes that are no UTF-8."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"Settings must be UTF-8 text. Received: {word!r}"
        ) from error


_REFERENCE = r"[@%][\w/.]+(\(\))?"
# Words, paths and "2:4" are strings without quotation marks.
_BARE_WORD = r"(?:[A-Za-z/.~][\w/.:+~-]*|\d+:\d+\w*)"


def _binding(word, macros):
    """Turn NAME=value or function.parameter=value into a line of gin."""
    name, value = word.split("=", 1)
    is_macro = re.fullmatch(_MACRO, name)
    if is_macro and name not in macros:
        raise ConfigError(
            f"No macro {name!r}: "
            f"{messages.nearest(name, filter(_is_macro, macros))}"
        )
    if not is_macro and not re.fullmatch(_PARAMETER, name):
        raise ConfigError(
            "A setting must read NAME=value or module.function.parameter=value."
            f" Received: {word!r}"
        )
    if "," in value and _is_literal(value):  # gin wants parentheses
        value = repr(ast.literal_eval(value))
    if re.fullmatch(_BARE_WORD, value) and not _is_literal(value):
        value = repr(value)
    if not re.fullmatch(_REFERENCE, value) and not _is_literal(value):
        raise ConfigError(
            f"The value of {name} must be a Python literal, a word or an "
            f"@reference. Received: {word!r}"
        )
    return f"{name} = {value}"


def _is_macro(name):
    return re.fullmatch(_MACRO, name)


def _is_literal(value):
    try:
        ast.literal_eval(value)
    # The last three: {[]: 1}, and thousands of brackets.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _require_defined(parts):
    defined, used = gin_files.macros(parts)
    # Others may be constants that a module defines.
    missing = sorted(name for name in used - defined if _is_macro(name))
    if missing:
        raise ConfigError(
            f"No word sets {', '.join(missing)}: name a task and a method, "
            "e.g. `tasks/digits_mlp methods/rigl SPARSITY=0.98`, or set "
            "NAME=value"
        )
