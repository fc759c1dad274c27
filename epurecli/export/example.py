"""Draws eight designs with ONNX Runtime, numpy and Pillow only: python example.py"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

here = Path(__file__).parent
facts = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
session = onnxruntime.InferenceSession(str(here / "sampler.onnx"), providers=["CPUExecutionProvider"])
random, conditions = np.random.default_rng(0), facts["conditions"]
low, high, shift, scale = (np.array(conditions[key]) for key in ("minimum", "maximum", "shift", "scale"))
# from the smallest to the largest design of the training data, in the units of its table
raw = np.linspace(low, high, 8)
feeds = {"condition": ((raw - shift) / scale).astype(np.float32), "present": np.ones((8, 1), np.float32)}
for port in facts["graphs"]["sampler"]["inputs"]:
    if port["content"] == "normal":
        feeds[port["name"]] = random.standard_normal((8, *port["shape"][1:]), np.float32)
    if port["content"] == "uniform":
        feeds[port["name"]] = random.random((8, *port["shape"][1:]), np.float32)
(images,) = session.run(None, feeds)  # (8, components, height, width) in [0, 1]
for number, design in enumerate(images):
    for component, image in zip(facts["components"], design, strict=True):
        file = here / "example" / component / f"sample_{number:05d}_{component}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * image + 0.5).astype(np.uint8)).save(file)
print(f"8 designs: {here / 'example'}")
