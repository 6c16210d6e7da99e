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
    "serialization": set(),
    "schedules": {"checks", "serialization"},
    "structure": set(),
    "files": set(),
    "archives": {"files"},
    "run_files": {"files"},
    "clusters": set(),
    "batch_norms": set(),
    "stopwatches": set(),
    "signals": set(),
    "payloads": set(),
    "workers": {"checks", "payloads"},
    "mask_files": {"archives", "files"},
    "environments": set(),
    "knobs": set(),
    "queues": {"files"},
    "jobs": {
        "config",
        "environments",
        "failures",
        "queues",
        "signals",
        "workdirs",
    },
    "published": set(),
    "report_formats": {"knobs", "results"},
    "results": {"files", "knobs", "published", "run_files"},
    "name_patterns": set(),
    "distributions": {"checks", "masks", "name_patterns"},
    "shapes": {"checks", "masks"},
    "initializers": {"checks", "masks"},
    "constraints": set(),
    "guards": {"structure"},
    "graphs": {"structure"},
    "kernels": {"graphs", "structure"},
    "layers": {
        "checks",
        "constraints",
        "guards",
        "kernels",
        "masks",
        "shapes",
        "structure",
    },
    "selection": {
        "kernels",
        "layers",
        "name_patterns",
        "shapes",
        "structure",
    },
    "reports": {"kernels", "layers", "results", "structure"},
    "copies": {"layers", "structure"},
    "masking": {
        "checks",
        "copies",
        "distributions",
        "guards",
        "layers",
        "masks",
        "reports",
        "selection",
        "shapes",
        "structure",
    },
    "slots": set(),
    "updaters": {"checks", "masks", "schedules", "serialization", "shapes"},
    "plans": {"updaters"},
    "second_order": set(),
    "trained_variables": {"kernels", "layers", "masking", "structure"},
    "fit_function": {"clocks"},
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
        "masking",
        "plans",
        "second_order",
        "slots",
        "trained_variables",
        "updaters",
    },
    "carried": {"updaters"},
    "trainer": {"carried", "clocks", "steps", "stopwatches", "workers"},
    "sampling": {"checks"},
    "rates": {"checks"},
    "losses": {"checks"},
    "metrics": {"checks"},
    "keras_fit": {
        "fit_function",
        "masking",
        "steps",
        "structure",
        "trained_variables",
        "updaters",
    },
    "callbacks": {
        "checkpoints",
        "checks",
        "files",
        "mask_files",
        "metrics",
        "run_files",
    },
    "mask_statistics": {"callbacks"},
    "profiles": {"callbacks", "checks"},
    "checkpoints": {"archives", "files", "run_files", "structure"},
    "workdirs": {"files", "run_files"},
    "distribute": {"batch_norms", "checks", "clusters", "workers"},
    "accounting": {
        "checks",
        "graphs",
        "kernels",
        "layers",
        "masking",
        "masks",
        "structure",
    },
    "packed": {"archives", "files", "mask_files", "structure"},
    "exports": {
        "accounting",
        "files",
        "layers",
        "mask_files",
        "masking",
        "masks",
        "packed",
        "run_files",
        "structure",
    },
    "tables": {
        "accounting",
        "distributions",
        "masking",
        "models",
        "updaters",
    },
    "connectivity": {"files", "mask_files", "run_files"},
    "sizing": {"accounting"},
    "starts": {
        "archives",
        "checkpoints",
        "checks",
        "files",
        "initializers",
        "knobs",
        "mask_files",
        "masks",
        "run_files",
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
        "distributions",
        "exports",
        "mask_statistics",
        "metrics",
        "networks",
        "profiles",
        "run_files",
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
        "trials",
        "updaters",
    },
    "trials": {"checks"},
    "messages": set(),
    "gin_files": {"files", "messages"},
    "trust": {"gin_files", "messages"},
    "config": {
        "experiment",
        "files",
        "gin_files",
        "knobs",
        "messages",
        "trust",
    },
    "sweeps": {"config", "files", "published", "results"},
    "cards": {"config"},
    "failures": {
        "checkpoints",
        "checks",
        "files",
        "messages",
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
        "launch",
        "queues",
        "report_formats",
        "results",
        "run_files",
        "runs",
        "sampling",
        "sweeps",
        "tables",
        "trust",
    },
    "launch": {"config", "failures", "results", "run_files", "workdirs"},
    "outputs": set(),
    "cli": {"commands", "failures", "launch", "outputs"},
    "models": set(),
    "datasets": {"checks", "files"},
}
PURE = {
    "checks": set(),
    "masks": {"numpy", "tensorflow"},
    "schedules": {"keras", "tensorflow"},
    "distributions": set(),
    "results": set(),
    "files": {"etils", "tensorflow"},
    "mask_files": {"numpy"},
    "archives": {"numpy"},
    "run_files": set(),
}


