"""From names to a two-stream network with the right weights in it."""

import hashlib
import json

import pytest
import torch

from stsr_cli import hub
from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.errors import UsageError, WeightsError
from stsr_cli.options import ModelOptions
from stsr_cli.pairs import load_pair, load_system
from stsr_cli.registry import build

ESPCN, DVF = {"num_channels": 4}, {"num_channels": 2}


def filled(kind, name, config, value):
    module = build(kind, name, config)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, value)
    return module


def value_of(module):
    (value,) = {value for parameter in module.parameters() for value in parameter.unique().tolist()}
    return round(value, 3)


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """A folder of embedded weights: `add(name, value, spatial, temporal)` puts a file into it."""
    folder, entries = tmp_path / "embedded", {}
    folder.mkdir()
    monkeypatch.setattr(hub, "weights_folder", lambda: folder)
    hub.manifest.cache_clear()

    def add(name, value, spatial=None, temporal=None, **more):
        f_s = filled("spatial", spatial, ESPCN if spatial == "espcn" else {}, value)
        f_t = filled("temporal", temporal, DVF if temporal == "dvf" else {}, value)
        modules = Weights(
            f_s if list(f_s.parameters()) else None, f_t if temporal == "dvf" else None
        )
        path = folder / f"{name}.safetensors"
        save_weights(path, modules)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries[name] = {"file": path.name, "sha256": digest}
        entries[name] |= {
            kind: module_name
            for kind, module_name in (("spatial", spatial), ("temporal", temporal))
            if module_name not in ("bicubic", "blend")
        }
        entries[name] |= more
        (folder / "manifest.json").write_text(json.dumps(entries))
        hub.manifest.cache_clear()
        return path

    yield add
    hub.manifest.cache_clear()


def test_modules_without_parameters_need_no_weights_and_no_manifest(embedded):
    pair = load_pair(ModelOptions(spatial="bicubic", temporal="blend"))
    assert (pair.scale, pair.time_scale) == (4, 2)
    assert not pair.training


def test_embedded_weights_of_each_module_are_found(embedded):
    embedded("only-f-s", 0.25, "espcn", "blend")
    embedded("only-f-t", 0.5, "bicubic", "dvf")
    pair = load_pair(ModelOptions(spatial="espcn", temporal="dvf"))
    assert (value_of(pair.spatial), value_of(pair.temporal)) == (0.25, 0.5)


def test_weights_trained_together_come_first(embedded):
    embedded("a-f-s", 0.1, "espcn", "blend")
    embedded("b-f-t", 0.2, "bicubic", "dvf")
    embedded("c-pair", 0.3, "espcn", "dvf")
    pair = load_pair(ModelOptions(spatial="espcn", temporal="dvf"))
    assert (value_of(pair.spatial), value_of(pair.temporal)) == (0.3, 0.3)
    alone = load_pair(ModelOptions(spatial="espcn", temporal="blend"))
    assert value_of(alone.spatial) == 0.1


def test_named_weights_win(embedded):
    embedded("first", 0.1, "espcn", "dvf")
    path = embedded("second", 0.2, "espcn", "dvf")
    for name in ("second", str(path)):
        pair = load_pair(ModelOptions(spatial="espcn", temporal="dvf", weights=(name,)))
        assert (value_of(pair.spatial), value_of(pair.temporal)) == (0.2, 0.2)


def test_a_larger_variant_is_used_by_name_alone(embedded):
    embedded("a-quality", 0.3, "espcn", "dvf", choice="by name")
    with pytest.raises(WeightsError, match="no weights for the spatial module 'espcn'"):
        load_pair(ModelOptions(spatial="espcn", temporal="dvf"))
    embedded("pair", 0.1, "espcn", "dvf")
    assert value_of(load_pair(ModelOptions(spatial="espcn", temporal="dvf")).spatial) == 0.1
    larger = load_pair(ModelOptions(spatial="espcn", temporal="dvf", weights=("a-quality",)))
    assert value_of(larger.temporal) == 0.3


def test_a_file_of_both_serves_one(embedded):
    path = embedded("pair", 0.2, "espcn", "dvf")
    pair = load_pair(ModelOptions(spatial="bicubic", temporal="dvf", weights=(str(path),)))
    assert value_of(pair.temporal) == 0.2


def test_the_file_s_configuration_counts(embedded):
    path = embedded("pair", 0.2, "espcn", "dvf")
    pair = load_pair(ModelOptions(spatial="espcn", temporal="dvf", weights=(str(path),)))
    assert pair.spatial.config["num_channels"] == 4


