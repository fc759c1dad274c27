"""The exported folder: complete, verified, free of its maker's machine - or not there at all."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import epurecli
from epurecli.errors import CheckpointError, EpureError, NotFound, UsageError
from epurecli.export.folder import export_folder
from epurecli.export.manifest import read_manifest
from epurecli.export.runtime import OnnxSampler
from epurecli.models.graphs import BATCH, Graph, Port

Z, IMAGES = Port("z", (BATCH, 4), "latents"), Port("images", (BATCH, 4), "designs")


class Doubles(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return 2 * z


class Forgetful(nn.Module):
    """Other numbers at every call, so that no graph can agree with it."""

    calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return z + self.calls


class Fixed(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.new_zeros(len(z), 4) + z


class Eigen(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z * torch.linalg.eigvalsh(z.unsqueeze(2) * z.unsqueeze(1))


class Bare:
    """A model that shows the graphs it is given."""

    def __init__(self, *modules: nn.Module) -> None:
        self.modules = modules

    def graphs(self) -> list[Graph]:
        return [Graph(type(module).__name__.lower(), module, (Z,), IMAGES) for module in self.modules]


@pytest.fixture
def bare(exported):
    """Make a trained model of a few plain modules."""
    trained, _ = exported("vae")
    return lambda *modules: replace(trained, model=Bare(*modules))


def nothing_in(folder: Path) -> bool:
    return not any(folder.iterdir())


def test_the_manifest_describes_every_graph(exported) -> None:
    _, folder = exported("vae")
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert facts["components"] == ["one", "two", "three"]
    assert facts["image_size"] == [64, 32]
    assert facts["checkpoint"]["sha256"] == "digest of vae"
    assert facts["conditions"]["columns"] == ["width_px", "height_px"]
    assert facts["conditions"]["minimum"] == [49.0, 49.0]
    assert facts["conditions"]["scale"] == [4.0, 4.0]
    assert set(facts["graphs"]) == {"decoder", "sampler", "inpaint"}
    for name, entry in facts["graphs"].items():
        path = folder / entry["file"]
        assert path.name == f"{name}.onnx"
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert set(entry["parity"]) == {"1", "2", "7", "33"}
        assert max(entry["parity"].values()) <= entry["tolerance"] == (1e-4 if name == "decoder" else 1e-2)
        assert entry["same_owners"] == (name != "decoder")
        model = onnx.load(path)
        assert [i.name for i in model.graph.input] == [i["name"] for i in entry["inputs"]]
        for given, stated in zip(model.graph.input, entry["inputs"], strict=True):
            shape = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
            assert shape == stated["shape"]
            wanted = onnx.TensorProto.BOOL if stated["dtype"] == "bool" else onnx.TensorProto.FLOAT
            assert given.type.tensor_type.elem_type == wanted
        inside = {p.key: p.value for p in model.metadata_props}
        assert inside["checkpoint_sha256"] == "digest of vae"
        assert json.loads(inside["components"]) == ["one", "two", "three"]


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("conjugate gmrf_mvae", "mdm")]


@pytest.mark.parametrize("kind", ["vae", *SLOW])
def test_nothing_of_the_machine_is_inside(exported, kind: str) -> None:
    _, folder = exported(kind)
    package = Path(epurecli.__file__).parents[1]
    traces = [str(package), str(Path.home()) + "/", sys.prefix, platform.node(), "site-packages", ".py", "Traceback"]
    if len(getpass.getuser()) > 4:  # a short name is in every large file by accident
        traces.append(getpass.getuser())
    for path in (*folder.glob("*.onnx"), folder / "manifest.json"):
        data = path.read_bytes()
        found = [trace for trace in traces if len(trace) > 2 and trace.encode() in data]
        assert not found, path.name
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        assert not model.graph.value_info
        graphs, read = [model.graph], set()
        for graph in graphs:  # those within nodes too: a loop's body
            assert not any(node.metadata_props or node.doc_string for node in graph.node)
            read |= {o.name for o in graph.output} | {name for node in graph.node for name in node.input}
            graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
        assert {number.name for number in model.graph.initializer} <= read, "the runtime would warn of these"


@pytest.mark.parametrize("kind", ["vae", *SLOW])
def test_graphs_hold_no_randomness(exported, kind: str) -> None:
    _, folder = exported(kind)
    for path in folder.glob("*.onnx"):
        assert not any("Random" in node.op_type for node in onnx.load(path).graph.node)


def test_the_example_draws_eight_designs_without_torch_or_epure(exported, tmp_path: Path) -> None:
    _, folder = exported("vae")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    guard = (
        "import runpy, sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        assert name.split('.')[0] not in ('torch', 'epurecli', 'onnx', 'pandas'), name\n"
        "sys.meta_path.insert(0, Guard())\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", guard, str(tmp_path / "example.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    pictures = sorted((tmp_path / "example").rglob("*.png"))
    assert len(pictures) == 8 * 3
    pixels = np.stack([np.asarray(Image.open(path)) for path in pictures])
    assert pixels.shape == (24, 64, 32)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 1
    assert len((tmp_path / "example.py").read_text(encoding="utf-8").splitlines()) <= 30


def test_a_graph_that_differs_from_torch_leaves_nothing(bare, tmp_path: Path) -> None:
    with pytest.raises(EpureError, match=r"'forgetful' differs from torch by .* at batch 1"):
        export_folder(bare(Doubles(), Forgetful()), tmp_path / "below" / "out")
    assert nothing_in(tmp_path)
    facts = export_folder(bare(Forgetful()), tmp_path / "out", verify=False)
    assert facts["graphs"]["forgetful"]["parity"] == {}


def test_an_axis_that_became_constant_is_refused(bare, tmp_path: Path) -> None:
    with pytest.raises(EpureError, match="'fixed': axis 'batch' of 'z' came out as"):
        export_folder(bare(Fixed()), tmp_path / "out", verify=False)
    assert nothing_in(tmp_path)


def test_an_operation_that_onnx_lacks_is_named(bare, tmp_path: Path) -> None:
    with pytest.raises(EpureError, match=r"'eigen' cannot be exported: .*eigh"):
        export_folder(bare(Eigen()), tmp_path / "out")
    assert nothing_in(tmp_path)


def test_a_model_without_graphs_or_without_that_graph(bare, exported, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vae has no graphs to export"):
        export_folder(bare(), tmp_path / "out")
    trained, _ = exported("vae")
    with pytest.raises(UsageError, match="vae has no graph 'encoder'") as caught:
        export_folder(trained, tmp_path / "out", names=["encoder"])
    assert caught.value.hint == "it has: decoder, sampler, inpaint"
    with pytest.raises(UsageError, match="--opset 12: expected 18 to 23"):
        export_folder(trained, tmp_path / "out", names=["decoder"], opset=12)
    assert nothing_in(tmp_path)


def test_one_graph_only_has_no_example_and_the_sampler_says_what_is_missing(bare, exported, tmp_path: Path) -> None:
    export_folder(bare(Doubles()), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["doubles.onnx", "manifest.json"]
    sampler = OnnxSampler(tmp_path / "out", cuda=False)
    with pytest.raises(NotFound, match="has no graph 'sampler', only doubles"):
        sampler.provider(observes=False)


def test_an_earlier_export_is_replaced_only_when_asked_and_nothing_else_ever(bare, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_folder(bare(Doubles()), out)
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="is not empty"):
        export_folder(bare(Doubles()), out)
    with pytest.raises(EpureError, match="differs from torch"):
        export_folder(bare(Forgetful()), out, overwrite=True)
    assert (out / "manifest.json").read_bytes() == before, "a failed export must not cost the earlier one"

    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"it holds notes\.txt, which no export wrote"):
        export_folder(bare(Doubles()), out, overwrite=True)
    (out / "notes.txt").unlink()
    export_folder(replace(bare(Doubles()), digest="newer"), out, overwrite=True)
    assert read_manifest(out)["checkpoint"]["sha256"] == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="it is no earlier export"):
        export_folder(bare(Doubles()), mine, overwrite=True)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made(bare, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(EpureError, match=r"cannot write .*file"):
        export_folder(bare(Doubles()), file / "below")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        export_folder(bare(Doubles()), file)


def test_a_damaged_export_is_refused(bare, exported, tmp_path: Path) -> None:
    trained, folder = exported("vae")
    with pytest.raises(NotFound, match="no exported model"):
        OnnxSampler(tmp_path)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    sampler = OnnxSampler(tmp_path, cuda=False)
    sampler.require_checkpoint(trained.digest)
    with pytest.raises(CheckpointError, match="was exported from other weights"):
        sampler.require_checkpoint("another digest")
    graph = bytearray((tmp_path / "sampler.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (tmp_path / "sampler.onnx").write_bytes(graph)
    with pytest.raises(CheckpointError, match=r"sampler\.onnx: altered or damaged"):
        sampler.provider(observes=False)
    (tmp_path / "inpaint.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"inpaint\.onnx: missing"):
        sampler.provider(observes=True)
    for text, message in (
        ("{", "not readable"),
        ("[]", "not the manifest of an exported model"),
        ('{"format": "epure-onnx", "format_version": 99}', "format version 99, expected 2"),
    ):
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match=message):
            OnnxSampler(tmp_path)


def test_a_manifest_that_points_elsewhere_is_refused(exported, tmp_path: Path) -> None:
    _, folder = exported("vae")
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    for name in ("../sampler.onnx", "/etc/sampler.onnx", "sub/sampler.onnx", "sampler.txt"):
        (tmp_path / "manifest.json").write_text(text.replace("sampler.onnx", name), encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"graphs\.sampler\.file"):
            OnnxSampler(tmp_path)


def test_a_graph_that_names_other_files_is_refused(exported, tmp_path: Path) -> None:
    """Even with a manifest to match: its weights could be any file of the machine."""
    _, folder = exported("vae")
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    model = onnx.load(folder / "sampler.onnx")
    onnx.save(model, tmp_path / "sampler.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    path = tmp_path / "sampler.onnx"
    facts["graphs"]["sampler"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(CheckpointError, match="names other files for its weights"):
        OnnxSampler(tmp_path, cuda=False).provider(observes=False)
    path.write_bytes(b"no graph at all")
    facts["graphs"]["sampler"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(CheckpointError, match="not an ONNX graph"):
        OnnxSampler(tmp_path, cuda=False).provider(observes=False)
