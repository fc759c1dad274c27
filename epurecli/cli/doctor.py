"""`epure doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli import console

PACKAGES = ("torch", "numpy", "onnx", "onnxscript", "pandas", "pillow", "pydantic", "safetensors", "typer")


def doctor(json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Say what this installation has: versions, devices, native backend, ONNX Runtime, data sets. Exit code 1 on a
    fault."""
    facts, faults = gather()
    if json:
        console.say_json({"facts": facts, "faults": faults})
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            console.say(f"{name:<{width}}  {value}")
        for fault in faults:
            console.warn(fault)
    if faults:
        raise typer.Exit(1)


def gather() -> tuple[dict[str, str], list[str]]:
    """(facts in words, faults)."""
    import importlib.metadata as metadata
    import os
    import platform

    import torch

    from epurecli.data.pack import default_cache_dir
    from epurecli.errors import EpureError
    from epurecli.gmrf import backend
    from epurecli.version import __version__

    facts: dict[str, str] = {"epure": __version__, "python": f"{platform.python_version()} on {platform.platform()}"}
    faults: list[str] = []
    facts |= {name: metadata.version(name) for name in PACKAGES}
    facts["threads"] = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    facts["cuda devices"] = ", ".join(gpus) or "none that torch can use"
    try:
        name, why = backend.active()
        facts["gaussian backend"] = f"{name} ({why})"
    except EpureError as error:
        facts["gaussian backend"] = "none"
        faults.append(error.message)
    runtimes = sorted(set(metadata.packages_distributions().get("onnxruntime", [])))
    facts["onnx runtime"] = ", ".join(f"{r} {metadata.version(r)}" for r in runtimes) or "none"
    if len(runtimes) > 1:
        faults.append(
            f"{' and '.join(runtimes)} are both installed and overwrite each other: uninstall both, install one"
        )
    if runtimes:
        facts["onnx session"] = _session_providers()
    epure = Path("data/epure/performances.csv")
    facts["EPURE data"] = f"{epure} found" if epure.is_file() else f"not here (looked for {epure})"
    facts["cache"] = str(default_cache_dir())
    return facts, faults


def _session_providers() -> str:
    """What a session really runs on; the list of available providers also names what cannot be used."""
    from onnx import TensorProto, helper

    from epurecli.export.session import has_cuda_driver, open_session

    port = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    port_out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [port], [port_out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    driver = has_cuda_driver()
    session = open_session(model.SerializeToString(), cuda=driver)
    return ", ".join(session.get_providers()) + ("" if driver else " (no NVIDIA driver here)")
