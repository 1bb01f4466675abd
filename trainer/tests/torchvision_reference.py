"""A network of torchvision with random weights, and what its first three stages make of an image.

torchvision_reference.py NETWORK DTYPE FOLDER

Writes FOLDER/model.safetensors (the whole state dict, in DTYPE), FOLDER/model.pth (the same by torch.save) and
FOLDER/reference.safetensors (`image` and the features `layer1`, `layer2`, `layer3`, f32).
Depends on nothing but torch and torchvision.
"""
import json
import os
import struct
import sys

import torch
import torchvision

TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def save(tensors, path):
    """The safetensors format: the header's length, the header, the bytes."""
    names = {dtype: name for name, dtype in TYPES.items()}
    header, chunks, offset = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
        data = bits.numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def randomise(model):
    """Batch norms as a training leaves them: neither ones and zeros, nor the same for every channel."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def main(network, dtype, folder):
    torch.manual_seed(7)
    model = getattr(torchvision.models, network)(weights=None).eval()
    randomise(model)
    # Rounded to what the file can hold, then widened: the features are those of the file's own weights.
    model = model.to(TYPES[dtype]).float()
    state = {
        name: tensor.to(TYPES[dtype]) if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    save(state, os.path.join(folder, "model.safetensors"))
    torch.save(state, os.path.join(folder, "model.pth"))
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        x = model.maxpool(model.relu(model.bn1(model.conv1(image))))
        layer1 = model.layer1(x)
        layer2 = model.layer2(layer1)
        layer3 = model.layer3(layer2)
    reference = {"image": image, "layer1": layer1, "layer2": layer2, "layer3": layer3}
    save(reference, os.path.join(folder, "reference.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
