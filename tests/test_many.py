import dataclasses
import inspect
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from conftest import smooth_picture
from PIL import Image

import nst_tf
from nst_tf.cli.parser import main
from nst_tf.engine import extractors
from nst_tf.images import save_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import settings_of
from nst_tf.tools import inputs
from nst_tf.tools.jobs import Job, images_of, is_address, pairs, read_jobs
from nst_tf.tools.many import stylize_many
from nst_tf.tools.plan import estimate, plan
from nst_tf.tools.running import is_made, run

OPTIONS = {"features": "slim", "size": 48, "steps": 3}


def pixels(path):
    return np.asarray(Image.open(path))


def test_every_pair_of_two_folders_is_made_and_is_what_separate_runs_make(jobs):
    outcomes = list(stylize_many(jobs))
    assert [outcome.status for outcome in outcomes] == ["made"] * 4
    assert [os.path.basename(outcome.job.output) for outcome in outcomes] == [
        "c0__s0.png",
        "c0__s1.png",
        "c1__s0.png",
        "c1__s1.png",
    ]
    for job in jobs:
        extractors._make.cache_clear()  # so that nothing is left of the run before
        alone = run(job)
        np.testing.assert_array_equal(pixels(job.output), np.asarray(np.round(alone.image[0] * 255), np.uint8))


def test_a_list_reads_each_picture_once_and_the_next_list_reads_it_again(jobs, monkeypatch):
    read = []
    monkeypatch.setattr(inputs, "read_pixels", lambda path, **how: read.append(path) or read_pixels(path, **how))
    sources = {source for job in jobs for source in (job.content, *job.styles)}
    for lists in (1, 2):
        list(stylize_many(jobs, again=True))
        assert len(read) == lists * len(sources)


def test_a_list_decides_once_what_auto_stands_for_and_the_next_list_anew(jobs, monkeypatch):
    asked = []
    monkeypatch.setattr(extractors, "resolve_auto", lambda word: asked.append(word) or "slim")
    jobs = [dataclasses.replace(job, features="auto") for job in jobs]
    for lists in (1, 2):
        assert {outcome.status for outcome in stylize_many(jobs, again=True)} == {"made"}
        assert asked.count("auto") == lists


def test_a_job_with_losses_of_another_form_is_what_it_is_alone(jobs):
    first, second = jobs[0], dataclasses.replace(jobs[1], changes={"style_form": "mean"})
    list(stylize_many([first, second]))
    extractors._make.cache_clear()
    alone = run(second)
    np.testing.assert_array_equal(pixels(second.output), np.asarray(np.round(alone.image[0] * 255), np.uint8))


def test_a_second_call_makes_nothing_and_a_changed_job_or_picture_is_made_again(jobs, folders):
    list(stylize_many(jobs))
    before = {job.output: os.stat(job.output).st_mtime_ns for job in jobs}
    assert {outcome.status for outcome in stylize_many(jobs)} == {"skipped"}
    assert before == {job.output: os.stat(job.output).st_mtime_ns for job in jobs}
    assert {outcome.status for outcome in stylize_many(jobs[:1], again=True)} == {"made"}
    for change in ({"seed": 5}, {"steps": 4}, {"changes": {"style_weight": 2.0}}, {"size": 56}):
        changed = dataclasses.replace(jobs[1], **change)
        assert not is_made(changed)
    save_image(smooth_picture(48, 64) ** 2, folders / "contents" / "c1.png")
    assert [outcome.status for outcome in stylize_many(jobs)] == ["skipped", "skipped", "made", "made"]


def test_a_bad_picture_among_good_ones_is_told_of_and_the_others_are_made(jobs, folders):
    (folders / "contents" / "c0.png").write_bytes(b"no picture")
    outcomes = list(stylize_many(jobs))
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "made", "made"]
    assert "c0.png" in outcomes[0].reason
    assert not os.path.exists(jobs[0].output)


def test_an_executor_that_forks_is_refused(jobs):
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor,
        pytest.raises(ValueError, match="worker_processes"),
    ):
        stylize_many(jobs, executor=executor)


