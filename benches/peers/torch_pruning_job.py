"""The job with Torch-Pruning."""

import job

# the job
import copy

import torch
import torch_pruning as tp

model = job.module()
teacher = copy.deepcopy(model)
images = torch.tensor(job.samples())
example = images[:1]
pruner = tp.pruner.MetaPruner(
    model,
    example,
    importance=tp.importance.GroupMagnitudeImportance(p=2),
    pruning_ratio=0.6,
    iterative_steps=60,
    ignored_layers=[model.fc],
)
dense_macs, _ = tp.utils.count_ops_and_params(model, example)
while tp.utils.count_ops_and_params(model, example)[0] > dense_macs / 2:
    pruner.step()
torch.manual_seed(0)
steps = 1000
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
model.train()
for _ in range(steps):
    batch = images[torch.randint(len(images), (64,))]
    batch = torch.where(torch.rand(64, 1, 1, 1) < 0.5, batch.flip(-1), batch)
    across, down = torch.randint(5, (2,)).tolist()
    batch = torch.nn.functional.pad(batch, (2, 2, 2, 2))[..., down : down + 28, across : across + 28]
    with torch.no_grad():
        target = teacher(batch).softmax(-1)
    loss = torch.nn.functional.cross_entropy(model(batch), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
model.eval()
shapes = {"input": {0: "batch"}}
torch.onnx.export(
    model, (example,), job.OUTPUT, dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes=shapes
)
# done

job.report("Torch-Pruning", ("torch-pruning", "onnx"), "")
