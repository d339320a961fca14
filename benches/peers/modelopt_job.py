"""The job with NVIDIA Model Optimizer: FastNAS, then its distillation."""

import job

# the job
import copy

import modelopt.torch.distill as mtd
import modelopt.torch.prune as mtp
import torch

torch.manual_seed(0)
model = job.module()
teacher = copy.deepcopy(model)
images = torch.tensor(job.samples())
example = images[:1]
with torch.no_grad():
    answers = teacher(images).argmax(-1)


def agreement(candidate):
    with torch.no_grad():
        return (candidate(images).argmax(-1) == answers).float().mean().item()


widths = {"nn.Conv2d": {"*": {"channel_divisor": 4}}}
widths |= {"nn.BatchNorm2d": {"*": {"feature_divisor": 4}}}
model, _ = mtp.prune(
    model,
    mode=[("fastnas", widths)],
    constraints={"flops": "50%"},
    dummy_input=example,
    config={"data_loader": images.split(64), "collect_func": lambda x: x, "score_func": agreement},
)
model = mtd.convert(
    model, mode=[("kd_loss", {"teacher_model": teacher, "criterion": mtd.LogitsDistillationLoss(temperature=1.0)})]
)
steps = 1000
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
model.train()
for _ in range(steps):
    batch = images[torch.randint(len(images), (64,))]
    batch = torch.where(torch.rand(64, 1, 1, 1) < 0.5, batch.flip(-1), batch)
    across, down = torch.randint(5, (2,)).tolist()
    batch = torch.nn.functional.pad(batch, (2, 2, 2, 2))[..., down : down + 28, across : across + 28]
    model(batch)
    loss = model.compute_kd_loss()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
model = mtd.export(model).eval()
shapes = {"input": {0: "batch"}}
torch.onnx.export(
    model, (example,), job.OUTPUT, dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes=shapes
)
# done

job.report("ModelOpt", ("nvidia-modelopt", "huggingface-hub", "requests", "torchprofile", "onnx"), "")