def test_of_every_job_is_told_though_an_executor_cannot_replace_its_workers(jobs):
    many = [dataclasses.replace(jobs[0], output=f"{jobs[0].output}.{number}.png") for number in range(20)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.ahead = 2
        executor.submit(os._exit, 9)
        outcomes = list(stylize_many(many, executor=executor))
    assert sorted(outcome.number for outcome in outcomes) == list(range(20))
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert "BrokenProcessPool" in outcomes[-1].reason


def test_a_list_that_breaks_off_is_told_of_to_its_last_job(jobs):
    def reading():
        yield from jobs[:2]
        raise ValueError("line 3 is no job")

    for executor in (None, ThreadPoolExecutor(1)):
        told = []
        with pytest.raises(ValueError, match="line 3"):
            for outcome in stylize_many(reading(), executor=executor):
                told.append(outcome.number)
        assert told == [0, 1]


def test_a_second_job_of_one_output_fails_and_the_first_stays(jobs):
    outcomes = list(stylize_many([jobs[0], dataclasses.replace(jobs[1], output=jobs[0].output)]))
    assert [outcome.status for outcome in outcomes] == ["made", "failed"]
    assert "written twice" in outcomes[1].reason
    assert is_made(jobs[0])


def test_an_output_never_replaces_a_picture_it_is_made_from(jobs):
    before = pixels(jobs[0].content)
    (outcome,) = stylize_many([dataclasses.replace(jobs[0], output=jobs[0].content)])
    assert outcome.status == "failed"
    assert "would be lost" in outcome.reason
    np.testing.assert_array_equal(pixels(jobs[0].content), before)


def test_a_diverged_job_fails_and_leaves_no_picture(jobs):
    (outcome,) = stylize_many([dataclasses.replace(jobs[0], changes={"style_weight": 1e39})])
    assert outcome.status == "failed"
    assert not os.path.exists(jobs[0].output)


def test_a_picture_replaced_while_workers_stay_warm_is_read_again(jobs):
    with ThreadPoolExecutor(1) as executor:
        list(stylize_many(jobs[:1], executor=executor))
        save_image(smooth_picture(48, 64) ** 2, jobs[0].content)
        assert [outcome.status for outcome in stylize_many(jobs[:1], executor=executor)] == ["made"]
    alone = run(jobs[0])
    np.testing.assert_array_equal(pixels(jobs[0].output), np.asarray(np.round(alone.image[0] * 255), np.uint8))


def test_jobs_are_read_as_they_are_needed(jobs):
    taken = []

    def reading():
        for job in jobs * 50:
            taken.append(job)
            yield job

    with ThreadPoolExecutor(1) as executor:
        executor.ahead = 3
        outcomes = stylize_many(reading(), executor=executor)
        next(outcomes)
        assert len(taken) <= 4
        outcomes.close()


@pytest.fixture
def masked(jobs, folders):
    """A job with a mask for the left half, and a start image."""
    left = np.zeros((1, 48, 64, 3), np.float32)
    left[:, :, :32] = 1
    save_image(left, folders / "left.png")
    save_image(1 - left, folders / "right.png")
    return dataclasses.replace(jobs[0], size=64, masks=[str(folders / "left.png")], start=Path(jobs[2].content))


def test_a_job_with_a_mask_and_a_start_image_is_made_from_them(masked):
    assert [outcome.status for outcome in stylize_many([masked])] == ["made"]
    made, content = (pixels(path).astype(float) for path in (masked.output, masked.content))
    np.testing.assert_allclose(made[:, 33:], content[:, 33:], atol=1)
    assert np.abs(made[:, :31] - content[:, :31]).mean() > 5
    without = run(dataclasses.replace(masked, start=None)).image[0, :, :31]
    assert np.abs(without * 255 - made[:, :31]).mean() > 2


def test_a_job_is_skipped_with_the_same_masks_and_start_and_made_again_with_others(masked, jobs, folders):
    list(stylize_many([masked]))
    assert [outcome.status for outcome in stylize_many([masked])] == ["skipped"]
    right = [str(folders / "right.png")]
    for change in (
        {"masks": right},
        {"masks": []},
        {"softness": 2.0},
        {"start": "noise"},
        {"style_masks": [jobs[1].styles[0]]},
    ):
        assert not is_made(dataclasses.replace(masked, **change))
    save_image(np.ones((1, 48, 64, 3), np.float32) * smooth_picture(48, 64).round(), masked.masks[0])
    assert [outcome.status for outcome in stylize_many([masked])] == ["made"]


def test_masks_that_do_not_fit_fail_their_own_job(masked, jobs):
    wrong = {
        "There are 2 masks for 1 style images": {"masks": masked.masks * 2},
        "beside others": {"masks": ["rest"]},
        "no file 'nowhere.png'": {"masks": ["nowhere.png"]},
        "Unknown start 'nowhere.png'": {"start": "nowhere.png"},
        "softness is -1": {"softness": -1.0},
        "TypeError": {"content": 3},
    }
    asked = [
        dataclasses.replace(masked, output=f"{masked.output}.{n}.png", **change)
        for n, change in enumerate(wrong.values())
    ]
    outcomes = list(stylize_many([*asked, jobs[3]]))
    assert [outcome.status for outcome in outcomes] == ["failed"] * len(wrong) + ["made"]
    for message, outcome in zip(wrong, outcomes, strict=False):
        assert message in outcome.reason


def test_the_defaults_of_a_job_are_those_of_stylize_and_load_images():
    keywords = inspect.signature(nst_tf.stylize).parameters
    for name in ("recipe", "features", "solver", "steps", "seed", "start"):
        assert getattr(Job, name) == keywords[name].default
    assert inspect.signature(nst_tf.load_images).parameters["recipe"].default == Job.recipe


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_says_what_differs_and_options_say_the_rest(tmp_path):
    path = write(
        tmp_path / "jobs.csv",
        "content,style,output,seed,style_weight\na b.jpg,s.jpg|t.jpg,x/ö.png,3,\n\nhttps://h/c.jpg,s.jpg,y.png,,7\n",
    )
    first, second = read_jobs(path, steps=9, changes={"border": "zeros"})
    assert first == Job(
        content=str(tmp_path / "a b.jpg"),
        styles=[str(tmp_path / "s.jpg"), str(tmp_path / "t.jpg")],
        output=str(tmp_path / "x" / "ö.png"),
        steps=9,
        seed=3,
        changes={"border": "zeros"},
    )
    assert second.content == "https://h/c.jpg"
    assert second.changes == {"border": "zeros", "style_weight": 7.0}


def test_a_job_file_names_masks_and_a_start_image_below_its_folder(tmp_path):
    write(tmp_path / "sketch.png", "")
    columns = "content,style,output,mask,style_mask,softness,start\n"
    path = write(
        tmp_path / "jobs.csv",
        f"{columns}c.png,s.png|t.png,x.png,m.png|rest,n.png|o.png,2.5,sketch.png\nc.png,s.png,y.png,,,,noise\n",
    )
    first, second = read_jobs(path)
    assert first.masks == [str(tmp_path / "m.png"), "rest"]
    assert first.style_masks == [str(tmp_path / "n.png"), str(tmp_path / "o.png")]
    assert (first.softness, first.start) == (2.5, str(tmp_path / "sketch.png"))
    assert (second.masks, second.softness, second.start) == ([], 0.0, "noise")
    row = {
        "content": "c.png",
        "style": ["s.png", "t.png"],
        "output": "x.png",
        "mask": ["m.png", "rest"],
        "softness": 2.5,
    }
    row |= {"style_mask": ["n.png", "o.png"], "start": "sketch.png"}
    assert next(read_jobs(write(tmp_path / "jobs.jsonl", json.dumps(row)))) == first


def test_json_lines_say_the_same(tmp_path):
    row = {"content": "c.jpg", "style": ["s.jpg", "t.jpg"], "output": "x.png", "style_weights": [0.3, 0.7], "steps": 5}
    path = write(tmp_path / "jobs.jsonl", json.dumps(row) + "\n\n" + json.dumps({**row, "style": "s.jpg"}) + "\n")
    first, second = read_jobs(path)
    assert first.style_weights == [0.3, 0.7]
    assert first.steps == 5
    assert second.styles == [str(tmp_path / "s.jpg")]


def test_columns_may_be_named_in_the_plural(tmp_path):
    path = write(tmp_path / "jobs.csv", "content,styles,masks,output\nc.jpg,s.jpg|t.jpg,m.png|rest,x.png\n")
    [job] = read_jobs(path)
    assert job.styles == [str(tmp_path / "s.jpg"), str(tmp_path / "t.jpg")]
    assert job.masks == [str(tmp_path / "m.png"), "rest"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "content,style\nc,s\n", "line 2: output missing"),
        ("a.csv", "content,style,output,seed\nc,s,o.png,x\n", "line 2: seed is 'x'; expected a whole number"),
        ("a.csv", "content,style,output\nc,s,o.png,extra\n", "line 2: it has not as many fields"),
        ("a.csv", "content,style,output\nc,,o.png\n", "line 2: style missing"),
        ("a.csv", "content,style,output,brush\nc,s,o.png,3\n", "no field 'brush'; it has content, "),
        ("a.csv", "content,style,output,weigth\nc,s,o.png,3\n", "no field 'weigth'; it has .*content_weight"),
        ("a.csv", "content,style,output\nc,s," + "o" * 200_000 + "\n", "is no CSV"),
        ("a.jsonl", '{"content": "c", "style": 5, "output": "o.png"}\n', "style is 5; expected text or a list"),
        ("a.jsonl", "{", "line 1: this is not JSON"),
        ("a.jsonl", "[1]\n", "line 1: expected an object"),
        ("a.jsonl", '{"content": 3, "style": "s", "output": "o.png"}\n', "content is 3; expected text"),
        ("a.jsonl", '{"content": "c", "style": "s", "output": "o.png", "steps": true}\n', "whole number"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused_with_its_number(name, text, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        list(read_jobs(write(tmp_path / name, text)))


def test_a_job_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes("content,style,output\nä,s,o.png\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.csv is not in UTF-8"):
        list(read_jobs(tmp_path / "a.csv"))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_is_read_as_excel_and_pandas_write_it(delimiter, tmp_path):
    lines = [
        ["", "Content", "style", "output", "steps", "coarsest", "style_weight", "style_weights", "style_layers"],
        ["0", "a,b.jpg", "s.jpg|t.jpg", "o.png", "5.0", "64.0", "0,5", "0,25|0,75", "block1_conv1:0,5+block2_conv1:2"],
        ["", "", "", "", "", "", "", "", ""],
    ]
    path = tmp_path / "a.csv"
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines), encoding="utf-8-sig")
    (job,) = read_jobs(path)
    assert job.content == str(tmp_path / "a,b.jpg")
    assert (job.steps, job.style_weights) == (5, [0.25, 0.75])
    assert job.changes["style_weight"] == 0.5
    assert job.changes["coarsest"] == 64
    assert job.changes["style_layers"] == {"block1_conv1": 0.5, "block2_conv1": 2.0}


def test_null_in_json_lines_is_as_if_it_were_not_there(tmp_path):
    row = {"content": "c", "style": "s", "output": "o.png", "steps": None, "style_weight": None}
    assert next(read_jobs(write(tmp_path / "a.jsonl", json.dumps(row)))).changes == {}


def test_a_report_says_its_encoding_once(folders, monkeypatch):
    monkeypatch.chdir(folders)
    write(folders / "jobs.csv", "content,style,output\ncontents/c0.png,styles/s0.png,out/ö.png\n")
    for _ in range(2):
        assert (
            main(["many", "jobs.csv", "--report", "r.csv", "--features", "slim", "--size", "48", "--steps", "1"]) == 0
        )
    text = (folders / "r.csv").read_bytes().decode()
    assert text.startswith("\ufeffjob,")
    assert text.count("\ufeff") == 1
    assert text.count("ö.png") == 2


def test_what_pillow_reads_is_an_image_and_nothing_else_in_a_folder_is(tmp_path):
    picture = Image.fromarray(np.zeros((40, 40, 3), np.uint8))
    readable = [".jpg", ".JPEG", ".jfif", ".png", ".webp", ".ppm", ".bmp", ".tga", ".tif", ".gif"]
    readable += [suffix for suffix in (".jp2", ".avif") if suffix in Image.registered_extensions()]
    for suffix in readable:
        picture.save(tmp_path / f"is{suffix.replace('.', '_')}{suffix}")
    for name in (".DS_Store", "._a.jpg", "Thumbs.db", "a.xmp", "notes.txt", "w.h5", "a.eps", "a.mpg", "a.pdf"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "trip.jpg").mkdir()
    (tmp_path / "frames of x.gif").mkdir()
    assert {path.suffix for path in images_of(tmp_path).values()} == set(readable)


def test_a_phones_picture_is_not_passed_over_but_told_of(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folders / "contents" / "c2.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    found = plan(pairs(folders / "contents", folders / "styles", folders / "out", features="slim"))
    assert (found.jobs, found.bad) == (6, 2)
    assert "pillow-heif" in found.problems[0]


@pytest.mark.parametrize("source", ["ftp://h/a.jpg", "HTTPS://h/a.jpg", "data:image/png;base64,AAAA"])
def test_an_address_is_one_in_a_list_of_jobs_too_and_a_drive_is_none(source):
    assert is_address(source)
    for path in ("C://pics//a.jpg", r"C:\pics\a.jpg", "a.jpg", "/a:b/c.jpg"):
        assert not is_address(path)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("[jm]*/a.png", ["jo_a", "ma_a"]),
        ("**/b.png", ["b", "sub_b"]),
        ("jo", ["a"]),
        ("film/%05d.png", ["00001", "00002"]),
        ("film/%d.png", ["00001", "00002", "7"]),
        ("one [2]/*.png", ["a"]),
        ("jo/a.png", ["a"]),
    ],
)
def test_patterns_are_those_that_people_know(pattern, names, tmp_path):
    for name in ("jo/a", "ma/a", "ma/b", "ma/sub/b", "film/00001", "film/00002", "film/7", "film/x", "one [2]/a"):
        save_image(smooth_picture(40, 40), tmp_path / f"{name}.png")
    assert list(images_of(tmp_path / pattern)) == names


