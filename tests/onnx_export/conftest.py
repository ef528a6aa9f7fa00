"""Exports that trace nothing: one real trace a network, which takes seconds, serves many tests."""

import onnx
import pytest


@pytest.fixture
def traced_before():
    """A function that gives a file as torch traced it, before its metadata."""

    def bare(path):
        proto = onnx.load(path)
        del proto.metadata_props[:]
        return proto.SerializeToString()

    return bare
