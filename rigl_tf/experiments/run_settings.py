"""Collect the settings of runs, and find those in which runs differ.

The settings of a run are a flat dictionary of all parameters that can change
its result, defaults included, with values as JSON represents them. A parameter
that is set by a macro has the name of the macro ("UPDATE_INTERVAL"); others
have their own name ("updaters.RigL.drop_noise"). Runs with equal settings are
seeds of one experiment.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import json
import re
from typing import Any

from rigl_tf.experiments import report_row

# Parameters without influence on the result: hardware, names, records.
_NO_SETTING = re.compile(
    r"hardware\.(?!Hardware\.(precision|sync_batch_norm)$)"
    r"|experiment\.Experiment\.("
    r"task|method|seed|label|published|start|hardware|profile_steps"
    r"|log_interval|evaluate_interval|checkpoint_interval|keep_checkpoints"
    r"|keep_checkpoint_every|record_masks|tensorboard|predictions)$"
)
_SEED = "SEED"
_UPDATER = "experiment.Experiment.updater"
# Set by the method, so they differ between methods anyway.
_OF_METHODS = re.compile(
    rf"SPARSITY|WIDTH|INITIAL_|SHUFFLE_MASKS|{re.escape(_UPDATER)}"
)
# Settings that reports show in a column of their own, by the field of the row.
_COLUMNS = {
    "SPARSITY": "sparsity",
    "DISTRIBUTION": "distribution",
    "PATTERN": "pattern",
    "TRAINING_MULTIPLIER": "training_multiplier",
}


@dataclasses.dataclass(frozen=True)
class Macro:
    """A macro as the value of a parameter, `%NAME`.

    Attributes:
        name: name of the macro.
    """

    name: str


def collect(
    parameters: Mapping[str, Any], macros: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a run.

    Args:
        parameters: dictionary from "module.function.parameter" to a literal, a
            `Macro`, or a container of these.
        macros: dictionary from the names of macros to such values.
    """
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if _NO_SETTING.match(name) or value == Macro(_SEED):
            continue
        if isinstance(value, Macro) and value.name in macros:
            name = value.name
        plain = _plain(value, macros)
        if isinstance(plain, float) and plain.is_integer():
            # 1.0 and 1 are equal, except for a step: 1.0 is the whole run.
            plain = plain if name.lower().endswith("_step") else int(plain)
        found[name] = plain
    return dict(sorted(found.items()))


def _plain(value: Any, macros: Mapping[str, Any]) -> Any:
    """Return a value as JSON represents it."""
    if isinstance(value, Macro):  # without a value: a constant of gin
        return _plain(macros.get(value.name, f"%{value.name}"), macros)
    if isinstance(value, (list, tuple)):
        return [_plain(item, macros) for item in value]
    if isinstance(value, dict):
        return {str(k): _plain(item, macros) for k, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def key(found: Any) -> str:
    """Return a text that is the same for equal settings only."""
    return json.dumps(found, sort_keys=True)


def experiment_name(result: Mapping[str, Any]) -> str:
    """Name the experiment of a run, the same for all seeds: "pruning-1f2e3d4c".

    Args:
        result: dictionary of its result.json, with "task", "method" and
            "settings".
    """
    text = key([result["task"], result["method"], result["settings"]])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{result['method']}-{digest}"


def text(row: report_row.Row, name: str) -> str:
    """Return a setting of a row as text; "–" if the row does not have it."""
    return str(row.settings.get(name, "–"))


def differing(rows: Iterable[report_row.Row]) -> list[str]:
    """List the settings that a table must show to tell its rows apart.

    A setting of a method is listed if rows with the same task and method differ
    in it; any other setting, if rows with the same task do. A setting that has
    its own column is listed only if rows with equal cells there differ in it.
    """
    run = [row for row in rows if row.settings]
    names = sorted({name for row in run for name in row.settings})
    return [name for name in names if _differs(name, run)]


def alike(row: report_row.Row, other: report_row.Row) -> bool:
    """Return whether two rows have equal settings, whatever their methods.

    Only settings that both rows have are compared. Those of a method do not
    count, nor do those that a field of the row shows.
    """
    return all(
        key(row.settings[name]) == key(other.settings[name])
        for name in row.settings.keys() & other.settings.keys()
        if name not in _COLUMNS
        and not _is_of_method(name, row)
        and not _is_of_method(name, other)
    )


def _differs(name: str, rows: Sequence[report_row.Row]) -> bool:
    column = _COLUMNS.get(name)
    values: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        group = row.task, getattr(row, column) if column else None
        value = key(row.settings.get(name, ["missing"]))
        values.setdefault((*group, row.method), set()).add(value)
        if name in row.settings and not _is_of_method(name, row):
            values.setdefault(group, set()).add(value)
    return any(len(found) > 1 for found in values.values())


def _is_of_method(name: str, row: report_row.Row) -> bool:
    updater = str(row.settings.get(_UPDATER)).strip("@()")
    return bool(_OF_METHODS.match(name)) or name.startswith(f"{updater}.")