def imports(file):
    """Return `(modules of rigl_tf, other packages)` that a file imports."""
    own, others = set(), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
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
    if module not in ("config", "gin_files"):
        assert "gin" not in others
    assert "absl.flags" not in file.read_text(encoding="utf-8")
    if module in PURE:
        standard = set(sys.stdlib_module_names)
        assert others - standard <= PURE[module]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_files_stay_small(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_text_has_a_named_encoding(file):
    """Ruff knows not of every path that it is one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("read_text", "write_text")
            and not ast.unparse(node.func).startswith("files.")
        ):
            names = [keyword.arg for keyword in node.keywords]
            assert "encoding" in names, f"line {node.lineno}"


def test_the_graph_has_no_cycle():
    left = {module: set(edges) for module, edges in EDGES.items()}
    while left:
        leaves = {module for module, edges in left.items() if not edges}
        assert leaves, f"cycle among {sorted(left)}"
        left = {m: e - leaves for m, e in left.items() if m not in leaves}


@pytest.mark.parametrize("how", ["environment", "file", "imported"])
@pytest.mark.parametrize(
    "use",
    [
        "rigl_tf.sparsify",
        "rigl_tf.masks.selection",
        "from rigl_tf import slots",
    ],
)
def test_other_backends_are_refused(use, how, tmp_path):
    code = f"import rigl_tf; {use}"
    if how == "imported":
        code = (
            "import sys, types; k = types.ModuleType('keras');"
            "k.backend = types.SimpleNamespace(backend=lambda: 'jax');"
            f"sys.modules['keras'] = k; {code}"
        )
    run = with_backend(how, tmp_path, "-c", code)
    assert run.returncode == 1
    assert "needs Keras on the TensorFlow backend" in run.stderr
    assert "'jax'" in run.stderr


@pytest.mark.parametrize("how", ["environment", "file"])
def test_the_command_refuses_other_backends_on_one_line(how, tmp_path):
    run = with_backend(how, tmp_path, "-m", "rigl_tf", "methods")
    assert run.returncode == 2
    assert run.stderr.startswith("rigl_tf: rigl_tf needs Keras on the")
    assert run.stderr.count("\n") == 1
    assert with_backend(how, tmp_path, "-m", "rigl_tf", "-h").returncode == 0


def with_backend(how, directory, *words):
    """Run Python with JAX as Keras' backend."""
    settings = {"KERAS_HOME": str(directory), "PATH": ""}
    if how == "environment":
        settings["KERAS_BACKEND"] = "jax"
    elif how == "file":
        (directory / "keras.json").write_text(
            '{"backend": "jax"}', encoding="utf-8"
        )
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**settings, "HOME": str(directory), "PYTHONPATH": str(ROOT)},
        cwd=directory,
    )


def test_public_names_exist():
    import rigl_tf

    for name in rigl_tf.__all__:
        assert getattr(rigl_tf, name) is not None
    assert callable(rigl_tf.sparsify)
    with pytest.raises(AttributeError, match="no attribute 'sparsfy'"):
        rigl_tf.sparsfy