@pytest.mark.parametrize(
    ("content", "output"), [("contents", "contents"), ("contents/*", "contents/../contents"), ("*/c*", "styles")]
)
def test_results_that_the_same_command_would_take_for_inputs_are_refused_the_first_time(
    content, output, folders, monkeypatch
):
    monkeypatch.chdir(folders)
    with pytest.raises(ValueError, match="choose another output folder"):
        next(pairs(content, "styles", output))
    assert len(list(pairs("contents/c?.png", "styles/s0.png", "contents"))) == 2  # which does not find c0__s0.png


def test_the_home_folder_is_meant_by_a_tilde_wherever_a_path_is_given(jobs, folders, monkeypatch):
    monkeypatch.setenv("HOME", str(folders))
    monkeypatch.setenv("USERPROFILE", str(folders))
    monkeypatch.chdir(folders / "styles")
    write(folders / "jobs.csv", "content,style,output\n~/contents/c0.png,~/styles/s0.png,~/out/table.png\n")
    (job,) = read_jobs("~/jobs.csv", **OPTIONS)
    assert [outcome.status for outcome in stylize_many([job])] == ["made"]
    assert settings_of("~/out/table.png")["steps"] == 3
    (job,) = pairs("~/contents/c0.png", "~/styles/s0.png", "~/out", **OPTIONS)
    assert job == dataclasses.replace(jobs[0])
    options = ["--features", "slim", "--size", "48", "--steps", "2", "--checkpoint", "~/run.nst", "--plot", "~/p.png"]
    assert main(["stylize", "~/contents/c0.png", "~/styles/s0.png", "-o", "~/a.png", *options]) == 0
    nst_tf.stylize(
        *nst_tf.load_images("~/contents/c0.png", ["~/styles/s0.png"], size=48),
        features="slim",
        resume="~/run.nst",
        steps=2,
    ).save("~/b.png")
    for name in ("a.png", "b.png", "p.png", "run.nst"):
        assert (folders / name).is_file()
    assert main(["stylize", "~/a.png", "~/styles/s0.png", "-o", "~/a.png"]) == 2
    assert not (folders / "styles" / "~").exists()


