"""Settings of the loop and their flags, checked before any work is done."""

from __future__ import annotations

import dataclasses

from absl import flags

from al_tf.selection.spreading.advice import AUTO
from al_tf.selection.strategies import STRATEGIES
from runkit import InputError
from runkit.errors import check_choice
from runkit.flag_values import Flag

METRICS = ("accuracy", "average_precision")
SEED_SETS = ("random", "stratified")
MISSING_CLASSES = ("refuse", "allow")


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Settings of a comparison: every strategy with every seed.

    Attributes:
        strategies: names from `al_tf.STRATEGIES`, or "auto": the one that the
            pool asks for, chosen once for each seed.
        seeds: random seeds of seed set, training and selection, each one
            repetition. All strategies begin a seed with the same examples.
        seed_size: number of labeled examples to begin with.
        batch_size: number of examples labeled in each round.
        rounds: number of batches after the seed set.
        seed_set: "random", or "stratified" by class as far as the labels
            allow (which looks at the pool's labels before they are paid for).
        missing_classes: "refuse" a seed set that lacks a class, or "allow" it.
        metric: "accuracy" or "average_precision", for targets and plots; ""
            chooses by the pool, see `primary_metric`.
        target_accuracy: value of the metric, in (0, 1], in the table of labels
            needed; None takes the lowest final value over the seeds of
            `random`, or else of the first strategy.
        target_cluster_size: mean size of the clusters, at least 1.
        margin_batch_size: k_m of Cluster-Margin, at least `batch_size`; None
            takes the default of `al_tf.select_batch`.
    """

    strategies: tuple[str, ...] = ("cluster_margin", "margin", "random")
    seeds: tuple[int, ...] = (0,)
    seed_size: int = 100
    batch_size: int = 100
    rounds: int = 5
    seed_set: str = "random"
    missing_classes: str = "refuse"
    metric: str = ""
    target_accuracy: float | None = None
    target_cluster_size: float = 10.0
    margin_batch_size: int | None = None

    def validate(self) -> None:
        """Refuses settings that no pool can fulfill.

        Raises:
            InputError: the first wrong field, with the nearest known name.
        """
        for name in self.strategies:
            check_choice(name, (*STRATEGIES, AUTO), where="--strategies")
        check_choice(self.seed_set, SEED_SETS, where="--seed_set")
        check_choice(
            self.missing_classes, MISSING_CLASSES, where="--missing_classes"
        )
        if self.metric:
            check_choice(self.metric, METRICS, where="--metric")
        for field, least in (
            ("seed_size", 1),
            ("batch_size", 1),
            ("rounds", 0),
        ):
            if getattr(self, field) < least:
                raise InputError(
                    "is too small",
                    where=f"--{field}",
                    got=getattr(self, field),
                    expected=f"{least} or more",
                )
        for field in ("strategies", "seeds"):
            values = getattr(self, field)
            if not values or len(set(values)) < len(values):
                raise InputError(
                    "names nothing" if not values else "names one twice",
                    where=f"--{field}",
                    got=values,
                )
        for seed in self.seeds:
            if not 0 <= seed < 2**63:
                raise InputError(
                    "is out of range",
                    where="--seeds",
                    got=seed,
                    expected="at least 0 and below 2^63",
                )
        self._check_numbers()

    def _check_numbers(self) -> None:
        target, size = self.target_accuracy, self.target_cluster_size
        if target is not None and not 0 < target <= 1:
            raise InputError(
                "is impossible",
                where="--target_accuracy",
                got=target,
                expected="above 0, at most 1",
            )
        if not size >= 1:
            raise InputError(
                "is too small",
                where="--target_cluster_size",
                got=size,
                expected="1 or more",
            )
        k_m = self.margin_batch_size
        if k_m is not None and k_m < self.batch_size:
            raise InputError(
                "is smaller than the batch",
                where="--margin_batch_size",
                got=k_m,
                expected=f"{self.batch_size} or more",
            )

    def primary_metric(self, multilabel: bool) -> str:
        """The metric of targets and plots.

        By default the accuracy, and the average precision for a multi-label
        pool.
        """
        default = "average_precision" if multilabel else "accuracy"
        return self.metric or default

    def check_pool(self, size: int) -> None:
        """Refuses a pool that is too small for the seed set and rounds.

        Raises:
            InputError: more labels are asked for than there are examples.
        """
        if self.seed_size > size:
            raise InputError(
                f"is larger than the pool of {size} examples",
                where="--seed_size",
                got=self.seed_size,
                expected=f"at most {size}",
            )
        wanted = self.seed_size + self.rounds * self.batch_size
        if wanted > size:
            raise InputError(
                f"the seed set and {self.rounds} batches are {wanted} "
                f"examples, more than the pool of {size}",
                where="--rounds",
                got=self.rounds,
                expected=f"at most {(size - self.seed_size) // self.batch_size}"
                f" with --batch_size={self.batch_size}",
            )


_DEFAULTS = LoopConfig()
# Flags that set the fields of the same names.
CONFIG_FLAGS = (
    Flag(
        "strategies",
        "Strategies to compare, separated by commas; known are "
        f"{', '.join(STRATEGIES)}; auto takes one by the pool, and says why.",
        list,
        list(_DEFAULTS.strategies),
    ),
    Flag(
        "seeds",
        "Random seeds, separated by commas, each one a repetition.",
        list,
        [str(seed) for seed in _DEFAULTS.seeds],
    ),
    Flag(
        "seed_size",
        "Number of labeled examples to begin with.",
        int,
        _DEFAULTS.seed_size,
    ),
    Flag(
        "batch_size",
        "Number of examples to label in each round.",
        int,
        _DEFAULTS.batch_size,
    ),
    Flag(
        "rounds", "Number of batches after the seed set.", int, _DEFAULTS.rounds
    ),
    Flag(
        "seed_set",
        "How the first examples are drawn; stratified is by class.",
        default=_DEFAULTS.seed_set,
        choices=SEED_SETS,
    ),
    Flag(
        "missing_classes",
        "What to do with a seed set that lacks a class.",
        default=_DEFAULTS.missing_classes,
        choices=MISSING_CLASSES,
    ),
    Flag(
        "metric",
        "Metric of targets and plots: accuracy (default) or average_precision "
        "(default for multi-label pools).",
        default=_DEFAULTS.metric,
    ),
    Flag(
        "target_accuracy",
        "Value of the metric in the table of labels needed; default: the "
        "lowest that random sampling ends with.",
        float,
        _DEFAULTS.target_accuracy,
    ),
    Flag(
        "target_cluster_size",
        "Mean number of examples in a cluster.",
        float,
        _DEFAULTS.target_cluster_size,
    ),
    Flag(
        "margin_batch_size",
        "Number of uncertain examples that Cluster-Margin picks from.",
        int,
        _DEFAULTS.margin_batch_size,
    ),
)


def config_from_flags(values: flags.FlagValues) -> LoopConfig:
    """Returns the settings that `CONFIG_FLAGS` were given, checked.

    Raises:
        InputError: a wrong value, with the nearest known name.
    """
    fields = {flag.name: getattr(values, flag.name) for flag in CONFIG_FLAGS}
    fields["strategies"] = tuple(filter(None, values.strategies))
    try:
        fields["seeds"] = tuple(int(n) for n in filter(None, values.seeds))
    except ValueError:
        raise InputError(
            "must be whole numbers, separated by commas",
            where="--seeds",
            got=",".join(values.seeds),
        ) from None
    config = LoopConfig(**fields)
    config.validate()
    return config
