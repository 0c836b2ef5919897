"""The network, its text format and its runtimes; knows nothing of editors, files or training."""

import os

# From 1.29 on onnxruntime reports to its maker (a device id, paths, the machine) unless this is set
# before it is imported. Only `model.runtime_onnx` imports it, so this line always comes first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
