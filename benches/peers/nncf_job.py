"""The job with NNCF, as far as it goes: zeros instead of removed channels, BatchNormalization adapted."""

import job

# the job
import nncf
import nncf.torch
import torch

model = job.module()
images = torch.tensor(job.samples())
example = images[:1]
model = nncf.prune(model, nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL, ratio=0.5, examples_inputs=example)
model = nncf.batch_norm_adaptation(model, nncf.Dataset(images.split(64)))
model = nncf.strip(model.eval(), strip_format=nncf.StripFormat.IN_PLACE)
shapes = {"input": {0: "batch"}}
torch.onnx.export(
    model, (example,), job.OUTPUT, dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes=shapes
)
# done

job.report("NNCF", ("nncf", "torch", "torchao", "onnx"), "half of the weights are zeros")
