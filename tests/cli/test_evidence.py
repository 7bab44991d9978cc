"""The evidence commands as a statistician's script calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keel.cli import main
from keel.cli.impute import in_order

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/meta/reference.json").read_text())
METAFOR_ALL_FOUR = (-1.093094505032, 0.455387767061)
META_KEYS = [
    *("k", "estimate", "se", "ci_low", "ci_high", "statistic", "p"),
    *("tau2", "i2", "h2", "q", "q_p", "prediction_low", "prediction_high"),
]


def ask(capsys: pytest.CaptureFixture[str], *argv: object) -> Any:
    assert main([str(a) for a in argv]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main([str(a) for a in argv]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture(params=["csv", "parquet"])
def studies(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    data = REFERENCE["sets"]["eight"]
    table = pl.DataFrame({key: data[key] for key in ("yi", "vi", "dose", "group")})
    path = tmp_path / f"studies.{request.param}"
    table.write_csv(path) if request.param == "csv" else table.write_parquet(path)
    return path


def test_meta_gives_the_fixed_keys_and_metafors_numbers(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--effect", "yi", "--variance", "vi", "--method", "REML", "--test", "knha", "--json")
    answer = ask(capsys, "meta", studies, *given)
    theirs = next(f for f in REFERENCE["fits"] if (f["set"], f["method"], f["test"]) == ("eight", "REML", "knha"))
    assert list(answer)[: len(META_KEYS)] == META_KEYS
    for key in META_KEYS:
        assert answer[key] == pytest.approx(theirs[key], rel=1e-5, abs=1e-6)


def test_meta_from_means_by_name_and_its_other_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "means.csv"
    pl.DataFrame(REFERENCE["effects"]["SMD"]["input"]).rename({"m1": "drug_mean"}).write_csv(path)
    answer = ask(capsys, "meta", path, "--measure", "SMD", "--m1", "drug_mean", "--leave-one-out", "--egger", "--json")
    theirs = next(f for f in REFERENCE["fits"] if (f["set"], f["method"], f["test"]) == ("trials", "REML", "z"))
    assert answer["estimate"] == pytest.approx(theirs["estimate"], rel=1e-6)
    assert len(answer["leave_one_out"]) == 12
    assert answer["egger"]["p"] == pytest.approx(REFERENCE["extras"][0]["egger_lm"]["p"], rel=1e-6)
    assert "no column was named for m1" in refused(capsys, "meta", path, "--measure", "SMD").lower()


def test_meta_by_subgroup_and_moderator(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--effect", "yi", "--variance", "vi", "--by", "group", "--moderators", "dose", "group", "--json")
    answer = ask(capsys, "meta", studies, *given)
    assert [part["group"] for part in answer["by"]] == ["group", "individual"]
    assert [c["term"] for c in answer["coefficients"]] == ["intercept", "dose", "group=individual"]


LEVELS = json.loads((Path(__file__).parents[1] / "reference/meta/levels.json").read_text())


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Twelve studies of one to six effects each."""
    path = tmp_path / "several.csv"
    pl.DataFrame(LEVELS["sets"]["twelve"]).write_csv(path)
    return path


SEVERAL = ("--effect", "yi", "--variance", "vi")


