"""The architecture: floors, sizes, public names."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "rigl_tf"

# What stands on a floor may import what stands below, and nothing else.
FLOORS = [
    {"archives", "checks", "files", "run_files", "text_tables"},
    {"masks", "models", "datasets"},
    {"sparse"},
    {"layers"},
    {"updaters"},
    {"training", "accounting"},
    {"export"},
    {"analysis"},
    {"experiments"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# Of the lowest floor: which files of it each file may import.
GROUND = {
    "archives": {"files"},
    "checks": set(),
    "files": set(),
    "run_files": {"files"},
    "text_tables": set(),
}
# What imports nothing that takes time, so that commands answer at once.
LIGHT = (
    "checks",
    "experiments/config",
    "experiments/results",
    "masks/distributions",
    "run_files",
    "training/hardware/cluster_config",
)
HEAVY = {"keras", "tensorflow", "matplotlib", "sklearn"}
# Packages and modules in which every public function is annotated.
TYPED = (
    *FLOORS[0],
    "masks",
    "sparse",
    "layers",
    "models",
    "datasets",
    "accounting",
    "export",
    "analysis",
    "updaters",
    "training",
    "experiments",
    "cli",
    "__main__",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(file):
    """Return `(modules of rigl_tf, other packages)` that a file imports."""
    own, others = set(), set()
    for node in running(parsed(file)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package != "rigl_tf":
                others.add(package)
            elif rest:
                own.add(rest)
    return own, others


def running(node):
    """Walk a tree without what is there for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        is_if = isinstance(child, ast.If)
        if is_if and ast.unparse(child.test) == "typing.TYPE_CHECKING":
            continue
        yield child
        yield from running(child)


@functools.cache
def parsed(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def name_of(file):
    return str(file.relative_to(PACKAGE).with_suffix(""))


def part_of(file):
    return name_of(file).partition("/")[0]


def problems(find):
    """List what `find` has to say of each file."""
    return [f"{name_of(f)}: {text}" for f in FILES for text in find(f)]


def test_imports_go_down():
    def upward(file):
        own = part_of(file)
        if own == "__init__":
            return
        for other in {name.partition(".")[0] for name in imports(file)[0]}:
            if other == own or other not in FLOOR:  # `rigl_tf.__version__`
                continue
            below = FLOOR[other] < FLOOR[own]
            if not (below or other in GROUND.get(own, ())):
                yield f"imports {other}"

    assert problems(upward) == []


def test_every_part_has_a_floor():
    assert {part_of(file) for file in FILES} - {"__init__"} == set(FLOOR)


def test_no_files_import_each_other():
    """Inside a package too, imports have no cycle."""
    edges = {}
    names = {name_of(file).removesuffix("/__init__") for file in FILES}
    for file in FILES:
        found = set()
        for module in imports(file)[0]:
            path = module.replace(".", "/")
            found.add(path if path in names else path.rpartition("/")[0])
        own = name_of(file).removesuffix("/__init__")
        edges[own] = (found & names) - {own}
    while edges:
        leaves = {name for name, below in edges.items() if not below}
        assert leaves, f"cycle among {sorted(edges)}"
        edges = {n: e - leaves for n, e in edges.items() if n not in leaves}


def test_the_top_of_the_package_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_files_stay_small():
    sizes = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert problems(lambda f: [sizes[f]] if sizes[f] > 350 else []) == []


def test_gin_is_known_in_two_files():
    where = {name_of(f) for f in FILES if "gin" in imports(f)[1]}
    assert where == {"experiments/config", "experiments/gin_files"}


def test_light_files_import_nothing_heavy():
    for name in LIGHT:
        assert not imports(PACKAGE / f"{name}.py")[1] & HEAVY, name


def test_every_file_says_what_it_is_for():
    lines = {f: (ast.get_docstring(parsed(f)) or "").split("\n") for f in FILES}
    assert problems(lambda f: [] if lines[f][0].endswith(".") else ["?"]) == []


def test_public_names_are_typed():
    def untyped(file):
        if part_of(file) not in TYPED:
            return
        for name, function in public_functions(parsed(file)):
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            arguments += filter(None, [given.vararg, given.kwarg])
            lacking = [
                argument.arg
                for argument in arguments
                if argument.annotation is None
                and argument.arg not in ("self", "cls")
            ]
            if function.returns is None:
                lacking.append("return")
            if lacking:
                yield f"{name} lacks types of {', '.join(lacking)}"

    assert problems(untyped) == []


def public_functions(node, prefix=""):
    """Yield `(name, node)` of public functions, and of methods of classes."""
    for child in node.body:
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            continue
        if child.name.startswith("_") and child.name != "__call__":
            continue
        if isinstance(child, ast.ClassDef):
            yield from public_functions(child, f"{child.name}.")
        else:
            yield f"{prefix}{child.name}", child


def test_text_has_a_named_encoding():
    """Ruff knows not of every path that it is one."""

    def nameless(file):
        for node in ast.walk(parsed(file)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("read_text", "write_text")
                and not ast.unparse(node.func).startswith("files.")
                and "encoding" not in [k.arg for k in node.keywords]
            ):
                yield f"line {node.lineno}"

    assert problems(nameless) == []


@pytest.mark.parametrize("how", ["environment", "file", "imported"])
@pytest.mark.parametrize(
    "use",
    [
        "rigl_tf.sparsify",
        "rigl_tf.distributions",
        "from rigl_tf.training import optimizer_slots",
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
