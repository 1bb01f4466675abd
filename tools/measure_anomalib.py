"""The same network and images through anomalib's own inferencers and through Sightline, alternated.

Started by tools/measure-anomalib, which owns the environment. Every arm is a process of its own that is told to start
and answers with its frames per second, so that whoever waits takes no processor time; what loading costs is in no figure.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

WARM_UP = 5
# OpenVINO computes in bfloat16 where the processor has it, whatever the network's weights are in: 8 bits of mantissa.
TOLERANCES = {"torch": 1e-3, "openvino-f32": 1e-3, "openvino": 5e-2, "ours": 0.0}
NAMES = {
    "torch": "anomalib TorchInferencer",
    "openvino-f32": "anomalib OpenVINOInferencer, FP32",
    "openvino": "anomalib OpenVINOInferencer, its own precision",
    "ours": "sightline inspect",
}


def float_network(model, onnx):
    """Our network with the input and outputs that anomalib's inferencers know: f32 [1, 3, H, W] from 0 to 1."""
    from onnx import helper, numpy_helper, TensorProto
    import numpy as np

    graph = model.graph
    height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[1:3])
    cast, transpose = graph.node[0], graph.node[1]
    assert (cast.op_type, transpose.op_type) == ("Cast", "Transpose"), "the network begins otherwise"
    scaled = helper.make_node("Mul", ["input", "grey_levels"], [transpose.output[0]])
    graph.initializer.append(numpy_helper.from_array(np.float32(255.0), "grey_levels"))
    del graph.node[1]
    del graph.node[0]
    graph.node.insert(0, scaled)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width]))
    # The embedding has no place in anomalib's batches; without it their graph has a little less to do.
    for output in [output for output in graph.output if output.name == "embedding"]:
        graph.output.remove(output)
    for node in graph.node:
        node.output[:] = ["pred_score" if name == "score" else name for name in node.output]
        node.input[:] = ["pred_score" if name == "score" else name for name in node.input]
    for output in graph.output:
        output.name = "pred_score" if output.name == "score" else output.name
    wanted = {output.name for output in graph.output}
    # anomalib takes any of a tensor's names, and OpenVINO gives the input of an Identity as another name of its output.
    for node in [node for node in graph.node if node.op_type == "Identity" and node.output[0] in wanted]:
        for other in graph.node:
            other.output[:] = [node.output[0] if name == node.input[0] else name for name in other.output]
            other.input[:] = [node.output[0] if name == node.input[0] else name for name in other.input]
        graph.node.remove(node)
    del model.metadata_props[:]
    used, wanted = [], {output.name for output in graph.output}
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            used.insert(0, node)
            wanted.update(node.input)
    del graph.node[:]
    graph.node.extend(used)
    onnx.checker.check_model(model)
    return model


def prepare(folder, model_path):
    """The network as ONNX and as a torch module that anomalib's torch inferencer loads."""
    # PyPI's torch links CUDA, which is not here: its symbols are looked up when they are called, and they never are.
    sys.setdlopenflags(os.RTLD_LAZY)
    import onnx
    import torch
    from measure_anomalib_network import Wrapped

    model = float_network(onnx.load(model_path), onnx)
    onnx.save(model, folder / "network.onnx")
    torch.save({"model": Wrapped(model)}, folder / "network.pt")


def arm(kind, threads, folder, images):
    """One of anomalib's inferencers: prints its scores once, then frames per second whenever it is asked."""
    if kind == "torch":
        import torch
        from anomalib.deploy import TorchInferencer

        torch.set_num_threads(threads)
        inferencer = TorchInferencer(folder / "network.pt", device="cpu")
        score = lambda batch: float(batch.pred_score.flatten()[0])
    else:
        from anomalib.deploy import OpenVINOInferencer

        config = {"INFERENCE_NUM_THREADS": threads}
        if kind == "openvino-f32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        inferencer = OpenVINOInferencer(folder / "network.onnx", device="CPU", config=config)
        score = lambda batch: float(batch.pred_score.flatten()[0])
    scores = [score(inferencer.predict(image)) for image in images[:WARM_UP]]
    answer(scores)
    for _ in sys.stdin:
        began = time.perf_counter()
        for image in images:
            score(inferencer.predict(image))
        answer(len(images) / (time.perf_counter() - began))


def answer(what):
    print(json.dumps(what), file=ANSWERS, flush=True)


class Arm:
    """A process of `arm`."""

    def __init__(self, kind, threads, folder, images):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "arm", kind, str(threads), str(folder), str(images)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        )
        self.scores = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("error: an arm of anomalib ended; see above")
        return json.loads(line)

    def rate(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()


class Sightline:
    """`sightline inspect` on the same files."""

    def __init__(self, threads, images, model):
        self.command = ["target/release/sightline", "inspect", str(images), "--model", model, "--json",
                        "--allow-unrated", "--threads", str(threads)]
        lines = self.lines()
        self.scores = [line["score"] for line in lines[:WARM_UP]]

    def lines(self):
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def rate(self):
        # A line's time is when its image began to be read.
        times = [datetime.fromisoformat(line["time"].replace("Z", "+00:00")) for line in self.lines()]
        return (len(times) - 1) / (times[-1] - times[0]).total_seconds()


def compare(folder, images, model, rounds):
    import importlib.metadata as packages

    rows = []
    for threads in (1, 2):
        arms = {kind: Arm(kind, threads, folder, images) for kind in NAMES if kind != "ours"}
        arms["ours"] = Sightline(threads, images, model)
        apart = {}
        for kind, other in arms.items():
            apart[kind] = max(abs(a - b) for a, b in zip(other.scores, arms["ours"].scores))
            if apart[kind] > TOLERANCES[kind]:
                sys.exit(f"error: {NAMES[kind]} computes something else: scores differ by {apart[kind]}")
        rates = {kind: [] for kind in arms}
        for turn in range(rounds):
            # Nobody always comes first.
            order = list(arms) if turn % 2 == 0 else list(arms)[::-1]
            for kind in order:
                rates[kind].append(arms[kind].rate())
        for kind in arms.keys() - {"ours"}:
            arms[kind].process.stdin.close()
            arms[kind].process.wait()
        ours = statistics.median(rates["ours"])
        for kind, values in rates.items():
            middle = statistics.median(values)
            rows.append(f"| {threads} | {NAMES[kind]} | {middle:.1f} | {min(values):.1f} to {max(values):.1f} "
                        f"| {ours / middle:.2f} | {apart[kind]:.0e} |")
    version = packages.version
    print(f"anomalib {version('anomalib')}, torch {version('torch').split('+')[0]}, OpenVINO {version('openvino').split('-')[0]}; "
          f"{len(list(images.iterdir()))} PNG files, {rounds} alternations; frames per second from file to verdict, medians.\n")
    print("| threads | what | frames/s | range | ours to it | scores apart |\n| ---: | --- | ---: | --- | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    task = sys.argv[1]
    if task == "prepare":
        prepare(Path(sys.argv[2]), sys.argv[3])
    elif task == "arm":
        sys.setdlopenflags(os.RTLD_LAZY)
        # What the packages print must not be taken for an answer.
        ANSWERS, sys.stdout = sys.stdout, sys.stderr
        arm(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sorted(Path(sys.argv[5]).iterdir()))
    elif task == "compare":
        compare(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