@pytest.mark.parametrize(
    ("spatial", "temporal", "words"),
    [
        ("span", "dvf", ["ESPCN", "span", "--spatial"]),
        ("espcn", "rife", ["DVF", "rife", "--temporal"]),
    ],
)
def test_weights_of_another_module(embedded, spatial, temporal, words):
    path = embedded("pair", 0.2, "espcn", "dvf")
    with pytest.raises(WeightsError) as caught:
        load_pair(ModelOptions(spatial=spatial, temporal=temporal, weights=(str(path),)))
    assert all(word in str(caught.value) for word in words)


def test_weights_without_the_other_module(embedded):
    path = embedded("half", 0.2, "espcn", "blend")
    options = ModelOptions(spatial="espcn", temporal="dvf", weights=(str(path),))
    with pytest.raises(WeightsError, match=r"no weights for the temporal module 'dvf'"):
        load_pair(options)
    embedded("pair", 0.3, "espcn", "dvf")
    pair = load_pair(options)
    assert (value_of(pair.spatial), value_of(pair.temporal)) == (0.2, 0.3)


def test_weights_that_serve_nothing_are_an_error(embedded):
    embedded("pair", 0.3, "espcn", "dvf")
    path = embedded("half", 0.2, "espcn", "blend")
    with pytest.raises(WeightsError, match="hold neither bicubic nor dvf"):
        load_pair(ModelOptions(spatial="bicubic", temporal="dvf", weights=(str(path),)))


def test_no_embedded_weights_for_a_module(embedded):
    embedded("pair", 0.2, "espcn", "dvf")
    with pytest.raises(WeightsError, match=r"'span'.*--weights"):
        load_pair(ModelOptions(spatial="span", temporal="dvf"))


def test_factors(embedded):
    options = ModelOptions(spatial="bicubic", temporal="blend")
    assert load_pair(options, scale=16, time_scale=8).spatial_passes == 2
    for factors in ({"scale": 3}, {"scale": 8}, {"time_scale": 3}, {"time_scale": 0}):
        with pytest.raises(UsageError, match="try 1, "):
            load_pair(options, **factors)


def test_of_several_files_a_later_one_that_holds_a_module_wins(embedded):
    paths = [
        str(embedded("pair", 0.1, "espcn", "dvf")),
        str(embedded("space", 0.2, "espcn", "blend")),
    ]
    for weights, expected in ((paths, (0.2, 0.1)), (paths[::-1], (0.1, 0.1))):
        pair = load_pair(ModelOptions("espcn", "dvf", tuple(weights)))
        assert (value_of(pair.spatial), value_of(pair.temporal)) == expected
    other = str(embedded("other", 0.3, "bicubic", "dvf"))
    assert value_of(load_pair(ModelOptions("espcn", "blend", (paths[1], other))).spatial) == 0.2
    with pytest.raises(
        WeightsError, match=r"'.*pair.*', '.*other.*' hold ESPCN, not span, as spatial"
    ):
        load_pair(ModelOptions("span", "dvf", (paths[0], other)))


def test_weights_trained_apart_are_for_the_baseline_alone(embedded):
    embedded("a-separate", 0.1, "espcn", "dvf", training="separate")
    options = ModelOptions("espcn", "dvf")
    with pytest.raises(WeightsError, match=r"no weights for.*'espcn'.*--weights"):
        load_pair(options)
    embedded("pair", 0.2, "espcn", "dvf")
    assert value_of(load_system(options).spatial) == 0.2
    baseline = load_system(ModelOptions("espcn", "dvf", system="baseline"))
    assert (value_of(baseline.spatial), value_of(baseline.temporal)) == (0.1, 0.1)
    assert value_of(load_pair(ModelOptions("espcn", "dvf", ("a-separate",))).temporal) == 0.1
    with pytest.raises(WeightsError, match=r"'span', trained apart.*--weights"):
        load_system(ModelOptions("span", "dvf", system="baseline"))


def test_cdca_is_a_system_of_its_own(embedded, tmp_path):
    pair, path = embedded("pair", 0.2, "espcn", "dvf"), tmp_path / "cdca.safetensors"
    save_weights(path, Weights(cdca=CDCA(num_channels=5, num_features=3)))
    options = ModelOptions(system="cdca", weights=(str(pair), str(path)))
    cdca = load_system(options, scale=4, time_scale=3)
    assert isinstance(cdca, CDCA)
    assert (cdca.scale, cdca.time_scale, cdca.training) == (4, 3, False)
    with pytest.raises(UsageError, match="try 4"):
        load_system(options, scale=16)
    with pytest.raises(WeightsError, match="hold no cdca weights"):
        load_system(ModelOptions(system="cdca", weights=(str(pair),)))
    with pytest.raises(WeightsError, match="hold neither espcn nor dvf"):
        load_pair(ModelOptions("espcn", "dvf", (str(path),)))
