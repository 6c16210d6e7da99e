"""The architecture: imports go one way, and only over named edges."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "rigl_tf"

# Module -> the modules of rigl_tf that it may import.
EDGES = {
    "__init__": set(),
    "__main__": {"cli"},
    "checks": set(),
    "masks": {"checks"},
    "schedules": {"checks"},
    "structure": set(),
    "files": set(),
    "clusters": set(),
    "batch_norms": set(),
    "stopwatches": set(),
    "signals": set(),
    "workers": {"checks"},
    "mask_files": {"files"},
    "jobs": {"files", "signals"},
    "published": set(),
    "report_formats": {"results"},
    "results": {"files", "published"},
    "distributions": {"checks", "masks"},
    "shapes": {"checks", "masks"},
    "initializers": {"checks", "masks"},
    "constraints": set(),
    "graphs": {"structure"},
    "kernels": {"graphs", "structure"},
    "layers": {"constraints", "kernels", "shapes", "structure"},
    "selection": {"layers", "shapes", "structure"},
    "reports": {"kernels", "layers", "results", "structure"},
    "copies": {"layers", "structure"},
    "masking": {
        "checks",
        "copies",
        "distributions",
        "layers",
        "masks",
        "reports",
        "selection",
        "shapes",
        "structure",
    },
    "slots": set(),
    "updaters": {"checks", "masks", "schedules", "shapes"},
    "changes": set(),
    "clocks": set(),
    "dense_weights": set(),
    "steps": {
        "batch_norms",
        "changes",
        "checks",
        "clocks",
        "constraints",
        "dense_weights",
        "layers",
        "masking",
        "slots",
        "updaters",
    },
    "carried": {"updaters"},
    "trainer": {"carried", "clocks", "steps", "stopwatches", "workers"},
    "sampling": {"checks"},
    "rates": {"checks"},
    "losses": {"checks"},
    "metrics": {"checks"},
    "keras_fit": {"clocks", "steps", "structure"},
    "callbacks": {"checkpoints", "checks", "files", "mask_files", "metrics"},
    "mask_statistics": {"callbacks"},
    "profiles": {"callbacks", "checks"},
    "checkpoints": {"files", "structure"},
    "workdirs": {"files"},
    "distribute": {"batch_norms", "checks", "clusters", "workers"},
    "accounting": {
        "checks",
        "graphs",
        "layers",
        "masking",
        "masks",
        "structure",
    },
    "packed": {"files", "mask_files", "structure"},
    "exports": {
        "accounting",
        "files",
        "layers",
        "mask_files",
        "masking",
        "masks",
        "packed",
        "structure",
    },
    "tables": {
        "accounting",
        "distributions",
        "masking",
        "models",
        "updaters",
    },
    "connectivity": {"files", "mask_files"},
    "sizing": {"accounting"},
    "starts": {
        "checkpoints",
        "checks",
        "files",
        "initializers",
        "mask_files",
        "masks",
        "structure",
    },
    "networks": {
        "accounting",
        "initializers",
        "masking",
        "masks",
        "shapes",
        "sizing",
        "structure",
        "updaters",
    },
    "runs": {
        "batch_norms",
        "callbacks",
        "checkpoints",
        "exports",
        "mask_statistics",
        "metrics",
        "networks",
        "profiles",
        "shapes",
    },
    "experiment": {
        "accounting",
        "callbacks",
        "checks",
        "datasets",
        "distribute",
        "exports",
        "files",
        "losses",
        "metrics",
        "networks",
        "profiles",
        "published",
        "rates",
        "runs",
        "shapes",
        "sizing",
        "starts",
        "trainer",
        "updaters",
    },
    "config": {"experiment", "files"},
    "sweeps": {"config", "files", "published"},
    "cards": {"config"},
    "failures": {
        "checkpoints",
        "checks",
        "config",
        "runs",
        "signals",
        "workdirs",
        "workers",
    },
    "commands": {
        "cards",
        "checkpoints",
        "checks",
        "clusters",
        "config",
        "connectivity",
        "datasets",
        "failures",
        "exports",
        "files",
        "jobs",
        "report_formats",
        "results",
        "runs",
        "sampling",
        "sweeps",
        "tables",
        "workdirs",
        "workers",
    },
    "cli": {"commands", "failures"},
    "models": set(),
    "datasets": {"checks", "files"},
}
PURE = {
    "checks": set(),
    "masks": {"numpy", "tensorflow"},
    "schedules": {"tensorflow"},
    "distributions": set(),
    "results": set(),
    "files": {"etils", "tensorflow"},
    "mask_files": {"numpy"},
}


def imports(file):
    """Return `(modules of rigl_tf, other packages)` that a file imports."""
    own, others = set(), set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package != "rigl_tf":
                others.add(package)
            elif rest:
                own.add(rest[0])
    return own, others


FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_imports_follow_the_architecture(file):
    module = module_of(file)
    own, others = imports(file)
    assert own <= EDGES[module] | {module}
    if module != "config":
        assert "gin" not in others
    assert "absl.flags" not in file.read_text()
    if module in PURE:
        standard = set(sys.stdlib_module_names)
        assert others - standard <= PURE[module]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_files_stay_small(file):
    assert len(file.read_text().splitlines()) <= 350


def test_the_graph_has_no_cycle():
    left = {module: set(edges) for module, edges in EDGES.items()}
    while left:
        leaves = {module for module, edges in left.items() if not edges}
        assert leaves, f"cycle among {sorted(left)}"
        left = {m: e - leaves for m, e in left.items() if m not in leaves}


@pytest.mark.parametrize("how", ["environment", "file", "imported"])
def test_other_backends_are_refused(how, tmp_path):
    (tmp_path / "keras").mkdir()
    settings = {"KERAS_HOME": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    code = "import rigl_tf"
    if how == "environment":
        settings["KERAS_BACKEND"] = "jax"
    elif how == "file":
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    else:
        code = (
            "import sys, types; k = types.ModuleType('keras');"
            "k.backend = types.SimpleNamespace(backend=lambda: 'jax');"
            "sys.modules['keras'] = k; import rigl_tf"
        )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=settings,
        cwd=ROOT,
    )
    assert run.returncode == 1
    assert "needs Keras on the TensorFlow backend" in run.stderr
    assert "'jax'" in run.stderr


def test_public_names_exist():
    import rigl_tf

    for name in rigl_tf.__all__:
        assert getattr(rigl_tf, name) is not None
    assert callable(rigl_tf.sparsify)
    with pytest.raises(AttributeError, match="no attribute 'sparsfy'"):
        rigl_tf.sparsfy
