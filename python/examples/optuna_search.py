"""Tries ways to prune a model with Optuna, in several processes that share a journal, and keeps the trade-off.

    python optuna_search.py model.onnx calib.npz val.npz front --trials 24 --processes 2

A trial is a share of the operations, a criterion and a scope; what it costs is the share that is left and the drop of
accuracy on `val.npz`. The journal `front/journal.log` may lie on a shared file system: processes on other machines that
name it take part. Run it again to go on. The models that no other one beats are in `front`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

import secateur


def study(folder: Path) -> optuna.Study:
    """The study of the folder, begun or gone on with."""
    journal = str(folder / "journal.log")
    storage = JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal)))
    return optuna.create_study(
        study_name="prune", storage=storage, directions=["minimize", "minimize"], load_if_exists=True
    )


def work(model: Path, calibration: Path, data: Path, folder: Path, trials: int, seed: int) -> None:
    """Makes trials until there are so many in the journal; all processes end the one that they are at."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shared = study(folder)
    shared.sampler = optuna.samplers.TPESampler(seed=seed)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        path = folder / f"{trial.number}.onnx"
        pruned = secateur.prune(
            model,
            output=path,
            calibration=calibration,
            macs=trial.suggest_float("macs", 0.2, 0.9),
            criterion=trial.suggest_categorical("criterion", ["obs", "wanda", "l2"]),
            scope=trial.suggest_categorical("scope", ["allocated", "global", "uniform"]),
        )
        judged = secateur.validate(model, path, data=data)
        metrics = judged.report["providers"][0]["conditions"][0]["task"]["metrics"]
        accuracy = next(metric for metric in metrics if metric["name"] == "accuracy")
        trial.set_user_attr("process", os.getpid())
        trial.set_user_attr("accuracy", accuracy["candidate"])
        return pruned.report["after"]["macs"] / pruned.report["before"]["macs"], accuracy["drop"]

    # Processes count together; what one was at when it was ended counts for nothing.
    states = (TrialState.COMPLETE,)
    enough = optuna.study.MaxTrialsCallback(trials, states=states)
    if len(shared.get_trials(deepcopy=False, states=states)) < trials:
        shared.optimize(objective, n_trials=trials, callbacks=[enough], catch=[secateur.Error])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("data", type=Path, help="samples with labels")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # Before the processes, which then find it.
    study(options.folder)
    cores = max(1, (os.cpu_count() or 1) // options.processes)
    os.environ.setdefault("RAYON_NUM_THREADS", str(cores))
    context = multiprocessing.get_context("spawn")
    given = (options.model, options.calibration, options.data, options.folder, options.trials)
    processes = [context.Process(target=work, args=(*given, seed)) for seed in range(options.processes)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a process failed; the journal has what was done")
    found = study(options.folder)
    best = sorted(found.best_trials, key=lambda trial: trial.values[0])
    kept = {f"{trial.number}.onnx" for trial in best}
    for path in options.folder.glob("*.onnx"):
        if path.name not in kept:
            path.unlink()
    done = [trial for trial in found.trials if trial.state == TrialState.COMPLETE]
    print(f"{len(done)} trials by {len({trial.user_attrs['process'] for trial in done})} processes")
    for trial in best:
        ways = f"{trial.params['criterion']}, {trial.params['scope']}"
        accuracy = trial.user_attrs["accuracy"]
        print(f"{trial.number}.onnx: {trial.values[0]:.3f} of the operations, accuracy {accuracy:.4f} ({ways})")


if __name__ == "__main__":
    main()