def test_meta_of_several_effects_per_study(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("meta", several, *SEVERAL, "--cluster", "study", "--json")
    theirs = next(f for f in LEVELS["fits"] if (f["set"], f["rho"], f["method"]) == ("twelve", 0.6, "REML"))
    assert main([str(a) for a in given]) == 0
    said = capsys.readouterr()
    assert "taken to correlate 0.6" in said.err
    answer = json.loads(said.out)
    assert list(answer)[: len(META_KEYS)] == META_KEYS
    assert (answer["k"], answer["studies"], answer["rho"]) == (37, 12, 0.6)
    for key in ("estimate", "se", "p"):
        assert answer[key] == pytest.approx(theirs[key], rel=1e-6)
    assert [part["variance"] for part in answer["levels"]] == pytest.approx(theirs["sigma2"], rel=1e-6)
    assert all(part["low"] <= part["variance"] <= part["high"] for part in answer["levels"])
    robust = ask(capsys, *given, "--rho", 0.6, "--robust", "cr2")
    assert [robust["se"], robust["df"]] == pytest.approx([theirs["cr2"]["se"], theirs["cr2"]["df"]], rel=1e-6)
    assert (robust["test"], robust["df_method"]) == ("t", "satterthwaite")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--cluster", "study", "--egger"), "one effect for each study"),
        (("--cluster", "study", "--prediction", "classic"), "one effect for each study"),
        (("--cluster", "study", "--test", "knha"), "known: z, t"),
        (("--cluster", "study", "--method", "fe"), "known: reml, ml"),
        (("--cluster", "nowhere"), "no column 'nowhere'"),
        (("--cluster", "yi"), "cannot tell the one from the other"),
        (("--rho", "0.5"), "with --cluster"),
        (("--cluster", "study", "--rho", "1"), "not at, 1"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_with_several_effects_is_refused(
    argv: tuple[str, ...], says: str, several: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "meta", several, *SEVERAL, *argv, "--json").lower()


def test_trim_and_fill_names_its_test_and_its_estimator(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """metafor's trimfill goes back to z; the test that was asked for is kept here, and both commands say which it is."""
    argv = [
        "meta",
        str(studies),
        *SEVERAL,
        "--test",
        "knha",
        "--trim-and-fill",
        "--estimator",
        "r0",
        "--egger",
        "--json",
    ]
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "tested by knha" in said.err
    answer = json.loads(said.out)
    assert (answer["trim_and_fill"]["test"], answer["trim_and_fill"]["estimator"]) == ("knha", "R0")
    theirs = REFERENCE["extras"][1]["trimfill_R0"]
    assert answer["trim_and_fill"]["filled"] == theirs["filled"]
    assert answer["trim_and_fill"]["estimate"] == pytest.approx(theirs["estimate"], rel=1e-4)
    assert answer["egger_rma"]["model"] == "rma"


def test_a_study_without_its_numbers_is_left_out_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    path.write_text("yi;vi\n0,5;0,1\nNA;0,2\n0,7;0,3\n")
    assert main(["meta", str(path), "--effect", "yi", "--variance", "vi", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["k"] == 2
    assert "1 of 3 rows were left out" in said.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("yi,vi\n", "no rows"),
        ("yi,wrong\n1,2\n", "no column 'vi'"),
        ("yi,vi\n0.5,0.1\nmuch,0.2\n", "row 2 holds 'much'"),
        ("yi,vi\n0.5,0.1\ninf,0.2\n", "row 2 is infinite"),
        ("yi,vi\n0.5,0.1\n0.6,-0.2\n", "study 2"),
        ("yi,vi\n0.5,0.1\n", "there is 1"),
        ("yi,vi\n0.5,0.1\n,\n", "there is 1"),
        ('yi,vi\n"0.5,0.1\n', ""),
        ("yi,vi\n1,2,3,4\n", ""),
    ],
)
def test_an_unfit_file_is_refused_in_words(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unfit.csv"
    path.write_text(text)
    assert says in refused(capsys, "meta", path, "--effect", "yi", "--variance", "vi", "--json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yi,vi,yi\n1,1,2\n2,1,3\n", "two of its columns are called 'yi'"),
        ("yi,vi\n1,1\n2,1,3\n", "row 2 has more fields than the 2 columns"),
    ],
)
def test_columns_that_cannot_be_told_apart_are_refused(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unfit.csv"
    path.write_text(text)
    assert says in refused(capsys, "meta", path, "--effect", "yi", "--variance", "vi", "--json")


def test_a_change_without_error_has_no_exact_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "far.csv"
    path.write_text("before,after\n" + "".join(f"{i % 5},{1e9 + i % 7}\n" for i in range(40)))
    assert "too large" in refused(capsys, "effect-size", path, "--before", "before", "--after", "after")


def test_studies_without_an_event_are_left_out_aloud_or_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept, as metafor 3.8-1 does by default: rma(measure = "OR", ai, n1i, ci, n2i, method = "DL") of these four studies."""
    path = tmp_path / "counts.csv"
    path.write_text("a,n1,c,n2\n3,20,8,21\n0,15,4,15\n0,12,0,13\n5,30,9,28\n")
    asked = ("meta", path, "--measure", "OR", "--method", "DL", "--json")
    assert main([str(a) for a in asked]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["k"] == 3
    assert "Row 3" in said.err
    kept = ask(capsys, *asked, "--keep-empty")
    assert kept["k"] == 4
    assert kept["estimate"] == pytest.approx(METAFOR_ALL_FOUR[0], rel=1e-6)
    assert kept["se"] == pytest.approx(METAFOR_ALL_FOUR[1], rel=1e-6)


def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "noise.parquet"
    path.write_bytes(b"\x00\xff\xfe nothing")
    assert "not a whole Parquet file" in refused(capsys, "meta", path, "--effect", "yi", "--variance", "vi")
    path.rename(tmp_path / "noise.csv")
    assert "line 1 is not text" in refused(capsys, "meta", tmp_path / "noise.csv", "--effect", "yi", "--variance", "vi")
    assert "no such file" in refused(capsys, "meta", tmp_path / "nowhere.csv", "--effect", "yi", "--variance", "vi")


def test_effect_size_between_and_within(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(23, 4, 24)
    table = {"arm": ["treated"] * 12 + ["control"] * 12, "before": before, "after": before - rng.normal(9, 5, 24)}
    path = tmp_path / "people.csv"
    pl.DataFrame(table).write_csv(path)
    given = ("effect-size", path, "--outcome", "after", "--arm", "arm", "--json")
    g, d = ask(capsys, *given, "--reference", "control"), ask(capsys, *given, "--kind", "d", "--reference", "control")
    assert d["ci_low"] < g["estimate"] < d["ci_high"]
    assert abs(g["estimate"]) < abs(d["estimate"])
    assert ask(capsys, *given, "--reference", "treated")["estimate"] == pytest.approx(-g["estimate"])
    within = ask(capsys, "effect-size", path, "--before", "before", "--after", "after", "--json")
    change = table["before"] - table["after"]
    assert within["estimate"] == pytest.approx(change.mean() / change.std(ddof=1))
    assert "three" in refused(capsys, "effect-size", path, "--outcome", "after", "--arm", "arm", "--reference", "three")
    assert "no column" in refused(capsys, "effect-size", path, "--outcome", "worth", "--arm", "arm")


def test_effect_sizes_of_every_row_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("a,n1,c,n2\n29,79,14,79\n0,10,0,10\n,10,2,10\n")
    answer = ask(capsys, "effect-size", path, "--measure", "RR", "--json")
    reference = REFERENCE["effects"]["RR"]
    assert answer["results"][0]["estimate"] == pytest.approx(reference["yi"][0])
    assert [r["estimate"] for r in answer["results"][1:]] == [None, None]


@pytest.mark.parametrize(
    "argv",
    [
        ("meta", "--effect", "a", "--variance", "b"),
        ("meta", "--measure", "SMD", "--m1", "a", "--sd1", "b", "--n1", "b", "--m2", "a", "--sd2", "b", "--n2", "b"),
        ("correlate", "--x", "a", "--y", "b"),
        ("correlate", "--x", "a", "--y", "b", "--method", "spearman", "--bootstrap", "200"),
        ("mediate", "--x", "a", "--m", "b", "--y", "c"),
        ("effect-size", "--before", "a", "--after", "b"),
        ("effect-size", "--outcome", "a", "--arm", "c"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["1,2,x"], ""),
        (["1,2,3", "1,2,3", "1,2,3", "1,2,3", "1,2,3", "1,2,3"], ""),
        (["1,2,3", "two,3,4", "3,4,7", "4,5,7", "1,2,5", "9,1,2"], "row 2 holds 'two'"),
        (["1,2,3", "-inf,3,4", "3,4,7", "4,5,7", "1,2,5", "9,1,2"], "row 2 is infinite"),
        (["1,2,3", "1e200,3,4", "3,4,7", "4,5,7", "1,2,5", "9,1,2"], "row 2 holds 1e+200"),
        ([",,", ",,"], ""),
    ],
    ids=["one row", "constant", "text", "infinite", "too large", "empty"],
)
def test_degenerate_input_is_refused_by_every_command(
    argv: tuple[str, ...], rows: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(["a,b,c", *rows]) + "\n")
    if argv[0] == "meta" and len(set(rows)) == 1 and len(rows) == 6:
        # Six studies that agree are no error for the z test; the Knapp-Hartung test is refused.
        argv = (*argv, "--test", "knha")
    assert says in refused(capsys, argv[0], path, *argv[1:], "--json")


MEDIATION = Path(__file__).parents[1] / "reference/data/sim_pat_mediation_n80.csv"


def test_correlate_one_pair_and_many(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("correlate", MEDIATION, "--x", "wai", "--json")
    one = ask(capsys, *given, "--y", "grid_hamd_wk4", "--bootstrap", 500, "--seed", 7)
    assert one["interval"] == [one["ci_low"], one["ci_high"]]
    assert (one["method"], one["seed"]) == ("pearson", 7)
    many = ask(capsys, *given, "--y", "meq30", "piq", "--partial", "expectancy", "--adjust", "holm")
    assert [r["y"] for r in many["results"]] == ["meq30", "piq"]
    assert all(r["p_adjusted"] >= r["p"] for r in many["results"])
    assert "column 'id' is not a column of numbers" in refused(capsys, *given, "--y", "id").lower()


def test_correlate_repeated_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.csv"
    repeated = json.loads((MEDIATION.parents[1] / "associations/reference.json").read_text())["repeated"]
    pl.DataFrame({k: repeated[k] for k in ("person", "x", "y")}).write_csv(path)
    given = ("correlate", path, "--x", "x", "--y", "y", "--json")
    assert ask(capsys, *given, "--subject", "person")["estimate"] == pytest.approx(repeated["within"])
    both = ask(capsys, *given, "--subject", "person", "--method", "multilevel")["results"]
    assert [r["method"] for r in both] == ["within", "between"]
    assert "whose row" in refused(capsys, *given, "--method", "repeated")


def test_correlate_makes_the_interval_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    about = ("correlate", MEDIATION, "--x", "wai", "--y", "grid_hamd_wk4", "--json")
    assert ask(capsys, *about)["interval_method"] == "Fisher z"
    assert ask(capsys, *about, "--interval", "bca")["interval_method"] == "bootstrap bca, 10000 draws"
    assert "There is no bootstrap interval 'delta'" in refused(capsys, *about, "--interval", "delta")


def test_a_guess_of_nobody_named_is_left_out_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(8)
    arm = rng.choice(["a", "b"], 60)
    guess = np.where(rng.random(60) < 0.7, arm, np.where(arm == "a", "b", "a"))
    who = [None if i % 11 == 3 else f"p{i // 3}" for i in range(60)]
    table = pl.DataFrame({"arm": arm, "guess": guess, "id": who, "y": rng.normal(size=60) + (arm == "b")})
    table.write_csv(tmp_path / "some.csv")
    table.drop_nulls().write_csv(tmp_path / "named.csv")
    asked = ("--arm", "arm", "--guess", "guess", "--outcome", "y", "--subject", "id", "--json")
    assert main(["blinding", str(tmp_path / "some.csv"), *asked]) == 0
    said = capsys.readouterr()
    assert "rows without 'id' were left out of the outcome by guess" in said.err
    theirs = ask(capsys, "blinding", tmp_path / "named.csv", *asked)["outcome_by_guess"]
    assert json.loads(said.out)["outcome_by_guess"] == theirs


def test_mediate_gives_every_effect(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("mediate", MEDIATION, "--x", "wai", "--y", "grid_hamd_wk4", "--covariates", "expectancy", "--json")
    answer = ask(capsys, *given, "--m", "meq30", "--bootstrap", 1000, "--sensitivity")
    assert answer["estimate"] == answer["indirect"]["estimate"]
    assert answer["direct"]["estimate"] + answer["indirect"]["estimate"] == pytest.approx(answer["total"]["estimate"])
    assert {"p", "method", "seed", "interval", "proportion", "sensitivity"} <= answer.keys()
    serial = ask(capsys, *given, "--m", "meq30", "piq", "--mode", "serial", "--interval", "delta")
    assert [e["name"] for e in serial["specific"]][-1] == "x → meq30 → piq → y"
    assert "no column 'qids'" in refused(capsys, *given, "--m", "qids")


def test_blinding_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.csv"
    rows = [("active", "active")] * 82 + [("active", "placebo")] * 25 + [("active", "DK")] * 170
    rows += [("placebo", "active")] * 27 + [("placebo", "placebo")] * 29 + [("placebo", "DK")] * 83
    pl.DataFrame(rows, schema=["arm", "guess"], orient="row").write_csv(path)
    answer = ask(capsys, "blinding", path, "--arm", "arm", "--guess", "guess", "--json")
    assert round(answer["james"]["estimate"], 4) == 0.7479
    assert [round(b["estimate"], 4) for b in answer["bang"]] == [0.2058, 0.0144]


def test_meta_draws_a_forest_and_a_funnel(studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("meta", studies, "--effect", "yi", "--variance", "vi", "--json")
    answer = ask(capsys, *given, "--trim-and-fill", "--figures", tmp_path / "drawn")
    assert answer["figures"] == ["forest.svg", "funnel.svg"]
    forest, funnel = ((tmp_path / "drawn" / name).read_text(encoding="utf-8") for name in answer["figures"])
    assert "row 8" in forest
    assert "Prediction interval" in forest
    assert funnel.count("<circle") == 8 + answer["trim_and_fill"]["filled"]
    assert "not written" in refused(capsys, *given, "--figures", studies / "below")


def test_meta_with_moderators_says_what_leaves_them_out(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("meta", studies, "--effect", "yi", "--variance", "vi", "--moderators", "dose", "--json")
    assert main([str(a) for a in (*given, "--leave-one-out")]) == 0
    assert "--leave-one-out: computed without the moderators" in capsys.readouterr().err
    assert "no one pooled effect to draw" in refused(capsys, *given, "--figures", "drawn")


def test_lines_may_end_with_a_carriage_return_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(b"yi,vi\r0.2,0.04\r0.5,0.03\r0.1,0.05\r")
    assert ask(capsys, "meta", path, "--effect", "yi", "--variance", "vi", "--json")["k"] == 3


NESTED = json.loads((Path(__file__).parents[1] / "reference/partial_nesting/reference.json").read_text())
COHORTS = Path(__file__).parents[1] / "reference/data/sim_pat_cohorts.csv"


def test_nested_gives_the_numbers_of_lme4_and_of_nlme(capsys: pytest.CaptureFixture[str]) -> None:
    given = (
        "nested",
        COHORTS,
        "--formula",
        "chg ~ base + grp",
        "--cluster",
        "cohort",
        "--clustered",
        "grp=1",
        "--json",
    )
    for more, theirs in (((), NESTED["equal"]), (("--residual-by", "grp"), NESTED["unequal"])):
        answer = ask(capsys, *given, *more)
        assert [c["term"] for c in answer["coefficients"]] == ["(Intercept)", "base", "grp"]
        for key in ("estimate", "se"):
            assert [c[key] for c in answer["coefficients"]] == pytest.approx(theirs[key], rel=1e-4)
    assert answer["clusters"][0]["design_effect"] > 1
    assert set(answer["residual"]) == {"0", "1"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--cluster", "cohort", "--clustered", "grp"), "it has no ="),
        (("--cluster", "cohort", "--clustered", "grp=9"), "nobody is in a cluster"),
        (("--cluster", "usubjid"), "nobody shares one"),
        (("--cluster", "team"), "There is no column 'team'"),
    ],
)
def test_nested_says_what_is_wrong(more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "nested", COHORTS, "--formula", "chg ~ base + grp", *more, "--json")


def missing_outcomes(path: Path) -> Path:
    rng = np.random.default_rng(4)
    rows = [
        {"id": i, "week": week, "arm": "drug" if i % 2 else "placebo", "base": 20 + i % 7, "chg": chg}
        for i in range(60)
        for week, chg in zip((2, 4, 12), np.cumsum(rng.normal(-2 - i % 2, 3, 3)).round(2), strict=True)
        if week < 12 or i % 5
    ]
    pl.DataFrame(rows).write_csv(path)
    return path


@pytest.mark.parametrize(
    "visits",
    [
        ["week 2", "week 4", "week 10", "week 12"],
        ["V1", "V2", "V10", "V11"],
        ["-1", "0.5", "2", "10"],
        ["day -1", "day 7", "day 30"],
        ["2026-01-09", "2026-02-05", "2026-11-01"],
        ["baseline", "wk4", "wk12"],
        ["post", "pre"],
    ],
)
def test_visits_go_by_their_numbers(visits: list[str]) -> None:
    assert in_order(set(visits)) == visits


def test_impute_gives_every_strategy_and_delta(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = missing_outcomes(tmp_path / "trial.csv")
    given = ["impute", path, "--subject", "id", "--visit", "week", "--arm", "arm", "--outcome", "chg"]
    given += ["--covariates", "base", "--reference", "placebo", "--json"]
    answer = ask(capsys, *given, "--strategy", "mar", "J2R", "--delta", "0", "2", "--imputations", "50")
    assert answer["visits"] == ["2", "4", "12"]
    assert answer["missing"] == {"2": 0, "4": 0, "12": 12}
    found = {(r["strategy"], r["delta"]): r["estimate"] for r in answer["results"]}
    assert list(found) == [("MAR", 0.0), ("MAR", 2.0), ("J2R", 0.0), ("J2R", 2.0)]
    assert found["MAR", 0.0] < found["MAR", 2.0]
    assert found["MAR", 0.0] < found["J2R", 0.0]
    again = ask(capsys, *given, "--strategy", "mar", "--imputations", "50")
    assert again["results"][0]["estimate"] == found["MAR", 0.0]
    mean = ask(capsys, *given, "--method", "conditional-mean")
    assert mean["results"][0]["estimate"] == pytest.approx(found["MAR", 0.0], abs=0.5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--reference", "sugar"), "There is no arm 'sugar'"),
        (("--reference", "placebo", "--compare", "placebo"), "an arm is not compared with itself"),
        (("--reference", "placebo", "--at", "52"), "There is no visit '52'"),
        (("--reference", "placebo", "--strategy", "BOCF"), "There is no strategy 'BOCF'"),
        (("--reference", "placebo", "--delta", "inf"), "a delta of inf"),
        (("--reference", "placebo", "--imputations", "1"), "1 imputations were not made"),
    ],
)
def test_impute_says_what_is_wrong(
    more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = missing_outcomes(tmp_path / "trial.csv")
    given = ["impute", path, "--subject", "id", "--visit", "week", "--arm", "arm", "--outcome", "chg", "--json"]
    assert said in refused(capsys, *given, *more)
