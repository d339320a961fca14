"""The job with Olive as it is installed, as far as it goes: 8-bit integers instead of removed channels."""

import job

# the job
import numpy as np
import olive.workflows
from olive.data.registry import Registry


@Registry.register_dataset()
def calibration(**_):
    return [({"input": image}, 0) for image in np.load(job.CALIBRATION)["input"]]


olive.workflows.run(
    {
        "input_model": {"type": "ONNXModel", "model_path": str(job.MODEL)},
        "data_configs": [{"name": "images", "load_dataset_config": {"type": "calibration"}}],
        "passes": {
            "quantise": {"type": "OnnxStaticQuantization", "data_config": "images", "precision": "int8"},
        },
        "cache_dir": str(job.OUTPUT.parent / "cache"),
        "output_dir": str(job.OUTPUT),
    }
)
# done

job.report("Olive", ("olive-ai", "onnxruntime", "requests"), "8-bit integers, nothing removed")
