from hagan_clinic.cluster import model_anywhere


def test_a_path_of_a_model_holds_in_every_folder_and_a_name_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t1_to_flair").mkdir()
    assert model_anywhere("t1_to_flair") == "t1_to_flair"
    assert model_anywhere("a.onnx") == str(tmp_path / "a.onnx")
    assert model_anywhere("models/a") == str(tmp_path / "models/a")
