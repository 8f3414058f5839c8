"""Views of photographs, and the declaration that needs a million of them."""

import numpy as np
from absl.testing import absltest

from experiments.selection import declaration, pools, report, views


class ViewTest(absltest.TestCase):
    def test_a_view_is_a_crop_mirrored_or_not_under_another_light(self):
        # Rows brighten downwards alone, so mirroring changes nothing.
        ramp = np.arange(32, dtype=np.uint8) * 3 + 60
        images = np.broadcast_to(ramp[None, :, None, None], (50, 32, 32, 3))
        seen = views.view_of(images, 1)
        self.assertEqual((seen.shape, seen.dtype), (images.shape, np.uint8))
        np.testing.assert_array_equal(seen, seen[:, :, :1].repeat(32, 2))
        # Every channel is a line of the ramp's slope, times 0.8 to 1.2.
        slopes = np.diff(seen[:, 8:24, 0].astype(float), axis=1).mean(1) / 3
        self.assertBetween(slopes.min(), 0.78, 0.9)
        self.assertBetween(slopes.max(), 1.1, 1.22)

    def test_about_half_are_mirrored(self):
        ramp = np.arange(32, dtype=np.uint8) * 3 + 60
        images = np.broadcast_to(ramp[None, None, :, None], (400, 32, 32, 3))
        seen = views.view_of(images, 2)[:, 16].astype(int)
        rising = (seen[:, 24] > seen[:, 8]).all(1)
        self.assertBetween(rising.mean(), 0.4, 0.6)
        falling = (seen[:, 24] < seen[:, 8]).all(1)
        self.assertTrue((rising ^ falling).all())

    def test_views_are_reproducible_and_differ(self):
        images = np.random.default_rng(0).integers(
            0, 256, (8, 32, 32, 3), np.uint8
        )
        first, again, other = (views.view_of(images, s) for s in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        self.assertGreater((first != other).mean(), 0.9)


class MillionTest(absltest.TestCase):
    def test_the_declaration_has_the_batches_of_the_paper(self):
        benchmark = declaration.load(declaration.path_of("million"))
        self.assertEqual(benchmark.seeds, 10)
        self.assertEqual(
            {s.batch_size for s in benchmark.settings.values()},
            {10_000, 100_000},
        )
        for setting in benchmark.settings.values():
            self.assertIn(setting.pool, pools.LARGE)
            self.assertFalse(setting.chooses)
        self.assertIn("million", report.PAGES)
        self.assertIn(report.BASELINE, benchmark.arms)


if __name__ == "__main__":
    absltest.main()
