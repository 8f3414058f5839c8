"""Declarations of claims: what they become and what is refused."""

import dataclasses

from absl.testing import absltest, parameterized

from experiments import cells
from experiments.claims import load_claims, select_cells
from runkit import InputError
from spactor_tf.config import fields as config_fields
from spactor_tf.config.presets import get_preset
from tests.experiments.experiment_case import ExperimentCase


class DeclarationTest(ExperimentCase):
    def test_cells_come_in_the_order_of_their_priority(self):
        self.declare("claim")
        self.assertEqual(
            [cell.name for cell in self.cells("claim")],
            [
                "second-10-seed0",
                "first-10-seed0",
                "first-10-seed1",
                "second-10-seed1",
            ],
        )

    def test_an_arm_is_the_shared_settings_and_its_own_fields(self):
        self.declare("claim")
        cell = self.cells("claim")[0]
        self.assertIn("--set=model.hidden_dim=32", cell.flags)
        self.assertIn("--set=optimizer.learning_rate=0.1", cell.flags)
        self.assertIn("--set=train_steps=10", cell.flags)
        self.assertIn("--set=seed=0", cell.flags)

    def test_one_configuration_is_one_run(self):
        self.declare("one")
        self.declare("other", more="stop_below = 9.0")
        one, other = self.cells("one")[0], self.cells("other")[0]
        self.assertEqual(one.run_name, other.run_name)
        names = {cell.run_name for cell in self.cells("one")}
        self.assertLen(names, 4)

    @parameterized.parameters(
        ("wrong = 1", "Did you mean 'rounds'|unknown name.*'wrong'"),
        ('baseline = "frist"', "baseline.*Did you mean 'first'"),
    )
    def test_a_misspelled_declaration_names_the_nearest(self, more, message):
        self.declare("claim", more=more)
        with self.assertRaisesRegex(InputError, message):
            load_claims((), self.claims)

    def test_a_misspelled_field_is_refused_before_anything_runs(self):
        path = self.claims / "settings.toml"
        self.declare("claim")
        path.write_text(path.read_text().replace("num_heads", "num_head"))
        with self.assertRaisesRegex(InputError, "model.num_heads"):
            load_claims((), self.claims)

    def test_what_is_no_toml_is_named(self):
        (self.claims / "claim.toml").write_text("title =")
        with self.assertRaisesRegex(InputError, "claim.toml: is not TOML"):
            load_claims((), self.claims)

    def test_unknown_experiments_and_arms_name_the_nearest(self):
        self.declare("claim")
        with self.assertRaisesRegex(
            InputError, "--experiments.*'clam'.*Did you mean 'claim'"
        ):
            load_claims(["clam"], self.claims)
        claims = load_claims((), self.claims)
        with self.assertRaisesRegex(
            InputError, "--arms.*'secon'.*Did you mean 'second'"
        ):
            select_cells(claims, (), ["secon"])


class DigestTest(absltest.TestCase):
    def digest(self, **fields):
        config = config_fields.override(get_preset("tiny"), fields)
        return cells.config_digest(config)

    def test_tells_what_a_step_computes(self):
        self.assertNotEqual(self.digest(), self.digest(seed=1))
        same = self.digest(**{"runtime.checkpoint_every": 7})
        self.assertEqual(self.digest(), same)
        evaluated = self.digest(**{"runtime.eval_every": 7})
        self.assertNotEqual(self.digest(), evaluated)

    def test_a_new_field_leaves_old_digests_alone(self):
        @dataclasses.dataclass(frozen=True)
        class Old:
            rate: float = 1.0

        @dataclasses.dataclass(frozen=True)
        class New(Old):
            option: int = 0

        self.assertEqual(
            cells.config_digest(Old(2.0)), cells.config_digest(New(2.0))
        )
        self.assertNotEqual(
            cells.config_digest(New(2.0)), cells.config_digest(New(2.0, 1))
        )


class OwnClaimsTest(absltest.TestCase):
    """The declarations of this repository."""

    def test_every_claim_can_be_read(self):
        claims = load_claims()
        self.assertContainsSubset(
            ["sc_tuning", "plateau_exit", "budget_curves", "downstream"],
            claims,
        )
        for claim in claims.values():
            self.assertNotEmpty(claim.cells)

    def test_span_corruption_is_tuned_with_twelve_settings_at_two_seeds(self):
        cells_of = load_claims(["sc_tuning"])["sc_tuning"].cells
        for seed in (0, 1):
            arms = {cell.arm for cell in cells_of if cell.seed == seed}
            self.assertGreaterEqual(len(arms), 12)

    def test_exits_have_twenty_seeds_and_stop_at_the_plateau(self):
        cells_of = load_claims(["plateau_exit"])["plateau_exit"].cells
        for arm in ("sc", "spactor"):
            mine = [cell for cell in cells_of if cell.arm == arm]
            self.assertLen({cell.seed for cell in mine}, 20)
            self.assertEqual({cell.stop_below for cell in mine}, {4.2})

    def test_random_weights_are_fine_tuned_once(self):
        claim = load_claims(["downstream"])["downstream"]
        scratch = [c for c in claim.cells if c.arm == "scratch"]
        runs = {(cell.task, cell.run_name) for cell in scratch}
        self.assertLen(runs, len({cell.task for cell in scratch}))


if __name__ == "__main__":
    absltest.main()
