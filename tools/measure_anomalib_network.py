"""The network as a torch module whose answer is one that anomalib's inferencers know."""

import torch
from anomalib.data import InferenceBatch
from onnx2torch import convert


class Wrapped(torch.nn.Module):
    """The layers of an ONNX graph with outputs `anomaly_map` and `pred_score`, and its weights."""

    def __init__(self, model):
        super().__init__()
        self.names = [output.name for output in model.graph.output]
        # Nobody trains it: anomalib's torch inferencer does not say so itself, and would pay for gradients.
        self.network = convert(model).eval().requires_grad_(False)

    def forward(self, image):
        answers = dict(zip(self.names, self.network(image)))
        return InferenceBatch(pred_score=answers["pred_score"], anomaly_map=answers["anomaly_map"])
