"""What termination signals do while a block runs."""

import os
import signal
import threading

from absl.testing import absltest, parameterized

from runkit.signals import TERMINATION, TerminationFlag, on_termination
from tests.support.isolated import run_script


class SignalsTest(parameterized.TestCase):
    def handlers(self):
        return [signal.getsignal(number) for number in TERMINATION]

    @parameterized.parameters(signal.SIGTERM, signal.SIGINT)
    def test_a_signal_sets_the_flag_and_the_handlers_come_back(self, number):
        before = self.handlers()
        with TerminationFlag() as flag:
            self.assertFalse(flag.is_set)
            os.kill(os.getpid(), number)
            self.assertTrue(flag.is_set)
        self.assertEqual(self.handlers(), before)

    def test_a_second_signal_kills(self):
        done = run_script("""
            import os, signal
            from runkit.signals import TerminationFlag
            with TerminationFlag():
                os.kill(os.getpid(), signal.SIGTERM)
                print("first", flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                print("second", flush=True)
        """)
        self.assertEqual(done.returncode, -signal.SIGTERM)
        self.assertEqual(done.stdout, "first\n")

    def test_handlers_come_back_after_an_error(self):
        before = self.handlers()
        with (
            self.assertRaises(ZeroDivisionError),
            on_termination(lambda number, frame: None),
        ):
            raise ZeroDivisionError
        self.assertEqual(self.handlers(), before)

    def test_the_handler_gets_the_number(self):
        seen = []
        with on_termination(lambda number, frame: seen.append(number)):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(seen, [signal.SIGTERM] * 2)

    def test_other_threads_run_without_handlers_of_their_own(self):
        found = []

        def work():
            with TerminationFlag() as flag:
                found.append(flag.is_set)

        before = self.handlers()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(found, [False])
        self.assertEqual(self.handlers(), before)


if __name__ == "__main__":
    absltest.main()
