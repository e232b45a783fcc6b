"""`make gpu`, rehearsed on the CPU with small sizes."""

import importlib.util
import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import ROOT

SCRIPT = ROOT / "benchmarks/gpu.py"


def test_a_rehearsal_writes_both_files(tmp_path):
    command = [sys.executable, SCRIPT, "--small", "--device", "cpu", "--out", tmp_path]
    # From another folder, without the path that pytest has.
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=200)
    record = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert {"date", "card", "driver", "torch", "triton"} <= set(record["machine"])
    for layer in record["layers"].values():
        names = [row["estimator"] for row in layer]
        assert {"F.gumbel_softmax", "K=10", "K=1000", "K=∞", "ST-GS", "ZGR"} <= set(names)
        assert all(row["ms"] > 0 for row in layer)
    assert [row["estimator"] for row in record["steps"]] == [
        "ST-GS",
        "GR-MC10",
        "GR-MC1000",
        "GR-∞",
    ]
    many = {(row["trainings"], row["estimator"]) for row in record["together"]}
    assert {("autoencoders", "ST-GS"), ("parsers", "ST-GS")} <= many
    assert all(isinstance(row["met"], bool) for row in record["goals"])
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "Tests marked `gpu`: not run." in text
    assert text.count("F.gumbel_softmax") >= len(record["layers"])


def test_without_a_gpu_it_says_so():
    command = [sys.executable, SCRIPT, "--device", "cpu"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "There is no CUDA device here" in run.stderr


@pytest.fixture
def gpu(monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", sys.path[1:])
    return module


def test_goals_are_met_where_the_times_are_small(gpu):
    names = [*gpu.contestants(), "torch.rand"]

    def judged(ms):
        layer = pd.DataFrame({"estimator": names, "ms": 1.0, "times F.gumbel_softmax": ms})
        steps = ["ST-GS", "GR-MC10", "GR-MC1000", "GR-∞"]
        step = pd.DataFrame({"estimator": steps, "ms a step": 1.0, "times ST-GS": ms})
        many = {"count": 20, "estimator": "ST-GS", "ms": ms}
        many = pd.DataFrame([{"trainings": "autoencoders", **many}])
        return gpu.goals({"20×80×8": layer}, step, many).set_index("goal")["met"]

    assert judged(1.0).all()
    assert not judged(2.0).any()
    assert judged(1.3)["20×80×8 K=1000"]
    assert not judged(1.3)["20×80×8 K=100"]


def test_what_fails_is_told_and_the_others_are_measured(gpu, tmp_path, monkeypatch):
    def fails(logits):
        raise RuntimeError("no such kernel\nand so on")

    contestants = {**gpu.contestants(), "K=10": fails}
    monkeypatch.setattr(gpu, "contestants", lambda: contestants)
    monkeypatch.setattr(gpu, "FAULTS", {})
    layer = gpu.layer((2, 3, 4), torch.device("cpu"), 1, 0.0)
    assert {*contestants, "torch.rand"} - {*layer.estimator} == {"K=10"}
    assert gpu.FAULTS == {"2×3×4 K=10": "RuntimeError: no such kernel"}
    nothing = pd.DataFrame()
    about, tests = {"card": "none"}, {"status": 0, "summary": "not run"}
    gpu.write_both(tmp_path, about, 1, tests, {"20×80×8": layer}, nothing, nothing)
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert "**2×3×4 K=10** failed: RuntimeError: no such kernel" in text
    met = {
        row["goal"]: row["met"] for row in json.loads((tmp_path / "gpu.json").read_text())["goals"]
    }
    assert met["20×80×8 K=10"] is None
    assert isinstance(met["20×80×8 K=100"], bool)


def test_tests_that_hang_are_ended(gpu):
    report = gpu.test_report(seconds=0.2)
    assert report["status"] is None
    assert report["summary"] == "not done in 0 s"
