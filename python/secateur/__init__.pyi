"""Types of the package; written by `stubs.py` from the flags of the command line."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from secateur._errors import CheckFailed as CheckFailed
from secateur._errors import Error as Error
from secateur._errors import GateFailed as GateFailed
from secateur._errors import InputError as InputError
from secateur._errors import RuntimeFailed as RuntimeFailed
from secateur._errors import UsageError as UsageError
from secateur._result import ModelResult as ModelResult
from secateur._result import Result as Result
from secateur._secateur import __version__ as __version__

class _Message(Protocol):
    # An onnx.ModelProto is one.
    def SerializeToString(self) -> bytes: ...

_Path = str | os.PathLike[str]
_Model = _Path | bytes | _Message | ModelResult
_Text = str | int | float
_Data = _Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]
_Progress = Callable[[str, int, int], object] | bool

def bench(
    *models: _Model | Sequence[_Model],
    provider: _Text | Sequence[_Text] | None = None,
    batch: int | Sequence[int] | None = None,
    threads: int | Sequence[int] | None = None,
    runs: int | None = None,
    warm_up: int | None = None,
    profile: bool | None = None,
    exact_integers: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> Result:
    """Measure latency, throughput and memory of models side by side.

    models: The models; the first is the yardstick
    provider: Where to run: cpu, cuda[:DEVICE], tensorrt[:DEVICE], webgpu or plugin:LIBRARY[,NAME]; repeatable
        [default: cpu]
    batch: Samples per run, as in 1,8 [default: 1]
    threads: Threads inside an operator, as in 1,2 (onnxruntime's default without)
    runs: Runs that count [default: 50]
    warm_up: Runs before the first that counts [default: 5]
    profile: Show where the time went, by operator
    exact_integers: Add products of 8-bit integers without overflow, where the CPU is x86 without VNNI: slower, and
        what differs then was wrong
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def clean(
    model: _Model,
    *,
    output: _Path | None = None,
    dry_run: bool | None = None,
    force: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Remove what zeros have made dead, without loss: channels that nothing reads, or that are constant.

    model: The model to clean, as `secateur mask` leaves it
    output: Where the smaller model goes
    dry_run: Stop before writing
    force: Allow the output to replace the input
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def inspect(
    model: _Model,
    *,
    sparsity: bool | None = None,
    groups: _Text | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> Result:
    """Show what can be pruned, what it would save, and what holds the rest.

    model: The model to look at
    sparsity: Show the zeros instead: by initializer, with N:M patterns, dead channels and magnitudes
    groups: What of grouped convolutions may go, as for prune: inside or whole [default: inside]
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def mask(
    model: _Model,
    *,
    output: _Path | None = None,
    sparsity: float | None = None,
    threshold: float | None = None,
    std_threshold: float | None = None,
    scope: _Text | None = None,
    criterion: _Text | None = None,
    pattern: _Text | None = None,
    budget: _Text | None = None,
    skip: _Text | Sequence[_Text] | None = None,
    only: _Text | Sequence[_Text] | None = None,
    include: _Text | Sequence[_Text] | None = None,
    sparsity_for: Mapping[str, _Text] | str | Sequence[str] | None = None,
    seed: int | None = None,
    sequential: bool | Literal["true", "false"] | None = None,
    mask: _Path | None = None,
    mask_out: _Path | None = None,
    store: Literal["dense", "sparse"] | None = None,
    dry_run: bool | None = None,
    no_verify: bool | None = None,
    force: bool | None = None,
    calibration: _Data | None = None,
    samples: int | None = None,
    provider: _Text | None = None,
    tune: bool | None = None,
    labels: bool | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    time_budget: float | None = None,
    memory: _Text | None = None,
    augment: Literal["auto", "noise", "none"] | None = None,
    checkpoints: _Path | None = None,
    resume: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Zero weights inside the layers: by magnitude, threshold, Wanda or SparseGPT; unstructured, N:M or in blocks.

    model: The model to mask
    output: Where the masked model goes
    sparsity: Share of the weights that become zero, from 0 to 1, zeros that are there included [default: 0.5]
    threshold: Zero weights with an absolute value below this
    std_threshold: Zero weights below this many standard deviations of their layer
    scope: Among which weights the least important are sought: layer, global or row [default: the criterion's]
    criterion: How weights are scored: magnitude, random, lamp, wanda, sparsegpt or activation [default: magnitude]
    pattern: Which zeros belong together: unstructured, N:M (at most N of every M weights along the reduction axis
        stay, as in 2:4), or block:RxC [default: unstructured]
    budget: How the sparsity is shared among layers: uniform, erk or lamp [default: lamp for wanda and sparsegpt,
        else uniform]
    skip: Leave layers alone whose initializer, node or operator matches this glob
    only: Mask only layers whose initializer, node or operator matches this glob
    include: Mask other weights as well (norms, biases, embeddings) whose initializer matches this glob
    sparsity_for: Sparsity of the layers that match a glob; of several that match the last counts
    seed: Seed of the random criterion and of random calibration data [default: 0]
    sequential: Let each layer see the inputs that the masked layers before it make [default: for sparsegpt]
    mask: Apply the masks in this .npz file (arrays of 0 and 1 by initializer) instead of choosing
    mask_out: Write the masks here as .npz: one Boolean array per initializer, true where the weight stays
    store: How zeros are stored: dense, or as sparse initializers where that is smaller [default: dense]
    dry_run: Stop before writing
    no_verify: Do not compare the sparsely stored model with the densely stored one in onnxruntime
    force: Allow the output to replace the input
    calibration: A few hundred samples, no labels needed: an .npz file, a folder of .npy files, or onnx test data
    samples: Use at most this many calibration samples [default: 512]
    provider: Where calibration runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    tune: Train what is left on the calibration data, to answer as the original does; zeros stay zeros
    labels: Let the data's labels count as much as the teacher
    steps: Steps [default: 1000; 300 for tokens]
    batch: Samples per step [default: 64; 32 for tokens]
    lr: The highest learning rate [default: 0.001]
    time_budget: Train for about this many seconds: as many steps as fit
    memory: Memory that training may take, as in 512MB or 2GB: larger batches are run in parts whose gradients are
        added up [default: half of what is available]
    augment: Whether samples are changed: auto (images shifted and mirrored, rows shifted, tokens exchanged), noise
        (auto, and noise on inputs of no known kind) or none [default: auto]
    checkpoints: Keep the state in this folder
    resume: Go on from the state in the folder of `checkpoints`
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def prune(
    model: _Model,
    *,
    output: _Path | None = None,
    ratio: float | None = None,
    params: float | None = None,
    macs: float | None = None,
    bytes: float | None = None,
    latency: float | None = None,
    drop_blocks: _Text | Sequence[_Text] | None = None,
    bench: bool | None = None,
    dry_run: bool | None = None,
    vocabulary: _Path | None = None,
    tokenizer: _Path | None = None,
    corpus: _Path | Sequence[_Path] | None = None,
    remap: _Text | None = None,
    force: bool | None = None,
    calibration: _Data | None = None,
    samples: int | None = None,
    provider: _Text | None = None,
    stats: _Path | None = None,
    recover: _Text | None = None,
    tune: bool | None = None,
    quantise: bool | _Text | None = None,
    labels: bool | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    time_budget: float | None = None,
    memory: _Text | None = None,
    augment: Literal["auto", "noise", "none"] | None = None,
    checkpoints: _Path | None = None,
    resume: bool | None = None,
    criterion: _Text | None = None,
    scope: _Text | None = None,
    only: _Text | Sequence[_Text] | None = None,
    skip: _Text | Sequence[_Text] | None = None,
    ratio_for: Mapping[str, _Text] | str | Sequence[str] | None = None,
    max_ratio: float | None = None,
    min_channels: int | None = None,
    round_to: _Text | None = None,
    exact: bool | None = None,
    attention: _Text | None = None,
    groups: _Text | None = None,
    change_signature: _Text | Sequence[_Text] | None = None,
    iterations: int | None = None,
    seed: int | None = None,
    plan_out: _Path | None = None,
    plan: _Path | None = None,
    no_verify: bool | None = None,
    strict: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Remove channels, neurons, heads and hidden units, and prove that the result is the masked original.

    model: The model to prune
    output: Where the pruned model goes
    ratio: Share of the channels of every dimension to remove, from 0 to below 1 [default: 0.5; 0 with
        `drop_blocks`]
    params: Keep at most this share of the parameters, and as much of it as channels allow
    macs: Keep at most this share of the multiply-accumulate operations
    bytes: Keep at most this share of the bytes of the weights
    latency: Keep at most this share of the time of a run, as it is measured here in onnxruntime, with one thread,
        where calibration runs
    drop_blocks: Drop residual blocks whole: so many, those that change the outputs least on the calibration data,
        or those whose name, or whose adding node's name, matches a glob
    bench: Time the original and the result side by side, on one thread and on all
    dry_run: Stop after planning and explain every dimension
    vocabulary: Cut the vocabulary and nothing else, exactly: of tables that inputs pick rows of by id, and of what
        answers with a number for each id, keep the ids in this file (one per line, or a JSON list)
    tokenizer: The model's tokenizer.json: its special and byte pieces stay, and a smaller one is written beside the
        model, as OUTPUT.tokenizer.json
    corpus: Keep the pieces that the tokenizer makes of these texts, one per line in UTF-8
    remap: Where ids are renumbered: outside (callers give the new ids) or inside (the model takes the old ones, and
        callers change nothing) [default: outside]
    force: Allow the output to replace the input
    calibration: A few hundred samples, no labels needed: an .npz file, a folder of .npy files, or onnx test data
    samples: Use at most this many calibration samples [default: 512]
    provider: Where calibration runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    stats: Statistics of the layers on the calibration data, as safetensors: read if the file is there, else written
    recover: What makes up for removed channels: none, bias, fold or solve [default: solve]
    tune: Train what is left on the calibration data, to answer as the original does
    quantise: Make products of integers of what is left, as `secateur quantise` does, with weights of 7 bits (safe
        on every CPU) or 8 (for x86 with VNNI, ARM, GPUs)
    labels: Let the data's labels count as much as the teacher
    steps: Steps [default: 1000; 300 for tokens]
    batch: Samples per step [default: 64; 32 for tokens]
    lr: The highest learning rate [default: 0.001]
    time_budget: Train for about this many seconds: as many steps as fit
    memory: Memory that training may take, as in 512MB or 2GB: larger batches are run in parts whose gradients are
        added up [default: half of what is available]
    augment: Whether samples are changed: auto (images shifted and mirrored, rows shifted, tokens exchanged), noise
        (auto, and noise on inputs of no known kind) or none [default: auto]
    checkpoints: Keep the state in this folder
    resume: Go on from the state in the folder of `checkpoints`
    criterion: How channels are scored: by weight l1, l2, linf, lp:P, fpgm, bn-scale, random or threshold:T, which
        removes all under a norm; scores:FILE (.npz or JSON, by dimension); on calibration data obs, reconstruction,
        wanda, act-mean, act-max, act-min, act-var, act-zero, loss, taylor, fisher or obs-fisher [default: obs with
        calibration data, else l2]
    scope: Among which channels the least important are sought: uniform (of each dimension), global (of all),
        isomorphic (of dimensions that the same operators produce and read), allocated (of each as many as its
        measured effect on the outputs allows) or fisher (of each as many as gradients by cost say) [default:
        allocated with calibration data, fisher where that would take minutes; else uniform]
    only: Prune only dimensions whose name, or whose producing node's name, matches this glob
    skip: Leave dimensions alone whose name, or whose producing node's name, matches this glob
    ratio_for: Ratio of the dimensions whose name, or whose producing node's name, matches a glob; of several that
        match the last counts
    max_ratio: Take at most this share of the channels of any dimension [default: 1; 0.9 for scopes over several]
    min_channels: Keep at least this many channels of every dimension [default: 1]
    round_to: Round kept channels to widths that kernels run fast: auto (of the CPU), auto:cuda, auto:webgpu, or up
        to a multiple of N; 1 rounds nothing [default: auto]
    exact: Leave dimensions alone whose channels influence each other (LayerNorm, reductions)
    attention: Which parts of attentions may go: heads, head-dim (the width of a head), both (of one attention
        heads, where they may) or none [default: both]
    groups: What of grouped convolutions may go: inside (channels of every group, as many of each) or whole (groups,
        of which two stay at least) [default: inside]
    change_signature: Let the declared sizes of the inputs and outputs follow whose names match this glob (caches,
        states); without, the signature stays as it is
    iterations: Remove channels in this many rounds, each further than the one before, and score them anew in
        between; with `tune` every round is trained [default: 1; 2 with `tune` and a budget of 0.2 or less]
    seed: Seed of the random criterion, and of the answers that gradients are made for [default: 0]
    plan_out: Write the plan here
    plan: Replay this plan instead of making one
    no_verify: Do not compare the result with the masked original in onnxruntime
    strict: Fail where the proof fails, instead of leaving the dimensions at fault alone
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def quantise(
    model: _Model,
    *,
    output: _Path | None = None,
    calibration: _Data | None = None,
    every_layer: bool | None = None,
    weight_only: bool | None = None,
    bits: _Text | None = None,
    budget: _Text | None = None,
    max_kl: float | None = None,
    prune: bool | None = None,
    store: _Text | None = None,
    samples: int | None = None,
    target: _Text | None = None,
    weights: _Text | None = None,
    plan: _Path | None = None,
    plan_out: _Path | None = None,
    keep: _Text | Sequence[_Text] | None = None,
    provider: _Text | None = None,
    dry_run: bool | None = None,
    force: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Turn products into products of 8-bit integers where onnxruntime has kernels for them.

    model: The model to quantise
    output: Where the quantised model goes
    calibration: Samples: an .npz file, a folder of .npy files, or onnx test data
    every_layer: Turn layers into products of integers that are faster in real numbers as well: small ones
    weight_only: Store weights as 8-bit codes and compute in real numbers as before; needs no samples, but is more
        exact with some
    bits: Bits of stored weights: 8, 4, 3 or 2 [default: 8]
    budget: Bytes of the file at most, as in 90KB, or a share of what it has, as in 0.2: weights are stored in as
        many bits as that leaves
    max_kl: How far the outputs may diverge on held-out samples: with `weight_only` or `budget` weights are stored
        in as few bits as that leaves, without what costs too much stays real
    prune: Prune first, as far as that costs less than fewer bits: the smallest file at a divergence, or the
        smallest divergence at a size
    store: Store weights as float16 or bfloat16, and compute as before; needs no samples
    samples: Use at most this many samples [default: 512]
    target: Whose kernels the products are for: cpu (onnxruntime), tensorrt, or symmetric (codes with sign around 0
        everywhere) [default: cpu]
    weights: Bits of weights: 7 (safe on every CPU, the default) or 8 (for x86 with VNNI, ARM and GPUs; the default
        for tensorrt)
    plan: Decide what this plan says, on the same data to the same bytes
    plan_out: Write what was decided: ranges, factors, bits, and what stays real
    keep: Leave layers in real numbers whose initializer matches this glob
    provider: Where the model runs on the samples: cpu, cuda[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    dry_run: Stop before writing
    force: Allow the output to replace the input
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def run(
    recipe: _Path,
    *,
    set: Mapping[str, _Text] | str | Sequence[str] | None = None,
    work: _Path | None = None,
    dry_run: bool | None = None,
    schema: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> Result:
    """Do what a recipe says: clean, prune, tune, quantise, validate, in one file (docs/recipes.md).

    recipe: The recipe: a .toml, .yaml or .json file
    set: Change a setting, as in prune.macs=0.4 or output=small.onnx, or leave a step out, as in tune=false;
        repeatable
    work: Keep the steps in this folder [default: OUTPUT.secateur]
    dry_run: Say which steps would run, and which are kept from before
    schema: Print the JSON schema of recipes, for editors
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def search(
    model: _Model,
    *,
    output: _Path | None = None,
    data: _Data,
    floor: Mapping[str, _Text] | str | Sequence[str] | None = None,
    max_drop: Mapping[str, _Text] | str | Sequence[str] | None = None,
    max_kl: float | None = None,
    min_agreement: float | None = None,
    minimize: Literal["params", "macs", "bytes", "latency"] | None = None,
    quantise: bool | _Text | None = None,
    keep_front: _Path | None = None,
    time_budget: float | None = None,
    samples: int | None = None,
    provider: _Text | None = None,
    dry_run: bool | None = None,
    force: bool | None = None,
    results: _Path | None = None,
    shard: _Text | None = None,
    merge: _Path | None = None,
    only: _Text | Sequence[_Text] | None = None,
    skip: _Text | Sequence[_Text] | None = None,
    criterion: _Text | None = None,
    recover: _Text | None = None,
    round_to: _Text | None = None,
    min_channels: int | None = None,
    exact: bool | None = None,
    attention: _Text | None = None,
    groups: _Text | None = None,
    seed: int | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Find the smallest model that still does what is asked, and write it with its plan, a record and the trade-off.

    model: The model
    output: Where the smallest model goes; NAME.plan.json, .search.json, .search.csv and .search.svg go beside it
    data: Samples, with labels where a metric is asked for: an .npz file, a folder of .npy files, or onnx test data
    floor: What a metric must be at least (of mse and mae at most), as in accuracy=0.97; repeatable
    max_drop: By how much a metric may drop, as in accuracy=0.01; repeatable
    max_kl: How far the outputs may diverge, per sample; needs no labels
    min_agreement: Share of rows that must have the same largest element; needs no labels
    minimize: What is to be smallest; latency is the time of a run, measured here in onnxruntime with one thread
        [default: macs]
    quantise: Weigh every model with products of 8-bit integers as well, with weights of 7 bits (safe on every CPU)
        or 8 (for x86 with VNNI, ARM, GPUs)
    keep_front: Write every model that no other one is both smaller and better than into this folder
    time_budget: Begin no further model after this many seconds
    samples: Use at most this many samples [default: all]
    provider: Where the model runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    dry_run: Stop before writing
    force: Allow the output to replace the input
    results: Keep evaluations in this folder, for a run that goes on and for other processes
    shard: Make this share of the evaluations and no model, as in 2/8
    merge: Go on from the evaluations in this folder: those of shards, or of a run that was interrupted
    only: Prune only dimensions whose name, or whose producing node's name, matches this glob
    skip: Leave dimensions alone whose name, or whose producing node's name, matches this glob
    criterion: How channels are scored, as for prune [default: obs]
    recover: What makes up for removed channels: none, bias, fold or solve [default: solve]
    round_to: Round kept channels to widths that kernels run fast: auto (of the CPU), auto:cuda, auto:webgpu, or up
        to a multiple of N; 1 rounds nothing [default: auto]
    min_channels: Keep at least this many channels of every dimension [default: 1]
    exact: Leave dimensions alone whose channels influence each other (LayerNorm, reductions)
    attention: Which parts of attentions may go: heads, head-dim (the width of a head), both (of one attention
        heads, where they may) or none [default: both]
    groups: What of grouped convolutions may go: inside (channels of every group, as many of each) or whole (groups,
        of which two stay at least) [default: inside]
    seed: Seed of the order in which samples are dealt, and of intervals [default: 0]
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def sensitivity(
    model: _Model,
    *,
    data: _Data,
    of: _Text | None = None,
    recover: _Text | None = None,
    metric: _Text | None = None,
    samples: int | None = None,
    provider: _Text | None = None,
    only: _Text | Sequence[_Text] | None = None,
    skip: _Text | Sequence[_Text] | None = None,
    criterion: _Text | None = None,
    seed: int | None = None,
    csv: _Path | None = None,
    svg: _Path | None = None,
    force: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> Result:
    """Measure what each part of a model is worth: outputs with its channels cut, its weights masked or rounded, one at a time.

    model: The model
    data: Samples, with labels where a metric is to be measured: an .npz file, a folder of .npy files, or onnx test
        data
    of: What is tried: channels of each dimension cut, weights of each layer masked, their bits taken away, or
        residual blocks dropped [default: channels]
    recover: What makes up for cut channels: none, or fold (their readers, by statistics of half of the samples)
        [default: fold]
    metric: The metric that drops are of [default: the first that the labels give: accuracy or mse]
    samples: Use at most this many samples [default: all]
    provider: Where the model runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    only: Try only dimensions whose name, or whose producing node's name, matches this glob
    skip: Leave dimensions out whose name, or whose producing node's name, matches this glob
    criterion: How channels are scored, as for prune: the least important are cut first [default: obs]
    seed: Seed of the order in which samples are dealt [default: 0]
    csv: Write a line for every point here
    svg: Draw the curves here
    force: Allow the output to replace the input
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def tune(
    model: _Model,
    *,
    output: _Path | None = None,
    teacher: _Model | None = None,
    replace_head: int | None = None,
    quantised: bool | _Text | None = None,
    only: _Text | Sequence[_Text] | None = None,
    freeze: _Text | Sequence[_Text] | None = None,
    data: _Data,
    samples: int | None = None,
    provider: _Text | None = None,
    dry_run: bool | None = None,
    labels: bool | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    time_budget: float | None = None,
    memory: _Text | None = None,
    augment: Literal["auto", "noise", "none"] | None = None,
    checkpoints: _Path | None = None,
    resume: bool | None = None,
    force: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Train a pruned or masked model inside its file, to answer as the dense one does (no labels needed).

    model: The model to train
    output: Where the trained model goes
    teacher: The model to learn from: the dense one; without, labels are learnt
    replace_head: Make the head anew for this many classes, and train it alone on labels unless `only` or `freeze`
        name others
    quantised: Train it as it runs on 8-bit integers, with values and weights rounded, and quantise it as `secateur
        quantise` does, with weights of 7 bits (safe on every CPU) or 8 (for x86 with VNNI, ARM, GPUs)
    only: Train only weights whose initializer matches this glob
    freeze: Leave weights as they are whose initializer matches this glob
    data: Samples: an .npz file, a folder of .npy files, or onnx test data
    samples: Use at most this many samples [default: all]
    provider: Where training runs: cpu, cuda[:N], webgpu or plugin:LIBRARY[,NAME] [default: cpu]
    dry_run: Stop before writing
    labels: Let the data's labels count as much as the teacher
    steps: Steps [default: 1000; 300 for tokens]
    batch: Samples per step [default: 64; 32 for tokens]
    lr: The highest learning rate [default: 0.001]
    time_budget: Train for about this many seconds: as many steps as fit
    memory: Memory that training may take, as in 512MB or 2GB: larger batches are run in parts whose gradients are
        added up [default: half of what is available]
    augment: Whether samples are changed: auto (images shifted and mirrored, rows shifted, tokens exchanged), noise
        (auto, and noise on inputs of no known kind) or none [default: auto]
    checkpoints: Keep the state in this folder
    resume: Go on from the state in the folder of `checkpoints`
    force: Allow the output to replace the input
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def twin(
    model: _Model,
    *,
    plan: _Path,
    output: _Path | None = None,
    mask_inputs: bool | None = None,
    force: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> ModelResult:
    """Write the original with a plan's masks multiplied in: what the pruned model must equal.

    model: The model
    plan: The plan, as `prune --plan-out` writes it
    output: Where the twin goes
    mask_inputs: Make the masks graph inputs instead of initializers
    force: Allow the output to replace the input
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """

def validate(
    reference: _Model,
    candidate: _Model,
    *,
    plan: _Path | None = None,
    provider: _Text | Sequence[_Text] | None = None,
    no_fallback: bool | None = None,
    data: _Data | None = None,
    images: _Path | None = None,
    labels: _Path | None = None,
    image_size: _Text | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: Literal["nchw", "nhwc"] | None = None,
    samples: int | None = None,
    batch: int | None = None,
    perturb: _Text | Sequence[_Text] | None = None,
    max_drop: Mapping[str, _Text] | str | Sequence[str] | None = None,
    max_error: float | None = None,
    min_agreement: float | None = None,
    min_speedup: float | None = None,
    seed: int | None = None,
    exact_integers: bool | None = None,
    dim: Mapping[str, _Text] | str | Sequence[str] | None = None,
    sample_axis: Mapping[str, _Text] | str | Sequence[str] | None = None,
    onnxruntime: _Path | None = None,
    offline: bool | None = None,
    report: _Path | Sequence[_Path] | None = None,
    progress: _Progress | None = None,
) -> Result:
    """Compare a candidate with a reference, on every execution provider, and fail if a gate does not hold.

    reference: The model that is the yardstick
    candidate: The model that is judged
    plan: The plan that the candidate was made by with `change_signature`: both are fed the reference's inputs, and
        of outputs what stayed is compared
    provider: Where to run: cpu, cuda[:DEVICE], tensorrt[:DEVICE], webgpu or plugin:LIBRARY[,NAME]; repeatable;
        without it the CPU and every GPU that is available
    no_fallback: Fail if a compute node runs on the CPU instead of the provider
    data: An .npz file, a folder of .npy files, or a folder of onnx test data
    images: A folder of images, with class folders or `labels`
    labels: A CSV file of FILE,CLASS lines for `images`
    image_size: Height and width of the images, as in 224x224 (the model's where it fixes them)
    mean: Subtracted per channel after scaling to 0..1, as in 0.485,0.456,0.406
    std: Divided by per channel
    layout: Order of the image axes [default: nchw]
    samples: Number of random samples where there is no data [default: 64]
    batch: Samples per run, where the model leaves it open [default: 32]
    perturb: Repeat on disturbed inputs: gaussian:X, uniform:X, dropout:X, brightness:X; repeatable
    max_drop: Fail if a metric drops by more, as in accuracy=0.01; repeatable
    max_error: Fail if pruning adds a larger relative error to any output
    min_agreement: Fail if fewer rows agree about the largest element
    min_speedup: Fail if the candidate is not this many times as fast
    seed: Seed of random samples, perturbations and intervals [default: 0]
    exact_integers: Add products of 8-bit integers without overflow, where the CPU is x86 without VNNI: slower, and
        what differs then was wrong
    dim: Size of a dynamic input axis, as in batch=2 or sequence=128; repeatable
    sample_axis: The axis of an input that counts samples, as in tokens=1, or none where every run gets the whole
        input; repeatable (the axis that the model's symbols share without)
    onnxruntime: The onnxruntime library to use, instead of looking for one
    offline: Never install onnxruntime
    report: Files to write what was found to: .html to look at, .md for summaries, metrics.json for trackers, .json
        for all of it
    progress: A function that hears of (step, done, total), or True for a bar of tqdm
    """
