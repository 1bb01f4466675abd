"""What the field's own packages say about the cases of `metrics.rs`: cases as JSON on standard input, answers as JSON
on standard output.

Owns no metric: scikit-learn's, scikit-image's labelling, and MVTec's own per-region overlap as `pyaupro` carries it.
"""

import importlib.util
import json
import pathlib
import sys

import numpy as np
from skimage.measure import label
from sklearn.metrics import (
    average_precision_score,
    homogeneity_completeness_v_measure,
    precision_recall_curve,
    roc_auc_score,
)

FPR_MAX = 0.3


def reference():
    """MVTec's `compute_pro`. The package around it wants a deep-learning framework, so that one file is loaded alone."""
    folder = importlib.util.find_spec("pyaupro").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("reference", pathlib.Path(folder) / "_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_pro


def ranking(labels, scores):
    if labels.all() or not labels.any():
        return None
    precision, recall, _ = precision_recall_curve(labels, scores)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
        "f1_max": float(f1.max()),
    }


def area(fprs, pros):
    """By trapezia up to the limit, where the curve is interpolated; divided by the limit."""
    inside = int(np.searchsorted(fprs, FPR_MAX, side="right"))
    x, y = fprs[:inside], pros[:inside]
    if inside < len(fprs):
        share = (FPR_MAX - fprs[inside - 1]) / (fprs[inside] - fprs[inside - 1])
        x = np.append(x, FPR_MAX)
        y = np.append(y, pros[inside - 1] + share * (pros[inside] - pros[inside - 1]))
    return float(np.trapezoid(y, x) / FPR_MAX)


def answer(case, compute_pro):
    shape = (-1, case["height"], case["width"])
    # The scores are 32-bit numbers; ties must stay ties.
    maps = np.array(case["maps"], dtype=np.float32).reshape(shape)
    masks = np.array(case["masks"], dtype=np.uint8).reshape(shape)
    pixel = ranking(masks.ravel(), maps.ravel().astype(np.float64))
    if pixel is not None:
        pixel["aupro"] = area(*compute_pro(list(maps), list(masks)))
    flat = maps.reshape(len(maps), -1)
    v = homogeneity_completeness_v_measure(case["classes"], case["clusters"])
    return {
        "image": ranking(masks.any(axis=(1, 2)), flat.max(axis=1).astype(np.float64)),
        "pixel": pixel,
        # Labels in the order of the regions' first pixels, as ours.
        "regions": [np.bincount(label(mask, connectivity=2).ravel())[1:].tolist() for mask in masks],
        "v_measure": [float(value) for value in v],
    }


compute_pro = reference()
json.dump([answer(case, compute_pro) for case in json.load(sys.stdin)], sys.stdout)