def test_two_pictures_of_one_name_are_refused_for_their_results_would_have_one(folders):
    save_image(smooth_picture(48, 64), folders / "contents" / "c0.jpg")
    with pytest.raises(ValueError, match="'c0'"):
        list(pairs(folders / "contents", folders / "styles", folders / "out"))


def test_pictures_are_paired_by_name(folders):
    (folders / "styles" / "s0.png").rename(folders / "styles" / "c1.png")
    (job,) = pairs(folders / "contents", folders / "styles", folders / "out", by_name=True)
    assert os.path.basename(job.output) == "c1.png"
    with pytest.raises(ValueError, match="has the name"):
        list(pairs(folders / "contents", folders / "styles" / "s*.png", folders / "out", by_name=True))
    with pytest.raises(ValueError, match="no image"):
        list(pairs(folders / "out", folders / "styles", folders / "out"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_of_which_one_job_would_replace_the_picture_of_another_is_rejected(jobs, order):
    first = dataclasses.replace(jobs[0], output=jobs[-1].content)
    with pytest.raises(ValueError, match=r"Job 2: .*c1\.png"):
        plan([first, jobs[-1]][::order])
    assert plan(jobs).bad == 0


def test_a_plan_finds_what_would_fail_before_anything_is_made(jobs, folders):
    (folders / "contents" / "c1.png").write_bytes(b"no picture")
    twice = [
        *jobs,
        jobs[0],
        Job("nowhere.png", jobs[0].styles, str(folders / "z.png")),
        Job(**vars(jobs[0]) | {"output": "x.jpg"}),
    ]
    found = plan(twice)
    assert (found.jobs, found.bad, found.existing) == (7, 5, 0)
    words = "\n".join(found.problems)
    for part in ("c1.png", "written twice", "no file 'nowhere.png'", "expected a .png"):
        assert part in words
    assert found.first == jobs[0]


def test_the_estimate_is_what_the_formula_says(jobs):
    found = plan(jobs)
    cost = estimate(found)
    assert cost.per_step > 0
    assert cost.seconds == pytest.approx(4 * (cost.fixed + 3 * cost.per_step))
    of_one = estimate(plan(jobs[:1])).size
    assert of_one > 500
    assert cost.size == pytest.approx(4 * of_one)


def test_the_command_line_takes_masks_and_start_images_from_a_job_file_and_for_all_jobs(
    masked, folders, capsys, monkeypatch
):
    monkeypatch.chdir(folders)
    write(
        folders / "jobs.csv",
        "content,style,output,mask,start\n"
        "contents/c0.png,styles/s0.png,out/masked.png,left.png,contents/c1.png\n"
        "contents/c1.png,styles/s0.png,out/other.png,,noise\n",
    )
    options = ["--features", "slim", "--size", "64", "--steps", "3"]
    assert main(["many", "jobs.csv", *options]) == 0
    made, content = (pixels(path).astype(float) for path in ("out/masked.png", "contents/c0.png"))
    np.testing.assert_allclose(made[:, 33:], content[:, 33:], atol=1)
    np.testing.assert_array_equal(made, np.round(run(masked).image[0] * 255))
    assert settings_of("out/other.png")["masks"] is None
    assert settings_of("out/other.png")["changes"]["start"] == "noise"
    assert "2 made" in capsys.readouterr().out
    assert main(["many", "jobs.csv", *options, "--mask", "right.png"]) == 0
    assert "1 made, 1 skipped" in capsys.readouterr().out


def test_the_command_line_plans_makes_and_goes_on(folders, capsys):
    options = ["--content-dir", folders / "contents", "--style-dir", folders / "styles", "-o", folders / "out"]
    options = ["many", *map(str, options), "--features", "slim", "--size", "48", "--steps", "3"]
    assert main([*options, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert "4 jobs" in planned
    assert "all of them about" in planned
    assert not list((folders / "out").glob("*.png"))
    assert main(options) == 0
    assert "4 made" in capsys.readouterr().out
    assert len(list((folders / "out").glob("*.png"))) == 4
    assert main(options) == 0
    assert "4 skipped" in capsys.readouterr().out
    assert main(["many"]) == 2
