"""Restrict what configuration files can import and call.

A configuration file names functions that are called when an experiment is
built. To keep a file of unknown origin from running arbitrary code, it can name
only the public functions and classes of `MODULES` and of Keras' optimizers,
initializers and the like, and those defined in the modules of `--import`.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import importlib
import inspect
import sys
from typing import Any

from rigl_tf.experiments import gin_files
from rigl_tf.experiments import messages

# Names of modules in configurations -> modules.
MODULES = {
    "datasets": "rigl_tf.datasets",
    "distributions": "rigl_tf.masks.distributions",
    "experiment": "rigl_tf.experiments.experiment",
    "hardware": "rigl_tf.training.hardware.strategies",
    "initializers": "rigl_tf.layers.initializers",
    "learning_rates": "rigl_tf.training.learning_rates",
    "models": "rigl_tf.models",
    "patterns": "rigl_tf.masks.patterns",
    "schedules": "rigl_tf.updaters.schedules",
    "starts": "rigl_tf.experiments.starts",
    "updaters": "rigl_tf.updaters",
}
_KERAS = tuple(
    f"keras.{name}"
    for name in (
        "activations",
        "constraints",
        "initializers",
        "losses",
        "optimizers",
        "optimizers.schedules",
        "regularizers",
    )
)
_PUBLIC = (*MODULES.values(), *_KERAS)
# Packages on the way to the public modules, without public names.
_PACKAGES = ("keras", "rigl_tf")
# Functions that look up classes by names which a configuration could give.
_LOOK_UP = ("deserialize", "get", "serialize")
_BUILT_IN = ("gin.constant", "gin.macro", "gin.singleton")


def import_modules(names: Sequence[str]) -> None:
    """Import modules, also from the current directory.

    Args:
        names: names of the modules.

    Raises:
        gin_files.ConfigError: if a module cannot be imported.
    """
    if names and "" not in sys.path:
        sys.path.insert(0, "")
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # of any kind
            raise gin_files.ConfigError(
                "`--import` must name a sound module on the Python path or in "
                f"the current directory. Received: {name!r} "
                f"({type(error).__name__}: {messages.one_line(error)})"
            ) from error


def check_imports(
    parts: Iterable[gin_files.Part], imports: Sequence[str]
) -> None:
    """Require that files import only public modules, or those of `--import`.

    Nothing is imported here.

    Args:
        parts: parts of configuration files.
        imports: names of the user's modules.

    Raises:
        gin_files.ConfigError: if a file imports another module.
    """
    for part in parts:
        for statement in part.imports:
            module = statement.module
            known = module in (*_PUBLIC, *_PACKAGES)
            if not known and not _is_within(module, imports):
                raise _refusal(
                    part,
                    statement.location,
                    f"the import of {module}",
                    module,
                )


def check_names(
    parts: Iterable[gin_files.Part], imports: Sequence[str]
) -> None:
    """Require that files name only public functions, or those of `--import`.

    The modules that the files import are imported: call `check_imports` first.

    Args:
        parts: parts of configuration files.
        imports: names of the user's modules.

    Raises:
        gin_files.ConfigError: if a file names another function or class, or one
            that does not exist.
    """
    for part in parts:
        # Without dynamic registration, names are those that modules registered.
        if not part.is_dynamic:
            continue
        symbols = {}
        for statement in part.imports:
            import_modules([statement.module])
            name = statement.bound_name()
            is_root = not (statement.is_from or statement.alias)
            symbols[name] = sys.modules[name if is_root else statement.module]
        for selector, location in part.selectors():
            if selector not in _BUILT_IN:
                _check_name(part, location, selector, symbols, imports)


def _check_name(
    part: gin_files.Part,
    location: Any,
    selector: str,
    symbols: dict[str, Any],
    imports: Sequence[str],
) -> None:
    """Require that a selector names a function that may be called."""
    first, *rest = selector.split(".")
    if first not in symbols:
        raise _unknown(part, location, selector, first, symbols)
    value = symbols[first]
    for name in rest:
        _check_container(part, location, selector, value, imports)
        if not hasattr(value, name):
            raise _unknown(part, location, selector, name, vars(value))
        value = getattr(value, name)
    if not callable(value):
        raise gin_files.ConfigError(
            f"{_place(part, location)}: {selector} must be a function or a "
            "class"
        )
    if not _is_public(value, selector) and not _is_of(value, imports):
        module = getattr(value, "__module__", None) or "a built-in module"
        raise _refusal(
            part, location, f"{selector}, which is defined in {module}", module
        )


def _check_container(
    part: gin_files.Part,
    location: Any,
    selector: str,
    value: Any,
    imports: Sequence[str],
) -> None:
    """Require a module or class whose attributes may be named."""
    if inspect.ismodule(value):
        name = value.__name__
        leads_on = any(f"{i}.".startswith(f"{name}.") for i in imports)
        known = name in (*_PUBLIC, *_PACKAGES)
        if known or leads_on or _is_within(name, imports):
            return
    elif inspect.isclass(value):
        if _is_of(value, imports):
            return
        name = f"{value.__module__}.{value.__name__}"
    else:
        name = type(value).__name__
    raise _refusal(part, location, f"{selector}, an attribute of {name}", name)


def _is_public(value: Any, selector: str) -> bool:
    """Return whether a public module exports the value of a selector."""
    name = selector.rpartition(".")[2]
    module = getattr(value, "__module__", None) or ""
    return (
        module.partition(".")[0] in _PACKAGES
        and not name.startswith("_")
        and name not in _LOOK_UP
        and any(
            getattr(sys.modules.get(public), name, None) is value
            for public in _PUBLIC
        )
    )


def _is_of(value: Any, imports: Sequence[str]) -> bool:
    return _is_within(getattr(value, "__module__", None) or "", imports)


def _is_within(module: str, packages: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in packages)


def _refusal(
    part: gin_files.Part, location: Any, what: str, module: str
) -> gin_files.ConfigError:
    return gin_files.ConfigError(
        f"{_place(part, location)}: a configuration may name what rigl_tf, "
        "Keras' optimizers and the modules of --import offer. Received: "
        f"{what} (--import={module}, if you trust it)"
    )


def _unknown(
    part: gin_files.Part,
    location: Any,
    selector: str,
    name: str,
    known: Iterable[str],
) -> gin_files.ConfigError:
    public = [name for name in known if not name.startswith("_")]
    return gin_files.ConfigError(
        f"{_place(part, location)}: {selector} does not exist: no {name!r}, "
        f"{messages.nearest(name, public)}"
    )


def _place(part: gin_files.Part, location: Any) -> str:
    return f"Configuration error: {part.name}, line {location.line_num}"
