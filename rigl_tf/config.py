"""Gin configuration: find, check, parse and write. The only user of gin.

Gin binds one function, `experiment.Experiment`; configuration files
import what they name (dynamic registration), so library code stays free of
decorators. Files are parsed in the order base.gin, the words as given, then the
bindings of the command line.
"""

import ast
import dataclasses
import difflib
import importlib.util  # gin forgets to import it
import inspect
import pathlib
import re
import sys

from rigl_tf import files
from rigl_tf import knobs

_MACRO = r"[A-Z][A-Z0-9_]*"
_PRELUDE = """\
from __gin__ import dynamic_registration
import keras
import rigl_tf.datasets as datasets
import rigl_tf.distribute as distribute
import rigl_tf.distributions as distributions
import rigl_tf.experiment as experiment
import rigl_tf.initializers as initializers
import rigl_tf.models as models
import rigl_tf.rates as rates
import rigl_tf.schedules as schedules
import rigl_tf.shapes as shapes
import rigl_tf.starts as starts
import rigl_tf.updaters as updaters
"""


class ConfigError(ValueError):
    """A mistake in configuration words or files."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Checked but not yet parsed configuration.

    Attributes:
        words: the words of the command line.
        files: paths of all files, base.gin first.
        bindings: gin lines of the command line.
        imports: modules of the user's own, for bindings to name.
    """

    words: tuple[str, ...]
    files: tuple[str, ...]
    bindings: tuple[str, ...]
    imports: tuple[str, ...] = ()


def directory():
    """Return the directory of the shipped configuration files."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped(folder=""):
    """List the names of the shipped files, e.g. "tasks/digits_mlp"."""
    root = directory()
    files = sorted((root / folder).rglob("*.gin"))
    return [str(file.relative_to(root).with_suffix("")) for file in files]


def read(words, imports=()):
    """Check the words of a command line; imports neither gin nor TensorFlow.

    Args:
        words: names of files ("tasks/digits_mlp" of the shipped ones, or
            paths), macros ("SPARSITY=0.9") and bindings
            ("updaters.RigL.drop_noise=1e-5").
        imports: names of modules outside the package that bindings may name.

    Returns:
        `Config`.

    Raises:
        ConfigError: a file or macro that does not exist, or a bad value.
    """
    names = [word for word in words if names_file(word)]
    if not names:
        raise ConfigError(
            "Name a task and a method, e.g. `tasks/digits_mlp methods/rigl`. "
            f"Received: {' '.join(words) or 'no words'}"
        )
    found = [str(directory() / "base.gin"), *map(_find, names)]
    sources = [files.path(name).read_text() for name in found]
    known = _matches(rf"^({_MACRO})\s*=|%({_MACRO})\b", sources)
    bindings = [_binding(w, known) for w in words if not names_file(w)]
    _require_defined(sources + bindings)
    return Config(tuple(words), tuple(found), tuple(bindings), tuple(imports))


def names_file(word):
    """Say whether a word names a file, and is no setting."""
    return "=" not in word or pathlib.Path(word).is_file()


def sweep_file(name):
    """Return the path of a sweep file.

    Args:
        name: path, or name of a shipped file such as "sweeps/digits_mlp".
    """
    for candidate in (pathlib.Path(name), directory() / f"{name}.txt"):
        if candidate.is_file():
            return candidate
    known = [f"sweeps/{p.stem}" for p in directory().glob("sweeps/*.txt")]
    raise ConfigError(f"No sweep {name!r}: {_nearest(name, known)}")


def parse(config):
    """Parse into gin's global state, replacing what was there.

    Returns:
        `experiment.Experiment` with everything bound; call it to build one.

    Raises:
        ConfigError: what gin finds wrong, on one line.
    """
    import gin

    from rigl_tf import experiment

    import_all(config.imports)
    prelude = _PRELUDE + "".join(f"import {m}\n" for m in config.imports)
    gin.clear_config()
    try:
        for file in config.files:
            gin.parse_config(files.path(file).read_text())
        for binding in config.bindings:
            gin.parse_config(f"{prelude}{binding}\n")
        bound = gin.get_bindings(
            experiment.Experiment, resolve_references=False
        )
    except Exception as error:  # gin raises many kinds, all the user's mistakes
        raise ConfigError(f"Configuration error: {one_line(error)}") from error
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


def import_all(modules):
    """Import the user's modules, from the current directory too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ConfigError(
                "`--import` must name a sound module on the Python path or in "
                f"the current directory. Received: {module!r} "
                f"({type(error).__name__}: {one_line(error)})"
            ) from error


def resolved():
    """Return everything that is bound, as the text of one gin file."""
    import gin

    return gin.config_str()


def settings():
    """Return the settings of the experiment, see `knobs.settings`.

    Call it when the experiment is built: until then gin does not know the
    defaults of the functions that are to be called.
    """
    import gin
    from gin import config_parser

    class Delegate(config_parser.ParserDelegate):
        def configurable_reference(self, name, evaluate):
            return f"@{name}{'()' * evaluate}"

        def macro(self, name):
            return knobs.Macro(name)

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
    return knobs.settings(parameters, macros)


def one_line(error):
    """Put the message of an exception onto one line."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras prints in bold
    lines = text.strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines if line.strip())


def _find(name):
    """Return the path of a configuration file."""
    if "://" in name and files.path(name).exists():
        return name
    path = pathlib.Path(name)
    candidates = [path, directory() / name, directory() / f"{name}.gin"]
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate.resolve())
    raise ConfigError(
        f"No configuration file {name!r}: {_nearest(name, shipped())}"
    )


# Words, paths and "2:4" are strings without quotation marks.
_BARE_WORD = r"(?:[A-Za-z/.~][\w/.:+~-]*|\d+:\d+\w*)"


def _binding(word, macros):
    """Turn NAME=value or function.parameter=value into a line of gin."""
    name, value = word.split("=", 1)
    is_macro = re.fullmatch(_MACRO, name)
    if is_macro and name not in macros:
        raise ConfigError(f"No macro {name!r}: {_nearest(name, macros)}")
    if not is_macro and not re.fullmatch(r"[\w/]+(\.\w+)+", name):
        raise ConfigError(
            "A setting must read NAME=value or module.function.parameter=value."
            f" Received: {word!r}"
        )
    if "," in value and _is_literal(value):  # gin wants parentheses
        value = repr(ast.literal_eval(value))
    if re.fullmatch(_BARE_WORD, value) and not _is_literal(value):
        value = repr(value)
    if not value.startswith(("@", "%")) and not _is_literal(value):
        raise ConfigError(
            f"The value of {name} must be a Python literal, a word or an "
            f"@reference. Received: {word!r}"
        )
    return f"{name} = {value}"


def _is_literal(value):
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return False
    return True


def _matches(pattern, sources):
    """Collect what a pattern finds in gin sources, outside of comments."""
    code = re.sub(r"(?m)#.*$", "", "\n".join(sources))
    found = re.findall(f"(?m){pattern}", code)
    groups = ([hit] if isinstance(hit, str) else hit for hit in found)
    return {name for group in groups for name in group if name}


def _require_defined(sources):
    defined = _matches(rf"^({_MACRO})\s*=", sources)
    missing = _matches(rf"%({_MACRO})\b", sources) - defined
    if missing:
        names = ", ".join(sorted(missing))
        raise ConfigError(
            f"No word sets {names}: name a task and a method, e.g. "
            "`tasks/digits_mlp methods/rigl SPARSITY=0.98`, or set NAME=value"
        )


def _nearest(name, known):
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(known)}"
