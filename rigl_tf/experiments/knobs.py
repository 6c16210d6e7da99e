"""Settings of runs: which ones count, and in which ones runs differ.

The settings of a run are a flat dictionary from a name to a value as JSON holds
it: of all parameters that can change its result, defaults included. A
parameter that a macro gives bears the macro's name ("UPDATE_INTERVAL"), others
that of the parameter ("updaters.RigL.drop_noise"). Runs with equal settings are
seeds of one experiment.
"""

import dataclasses
import hashlib
import json
import re

# What a run computes on, what it is called, and what it writes down.
_NO_SETTING = re.compile(
    r"hardware\.(?!Hardware\.(precision|sync_batch_norm)$)"
    r"|experiment\.Experiment\.("
    r"task|method|seed|label|published|start|hardware|profile_steps"
    r"|log_interval|evaluate_interval|checkpoint_interval|keep_checkpoints"
    r"|keep_checkpoint_every|record_masks|tensorboard)$"
)
_SEED = "SEED"
_UPDATER = "experiment.Experiment.updater"
# What methods set, and therefore differs between them anyway.
_OF_METHODS = re.compile(
    rf"SPARSITY|WIDTH|INITIAL_|SHUFFLE_MASKS|{re.escape(_UPDATER)}"
)
# Columns of reports that show a setting.
_COLUMNS = {
    "SPARSITY": "sparsity",
    "DISTRIBUTION": "distribution",
    "PATTERN": "pattern",
    "TRAINING_MULTIPLIER": "training_multiplier",
}


@dataclasses.dataclass(frozen=True)
class Macro:
    """A macro as the value of a parameter, `%NAME`."""

    name: str


def settings(parameters, macros):
    """Return the settings of a run.

    Args:
        parameters: dictionary from "module.function.parameter" to a literal, a
            `Macro`, or a container of these.
        macros: dictionary from the names of macros to such values.
    """
    found = {}
    for name, value in parameters.items():
        if _NO_SETTING.match(name) or value == Macro(_SEED):
            continue
        if isinstance(value, Macro) and value.name in macros:
            name = value.name
        plain = _plain(value, macros)
        if isinstance(plain, float) and plain.is_integer():
            # 1.0 and 1 are one number, but not one step: 1.0 is a whole run.
            plain = plain if name.lower().endswith("_step") else int(plain)
        found[name] = plain
    return dict(sorted(found.items()))


def _plain(value, macros):
    """Return a value as JSON gives it back."""
    if isinstance(value, Macro):  # or a constant of gin's
        return _plain(macros.get(value.name, f"%{value.name}"), macros)
    if isinstance(value, (list, tuple)):
        return [_plain(item, macros) for item in value]
    if isinstance(value, dict):
        return {str(k): _plain(item, macros) for k, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def key(found):
    """Return a text that is the same for equal settings alone."""
    return json.dumps(found, sort_keys=True)


def name_of(result):
    """Name the experiment that a run is a seed of, "pruning-1f2e3d4c".

    Args:
        result: dictionary of its result.json, with "task", "method" and
            "settings".
    """
    text = key([result["task"], result["method"], result["settings"]])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{result['method']}-{digest}"


def text(row, name):
    """Return a setting of a row in the notation of gin, "–" without it."""
    return str(row["settings"].get(name, "–"))


def differing(rows):
    """List the settings that a table of rows has to show.

    Those in which rows of the same task and method differ, or of the same task
    if it is no setting of the method. Columns of their own show some of them.

    Args:
        rows: dictionaries with "settings", "task", "method", "distribution",
            "sparsity", "pattern" and "training_multiplier".
    """
    rows = [row for row in rows if row["settings"]]
    names = sorted({name for row in rows for name in row["settings"]})
    return [name for name in names if _differs(name, rows)]


def _differs(name, rows):
    shown = _COLUMNS.get(name)
    values = {}
    for row in rows:
        group = row["task"], row[shown] if shown else None
        value = key(row["settings"].get(name, ["missing"]))
        values.setdefault((*group, row["method"]), set()).add(value)
        if name in row["settings"] and not _is_of_method(name, row):
            values.setdefault(group, set()).add(value)
    return any(len(found) > 1 for found in values.values())


def _is_of_method(name, row):
    updater = str(row["settings"].get(_UPDATER)).strip("@()")
    return bool(_OF_METHODS.match(name)) or name.startswith(f"{updater}.")
