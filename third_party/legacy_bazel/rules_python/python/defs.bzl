"""Old Bazel has these rules built in; newer ones load them from here."""

py_binary = native.py_binary
py_library = native.py_library
py_test = native.py_test
