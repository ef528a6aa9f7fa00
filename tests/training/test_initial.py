import pytest

from hagan_clinic.conditional import ConditionalGenerator, GeneratorConfig
from hagan_clinic.errors import ModelError
from hagan_clinic.training.initial import load_first_weights


def test_what_is_no_model_is_named(tmp_path):
    generator = ConditionalGenerator(GeneratorConfig(half_width=8, quarter_width=16))
    with pytest.raises(ModelError, match="No bundled model is called 'nothing'"):
        load_first_weights(generator, "nothing")
