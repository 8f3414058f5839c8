"""Settings of a project, fixed when it is created."""

from __future__ import annotations

import dataclasses
from typing import Any

from al_tf.loop.config import LoopConfig
from runkit import InputError
from runkit.errors import check_choice

VOTES = ("majority", "dawid_skene")
LEARNERS = ("linear", "mlp")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What does not change in the life of a project.

    Attributes:
        dataset: specification of the first part of the pool.
        id_column: field of ids; "" names examples by their rows.
        test: test set, as `al_tf.pools.held_out` reads it.
        classes: names of the classes to begin with; empty: those of the pool.
        multilabel: an example may have any number of classes.
        learner: "linear" or "mlp", over fixed embeddings.
        init_from: encoder of texts; "" for other pools.
        embeddings: file of embeddings of your own, [n, d], with ids or in the
            order of the source; "" where they are computed.
        text_length: tokens read of each text.
        batch_size: examples in a batch.
        target_cluster_size: mean size of the clusters.
        margin_batch_size: k_m of Cluster-Margin; None: its default.
        votes: how several annotators become one label: "majority", or
            "dawid_skene" (crowd-kit).
        min_votes: labels that an example needs before it counts.
        seed: random seed of all choices.
    """

    dataset: str
    id_column: str = ""
    test: str = ""
    classes: tuple[str, ...] = ()
    multilabel: bool = False
    learner: str = "linear"
    init_from: str = ""
    embeddings: str = ""
    text_length: int = 128
    batch_size: int = 100
    target_cluster_size: float = 10.0
    margin_batch_size: int | None = None
    votes: str = "majority"
    min_votes: int = 1
    seed: int = 0

    def validate(self) -> None:
        """Refuses settings that no project can have.

        Raises:
            InputError: the first wrong field.
        """
        self.loop_config().validate()
        check_choice(self.votes, VOTES, where="--votes")
        check_choice(self.learner, LEARNERS, where="--learner")
        if self.min_votes < 1:
            raise InputError(
                "is too small", where="--min_votes", got=self.min_votes
            )
        if self.multilabel and self.votes != "majority":
            raise InputError(
                "needs examples of exactly one class each",
                where="--votes",
                got=self.votes,
                expected="majority",
            )

    def loop_config(self, batch_size: int | None = None) -> LoopConfig:
        """The same settings for the functions of a round."""
        size = batch_size or self.batch_size
        return LoopConfig(
            seeds=(self.seed,),
            seed_size=size,
            batch_size=size,
            target_cluster_size=self.target_cluster_size,
            margin_batch_size=self.margin_batch_size,
        )

    def facts(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        fields = dataclasses.asdict(self)
        return {**fields, "classes": list(self.classes)}


def settings_of(facts: Any, where: str) -> Settings:
    """Settings that `Settings.facts` gave.

    Raises:
        InputError: a field that is not known, or none of a needed one.
    """
    try:
        return Settings(**{**facts, "classes": tuple(facts["classes"])})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"is not the file of a project ({error})", where=where
        ) from None
