"""Python toolchain of the project's virtual environment, for old Bazel."""

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "python3",
    interpreter_path = "{path}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtimes",
    py3_runtime = ":python3",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtimes",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _interpreter(ctx):
    env = ctx.os.environ
    if env.get("PYTHON_BIN_PATH"):
        return env["PYTHON_BIN_PATH"]
    if env.get("VIRTUAL_ENV"):
        return env["VIRTUAL_ENV"] + "/bin/python"
    own = ctx.path(Label("//:BUILD")).dirname
    for part in [".venv", "bin", "python"]:
        own = own.get_child(part)
    if own.exists:
        return str(own)
    return str(ctx.which("python3"))

def _local_python_impl(ctx):
    ctx.file("BUILD", _BUILD.format(path = _interpreter(ctx)))

local_python = repository_rule(
    doc = "Toolchain of $PYTHON_BIN_PATH, else $VIRTUAL_ENV, .venv or PATH.",
    implementation = _local_python_impl,
    environ = ["PYTHON_BIN_PATH", "VIRTUAL_ENV", "PATH"],
    local = True,
)
